//! What Kubernetes says about an unhealthy object: asked for when it helps, in
//! the report when it came, and never at rest.

use serde_json::json;

use super::fleet::{App, app, key_of};
use super::health::{available, deployment, publish, report, seconds, state, world};
use super::world::World;
use crate::core::Work;

fn unavailable() -> World {
    let mut world = world();
    publish(&mut world, &[app("shop/web", vec![deployment("a")])]);
    world.api.set_status(&key_of(&deployment("a")), &json!({"observedGeneration": 1}));
    world.run();
    world
}

fn said(world: &mut World, reason: &str, message: &str) {
    let event = json!({"type": "Warning", "reason": reason, "message": message,
        "lastTimestamp": world.now.to_string(), "involvedObject": {"kind": "ReplicaSet", "name": "web-5d", "uid": "x"}});
    world.api.said.get_or_insert_default().push(event);
}

#[test]
fn asked_after_a_moment_and_told_with_the_object() {
    let mut world = unavailable();
    said(&mut world, "FailedCreate", "pods \"web-5d-\" is forbidden: exceeded quota");
    world.pass(seconds(4));
    assert_eq!(world.count("explain"), 0, "most become healthy by themselves");
    world.pass(seconds(3));
    assert_eq!(world.count("explain"), 1);
    let report = report(&mut world, "shop/web");
    let told = "0 of 1 available; FailedCreate: pods \"web-5d-\" is forbidden: exceeded quota";
    assert_eq!(report.exceptions[0].message, told);
    assert_eq!(report.message, format!("Deployment.apps/shop/web: {told}"));
    world.pass(seconds(50));
    assert_eq!(world.count("explain"), 1);
    world.pass(seconds(120));
    assert_eq!(world.count("explain"), 3, "once a minute");
    world.pass(seconds(200));
    let (_, reason, message) = state(&mut world, "shop/web");
    assert_eq!(reason, "HealthTimeout");
    assert!(message.ends_with("exceeded quota"), "{message}");
}

#[test]
fn nothing_is_asked_at_rest_and_nothing_old_is_told() {
    let mut world = unavailable();
    said(&mut world, "FailedCreate", "exceeded quota");
    world.pass(seconds(10));
    let key = key_of(&deployment("a"));
    world.api.set_status(&key, &available(1));
    world.pass(seconds(2));
    let asked = world.count("explain");
    world.pass(seconds(3_600));
    assert_eq!(world.count("explain"), asked);
    assert!(world.wake.is_none_or(|at| at > world.now + seconds(30)), "and nobody wakes up for it");
    world.api.said = Some(vec![]);
    world.api.set_status(&key, &json!({"observedGeneration": 1}));
    world.pass(seconds(3));
    assert_eq!(state(&mut world, "shop/web").2, "Deployment.apps/shop/web: 0 of 1 available");
}

#[test]
fn who_may_not_ask_says_what_it_knows() {
    let mut world = unavailable();
    world.pass(seconds(10));
    assert_eq!(world.count("explain"), 1);
    assert_eq!(state(&mut world, "shop/web").2, "Deployment.apps/shop/web: 0 of 1 available");
}

#[test]
fn what_the_status_says_already_is_not_said_twice() {
    let mut world = unavailable();
    said(&mut world, "FailedCreate", "Error creating: pods \"web-5d-x\" is forbidden");
    let failure = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "forbidden"}]);
    world.api.set_status(&key_of(&deployment("a")), &json!({"observedGeneration": 1, "conditions": failure}));
    world.pass(seconds(10));
    let (_, _, message) = state(&mut world, "shop/web");
    assert_eq!(message, "Deployment.apps/shop/web: 0 of 1 available; FailedCreate: forbidden");
}

fn many(count: usize) -> Vec<App> {
    let named = |i: usize| {
        let mut object = deployment("a");
        object["metadata"]["name"] = json!(format!("web-{i}"));
        object
    };
    vec![app("shop/web", (0..count).map(named).collect())]
}

fn in_flight(world: &World) -> usize {
    world.work.iter().filter(|(_, work)| matches!(work, Work::Explain(_))).count()
}

#[test]
fn few_at_once_and_not_many_in_a_minute() {
    let mut world = world();
    publish(&mut world, &many(200));
    world.now += seconds(6);
    world.send(crate::core::Event::Tick);
    assert_eq!(in_flight(&world), 4);
    world.pass(seconds(30));
    assert_eq!(world.count("explain"), 60);
    world.pass(seconds(600));
    let asked = world.count("explain");
    assert!((600..=720).contains(&asked), "{asked} in eleven minutes");
}

#[test]
fn with_nobody_to_tell_nobody_is_asked() {
    let mut world = unavailable();
    world.disconnect();
    world.pass(seconds(600));
    assert_eq!(world.count("explain"), 0);
    world.connect();
    world.pass(seconds(1));
    assert_eq!(world.count("explain"), 1);
}

#[test]
fn an_answer_that_comes_late_is_nobodys() {
    let mut world = unavailable();
    said(&mut world, "FailedCreate", "exceeded quota");
    world.now += seconds(6);
    world.send(crate::core::Event::Tick);
    assert_eq!(in_flight(&world), 1);
    world.api.set_status(&key_of(&deployment("a")), &available(1));
    world.tell_watches();
    let event = world.events.remove(0);
    world.send(event);
    world.pass(seconds(2));
    assert_eq!(state(&mut world, "shop/web").2, "");
    world.api.set_status(&key_of(&deployment("a")), &json!({"observedGeneration": 1}));
    world.run();
    assert_eq!(state(&mut world, "shop/web").2, "Deployment.apps/shop/web: 0 of 1 available");
}

#[test]
fn never_about_secrets() {
    let mut world = world();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}});
    let mut web = app("shop/web", vec![secret]);
    web.health.cel.push(rimward_proto::plan::HealthCel {
        kinds: vec!["Secret".into()],
        ready: "object.data.a == 'canary'".into(),
        failed: String::new(),
    });
    publish(&mut world, &[web]);
    world.pass(seconds(400));
    assert_eq!(world.count("explain"), 0);
    let (_, reason, message) = state(&mut world, "shop/web");
    assert_eq!((reason.as_str(), message.as_str()), ("HealthTimeout", "Secret/shop/s"));
}
