//! Jobs that remove themselves when they are done are not missed; all others
//! that go missing are made again.

use rimward_proto::report::{DriftType, State as Status};
use serde_json::{Value, json};

use super::fleet::{App, app, key_of};
use super::health::{publish, seconds, state, world};
use super::world::World;

fn job(command: &str, ttl: Option<i64>) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "shop"}, "spec": {"command": command}});
    if let Some(ttl) = ttl {
        job["spec"]["ttlSecondsAfterFinished"] = json!(ttl);
    }
    job
}

fn of(job: Value) -> [App; 1] {
    [app("shop/web", vec![job])]
}

fn finish(world: &mut World, how: &str) {
    let key = key_of(&job("", None));
    world.api.set_status(&key, &json!({"conditions": [{"type": how, "status": "True"}]}));
    world.pass(seconds(2));
}

fn creations(world: &World) -> usize {
    world.api.writes.iter().filter(|write| write.contains("migrate")).count()
}

fn drifts(world: &World) -> usize {
    let all = world.reports.iter().flat_map(|report| &report.drift);
    all.filter(|drift| drift.kind == DriftType::Deleted).count()
}

/// A Job that was seen complete and then removed by its time to live.
fn done_and_gone() -> World {
    let mut world = world();
    publish(&mut world, &of(job("up", Some(60))));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
    finish(&mut world, "Complete");
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    world.api.remove(&key_of(&job("", None)));
    world.pass(seconds(5));
    world
}

#[test]
fn a_job_that_removed_itself_is_not_made_again() {
    let mut world = done_and_gone();
    world.pass(seconds(600));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    assert_eq!((creations(&world), drifts(&world)), (1, 0));
    assert!(world.count("get") <= 1, "looked at once");
    assert!(world.state.active.as_ref().unwrap().applied);
}

#[test]
fn while_its_pods_are_being_removed_first_it_is_as_good_as_gone() {
    let mut world = world();
    let key = key_of(&job("", None));
    publish(&mut world, &of(job("up", Some(60))));
    finish(&mut world, "Complete");
    world.api.objects.get_mut(&key).unwrap().finalizer = true;
    world.api.remove(&key);
    world.reports.clear();
    world.pass(seconds(30));
    assert_eq!(world.reports.iter().flat_map(|report| &report.apps).count(), 0, "still ready");
    // Another body waits until it is gone.
    publish(&mut world, &of(job("up --twice", Some(60))));
    assert_eq!(state(&mut world, "shop/web").1, "Terminating");
    assert_eq!(creations(&world), 1);
    world.api.objects.get_mut(&key).unwrap().finalizer = false;
    world.api.remove(&key);
    world.pass(seconds(60));
    assert_eq!((creations(&world), drifts(&world)), (2, 0));
}

#[test]
fn nor_after_a_restart_with_or_without_a_disk() {
    for lose_disk in [false, true] {
        let mut world = done_and_gone();
        let ledger = world.count("ledger");
        if lose_disk {
            world.baselines.clear();
        }
        world.restart();
        world.connect();
        world.pass(seconds(60));
        assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
        assert_eq!((creations(&world), drifts(&world)), (1, 0));
        assert_eq!(world.count("ledger"), ledger, "nothing new to write down");
        // And whoever offers the same again changes nothing.
        publish(&mut world, &of(job("up", Some(60))));
        assert_eq!(creations(&world), 1);
    }
}

#[test]
fn removed_while_the_spoke_was_away_it_is_looked_for_once() {
    let mut world = world();
    publish(&mut world, &of(job("up", Some(60))));
    finish(&mut world, "Complete");
    world.disconnect();
    world.api.remove(&key_of(&job("", None)));
    world.restart();
    world.connect();
    world.pass(seconds(60));
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    assert_eq!((creations(&world), drifts(&world)), (1, 0));
}

#[test]
fn another_body_runs_again_and_is_no_drift() {
    let mut world = done_and_gone();
    publish(&mut world, &of(job("up --twice", Some(60))));
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
    assert_eq!((creations(&world), drifts(&world)), (2, 0));
    // The first body again: what was done before is not done now.
    finish(&mut world, "Complete");
    world.api.remove(&key_of(&job("", None)));
    world.pass(seconds(5));
    publish(&mut world, &of(job("up", Some(60))));
    assert_eq!(creations(&world), 3);
}

#[test]
fn a_body_that_was_never_seen_done_is_made_again() {
    let mut world = done_and_gone();
    publish(&mut world, &of(job("up --twice", Some(60))));
    world.api.remove(&key_of(&job("", None)));
    world.pass(seconds(5));
    assert_eq!((creations(&world), drifts(&world)), (3, 1), "deleted before it was done");
}

#[test]
fn removed_while_another_body_is_on_its_way_it_runs_with_that() {
    let mut world = world();
    publish(&mut world, &of(job("up", Some(60))));
    finish(&mut world, "Complete");
    world.api.remove(&key_of(&job("", None)));
    world.api.changes.clear();
    publish(&mut world, &of(job("up --twice", Some(60))));
    world.pass(seconds(5));
    let command = world.api.value(&key_of(&job("", None)), &["spec", "command"]);
    assert_eq!(command, Some(json!("up --twice")));
}

#[test]
fn without_a_time_to_live_or_without_success_it_is_missed() {
    for (ttl, how) in [(None, "Complete"), (Some(60), "Failed"), (Some(60), "Suspended")] {
        let mut world = world();
        publish(&mut world, &of(job("up", ttl)));
        finish(&mut world, how);
        world.api.remove(&key_of(&job("", None)));
        world.pass(seconds(5));
        assert_eq!((creations(&world), drifts(&world)), (2, 1), "{ttl:?} {how}");
    }
}

#[test]
fn a_job_that_is_done_and_gone_leaves_the_ledger_with_its_app() {
    let mut world = done_and_gone();
    let plan = world.fleet.plan(&[], &["shop/web"]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(seconds(5));
    assert!(world.ledger.as_ref().unwrap().entries.is_empty());
    assert!(!world.api.writes.iter().any(|write| write.starts_with("delete")));
}

#[test]
fn it_moves_to_another_app_without_running_again() {
    let mut world = done_and_gone();
    publish(&mut world, &[app("shop/jobs", vec![job("up", Some(60))])]);
    world.pass(seconds(5));
    assert_eq!(state(&mut world, "shop/jobs").0, Status::Ready);
    assert_eq!(creations(&world), 1);
}
