//! The built-in gates against statuses as controllers write them.

use serde_json::{Value, json};

use super::workloads::removes_itself;
use super::{Health, Judge};

const P: &str = "Progressing";
const F: &str = "Failed";
const R: &str = "Ready";

fn assess(group: &str, kind: &str, object: &Value) -> Health {
    Judge::built_in(group, kind, true).judge(group, kind, None, object).health
}

/// Checks rows of (what it is about, object, state, words of the message).
fn check(group: &str, kind: &str, rows: &[(&str, Value, &str, &str)]) {
    for (what, object, state, words) in rows {
        let (found, text) = match assess(group, kind, object) {
            Health::Ready => (R, String::new()),
            Health::Unwritten(_) => ("Unwritten", String::new()),
            Health::Progressing(text) => (P, text),
            Health::Failed(text) => (F, text),
        };
        assert!(found == *state && text.contains(words), "{kind}, {what}: {found} {text:?}");
    }
}

fn object(generation: i64, spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "a", "generation": generation}, "spec": spec, "status": status})
}

#[test]
fn deployment() {
    let status = |observed, all, updated, available| {
        json!({"observedGeneration": observed, "replicas": all, "updatedReplicas": updated,
            "availableReplicas": available, "readyReplicas": available})
    };
    let of = |status| object(2, json!({"replicas": 2}), status);
    let mut deadline = status(2, 2, 1, 1);
    deadline["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"a-5d\" has timed out progressing."}]);
    let mut old_deadline = deadline.clone();
    old_deadline["observedGeneration"] = json!(1);
    let mut quota = status(2, 0, 0, 0);
    quota["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"a-5d-\" is forbidden: exceeded quota: none"}]);
    check(
        "apps",
        "Deployment",
        &[
            ("no status", json!({"metadata": {"generation": 1}}), P, "not seen this generation"),
            ("an old status", of(status(1, 2, 2, 2)), P, "not seen this generation"),
            ("all there", of(status(2, 2, 2, 2)), R, ""),
            ("one missing", of(status(2, 2, 2, 1)), P, "1 of 2 available"),
            ("old ones serve", of(status(2, 3, 1, 2)), P, "1 of 2 updated"),
            ("old ones left", of(status(2, 3, 2, 2)), P, "1 old replicas"),
            ("scaled down", of(status(2, 3, 3, 3)), P, "1 more than wanted"),
            ("stuck", of(deadline), F, "ProgressDeadlineExceeded: ReplicaSet"),
            ("stuck before", of(old_deadline), P, "not seen this generation"),
            ("quota", of(quota), P, "0 of 2 available; FailedCreate: pods \"a-5d-\" is forbidden"),
            ("none wanted", object(1, json!({"replicas": 0}), json!({"observedGeneration": 1})), R, ""),
            ("one by default", object(1, json!({}), json!({"observedGeneration": 1})), P, "0 of 1 available"),
        ],
    );
}

#[test]
fn stateful_set() {
    let status = |ready, updated, current: &str, update: &str| {
        json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": ready, "availableReplicas": ready,
            "updatedReplicas": updated, "currentRevision": current, "updateRevision": update})
    };
    let spec = json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate"}});
    let partition = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}});
    let on_delete = json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
    let of = |status| object(2, spec.clone(), status);
    let mut waits = status(3, 3, "a", "a");
    waits["availableReplicas"] = json!(2);
    check(
        "apps",
        "StatefulSet",
        &[
            ("rolled", of(status(3, 3, "b", "b")), R, ""),
            ("rolling", of(status(3, 1, "a", "b")), P, "rolling"),
            ("not ready", of(status(2, 3, "b", "b")), P, "2 of 3 ready"),
            ("minReadySeconds", of(waits), P, "2 of 3 available"),
            ("partition met", object(2, partition.clone(), status(3, 1, "a", "b")), R, ""),
            ("partition not met", object(2, partition, status(3, 0, "a", "b")), P, "0 of 1 updated"),
            ("by hand", object(2, on_delete.clone(), status(3, 0, "a", "b")), R, ""),
            ("by hand, not ready", object(2, on_delete, status(1, 0, "a", "b")), P, "1 of 3 ready"),
            ("not seen", object(3, spec.clone(), status(3, 3, "b", "b")), P, "this generation"),
            (
                "none",
                object(1, json!({"replicas": 0}), json!({"observedGeneration": 1, "replicas": 0})),
                R,
                "",
            ),
        ],
    );
}

#[test]
fn daemon_set() {
    let status = |wanted, updated, available| {
        json!({"observedGeneration": 1, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted,
            "updatedNumberScheduled": updated, "numberAvailable": available, "numberReady": available})
    };
    let of = |status| object(1, json!({}), status);
    check(
        "apps",
        "DaemonSet",
        &[
            ("everywhere", of(status(3, 3, 3)), R, ""),
            ("no node takes it", of(status(0, 0, 0)), R, ""),
            ("rolling", of(status(3, 1, 3)), P, "1 of 3 updated"),
            ("not available", of(status(3, 3, 2)), P, "2 of 3 available"),
            ("not counted yet", of(json!({"observedGeneration": 1})), P, "not scheduled"),
            ("not seen", of(json!({})), P, "this generation"),
            ("by hand", object(1, json!({"updateStrategy": {"type": "OnDelete"}}), status(3, 0, 3)), R, ""),
        ],
    );
}

#[test]
fn replica_sets() {
    let of = |available| {
        object(
            1,
            json!({"replicas": 2}),
            json!({"observedGeneration": 1, "replicas": 2, "fullyLabeledReplicas": 2,
            "readyReplicas": available, "availableReplicas": available}),
        )
    };
    for (group, kind) in [("apps", "ReplicaSet"), ("", "ReplicationController")] {
        check(group, kind, &[("all", of(2), R, ""), ("one", of(1), P, "1 of 2 available")]);
    }
}

#[test]
fn job() {
    let with = |kind: &str| {
        json!({"startTime": "2026-03-01T12:00:00Z", "conditions": [{"type": kind, "status": "True",
            "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]})
    };
    let of = |status| object(1, json!({"completions": 1}), status);
    let running = json!({"startTime": "2026-03-01T12:00:00Z", "active": 1, "failed": 2, "ready": 0});
    check(
        "batch",
        "Job",
        &[
            ("not started", of(json!({})), P, "not complete yet"),
            ("running is not done", of(running), P, "not complete yet: 1 active, 2 failed"),
            ("about to be done", of(with("SuccessCriteriaMet")), P, "not complete yet"),
            ("complete", of(with("Complete")), R, ""),
            ("failed", of(with("Failed")), F, "BackoffLimitExceeded: Job has reached"),
            ("suspended", object(1, json!({"suspend": true}), with("Suspended")), P, "suspended"),
        ],
    );
    let mut done = of(with("Complete"));
    assert!(!removes_itself("batch", "Job", &done));
    done["spec"]["ttlSecondsAfterFinished"] = json!(0);
    assert!(removes_itself("batch", "Job", &done));
    assert!(!removes_itself("other.example", "Job", &done));
    done["status"] = with("Failed");
    assert!(!removes_itself("batch", "Job", &done));
}

#[test]
fn pod() {
    let of = |status| json!({"metadata": {"name": "a"}, "status": status});
    let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
    let waiting = |reason: &str| {
        json!({"phase": "Running", "conditions": ready("False"), "containerStatuses": [
            {"name": "web", "state": {"waiting": {"reason": reason, "message": "back-off 5m0s"}}}]})
    };
    let pulling = json!({"phase": "Pending", "containerStatuses": [
        {"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]});
    let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
    check(
        "",
        "Pod",
        &[
            ("nothing yet", of(json!({})), P, "scheduler"),
            ("pending", of(json!({"phase": "Pending"})), P, "pending"),
            ("no node", of(unscheduled), P, "Unschedulable: 0/1 nodes"),
            ("no image", of(pulling), P, "ErrImagePull: container web: not found"),
            ("starting", of(waiting("ContainerCreating")), P, "running and not ready"),
            ("crashing", of(waiting("CrashLoopBackOff")), F, "CrashLoopBackOff: container web: back-off"),
            ("running", of(json!({"phase": "Running", "conditions": ready("True")})), R, ""),
            ("not ready", of(json!({"phase": "Running", "conditions": ready("False")})), P, "not ready"),
            ("done", of(json!({"phase": "Succeeded"})), R, ""),
            (
                "evicted",
                of(json!({"phase": "Failed", "reason": "Evicted", "message": "disk"})),
                F,
                "Evicted disk",
            ),
        ],
    );
}

#[test]
fn storage_network_and_namespaces() {
    let status = |status: Value| json!({"metadata": {}, "spec": {}, "status": status});
    check(
        "",
        "PersistentVolumeClaim",
        &[
            ("waits", status(json!({"phase": "Pending"})), P, "not bound"),
            ("bound", status(json!({"phase": "Bound"})), R, ""),
            ("lost", status(json!({"phase": "Lost"})), F, "lost"),
        ],
    );
    let service =
        |kind: &str, status| json!({"spec": {"type": kind, "clusterIP": "10.0.0.1"}, "status": status});
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    check(
        "",
        "Service",
        &[
            ("inside", service("ClusterIP", json!({"loadBalancer": {}})), R, ""),
            ("by a name", service("ExternalName", json!({"loadBalancer": {}})), R, ""),
            ("no address", service("LoadBalancer", json!({"loadBalancer": {}})), P, "no address"),
            (
                "an empty list",
                service("LoadBalancer", json!({"loadBalancer": {"ingress": []}})),
                P,
                "no address",
            ),
            ("an address", service("LoadBalancer", address), R, ""),
        ],
    );
    check(
        "",
        "Namespace",
        &[
            ("active", status(json!({"phase": "Active"})), R, ""),
            ("going", status(json!({"phase": "Terminating"})), P, "terminating"),
            ("new", json!({"metadata": {}}), P, "not active"),
        ],
    );
}

#[test]
fn extensions_of_the_api() {
    let with = |conditions: Value| object(1, json!({}), json!({"conditions": conditions}));
    let names = json!({"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts"});
    let established = |status: &str, reason: &str| json!({"type": "Established", "status": status, "reason": reason, "message": "the initial names have been accepted"});
    let refused = json!({"type": "NamesAccepted", "status": "False", "reason": "PluralConflict",
        "message": "\"things\" is already in use"});
    check(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        &[
            ("new", with(json!([])), P, "not established"),
            ("installing", with(json!([names, established("False", "Installing")])), P, "not established"),
            ("served", with(json!([names, established("True", "InitialNamesAccepted")])), R, ""),
            (
                "names taken",
                with(json!([refused, established("False", "NotAccepted")])),
                F,
                "PluralConflict: \"things\"",
            ),
            ("not accepted", with(json!([established("False", "NotAccepted")])), F, "NotAccepted"),
        ],
    );
    let available = |status: &str| {
        with(
            json!([{"type": "Available", "status": status, "reason": "MissingEndpoints", "message": "no endpoints"}]),
        )
    };
    check(
        "apiregistration.k8s.io",
        "APIService",
        &[
            ("new", with(json!([])), P, "not available yet"),
            ("no backend", available("False"), P, "MissingEndpoints: no endpoints"),
            ("served", available("True"), R, ""),
        ],
    );
}

#[test]
fn budgets_and_autoscalers() {
    let of = |observed, expected, wanted, healthy| {
        object(
            1,
            json!({"minAvailable": 1}),
            json!({"observedGeneration": observed, "expectedPods": expected,
            "desiredHealthy": wanted, "currentHealthy": healthy, "disruptionsAllowed": 0}),
        )
    };
    let failed = object(
        1,
        json!({}),
        json!({"observedGeneration": 1, "conditions": [
        {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}]}),
    );
    check(
        "policy",
        "PodDisruptionBudget",
        &[
            ("not seen", of(0, 2, 1, 2), P, "this generation"),
            ("not said", object(1, json!({}), json!({})), P, "this generation"),
            ("kept", of(1, 2, 1, 2), R, ""),
            ("short", of(1, 2, 2, 1), P, "1 of 2 healthy"),
            ("over nothing", of(1, 0, 1, 0), R, ""),
            ("cannot count", failed, P, "SyncFailed: no scale"),
        ],
    );
    let able = |status: &str| {
        object(
            1,
            json!({}),
            json!({"conditions": [{"type": "AbleToScale", "status": status, "reason": "FailedGetScale",
            "message": "deployments.apps \"web\" not found"},
            {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}]}),
        )
    };
    check(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            ("new", object(1, json!({}), json!({})), R, ""),
            ("no target", able("False"), P, "FailedGetScale"),
            ("no metrics for a moment", able("True"), R, ""),
        ],
    );
}

#[test]
fn custom_resources() {
    let of = |status| object(2, json!({}), status);
    let ready = |status: &str, observed: i64| {
        json!({"conditions": [{"type": "Ready", "status": status, "reason": "InProgress", "message": "rolling out",
            "observedGeneration": observed}]})
    };
    let mut certain = ready("True", 1);
    certain["observedGeneration"] = json!(2);
    let stalled = json!({"observedGeneration": 2, "conditions": [
        {"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True", "reason": "BuildFailed",
         "message": "no such file"}]});
    let reconciling = json!({"observedGeneration": 2, "conditions": [
        {"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "True", "message": "new artifact"}]});
    check(
        "example.com",
        "Thing",
        &[
            ("no status", json!({"metadata": {"generation": 1}}), "Unwritten", ""),
            ("an empty status", of(json!({})), "Unwritten", ""),
            ("a default that says not seen", of(json!({"observedGeneration": -1})), P, "this generation"),
            ("not seen", of(json!({"observedGeneration": 1, "phase": "Ready"})), P, "this generation"),
            ("no conditions", of(json!({"observedGeneration": 2, "phase": "Ready"})), R, ""),
            ("ready", of(ready("True", 2)), R, ""),
            ("ready for the one before", of(ready("True", 1)), P, "this generation"),
            ("ready for certain", of(certain), R, ""),
            ("not ready", of(ready("False", 2)), P, "InProgress: rolling out"),
            ("not known", of(ready("Unknown", 2)), P, "InProgress"),
            ("stalled", of(stalled), F, "BuildFailed: no such file"),
            ("reconciling", of(reconciling), P, "new artifact"),
        ],
    );
}

#[test]
fn what_is_deleted_is_not_ready() {
    for (group, kind) in [("apps", "Deployment"), ("", "ConfigMap"), ("example.com", "Thing")] {
        let object = json!({"metadata": {"generation": 1, "deletionTimestamp": "2026-03-01T12:00:00Z"},
            "status": {"observedGeneration": 1}});
        check(group, kind, &[("deleted", object, P, "being deleted")]);
    }
}

#[test]
fn kinds_without_a_gate_need_no_more_than_to_exist() {
    for (group, kind) in [
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("batch", "CronJob"),
        ("networking.k8s.io", "Ingress"),
        ("rbac.authorization.k8s.io", "Role"),
    ] {
        assert!(!Judge::built_in(group, kind, true).is_whole(), "{kind}");
        check(group, kind, &[("there", json!({"metadata": {"name": "a"}}), R, "")]);
    }
    assert!(!Judge::built_in("example.com", "Thing", false).is_whole(), "no status, nothing to see");
    for (group, kind) in
        [("example.com", "Thing"), ("gateway.networking.k8s.io", "Gateway"), ("apps", "Deployment")]
    {
        assert!(Judge::built_in(group, kind, true).is_whole(), "{kind}");
    }
}
