//! Whether a live object does what it is for. Here: workloads by observed
//! generation and availability; everything else is healthy once applied.

use rimward_proto::ObjectKey;
use serde_json::Value;

/// Health of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// Does what it is for, or is of a kind that needs no more than to exist.
    #[default]
    Ready,
    /// Not yet; the text says what is missing.
    Progressing(String),
    /// Will not, without a change; the text says why.
    Failed(String),
}

/// Kinds that are watched whole, because their status says whether they work: (group, kind).
pub const WORKLOADS: [(&str, &str); 5] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
];

/// True for kinds of [`WORKLOADS`].
pub fn is_workload(group: &str, kind: &str) -> bool {
    WORKLOADS.contains(&(group, kind))
}

/// True for objects of which nothing but key names may ever be reported.
pub fn is_secret(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "Secret"
}

/// The health of a live object; of a workload only if its body is there.
pub fn assess(group: &str, kind: &str, object: &Value) -> Health {
    if !is_workload(group, kind) {
        return Health::Ready;
    }
    let status = |field: &str| number(object, "/status/", field);
    let generation = number(object, "/metadata/", "generation");
    if kind != "Job" && status("observedGeneration") < generation {
        return Health::Progressing("the controller has not seen this generation yet".into());
    }
    match kind {
        "Deployment" => deployment(object),
        "StatefulSet" => {
            let wanted = replicas(object);
            let revision = |field: &str| object.pointer(&format!("/status/{field}"));
            let rolled = revision("updateRevision").is_none()
                || revision("updateRevision") == revision("currentRevision")
                || on_delete(object);
            at_least(wanted, &[("ready", status("readyReplicas"))]).unwrap_or(if rolled {
                Health::Ready
            } else {
                Health::Progressing("the update is rolling".into())
            })
        }
        "DaemonSet" => {
            let wanted = status("desiredNumberScheduled");
            let updated = if on_delete(object) { wanted } else { status("updatedNumberScheduled") };
            at_least(wanted, &[("updated", updated), ("available", status("numberAvailable"))])
                .unwrap_or_default()
        }
        "ReplicaSet" => {
            at_least(replicas(object), &[("available", status("availableReplicas"))]).unwrap_or_default()
        }
        _ => job(object),
    }
}

fn number(object: &Value, prefix: &str, field: &str) -> i64 {
    object.pointer(&format!("{prefix}{field}")).and_then(Value::as_i64).unwrap_or(0)
}

fn replicas(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn on_delete(object: &Value) -> bool {
    object.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete")
}

fn at_least(wanted: i64, found: &[(&str, i64)]) -> Option<Health> {
    let short = found.iter().find(|(_, count)| *count < wanted)?;
    Some(Health::Progressing(format!("{} of {wanted} {}", short.1, short.0)))
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(name))
}

fn is_status(condition: &Value, status: &str) -> bool {
    condition.get("status").and_then(Value::as_str) == Some(status)
}

fn message(condition: &Value) -> String {
    condition.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn deployment(object: &Value) -> Health {
    let stuck = condition(object, "Progressing")
        .filter(|c| c.get("reason").and_then(Value::as_str) == Some("ProgressDeadlineExceeded"));
    if let Some(stuck) = stuck {
        return Health::Failed(message(stuck));
    }
    let status = |field: &str| number(object, "/status/", field);
    let wanted = replicas(object);
    let counts = [("updated", status("updatedReplicas")), ("available", status("availableReplicas"))];
    if let Some(short) = at_least(wanted, &counts) {
        return short;
    }
    let old = status("replicas") - status("updatedReplicas");
    if old > 0 { Health::Progressing(format!("{old} old replicas are still there")) } else { Health::Ready }
}

fn job(object: &Value) -> Health {
    if let Some(failed) = condition(object, "Failed").filter(|c| is_status(c, "True")) {
        return Health::Failed(message(failed));
    }
    if condition(object, "Complete").is_some_and(|c| is_status(c, "True")) {
        return Health::Ready;
    }
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::Progressing("suspended".into());
    }
    Health::Progressing("not complete yet".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_ready_only_when_its_generation_is_available() {
        let mut object = json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        });
        assert!(matches!(assess("apps", "Deployment", &object), Health::Progressing(_)));
        object["status"]["observedGeneration"] = json!(2);
        assert_eq!(assess("apps", "Deployment", &object), Health::Ready);
        object["status"]["replicas"] = json!(3);
        assert!(matches!(assess("apps", "Deployment", &object), Health::Progressing(_)));
        object["status"]["conditions"] =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        assert!(matches!(assess("apps", "Deployment", &object), Health::Failed(_)));
    }

    #[test]
    fn zero_replicas_are_ready_once_seen() {
        let object = json!({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}});
        assert_eq!(assess("apps", "Deployment", &object), Health::Ready);
        assert!(matches!(
            assess("apps", "Deployment", &json!({"metadata": {"generation": 1}})),
            Health::Progressing(_)
        ));
    }

    #[test]
    fn jobs_by_their_conditions() {
        let job = |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True"}]}});
        assert_eq!(assess("batch", "Job", &job("Complete")), Health::Ready);
        assert!(matches!(assess("batch", "Job", &job("Failed")), Health::Failed(_)));
        assert!(matches!(assess("batch", "Job", &json!({})), Health::Progressing(_)));
        assert_eq!(assess("", "ConfigMap", &json!({})), Health::Ready);
    }
}
