//! The gates of workloads: kinds that are, or stand for, pods.

use serde_json::Value;

use super::Health;
use super::status::{Condition, at_least, count, number, text};
use super::text::{Clip, HEALTH_BYTES};

fn replicas(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

fn on_delete(object: &Value) -> bool {
    text(object, "/spec/updateStrategy/type") == Some("OnDelete")
}

/// What is missing, and why the pods cannot be made, if the controller says so.
fn with_failure(object: &Value, missing: String) -> String {
    let failure = Condition::of(object, "ReplicaFailure").filter(|condition| condition.is("True"));
    match failure {
        Some(failure) => format!("{missing}; {}", failure.says()),
        None => missing,
    }
}

fn too_many(wanted: i64, found: i64) -> Option<String> {
    let more = found - wanted;
    (more > 0).then(|| format!("{more} more than wanted are still there"))
}

/// The pods of the newest template are available, and no others are left.
pub fn deployment(object: &Value) -> Health {
    let stuck = Condition::of(object, "Progressing");
    if let Some(stuck) = stuck.filter(|condition| condition.reason() == "ProgressDeadlineExceeded") {
        return Health::Failed(with_failure(object, stuck.says()));
    }
    let (wanted, all) = (replicas(object), count(object, "replicas"));
    let updated = count(object, "updatedReplicas");
    let counts = [("available", count(object, "availableReplicas")), ("updated", updated)];
    let old = all - updated;
    let missing = at_least(wanted, &counts)
        .or_else(|| (old > 0).then(|| format!("{old} old replicas are still there")))
        .or_else(|| too_many(wanted, all));
    missing.map_or(Health::Ready, |missing| Health::Progressing(with_failure(object, missing)))
}

/// All pods are ready and of the newest revision, as far as the update strategy goes.
pub fn stateful_set(object: &Value) -> Option<String> {
    let wanted = replicas(object);
    let ready = count(object, "readyReplicas");
    // Clusters before 1.22 do not count these.
    let available = number(object, "/status/availableReplicas").unwrap_or(ready);
    let counts = at_least(wanted, &[("ready", ready), ("available", available)]);
    let counts = counts.or_else(|| too_many(wanted, count(object, "replicas")));
    if counts.is_some() || on_delete(object) {
        return counts;
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if partition > 0 {
        return at_least(wanted - partition, &[("updated", count(object, "updatedReplicas"))]);
    }
    let revision = |field: &str| text(object, &format!("/status/{field}"));
    let rolled = revision("updateRevision").is_none_or(|next| Some(next) == revision("currentRevision"));
    if rolled { None } else { Some("the update is rolling".to_owned()) }
}

/// A pod of the newest template is available on every node that takes one.
pub fn daemon_set(object: &Value) -> Option<String> {
    let Some(wanted) = number(object, "/status/desiredNumberScheduled") else {
        return Some("not scheduled yet".to_owned());
    };
    let updated = if on_delete(object) { wanted } else { count(object, "updatedNumberScheduled") };
    let counts = [
        ("scheduled", count(object, "currentNumberScheduled")),
        ("updated", updated),
        ("available", count(object, "numberAvailable")),
        ("ready", count(object, "numberReady")),
    ];
    at_least(wanted, &counts)
}

/// All pods are available.
pub fn replica_set(object: &Value) -> Option<String> {
    let wanted = replicas(object);
    let counts =
        [("available", count(object, "availableReplicas")), ("ready", count(object, "readyReplicas"))];
    let missing = at_least(wanted, &counts).or_else(|| too_many(wanted, count(object, "replicas")));
    missing.map(|missing| with_failure(object, missing))
}

/// Complete, and nothing less: stricter than kstatus, for which a Job that has started is as good as done.
pub fn job(object: &Value) -> Health {
    let is = |name: &str| Condition::of(object, name).filter(|condition| condition.is("True"));
    if let Some(failed) = is("Failed") {
        return Health::Failed(failed.says());
    }
    if is_complete(object) {
        return Health::Ready;
    }
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::Progressing("suspended".to_owned());
    }
    let counts = [("active", "active"), ("failed", "failed"), ("succeeded", "succeeded")];
    let counts = counts.map(|(field, word)| (count(object, field), word));
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let counts: Vec<String> = counts.collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    Health::Progressing(format!("not complete yet{counts}"))
}

/// True if a Job has done all its work.
fn is_complete(job: &Value) -> bool {
    Condition::of(job, "Complete").is_some_and(|condition| condition.is("True"))
}

/// True if a Job is done and will be removed by its time to live: its absence is no drift then.
pub fn removes_itself(group: &str, kind: &str, object: &Value) -> bool {
    let is_job = group == "batch" && kind == "Job";
    is_job && number(object, "/spec/ttlSecondsAfterFinished").is_some() && is_complete(object)
}

/// Running and ready, or done.
pub fn pod(object: &Value) -> Health {
    match text(object, "/status/phase") {
        Some("Succeeded") => Health::Ready,
        Some("Failed") => {
            let says = |field: &str| text(object, &format!("/status/{field}")).unwrap_or_default();
            let said = [says("reason"), says("message")].join(" ");
            let said = said.trim();
            Health::Failed(if said.is_empty() { "failed".to_owned() } else { said.to_owned() })
        }
        Some("Running") if Condition::of(object, "Ready").is_some_and(|ready| ready.is("True")) => {
            Health::Ready
        }
        phase => match waiting(object).or_else(|| unscheduled(object)) {
            Some(("CrashLoopBackOff", said)) => Health::Failed(said),
            Some((_, said)) => Health::Progressing(said),
            None => Health::Progressing(match phase {
                Some("Running") => "running and not ready yet".to_owned(),
                Some(phase) => phase.to_lowercase(),
                None => "not seen by a scheduler yet".to_owned(),
            }),
        },
    }
}

/// Why a container of a pod does not run: reason, and all of it for people.
pub fn waiting(pod: &Value) -> Option<(&str, String)> {
    let of = |field: &str| pod.pointer(&format!("/status/{field}")).and_then(Value::as_array);
    let all = of("initContainerStatuses").into_iter().chain(of("containerStatuses")).flatten();
    // These are what every pod goes through.
    let normal = ["", "ContainerCreating", "PodInitializing"];
    for container in all {
        let reason = text(container, "/state/waiting/reason").unwrap_or_default();
        if !normal.contains(&reason) {
            let name = text(container, "/name").unwrap_or_default();
            let message = text(container, "/state/waiting/message").unwrap_or("no message");
            return Some((reason, format!("{reason}: container {name}: {message}").clip(HEALTH_BYTES)));
        }
    }
    None
}

fn unscheduled(pod: &Value) -> Option<(&str, String)> {
    let condition = Condition::of(pod, "PodScheduled").filter(|condition| condition.is("False"))?;
    Some((condition.reason(), condition.says()))
}
