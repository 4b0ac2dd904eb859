//! What Kubernetes says about an object that is not healthy, put into a few
//! words: the newest warnings about it and about what it made, or else why its
//! pods wait. Pure; the lists are fetched elsewhere.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::effect::ExplainWork;
use super::status::text;
use super::text::{Clip, HEALTH_BYTES};
use super::workloads::waiting;

/// Parts told of one object: the cause is among the newest, the rest is its echo.
const PARTS: usize = 2;
/// Events this much older than its trouble still count: controllers that fail repeat themselves ever more slowly.
pub const EVENTS_BEFORE: SignedDuration = SignedDuration::from_mins(10);

struct Said<'a> {
    warning: bool,
    time: Timestamp,
    reason: &'a str,
    message: &'a str,
}

/// The parts, each `Reason: message`, of events of the object's namespace and of the object's pods.
pub fn sum_up(work: &ExplainWork, events: &[Value], pods: &[Value]) -> Vec<String> {
    let mut said: Vec<Said<'_>> = events.iter().filter_map(|event| about(work, event)).collect();
    // Warnings before the rest, the newest first.
    said.sort_by_key(|said| Reverse((said.warning, said.time)));
    let mut parts: Vec<String> = Vec::new();
    let mut reasons: Vec<&str> = Vec::new();
    for said in said {
        if parts.len() < PARTS && !reasons.contains(&said.reason) {
            reasons.push(said.reason);
            parts.push(format!("{}: {}", said.reason, said.message).clip(HEALTH_BYTES));
        }
    }
    for (reason, part) in pods.iter().filter_map(waiting) {
        if parts.len() < PARTS && !reasons.contains(&reason) {
            reasons.push(reason);
            parts.push(part);
        }
    }
    parts
}

/// An event about the object, or a warning about something it made.
fn about<'a>(work: &ExplainWork, event: &'a Value) -> Option<Said<'a>> {
    let of = |field: &str| text(event, &format!("/involvedObject/{field}")).unwrap_or_default();
    let warning = text(event, "/type") == Some("Warning");
    let itself = of("uid") == work.uid;
    let made = || {
        let rest = of("name").strip_prefix(work.target.key.name.as_str());
        warning && work.has_pods && rest.is_some_and(|rest| rest.starts_with('-'))
    };
    if !itself && !made() {
        return None;
    }
    let time = time(event)?;
    let (reason, message) = (text(event, "/reason")?, text(event, "/message")?.trim());
    (time >= work.since).then_some(Said { warning, time, reason, message })
}

/// When an event was last seen; it says so in one of several places.
fn time(event: &Value) -> Option<Timestamp> {
    let places = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    places.iter().filter_map(|place| text(event, place)?.parse().ok()).max()
}

/// The label selector of an object's pods, as a query value; none if it has none or one of another form.
pub fn pod_selector(object: &Value) -> Option<String> {
    let selector = object.pointer("/spec/selector")?.as_object()?;
    let labels = match selector.get("matchLabels") {
        Some(labels) if !selector.contains_key("matchExpressions") => labels.as_object()?,
        Some(_) => return None,
        // Of a ReplicationController.
        None => selector,
    };
    let pairs: Option<Vec<String>> =
        labels.iter().map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    pairs.filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::effect::Target;
    use crate::core::health::Judge;
    use rimward_proto::ObjectKey;
    use serde_json::json;

    fn work() -> ExplainWork {
        let key = ObjectKey::new("apps", "Deployment", "shop", "web");
        let target =
            Target { key, version: "v1".into(), service_account: "a/b".into(), judge: Judge::default() };
        let since = "2026-03-01T12:00:00Z".parse().unwrap();
        ExplainWork { target, uid: "u1".into(), since, has_pods: true }
    }

    fn event(kind: &str, name: &str, uid: &str, time: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "reason": reason, "message": message, "lastTimestamp": time,
            "involvedObject": {"kind": "ReplicaSet", "namespace": "shop", "name": name, "uid": uid}})
    }

    #[test]
    fn the_newest_warnings_about_it_and_about_what_it_made() {
        let events = [
            event("Normal", "web", "u1", "2026-03-01T12:09:00Z", "ScalingReplicaSet", "Scaled up to 2"),
            event(
                "Warning",
                "web-5d",
                "u2",
                "2026-03-01T12:05:00Z",
                "FailedCreate",
                "exceeded quota: none\n",
            ),
            event("Warning", "web-5d-x", "u3", "2026-03-01T12:07:00Z", "BackOff", "Back-off pulling image"),
            event("Warning", "web-5d-y", "u4", "2026-03-01T12:06:00Z", "BackOff", "an older one"),
            event("Warning", "web-5d-z", "u5", "2026-03-01T11:59:59Z", "Old", "before its trouble"),
            event("Warning", "webserver", "u6", "2026-03-01T12:08:00Z", "Other", "another object"),
            event("Warning", "web", "u7", "2026-03-01T12:08:00Z", "Namesake", "the one before"),
            event("Normal", "web-5d", "u2", "2026-03-01T12:08:00Z", "Created", "all is well"),
        ];
        assert_eq!(
            sum_up(&work(), &events, &[]),
            ["BackOff: Back-off pulling image", "FailedCreate: exceeded quota: none"]
        );
        assert_eq!(sum_up(&work(), &events[..1], &[]), ["ScalingReplicaSet: Scaled up to 2"]);
        assert!(sum_up(&work(), &events[4..], &[]).is_empty());
    }

    #[test]
    fn pods_say_why_they_wait_when_events_are_gone() {
        let pod = json!({"status": {"containerStatuses": [
            {"name": "side", "state": {"waiting": {"reason": "ContainerCreating"}}},
            {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}]}});
        let pods = [json!({}), pod.clone(), pod];
        assert_eq!(sum_up(&work(), &[], &pods), ["ImagePullBackOff: container web: Back-off"]);
    }

    #[test]
    fn times_of_both_generations_of_events() {
        let new = json!({"eventTime": "2026-03-01T12:00:01.000001Z", "lastTimestamp": null,
            "series": {"lastObservedTime": "2026-03-01T12:03:00.000000Z"},
            "metadata": {"creationTimestamp": "2026-03-01T12:00:01Z"}});
        assert_eq!(time(&new), "2026-03-01T12:03:00Z".parse().ok());
        assert_eq!(time(&json!({})), None);
    }

    #[test]
    fn selectors() {
        let simple = json!({"spec": {"selector": {"matchLabels": {"app": "web", "tier": "front"}}}});
        assert_eq!(pod_selector(&simple).as_deref(), Some("app=web,tier=front"));
        let more = json!({"spec": {"selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{}]}}});
        assert_eq!(pod_selector(&more), None);
        assert_eq!(pod_selector(&json!({"spec": {"selector": {"app": "x"}}})).as_deref(), Some("app=x"));
        assert_eq!(pod_selector(&json!({"spec": {"selector": {}}})), None, "of everything");
    }
}
