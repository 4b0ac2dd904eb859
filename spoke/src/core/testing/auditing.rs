//! The slow audit: what no watch shows is found all the same, at a pace that
//! nobody notices, and looking for it is no news.

use jiff::SignedDuration;
use rimward_proto::plan::{DriftMode, PlanBundle};
use rimward_proto::report::{DriftReport, DriftType, State as Status};
use serde_json::json;

use super::fleet::{app, config, config_key};
use super::world::{Fault, World};
use crate::core::audit::{AT_ONCE, PERIOD, REST, VERSION_EVERY};
use crate::core::{Event, Work};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// So many ConfigMaps, applied and at rest.
fn world(objects: usize, change: impl Fn(&mut PlanBundle)) -> World {
    let mut world = World::new();
    let maps = (0..objects).map(|i| config("shop", &format!("c{i}"), "1")).collect();
    let mut plan = world.fleet.plan(&[app("shop/web", maps)], &[]);
    plan.bundles.iter_mut().for_each(change);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    world
}

fn slip(world: &mut World) {
    world.api.slip(&config_key("shop", "c0"), &["data", "value"], json!("slipped"));
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(world), "slipped", "no watch shows it");
}

fn value(world: &World) -> String {
    let value = world.api.value(&config_key("shop", "c0"), &["data", "value"]);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn drifts(world: &World) -> Vec<DriftReport> {
    world.reports.iter().flat_map(|report| report.drift.clone()).collect()
}

/// Requests for comparisons so far.
fn asked(world: &World) -> (usize, usize) {
    (world.count("get"), world.count("dry-run"))
}

#[test]
fn what_no_watch_shows_is_found_within_a_day_or_so() {
    let mut world = world(3, |_| ());
    slip(&mut world);
    world.pass(REST);
    assert_eq!(
        (value(&world).as_str(), asked(&world)),
        ("slipped", (0, 0)),
        "what was just applied is known"
    );
    world.pass(PERIOD + PERIOD / 2);
    assert_eq!(value(&world), "1");
    let found = drifts(&world);
    assert_eq!(
        (found.len(), found[0].kind, found[0].fields[0].path.as_str()),
        (1, DriftType::Changed, "/data/value")
    );
}

#[test]
fn at_rest_every_object_is_compared_once_a_day_and_nothing_is_written_or_told() {
    let objects = 50;
    let mut world = world(objects, |_| ());
    world.pass(SignedDuration::from_mins(5));
    assert_eq!(asked(&world), (0, 0));
    world.pass(REST);
    let before = (world.api.writes.len(), world.count("ledger"), world.reports.len());
    let start = asked(&world);
    world.pass(DAY * 4);
    let (gets, dry_runs) = (asked(&world).0 - start.0, asked(&world).1 - start.1);
    assert_eq!(gets, dry_runs);
    assert!((objects * 7 / 2..=objects * 9 / 2).contains(&gets), "{gets} comparisons in four days");
    assert_eq!((world.api.writes.len(), world.count("ledger"), world.reports.len()), before);
}

#[test]
fn a_request_to_look_again_compares_everything_a_few_at_a_time() {
    let objects = 40;
    let mut world = world(objects, |_| ());
    slip(&mut world);
    let reports = world.reports.len();
    world.send(Event::Reconcile);
    let mut most = 0;
    while let Some(at) = world.work.iter().position(|(_, work)| !matches!(work, Work::Discover)) {
        let asks =
            |work: &Work| matches!(work, Work::Get(_)) || matches!(work, Work::Apply(apply) if apply.dry_run);
        most = most.max(world.work.iter().filter(|(_, work)| asks(work)).count());
        let (id, work) = world.work.remove(at);
        world.perform(id, &work, Fault::None);
    }
    assert_eq!((most, asked(&world)), (AT_ONCE, (objects, objects)));
    assert_eq!(value(&world), "1");
    world.pass(SignedDuration::from_secs(2));
    let told: Vec<_> = world.reports[reports..].iter().flat_map(|report| &report.apps).collect();
    assert!(told.iter().all(|app| app.state != Status::Failed), "{told:?}");
    assert_eq!(drifts(&world).len(), 1);
    world.pass(SignedDuration::from_secs(10));
    assert_eq!(asked(&world), (objects, objects), "and then it rests");
}

#[test]
fn a_look_without_a_find_changes_no_state() {
    let mut world = world(5, |_| ());
    let reports = world.reports.len();
    world.send(Event::Reconcile);
    world.pass(SignedDuration::from_secs(30));
    assert_eq!(asked(&world), (5, 5));
    assert_eq!(world.reports.len(), reports, "{:?}", &world.reports[reports..]);
}

#[test]
fn another_server_version_is_followed_by_an_audit() {
    let mut world = world(5, |_| ());
    world.discovery.version = "v1.36.1".into();
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_mins(1));
    slip(&mut world);
    let known = |world: &mut World| world.pass(REST + VERSION_EVERY + PERIOD / 2);
    known(&mut world);
    let before = world.api.writes.len();
    slip(&mut world);
    world.discovery.version = "v1.37.2".into();
    // The list comes back with the new server.
    let spec = world.watches.iter().next().unwrap().clone();
    world.broken.insert(spec.clone());
    world.list(&spec);
    assert!(world.run());
    world.broken.clear();
    world.list(&spec);
    let start = asked(&world);
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(value(&world), "1");
    assert!(asked(&world).1 - start.1 >= 5, "all of them");
    assert_eq!(world.api.writes.len(), before + 1);
    assert_eq!(world.ledger.as_ref().and_then(|ledger| ledger.server_version.as_deref()), Some("v1.37.2"));
    let start = asked(&world);
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(asked(&world).1, start.1, "the same version again is no reason");
}

#[test]
fn who_looks_away_is_not_compared_and_who_reports_is_told() {
    let mut away = world(1, |bundle| bundle.drift.mode = DriftMode::None);
    slip(&mut away);
    away.send(Event::Reconcile);
    away.pass(DAY * 2);
    assert_eq!((value(&away).as_str(), asked(&away)), ("slipped", (0, 0)));
    let mut told = world(1, |bundle| bundle.drift.mode = DriftMode::Report);
    slip(&mut told);
    told.send(Event::Reconcile);
    told.pass(SignedDuration::from_secs(5));
    assert_eq!((value(&told).as_str(), drifts(&told).len()), ("slipped", 1));
    told.send(Event::Reconcile);
    told.pass(SignedDuration::from_secs(5));
    assert_eq!(drifts(&told).len(), 1, "the same drift is not told twice");
}

#[test]
fn a_comparison_that_fails_is_no_state_and_is_tried_again() {
    let mut world = world(1, |_| ());
    slip(&mut world);
    world.send(Event::Reconcile);
    let is_get = |work: &Work| matches!(work, Work::Get(_));
    let at = world.work.iter().position(|(_, work)| is_get(work)).expect("it looks");
    let (id, work) = world.work.remove(at);
    let reports = world.reports.len();
    world.perform(id, &work, Fault::Fails);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((world.reports.len(), value(&world).as_str()), (reports, "slipped"));
    world.pass(SignedDuration::from_secs(30));
    assert_eq!(value(&world), "1");
}

#[test]
fn a_comparison_that_is_refused_is_told_once_and_the_object_stands() {
    let mut world = world(3, |_| ());
    for i in 0..3 {
        world.api.denied.insert(config_key("shop", &format!("c{i}")));
    }
    world.send(Event::Reconcile);
    world.pass(SignedDuration::from_mins(5));
    let events: Vec<_> = world.reports.iter().flat_map(|report| &report.events).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, "AuditRefused");
    assert!(events[0].message.contains("shop/web") && events[0].message.contains("Denied"), "{events:?}");
    let last = world.reports.iter().rev().flat_map(|report| &report.apps).next().unwrap();
    assert_eq!(last.state, Status::Ready);
}

#[test]
fn a_write_between_the_two_requests_is_no_drift() {
    let mut world = world(1, |bundle| bundle.drift.mode = DriftMode::Report);
    world.send(Event::Reconcile);
    let at = world.work.iter().position(|(_, work)| matches!(work, Work::Get(_))).expect("it looks");
    let (id, work) = world.work.remove(at);
    world.perform(id, &work, Fault::None);
    let key = config_key("shop", "c0");
    world.api.edit(&key, "controller", &[(&["metadata", "annotations", "seen"], "1".into())]);
    world.pass(SignedDuration::from_mins(5));
    assert_eq!(drifts(&world), []);
}

#[test]
fn a_new_plan_in_the_middle_of_an_audit_is_applied() {
    for steps in 0..2 {
        let mut world = world(1, |_| ());
        world.send(Event::Reconcile);
        for _ in 0..steps {
            let at = world.work.iter().position(|(_, work)| matches!(work, Work::Get(_))).expect("it looks");
            let (id, work) = world.work.remove(at);
            world.perform(id, &work, Fault::None);
        }
        let plan = world.fleet.plan(&[app("shop/web", vec![config("shop", "c0", "2")])], &[]);
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
        world.pass(SignedDuration::from_secs(5));
        assert_eq!(value(&world), "2", "after {steps} steps");
    }
}
