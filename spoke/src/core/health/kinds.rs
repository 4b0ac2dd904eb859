//! The built-in gates: what each kind must show before it counts as ready.
//! Kinds that are not here and are Kubernetes' own need no more than to exist.

use jiff::Timestamp;
use serde_json::Value;

use super::Health;
use super::status::{Condition, at_least, count, is_stale, number, stale, text};
use super::text::{Clip, HEALTH_BYTES};
use super::workloads::{daemon_set, deployment, job, pod, replica_set, stateful_set};

/// A built-in gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    check: Check,
    /// The status of the kind always names the generation it speaks of.
    says_generation: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    Job,
    Pod,
    Claim,
    Service,
    Definition,
    ApiService,
    Namespace,
    Budget,
    Autoscaler,
    Custom,
    /// Without a gate of its own, looked at because a condition names it.
    Named,
}

const GATES: &[(&str, &str, Check, bool)] = &[
    ("apps", "Deployment", Check::Deployment, true),
    ("apps", "StatefulSet", Check::StatefulSet, true),
    ("apps", "DaemonSet", Check::DaemonSet, true),
    ("apps", "ReplicaSet", Check::ReplicaSet, true),
    ("", "ReplicationController", Check::ReplicaSet, true),
    ("batch", "Job", Check::Job, false),
    ("", "Pod", Check::Pod, false),
    ("", "PersistentVolumeClaim", Check::Claim, false),
    ("", "Service", Check::Service, false),
    ("", "Namespace", Check::Namespace, false),
    ("apiextensions.k8s.io", "CustomResourceDefinition", Check::Definition, false),
    ("apiregistration.k8s.io", "APIService", Check::ApiService, false),
    ("policy", "PodDisruptionBudget", Check::Budget, true),
    ("autoscaling", "HorizontalPodAutoscaler", Check::Autoscaler, false),
];

/// Groups of Kubernetes itself. Everything else is somebody's custom resource, also under `k8s.io`.
const KUBERNETES: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Kinds that stand for a set of pods: what happens to those is theirs.
pub fn has_pods(group: &str, kind: &str) -> bool {
    let found = GATES.iter().find(|gate| gate.0 == group && gate.1 == kind);
    use Check::{DaemonSet, Deployment, Job, ReplicaSet, StatefulSet};
    found.is_some_and(|gate| matches!(gate.2, Deployment | StatefulSet | DaemonSet | ReplicaSet | Job))
}

impl Gate {
    /// The gate of a kind, if it has one.
    pub fn of(group: &str, kind: &str, has_status: bool) -> Option<Self> {
        let known = GATES.iter().find(|gate| gate.0 == group && gate.1 == kind);
        match known {
            Some((_, _, check, says_generation)) => {
                Some(Self { check: *check, says_generation: *says_generation })
            }
            None if has_status && !KUBERNETES.contains(&group) => {
                Some(Self { check: Check::Custom, says_generation: false })
            }
            None => None,
        }
    }

    /// The gate of a kind that has none: what holds of every status.
    pub fn named() -> Self {
        Self { check: Check::Named, says_generation: false }
    }

    /// The health of a whole object.
    pub fn assess(self, object: &Value) -> Health {
        match self.assess_status(object) {
            Health::Progressing(text) => Health::Progressing(text.clip(HEALTH_BYTES)),
            Health::Failed(text) => Health::Failed(text.clip(HEALTH_BYTES)),
            health => health,
        }
    }

    /// True if the status speaks of an older generation of the object.
    pub fn is_old(self, object: &Value) -> bool {
        is_stale(object, self.says_generation)
    }

    fn assess_status(self, object: &Value) -> Health {
        let status = object.get("status").and_then(Value::as_object);
        let empty = status.is_none_or(|status| status.is_empty());
        if empty && self.check == Check::Custom {
            return Health::Unwritten(created(object));
        }
        if self.is_old(object) {
            return stale();
        }
        if let Some(stalled) = Condition::of(object, "Stalled").filter(|condition| condition.is("True")) {
            return Health::Failed(stalled.says());
        }
        let reconciling = Condition::of(object, "Reconciling").filter(|condition| condition.is("True"));
        if let Some(reconciling) = reconciling {
            return Health::Progressing(reconciling.says());
        }
        let missing = match self.check {
            Check::Deployment => return deployment(object),
            Check::Job => return job(object),
            Check::Pod => return pod(object),
            Check::Claim => return claim(object),
            Check::Definition => return definition(object),
            Check::StatefulSet => stateful_set(object),
            Check::DaemonSet => daemon_set(object),
            Check::ReplicaSet => replica_set(object),
            Check::Service => service(object),
            Check::ApiService => unless_true(object, "Available", "not available yet"),
            Check::Namespace => namespace(object),
            Check::Budget => budget(object),
            Check::Autoscaler => {
                let able = Condition::of(object, "AbleToScale").filter(|condition| condition.is("False"));
                able.map(Condition::says)
            }
            Check::Custom => custom(object),
            Check::Named => None,
        };
        missing.map_or(Health::Ready, Health::Progressing)
    }
}

fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        Some("Bound") => Health::Ready,
        Some("Lost") => Health::Failed("its volume is lost".to_owned()),
        _ => Health::Progressing("not bound to a volume yet".to_owned()),
    }
}

/// Stricter than kstatus, for which an address inside of the cluster is enough.
fn service(object: &Value) -> Option<String> {
    let balanced = text(object, "/spec/type") == Some("LoadBalancer");
    let ingress = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let has_ingress = ingress.is_some_and(|ingress| !ingress.is_empty());
    (balanced && !has_ingress).then(|| "the load balancer has no address yet".to_owned())
}

fn definition(object: &Value) -> Health {
    if let Some(refused) = Condition::of(object, "NamesAccepted").filter(|condition| condition.is("False")) {
        return Health::Failed(refused.says());
    }
    match Condition::of(object, "Established") {
        Some(established) if established.is("True") => Health::Ready,
        Some(established) if established.reason() != "Installing" => Health::Failed(established.says()),
        _ => Health::Progressing("not established yet".to_owned()),
    }
}

fn namespace(object: &Value) -> Option<String> {
    match text(object, "/status/phase") {
        Some("Active") => None,
        Some(phase) => Some(phase.to_lowercase()),
        None => Some("not active yet".to_owned()),
    }
}

/// A budget over no pods protects nothing and lacks nothing.
fn budget(object: &Value) -> Option<String> {
    if let Some(failed) = Condition::of(object, "DisruptionAllowed").filter(|c| c.reason() == "SyncFailed") {
        return Some(failed.says());
    }
    if count(object, "expectedPods") == 0 {
        return None;
    }
    at_least(count(object, "desiredHealthy"), &[("healthy", count(object, "currentHealthy"))])
}

fn unless_true(object: &Value, name: &str, otherwise: &str) -> Option<String> {
    match Condition::of(object, name) {
        Some(condition) if condition.is("True") => None,
        Some(condition) if !condition.says().is_empty() => Some(condition.says()),
        _ => Some(otherwise.to_owned()),
    }
}

/// `Ready`, if the controller has it. Where the status as a whole names no generation, the condition's own counts.
fn custom(object: &Value) -> Option<String> {
    let ready = Condition::of(object, "Ready")?;
    let says_generation = number(object, "/status/observedGeneration").is_some();
    if !says_generation && ready.is_stale(object) {
        return Some("its controller has not seen this generation yet".to_owned());
    }
    unless_true(object, "Ready", "not ready yet")
}

fn created(object: &Value) -> Option<Timestamp> {
    text(object, "/metadata/creationTimestamp")?.parse().ok()
}
