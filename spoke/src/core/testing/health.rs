//! Health in a plan's life: conditions that change, statuses that nobody
//! writes, the time that an object has, and what is never called ready.

use jiff::SignedDuration;
use rimward_proto::plan::HealthCel;
use rimward_proto::report::{AppReport, State as Status};
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key, key_of};
use super::world::{Fault, World};
use crate::core::Work;
use crate::core::discovery::Kind;
use crate::core::health::Health;

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A world that serves `Thing.example.com`, with a status subresource.
pub fn world() -> World {
    let mut world = World::new();
    let kind = Kind { namespaced: true, versions: vec!["v1".into()], has_status: true };
    world.discovery.kinds.insert(("example.com".into(), "Thing".into()), kind);
    world.discovery.insert("batch", "Job", true, &["v1"]);
    world.restart();
    world.connect();
    world
}

fn thing(size: i64) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "t", "namespace": "shop"}, "spec": {"size": size}})
}

pub fn deployment(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 1, "image": image}})
}

/// What its controller says once all is well at `generation`.
pub fn available(generation: i64) -> Value {
    json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
}

pub fn publish(world: &mut World, apps: &[App]) {
    let plan = world.fleet.plan(apps, &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
}

/// The newest report of an App, after what is said has been said.
pub fn report(world: &mut World, app: &str) -> AppReport {
    world.pass(SignedDuration::from_millis(1100));
    let reports = world.reports.iter().rev().flat_map(|report| &report.apps);
    reports.into_iter().find(|report| report.id.to_string() == app).cloned().unwrap()
}

pub fn state(world: &mut World, app: &str) -> (Status, String, String) {
    let report = report(world, app);
    (report.state, report.reason, report.message)
}

fn with(id: &str, object: Value, ready: &str) -> App {
    let cel = HealthCel {
        kinds: vec!["Thing.example.com".into()],
        ready: ready.into(),
        failed: "has(object.status.error)".into(),
    };
    let mut app = app(id, vec![object]);
    app.health.cel.push(cel);
    app
}

fn seen_whole(world: &World, kind: &str) -> bool {
    world.watches.iter().any(|watch| watch.kind == kind && watch.judge.is_whole())
}

#[test]
fn conditions_decide_and_a_changed_condition_judges_anew() {
    let mut world = world();
    let key = key_of(&thing(1));
    publish(&mut world, &[with("shop/web", thing(1), "object.status.phase == 'Live'")]);
    world.api.set_status(&key, &json!({"phase": "Starting"}));
    let (status, _, message) = state(&mut world, "shop/web");
    assert_eq!(status, Status::Progressing);
    assert_eq!(message, "Thing.example.com/shop/t: waits for object.status.phase == 'Live'");
    world.api.set_status(&key, &json!({"phase": "Live"}));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    assert!(seen_whole(&world, "Thing"));
    let writes = world.api.writes.len();
    // Another condition on the same bundle: what was found by the old one counts for nothing.
    let plan = world.fleet.plan(&[with("shop/web", thing(1), "object.status.phase == 'Done'")], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.reports.clear();
    world.offer(offer);
    while !world.work.is_empty() {
        let (id, work) = world.work.remove(0);
        world.perform(id, &work, Fault::None);
    }
    let managed = &world.state.objects[&key];
    assert!(format!("{:?}", managed.health).contains("not seen since"), "{:?}", managed.health);
    assert_eq!(
        state(&mut world, "shop/web").2,
        "Thing.example.com/shop/t: waits for object.status.phase == 'Done'"
    );
    world.api.set_status(&key, &json!({"phase": "Done"}));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    world.api.set_status(&key, &json!({"phase": "Done", "error": "disk"}));
    let (status, reason, message) = state(&mut world, "shop/web");
    assert_eq!((status, reason.as_str()), (Status::Failed, "Unhealthy"));
    assert!(message.contains("`failed`"), "{message}");
    assert_eq!(world.api.writes.len(), writes, "health writes nothing");
}

#[test]
fn the_conditions_of_one_app_do_not_unsettle_another() {
    let mut world = world();
    let mut other = thing(1);
    other["metadata"]["name"] = json!("other");
    let apps = |ready: &str| [with("shop/web", thing(1), ready), app("shop/api", vec![other.clone()])];
    publish(&mut world, &apps("object.status.phase == 'Live'"));
    for key in [key_of(&thing(1)), key_of(&other)] {
        world.api.set_status(&key, &json!({"phase": "Live"}));
    }
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    assert_eq!(state(&mut world, "shop/api").0, Status::Ready);
    world.reports.clear();
    publish(&mut world, &apps("object.status.phase != 'Dead'"));
    world.pass(seconds(5));
    let told = world.reports.iter().flat_map(|report| &report.apps);
    assert!(told.filter(|app| app.id.to_string() == "shop/api").all(|app| app.state == Status::Ready));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
}

#[test]
fn events_of_a_watch_that_was_replaced_are_not_listened_to() {
    let mut world = world();
    let key = key_of(&thing(1));
    publish(&mut world, &[with("shop/web", thing(1), "object.status.phase == 'Live'")]);
    world.api.set_status(&key, &json!({"phase": "Live"}));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    let old = world.watches.iter().find(|watch| watch.kind == "Thing").unwrap().clone();
    let late = world.api.live(&key, &old.judge).unwrap().observed;
    publish(&mut world, &[with("shop/web", thing(1), "object.status.phase != 'Dead'")]);
    world.send(crate::core::Event::WatchUpsert { watch: old, object: Box::new(late) });
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
}

#[test]
fn an_answer_judged_by_conditions_that_are_gone_is_not_believed() {
    let mut world = world();
    let key = key_of(&thing(1));
    publish(&mut world, &[with("shop/web", thing(1), "object.status.phase == 'Live'")]);
    world.api.set_status(&key, &json!({"phase": "Live"}));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    let offer = |world: &mut World, ready: &str| {
        let plan = world.fleet.plan(&[with("shop/web", thing(2), ready)], &[]);
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
    };
    // Everything but applies, and no news of watches.
    let work = |world: &mut World| {
        let applies = |(_, work): &(_, Work)| matches!(work, Work::Apply(_));
        while let Some(at) = world.work.iter().position(|work| !applies(work)) {
            let (id, work) = world.work.remove(at);
            world.perform(id, &work, Fault::None);
        }
    };
    offer(&mut world, "object.status.phase == 'Live'");
    work(&mut world);
    let (id, apply) = world.work.remove(0);
    offer(&mut world, "object.status.phase == 'Done'");
    work(&mut world);
    world.perform(id, &apply, Fault::None);
    let health = &world.state.objects[&key].health;
    assert!(matches!(health, Health::Progressing(text) if text.contains("not seen since")), "{health:?}");
    assert_eq!(
        state(&mut world, "shop/web").2,
        "Thing.example.com/shop/t: waits for object.status.phase == 'Done'"
    );
}

#[test]
fn a_failing_watch_stays_failing_when_its_conditions_change() {
    let mut world = world();
    publish(&mut world, &[with("shop/web", thing(1), "object.status.phase == 'Live'")]);
    world.pass(seconds(10));
    let broken = |world: &mut World| {
        let spec = world.watches.iter().find(|watch| watch.kind == "Thing").unwrap().clone();
        world.broken.insert(spec.clone());
        spec
    };
    let spec = broken(&mut world);
    world.list(&spec);
    assert!(world.run());
    // The new watch has not said anything yet: nothing is created blindly.
    let mut second = thing(1);
    second["metadata"]["name"] = json!("second");
    let mut web = with("shop/web", thing(1), "object.status.phase == 'Done'");
    web.objects.push(second.clone());
    let plan = world.fleet.plan(&[web], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    while !world.work.is_empty() {
        let (id, work) = world.work.remove(0);
        world.perform(id, &work, Fault::None);
    }
    assert!(!world.api.objects.contains_key(&key_of(&second)));
    assert!(world.run(), "now it lists");
    world.pass(seconds(40));
    assert!(world.api.objects.contains_key(&key_of(&second)));
}

#[test]
fn a_status_that_nobody_writes_is_waited_for_and_then_is_none() {
    let mut world = world();
    publish(&mut world, &[app("shop/web", vec![thing(1)])]);
    let (status, _, message) = state(&mut world, "shop/web");
    assert_eq!(status, Status::Progressing);
    assert!(message.contains("nobody has written its status yet"), "{message}");
    world.pass(seconds(7));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
    world.pass(seconds(3));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    // An old object does not wait again because the spoke is new.
    let key = key_of(&thing(1));
    world.api.objects.get_mut(&key).unwrap().created = Some("2026-03-01T12:00:00Z".into());
    world.restart();
    world.connect();
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    assert!(
        world
            .reports
            .iter()
            .rev()
            .take(1)
            .flat_map(|report| &report.apps)
            .all(|app| app.state == Status::Ready)
    );
    // Once it is written it counts, however late.
    world
        .api
        .set_status(&key, &json!({"conditions": [{"type": "Ready", "status": "False", "message": "no"}]}));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
}

#[test]
fn the_time_begins_when_the_digest_was_applied_and_again_when_health_is_lost() {
    let mut world = world();
    let key = key_of(&deployment("a"));
    publish(&mut world, &[app("shop/web", vec![deployment("a")])]);
    world.pass(seconds(290));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
    publish(&mut world, &[app("shop/web", vec![deployment("b")])]);
    world.pass(seconds(100));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing, "another digest, another clock");
    world.pass(seconds(200));
    let (status, reason, message) = state(&mut world, "shop/web");
    assert_eq!((status, reason.as_str()), (Status::Failed, "HealthTimeout"));
    assert!(message.starts_with("Deployment.apps/shop/web: "), "{message}");
    world.api.set_status(&key, &available(2));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    world.pass(seconds(1_000));
    world.api.set_status(&key, &json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}));
    let (status, _, message) = state(&mut world, "shop/web");
    assert_eq!(
        (status, message.as_str()),
        (Status::Progressing, "Deployment.apps/shop/web: 0 of 1 available")
    );
    world.pass(seconds(300));
    assert_eq!(state(&mut world, "shop/web").1, "HealthTimeout");
}

#[test]
fn what_was_ready_is_not_ready_for_a_new_digest_before_its_controller_says_so() {
    let mut world = world();
    let key = key_of(&deployment("a"));
    publish(&mut world, &[app("shop/web", vec![deployment("a")])]);
    world.api.set_status(&key, &available(1));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    world.reports.clear();
    let web = app("shop/web", vec![deployment("b")]);
    let digest = world.fleet.bundle(&web).digest;
    publish(&mut world, &[web]);
    world.pass(seconds(20));
    let told: Vec<AppReport> = world.reports.iter().flat_map(|report| report.apps.clone()).collect();
    assert!(told.iter().all(|app| app.bundle != Some(digest) || app.state != Status::Ready), "{told:?}");
    assert!(told.iter().any(|app| app.bundle == Some(digest)));
    world.api.set_status(&key, &available(2));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
}

#[test]
fn the_first_thing_that_is_not_ready_is_told_in_the_order_things_are_applied() {
    let mut world = world();
    let mut early = thing(1);
    early["apiVersion"] = json!("a.example.com/v1");
    let kind = world.discovery.kinds[&("example.com".to_owned(), "Thing".to_owned())].clone();
    world.discovery.kinds.insert(("a.example.com".into(), "Thing".into()), kind);
    world.restart();
    world.connect();
    let objects = vec![early.clone(), deployment("a"), config("shop", "a", "1")];
    publish(&mut world, &[app("shop/web", objects)]);
    let report = report(&mut world, "shop/web");
    assert!(report.message.starts_with("Deployment.apps/shop/web: "), "{}", report.message);
    assert_eq!((report.objects, report.ready, report.exceptions.len()), (3, 1, 2));
    world.api.set_status(&key_of(&deployment("a")), &available(1));
    let (_, _, message) = state(&mut world, "shop/web");
    assert!(message.starts_with("Thing.a.example.com/shop/t: "), "{message}");
}

#[test]
fn only_kinds_with_something_to_see_are_watched_whole() {
    let mut world = world();
    let mut web = with("shop/web", thing(1), "true");
    web.objects.extend([deployment("a"), config("shop", "a", "1")]);
    web.health.cel[0].kinds.push("ConfigMap".into());
    publish(&mut world, &[web]);
    let whole = |kind| seen_whole(&world, kind);
    assert!(whole("Deployment") && whole("Thing") && !whole("ConfigMap"));
    assert_eq!(world.watches.len(), 3);
    let (_, _, message) = state(&mut world, "shop/web");
    assert!(message.starts_with("ConfigMap/shop/a: a condition cannot look"), "{message}");
    assert!(world.api.objects.contains_key(&config_key("shop", "a")));
}
