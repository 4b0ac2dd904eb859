//! A ledger that was lost (apply rule 2): what the plan wants is adopted as it
//! is, the rest is found by its labels, reported and left, and nothing is said
//! to be gone of which that is not known.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rimward_proto::object::{APP_LABEL, TENANT_LABEL};
use rimward_proto::report::State as Status;
use rimward_proto::{AppId, ObjectKey};
use serde_json::json;

use super::fleet::{App, app, config, config_key};
use super::world::World;
use crate::core::Event;

fn web(names: &[&str]) -> App {
    app("shop/web", names.iter().map(|name| config("shop", name, "1")).collect())
}

fn api() -> App {
    app("shop/api", vec![config("shop", "x", "1"), config("shop", "y", "1")])
}

fn offer(world: &mut World, apps: &[App], removed: &[&str]) {
    let plan = world.fleet.plan(apps, removed);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
}

fn publish(world: &mut World, apps: &[App], removed: &[&str]) {
    offer(world, apps, removed);
    world.pass(SignedDuration::from_secs(8));
}

/// Two Apps with what is in them, at rest.
fn started() -> World {
    let mut world = World::new();
    publish(&mut world, &[web(&["a", "b"]), api()], &[]);
    assert_eq!(world.api.objects.len(), 4);
    world
}

fn uid(world: &World, key: &ObjectKey) -> String {
    world.api.objects[key].uid.clone()
}

fn has(world: &World, name: &str) -> bool {
    world.api.objects.contains_key(&config_key("shop", name))
}

fn state(world: &World, app: &str) -> (Status, String) {
    let id: AppId = app.parse().unwrap();
    let told = world.reports.iter().rev().flat_map(|report| &report.apps).find(|told| told.id == id);
    told.map(|told| (told.state, told.reason.clone())).expect("never reported")
}

fn held(world: &World) -> BTreeSet<String> {
    let holds = &world.reports.last().unwrap().holds;
    assert!(holds.iter().all(|hold| hold.reason == "LedgerLost"), "{holds:?}");
    holds.iter().flat_map(|hold| &hold.objects).map(|object| object.key.name.clone()).collect()
}

fn events(world: &World, kind: &str) -> usize {
    world.reports.iter().flat_map(|report| &report.events).filter(|event| event.kind == kind).count()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_the_plan_wants_is_adopted_and_the_rest_is_held() {
    for disk in [true, false] {
        let mut world = started();
        let before: Vec<_> = world.api.objects.values().map(|stored| stored.uid.clone()).collect();
        let writes = world.api.writes.len();
        if !disk {
            world.plan = None;
            world.baselines.clear();
        }
        world.lose_ledger();
        world.connect();
        // Meanwhile Git has dropped an object and an App.
        publish(&mut world, &[web(&["a"])], &["shop/api"]);
        world.pass(SignedDuration::from_mins(11));
        let after: Vec<_> = world.api.objects.values().map(|stored| stored.uid.clone()).collect();
        assert_eq!((&after, world.api.writes.len()), (&before, writes), "{:?}", world.api.writes);
        assert_eq!(held(&world), names(&["b", "x", "y"]));
        assert_eq!(state(&world, "shop/web"), (Status::Held, "LedgerLost".into()));
        assert_eq!(state(&world, "shop/api"), (Status::Held, "LedgerLost".into()));
        assert!(world.reports.iter().all(|report| report.cleared.is_empty()));
        assert_eq!((events(&world, "LedgerLost"), events(&world, "LedgerRebuilt")), (1, 1));
        let ledger = world.ledger.clone().unwrap();
        assert_eq!((ledger.lost, ledger.entries.len()), (None, 4));
        assert_eq!(ledger.entries[&config_key("shop", "a")].uid, Some(uid(&world, &config_key("shop", "a"))));
        assert!(!ledger.entries[&config_key("shop", "a")].found);
        // What the plan wants is the plan's again, and is pruned like anything else.
        publish(&mut world, &[web(&["c"])], &["shop/api"]);
        assert!(!has(&world, "a") && has(&world, "b") && has(&world, "x"));
    }
}

#[test]
fn an_approval_by_name_and_uid_lets_what_is_left_go() {
    let mut world = started();
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a"])], &["shop/api"]);
    world.fleet.deletes = world.reports.last().unwrap().holds.iter().map(|hold| hold.digest).collect();
    publish(&mut world, &[web(&["a"])], &["shop/api"]);
    assert_eq!(world.api.objects.len(), 1);
    assert_eq!(world.reports.last().unwrap().cleared, ["shop/api".parse().unwrap()]);
}

#[test]
fn what_somebody_removes_or_takes_the_labels_off_is_forgotten() {
    let mut world = started();
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a"])], &["shop/api"]);
    world.api.remove(&config_key("shop", "b"));
    for label in [TENANT_LABEL, APP_LABEL] {
        world.api.unset(&config_key("shop", "x"), &["metadata", "labels", label]);
    }
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(held(&world), names(&["y"]));
    assert!(world.reports.last().unwrap().cleared.is_empty());
    world.api.remove(&config_key("shop", "y"));
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(world.reports.last().unwrap().cleared, ["shop/api".parse().unwrap()]);
    assert!(has(&world, "x"));
}

#[test]
fn an_app_that_no_plan_speaks_of_is_unaccounted_and_its_objects_are_named() {
    let mut world = started();
    world.plan = None;
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"])], &[]);
    let api: AppId = "shop/api".parse().unwrap();
    assert_eq!(world.reports.last().unwrap().unaccounted, std::slice::from_ref(&api));
    assert_eq!(state(&world, "shop/api"), (Status::Waiting, "Unaccounted".into()));
    let told = world.reports.iter().rev().flat_map(|report| &report.apps).find(|told| told.id == api);
    let told: BTreeSet<_> = told.unwrap().exceptions.iter().map(|one| one.key.name.clone()).collect();
    assert_eq!(told, names(&["x", "y"]));
    // Somebody removes it by hand.
    world.api.remove(&config_key("shop", "x"));
    world.api.remove(&config_key("shop", "y"));
    world.pass(SignedDuration::from_secs(5));
    assert!(world.reports.last().unwrap().unaccounted.is_empty());
}

#[test]
fn nothing_is_said_to_be_gone_while_a_list_fails() {
    let mut world = started();
    for name in ["x", "y"] {
        world.api.remove(&config_key("shop", name));
    }
    world.plan = None;
    // It may list Secrets, but no ConfigMaps, which the plan says that it has.
    world.api.unlisted.insert(("ConfigMap".into(), "shop".into()));
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"])], &["shop/api"]);
    world.pass(SignedDuration::from_mins(3));
    assert!(
        world.reports.iter().skip_while(|report| report.boot_id == "boot0").all(|r| r.cleared.is_empty())
    );
    assert_eq!(state(&world, "shop/api"), (Status::Waiting, "LedgerLost".into()));
    assert!(world.ledger.as_ref().unwrap().lost.is_some(), "and another start knows");
    world.api.unlisted.clear();
    world.pass(SignedDuration::from_mins(6));
    assert_eq!(world.reports.last().unwrap().cleared, ["shop/api".parse().unwrap()]);
    assert_eq!(world.ledger.as_ref().unwrap().lost, None);
}

#[test]
fn what_a_tenant_may_not_list_and_never_had_keeps_nothing_open() {
    let mut world = started();
    for kind in ["Secret", "Deployment"] {
        world.api.unlisted.insert((kind.into(), "shop".into()));
    }
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"]), api()], &[]);
    assert_eq!(world.ledger.as_ref().unwrap().lost, None);
    // Where it may list nothing at all, nothing is known.
    world.api.unlisted.insert(("ConfigMap".into(), "shop".into()));
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"]), api()], &[]);
    assert!(world.ledger.as_ref().unwrap().lost.is_some());
}

#[test]
fn globs_need_the_list_of_namespaces_and_a_tenant_that_has_no_app_is_not_known() {
    let mut world = started();
    world.api.blind = true;
    world.plan = None;
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"])], &["shop/api", "gone/old"]);
    assert!(world.ledger.as_ref().unwrap().lost.is_some());
    world.api.blind = false;
    world.pass(SignedDuration::from_mins(6));
    assert_eq!(held(&world), names(&["x", "y"]));
    assert_eq!(state(&world, "gone/old"), (Status::Waiting, "LedgerLost".into()));
    assert!(world.ledger.as_ref().unwrap().lost.is_some());
    assert!(world.reports.last().unwrap().cleared.is_empty());
}

#[test]
fn labels_that_others_put_there_make_nothing_ours() {
    let mut world = started();
    let labels = |world: &mut World, name: &str| {
        for (label, value) in [(TENANT_LABEL, "shop"), (APP_LABEL, "web")] {
            let path = ["metadata", "labels", label];
            world.api.edit(&config_key("shop", name), "endpoints-controller", &[(&path, json!(value))]);
        }
    };
    labels(&mut world, "copied");
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a", "b"]), api()], &[]);
    assert!(!world.ledger.as_ref().unwrap().entries.contains_key(&config_key("shop", "copied")));
    assert_eq!(world.ledger.as_ref().unwrap().lost, None);
    // Where nobody is said to have put them, it may have been us.
    world.api.objects.get_mut(&config_key("shop", "b")).unwrap().managers.clear();
    world.plan = None;
    world.lose_ledger();
    world.connect();
    publish(&mut world, &[web(&["a"]), api()], &[]);
    assert_eq!(held(&world), names(&["b"]));
}

#[test]
fn where_a_spoke_was_before_another_looks_for_what_it_left() {
    let mut world = started();
    // Identity, floor and ledger went with their namespace, and the cluster is enrolled again.
    world.trust = world.fleet.enrolled();
    (world.ledger, world.plan) = (None, None);
    world.baselines.clear();
    world.restart();
    world.connect();
    publish(&mut world, &[web(&["a"])], &["shop/api"]);
    world.pass(SignedDuration::from_mins(1));
    assert_eq!((held(&world), world.api.objects.len()), (names(&["b", "x", "y"]), 4));
    assert_eq!((events(&world, "LedgerLost"), events(&world, "LedgerRebuilt")), (1, 1));
    // Whoever comes to a cluster of its own finds its accounts again, which it made itself.
    let mut world = started();
    world.send(Event::Reconcile);
    publish(&mut world, &[web(&["a", "b"]), api()], &[]);
    assert_eq!((world.count("list"), events(&world, "LedgerLost")), (0, 0));
}

#[test]
fn a_spoke_that_never_had_a_ledger_looks_for_nothing() {
    let mut world = World::new();
    world.restart();
    world.connect();
    publish(&mut world, &[web(&[])], &[]);
    world.restart();
    world.connect();
    publish(&mut world, &[web(&["a"])], &[]);
    assert_eq!((world.count("list"), events(&world, "LedgerLost")), (0, 0));
}
