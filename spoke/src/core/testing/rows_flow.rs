//! The verdict table, rows 18 to 23: what happens over time, with content
//! missing, restarts, newer plans, expired heads and Apps that come and go.

use jiff::SignedDuration;
use rimward_proto::report::State as Status;
use rimward_proto::session::AckKind;
use rimward_proto::{AppId, Digest};

use super::fleet::{app, config, config_key, tombstone};
use super::world::World;
use crate::core::{Event, Outcome, Work};

fn publish(world: &mut World, apps: &[super::fleet::App], removed: &[&str]) {
    let plan = world.fleet.plan(apps, removed);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
}

fn web(objects: &[(&str, &str)]) -> super::fleet::App {
    app("shop/web", objects.iter().map(|(name, value)| config("shop", name, value)).collect())
}

fn has(world: &World, name: &str) -> bool {
    world.api.objects.contains_key(&config_key("shop", name))
}

fn value(world: &World, name: &str) -> String {
    let value = world.api.value(&config_key("shop", name), &["data", "value"]);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn started() -> World {
    let mut world = World::new();
    publish(&mut world, &[web(&[("a", "57"), ("b", "57")])], &[]);
    assert!(world.run());
    assert!(world.has_acked(AckKind::Applied, 1));
    world
}

#[test]
fn row_18_missing_content_keeps_the_old_plan_and_prunes_nothing() {
    let mut world = started();
    let plan = world.fleet.plan(&[web(&[("a", "58")])], &[]);
    let lost: Vec<Digest> =
        world.fleet.content.keys().filter(|d| !world.store.contains_key(*d)).copied().collect();
    let kept: Vec<_> =
        lost.iter().map(|digest| (*digest, world.fleet.content.remove(digest).unwrap())).collect();
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_mins(1));
    assert!(world.has_acked(AckKind::Held, 2) && !world.has_acked(AckKind::Ready, 2));
    assert!(has(&world, "b") && value(&world, "a") == "57");
    // The old plan is still enforced.
    world.api.edit(&config_key("shop", "a"), "kubectl", &[(&["data", "value"], "x".into())]);
    assert!(world.run());
    assert_eq!(value(&world, "a"), "57");
    // Other bytes than a digest names are no content.
    world.fleet.content.extend(kept.iter().map(|(digest, _)| (*digest, b"other".to_vec())));
    world.pass(SignedDuration::from_mins(1));
    assert!(!world.has_acked(AckKind::Ready, 2));
    assert!(world.reports.iter().flat_map(|r| &r.events).any(|event| event.kind == "Incomplete"));
    world.fleet.content.extend(kept);
    world.pass(SignedDuration::from_mins(1));
    assert!(world.has_acked(AckKind::Applied, 2));
    assert!(!has(&world, "b") && value(&world, "a") == "58");
}

#[test]
fn row_19_a_restart_resumes_the_old_plan_alone_and_fetches_the_new() {
    let mut world = started();
    let plan = world.fleet.plan(&[web(&[("a", "58"), ("b", "57")])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer.clone());
    // The floor is written, then the spoke dies before any content came.
    while let Some(at) = world.work.iter().position(|(_, work)| matches!(work, Work::WriteTrust(_))) {
        let (_, work) = world.work.remove(at);
        world.do_work(&work);
    }
    world.restart();
    assert_eq!(world.state.trust.floor.unwrap().seq, 2);
    assert!(world.run());
    world.api.edit(&config_key("shop", "b"), "kubectl", &[(&["data", "value"], "x".into())]);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((value(&world, "a"), value(&world, "b")), ("57".into(), "57".into()));
    assert_eq!(world.state.hello_facts().held_plan, world.state.active.as_ref().map(|a| a.digest));
    world.connect();
    world.offer(offer);
    assert!(world.run());
    assert_eq!(value(&world, "a"), "58");
    assert!(world.has_acked(AckKind::Applied, 2));
}

#[test]
fn row_19_an_offer_that_comes_before_the_old_plan_is_read_does_not_displace_it() {
    let mut world = started();
    let plan = world.fleet.plan(&[web(&[("a", "58"), ("b", "57")])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    let content = std::mem::take(&mut world.fleet.content);
    world.restart();
    world.connect();
    world.offer(offer);
    world.api.edit(&config_key("shop", "b"), "kubectl", &[(&["data", "value"], "x".into())]);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((value(&world, "a"), value(&world, "b")), ("57".into(), "57".into()));
    world.fleet.content = content;
    world.pass(SignedDuration::from_mins(1));
    assert_eq!(value(&world, "a"), "58");
    assert!(world.has_acked(AckKind::Applied, 2));
}

#[test]
fn row_20_a_newer_plan_preempts_and_prune_comes_last() {
    let mut world = started();
    publish(&mut world, &[web(&[("a", "58"), ("c", "58")])], &[]);
    // Until the first request of plan 58 is in flight.
    while !world.work.iter().any(|(_, work)| matches!(work, Work::Apply(_))) {
        let (id, work) = world.work.remove(0);
        let outcome = world.do_work(&work);
        world.send(Event::Done(id, outcome));
    }
    publish(&mut world, &[web(&[("a", "59"), ("d", "59")])], &[]);
    assert!(world.run());
    world.pass(SignedDuration::from_secs(1));
    assert!(world.has_acked(AckKind::Applied, 3));
    assert_eq!((value(&world, "a"), value(&world, "d")), ("59".into(), "59".into()));
    assert!(!has(&world, "b") && !has(&world, "c"));
    let first_delete = world.api.writes.iter().position(|write| write.starts_with("delete")).unwrap();
    let last_apply = world.api.writes.iter().rposition(|write| write.starts_with("apply")).unwrap();
    assert!(last_apply < first_delete, "{:?}", world.api.writes);
}

#[test]
fn row_21_a_stale_head_puts_deletes_off_and_repairs_go_on() {
    let mut world = started();
    world.pass(SignedDuration::from_mins(14));
    publish(&mut world, &[web(&[("a", "58"), ("b", "57")])], &[]);
    assert!(world.run());
    world.disconnect();
    world.pass(SignedDuration::from_mins(20));
    world.restart();
    world.connect();
    assert!(world.run());
    assert!(!world.state.trust.is_fresh(world.now));
    world.api.edit(&config_key("shop", "a"), "kubectl", &[(&["data", "value"], "x".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(&world, "a"), "58");
    assert!(world.reports.iter().flat_map(|r| &r.events).any(|event| event.kind == "Stale"));
}

#[test]
fn row_21_deletes_resume_with_a_fresh_head_without_approval() {
    let mut world = started();
    let plan = world.fleet.plan(&[web(&[("a", "57")])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    // Content comes only after the head has expired.
    let content = std::mem::take(&mut world.fleet.content);
    world.pass(SignedDuration::from_mins(20));
    world.fleet.content = content;
    world.pass(SignedDuration::from_mins(1));
    assert!(world.has_acked(AckKind::Ready, 2));
    assert!(has(&world, "b"));
    let hold = &world.reports.last().unwrap().holds[0];
    assert_eq!((hold.reason.as_str(), hold.objects.len()), ("Stale", 1));
    let renewed = world.fleet.offer(&plan, 2, world.now);
    world.offer(renewed);
    world.pass(SignedDuration::from_secs(1));
    assert!(!has(&world, "b"));
    assert!(world.reports.last().unwrap().holds.is_empty());
}

#[test]
fn row_21_a_clock_that_is_behind_is_named() {
    let mut world = started();
    let plan = world.fleet.plan(&[web(&[("a", "58"), ("b", "57")])], &[]);
    let offer = world.fleet.publish(&plan, world.now + SignedDuration::from_hours(1));
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    let mut events = world.reports.iter().flat_map(|report| &report.events);
    assert!(events.any(|event| event.kind == "Stale" && event.message.contains("ClockSkew")));
}

#[test]
fn row_22_an_unaccounted_app_is_carried_on_and_reported() {
    let mut world = World::new();
    let api = app("shop/api", vec![config("shop", "x", "1")]);
    publish(&mut world, &[web(&[("a", "1")]), api], &[]);
    assert!(world.run());
    publish(&mut world, &[web(&[("a", "2")])], &[]);
    world.pass(SignedDuration::from_secs(1));
    assert_eq!((value(&world, "a"), value(&world, "x")), ("2".into(), "1".into()));
    let api: AppId = "shop/api".parse().unwrap();
    assert_eq!(world.reports.last().unwrap().unaccounted, [api]);
    // Carried on means enforced, also after a restart, also under the plan after.
    world.restart();
    world.connect();
    assert!(world.run());
    publish(&mut world, &[web(&[("a", "3")])], &[]);
    world.pass(SignedDuration::from_secs(1));
    world.api.remove(&config_key("shop", "x"));
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(value(&world, "x"), "1");
}

#[test]
fn row_23_a_tombstone_removes_the_app_inside_the_budget() {
    let mut world = started();
    publish(&mut world, &[], &["shop/web"]);
    world.pass(SignedDuration::from_secs(1));
    assert!(!has(&world, "a") && !has(&world, "b"));
    let report = world.reports.last().unwrap();
    assert_eq!(report.cleared, ["shop/web".parse().unwrap()]);
    assert!(report.apps.iter().all(|app| app.state != Status::Failed));
    assert!(world.ledger.as_ref().unwrap().entries.is_empty(), "and the durable ledger says so");
    assert!(world.has_acked(AckKind::Applied, 2));
}

#[test]
fn row_23_a_protected_kind_is_held() {
    let mut world = started();
    let mut plan = world.fleet.plan(&[], &[]);
    let mut removed = tombstone("shop/web", 20);
    removed.deletion.protect = vec!["ConfigMap".into()];
    plan.removed = vec![removed];
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(1));
    assert!(has(&world, "a") && has(&world, "b"));
    let report = world.reports.last().unwrap();
    assert_eq!((report.holds[0].reason.as_str(), report.holds[0].objects.len()), ("Protected", 2));
    assert!(report.cleared.is_empty());
}

#[test]
fn a_fetch_that_fails_is_tried_again() {
    let mut world = World::new();
    publish(&mut world, &[web(&[("a", "1")])], &[]);
    let mut failures = 0;
    for _ in 0..200 {
        let Some(at) = world.work.iter().position(|(_, work)| matches!(work, Work::Fetch(_))) else {
            if world.work.is_empty() {
                break;
            }
            let (id, work) = world.work.remove(0);
            let outcome = world.do_work(&work);
            world.send(Event::Done(id, outcome));
            continue;
        };
        let (id, _) = world.work.remove(at);
        failures += 1;
        let error = Some("reset".to_owned());
        world.send(Event::Done(id, Outcome::Fetched { stored: vec![], corrupt: vec![], error }));
        if failures == 1 {
            break;
        }
    }
    assert_eq!(failures, 1);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(&world, "a"), "1");
}
