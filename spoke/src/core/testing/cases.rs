//! The ordinary life of an App, and the cases a naive implementation fails.

use jiff::SignedDuration;
use rimward_proto::report::State as Status;
use rimward_proto::session::AckKind;
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key, key_of};
use super::world::World;
use crate::core::{ApiError, ErrorKind, Event};

#[test]
fn a_first_plan_is_applied_and_said_to_be() {
    let mut world = World::new();
    let plan =
        world.fleet.plan(&[app("shop/web", vec![config("shop", "a", "1"), config("shop", "b", "1")])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!(world.api.value(&config_key("shop", "a"), &["data", "value"]), Some(json!("1")));
    let kinds: Vec<_> = world.acks.iter().map(|ack| ack.kind).collect();
    assert_eq!(kinds, [AckKind::Held, AckKind::Ready, AckKind::Applied]);
    assert_eq!(world.count("ledger"), 2, "once ahead, once with the UIDs");
    assert_eq!(world.count("get"), 0);
    world.pass(SignedDuration::from_secs(1));
    let app = &world.reports.last().unwrap().apps[0];
    assert_eq!((app.state, app.objects, app.ready), (Status::Ready, 2, 2));
}

/// Publishes these Apps and lets everything come to rest.
fn publish(world: &mut World, apps: &[super::fleet::App]) {
    let plan = world.fleet.plan(apps, &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
}

fn reason(world: &World, app: &str) -> (Status, String) {
    let reports = world.reports.iter().rev();
    let mut apps = reports.flat_map(|report| &report.apps).filter(|found| found.id.to_string() == app);
    apps.next().map(|app| (app.state, app.reason.clone())).expect("never reported")
}

#[test]
fn one_changed_object_is_one_fetch_and_one_write() {
    let mut world = World::new();
    let objects = |changed: &str| {
        let value = |i: usize| if i == 7 { changed.to_owned() } else { "same".to_owned() };
        (0..100).map(|i| config("shop", &format!("c{i}"), &value(i))).collect()
    };
    publish(&mut world, &[app("shop/web", objects("1"))]);
    let (fetched, writes, gets) = (world.count("fetched"), world.api.writes.len(), world.count("get"));
    let (ledger, trust) = (world.count("ledger"), world.count("trust"));
    publish(&mut world, &[app("shop/web", objects("2"))]);
    assert_eq!(world.api.writes.len() - writes, 1);
    assert_eq!(world.count("fetched") - fetched, 2, "the index and the object");
    assert_eq!((world.count("get"), world.count("ledger")), (gets, ledger), "no key changed");
    assert_eq!(world.count("trust") - trust, 1);
}

#[test]
fn content_sent_along_is_not_fetched() {
    let mut world = World::new();
    let plan = world.fleet.plan(&[app("shop/web", vec![config("shop", "a", "1")])], &[]);
    let mut offer = world.fleet.publish(&plan, world.now);
    offer.inline = world.fleet.inline();
    offer.inline[0].bytes.push(b' ');
    let bad = offer.inline[0].digest;
    world.offer(offer);
    assert!(world.run());
    assert_eq!(world.api.value(&config_key("shop", "a"), &["data", "value"]), Some(json!("1")));
    assert_eq!(world.count("fetched"), 1, "only {bad}, which came with other bytes");
}

#[test]
fn nothing_to_do_is_nothing_done() {
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
    let (counts, writes) = (world.counts.clone(), world.api.writes.len());
    world.pass(SignedDuration::from_mins(10));
    assert_eq!((world.counts.clone(), world.api.writes.len()), (counts, writes));
    assert!(world.work.is_empty());
}

#[test]
fn a_restart_with_nothing_changed_writes_nothing() {
    for lost in [false, true] {
        let mut world = World::new();
        publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1"), config("shop", "b", "1")])]);
        let before = (world.api.clone().objects, world.api.writes.len(), world.count("ledger"));
        for _ in 0..3 {
            if lost {
                world.baselines.clear();
            }
            world.restart();
            world.pass(SignedDuration::from_secs(5));
        }
        assert_eq!((world.api.objects.clone(), world.api.writes.len(), world.count("ledger")), before);
        assert_eq!(world.count("dry-run"), if lost { 6 } else { 0 });
        assert_eq!(world.count("get"), if lost { 6 } else { 0 });
    }
}

#[test]
fn a_foreign_object_is_left_alone() {
    let mut world = World::new();
    world.api.namespaces.insert("shop".into());
    let key = config_key("shop", "a");
    world.api.edit(&key, "kubectl-create", &[(&["data", "value"], "theirs".into())]);
    let before = world.api.objects.clone();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1"), config("shop", "b", "1")])]);
    assert_eq!(world.api.objects[&key], before[&key]);
    assert!(world.api.objects.contains_key(&config_key("shop", "b")), "the rest goes on");
    assert_eq!(reason(&world, "shop/web"), (Status::Failed, "Conflict".into()));
    let app = world.reports.iter().rev().flat_map(|report| &report.apps).next().unwrap();
    assert!(app.exceptions[0].message.contains("kubectl-create"));
    // They give it up: it is ours to make.
    world.api.remove(&key);
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
}

#[test]
fn a_cluster_scoped_kind_with_a_namespace_is_refused_without_a_request() {
    let mut world = World::new();
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Cluster",
        "metadata": {"name": "a", "namespace": "shop"}});
    publish(&mut world, &[app("shop/web", vec![thing])]);
    assert_eq!(reason(&world, "shop/web"), (Status::Failed, "ScopeMismatch".into()));
    assert_eq!((world.count("apply"), world.count("get")), (0, 0));
}

#[test]
fn a_namespace_that_is_not_the_tenants_is_refused_without_a_request() {
    let mut world = World::new();
    world.api.namespaces.insert("kube-system".into());
    publish(&mut world, &[app("shop/web", vec![config("kube-system", "a", "1"), config("shop", "b", "1")])]);
    assert_eq!(reason(&world, "shop/web"), (Status::Failed, "ScopeMismatch".into()));
    assert_eq!(world.count("apply"), 1);
}

#[test]
fn a_namespace_that_cannot_be_used_stops_nothing_else_of_its_tenant() {
    let mut world = World::new();
    let error = ApiError::new(ErrorKind::NamespaceTerminating, "it is being terminated");
    world.broken_namespaces.insert("shop-eu".into(), error);
    world.api.namespaces.insert("shop-eu".into());
    let apps = [app("shop/web", vec![config("shop", "a", "1"), config("shop-eu", "a", "1")])];
    let plan = world.fleet.plan(&apps, &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    assert!(world.api.objects.contains_key(&config_key("shop", "a")));
    let report = world.reports.last().unwrap().apps[0].clone();
    assert_eq!((report.state, report.reason.as_str()), (Status::Failed, "NamespaceTerminating"));
    let said = "ConfigMap/shop-eu/a: namespace shop-eu: it is being terminated";
    assert_eq!(report.message, said);
    world.broken_namespaces.clear();
    world.pass(SignedDuration::from_mins(10));
    assert!(world.api.objects.contains_key(&config_key("shop-eu", "a")));
    assert_eq!(world.reports.last().unwrap().apps[0].state, Status::Ready);
}

#[test]
fn a_missing_namespace_is_named_and_found_when_it_comes() {
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![config("shop-eu", "a", "1")])]);
    assert_eq!(reason(&world, "shop/web"), (Status::Failed, "NamespaceMissing".into()));
    world.api.namespaces.insert("shop-eu".into());
    world.pass(SignedDuration::from_secs(60));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
}

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"}, "spec": {"group": "example.com"}})
}

/// A definition and its resource, each of its own App; the definition is applied, and not established.
fn definition_and_resource(with: bool) -> World {
    let mut world = World::new();
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "a", "namespace": "shop"}, "spec": {"x": 1}});
    let allow = vec!["CustomResourceDefinition".into()];
    let crds = App { allow, ..app("shop/crds", if with { vec![definition()] } else { vec![] }) };
    publish(&mut world, &[crds, app("shop/web", vec![thing])]);
    world
}

fn establish(world: &mut World) {
    let established = json!({"conditions": [{"type": "Established", "status": "True"}]});
    world.api.set_status(&key_of(&definition()), &established);
}

#[test]
fn a_definition_and_its_resource_in_one_plan_converge() {
    let mut world = definition_and_resource(true);
    assert_eq!(world.count("apply"), 1, "the kind is not known yet");
    let waits = (Status::Progressing, "UnknownKind".to_owned());
    assert_eq!(reason(&world, "shop/web"), waits);
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(reason(&world, "shop/web"), waits, "for as long as the definition is not in force");
    establish(&mut world);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(reason(&world, "shop/web"), waits, "the server takes its time");
    world.discovery.insert("example.com", "Thing", true, &["v1"]);
    world.pass(SignedDuration::from_secs(10));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
}

#[test]
fn a_kind_that_nothing_defines_is_unknown() {
    let failed = (Status::Failed, "UnknownKind".to_owned());
    let world = definition_and_resource(false);
    assert_eq!(reason(&world, "shop/web"), failed);
    let mut world = definition_and_resource(true);
    establish(&mut world);
    world.pass(SignedDuration::from_mins(5));
    assert_eq!(reason(&world, "shop/web"), failed, "the definition in force is of another kind");
}

#[test]
fn an_object_moves_between_apps_without_being_deleted() {
    let mut world = World::new();
    let key = config_key("shop", "moving");
    let moving = config("shop", "moving", "1");
    publish(&mut world, &[app("shop/one", vec![moving.clone()]), app("shop/two", vec![])]);
    let uid = world.api.objects[&key].uid.clone();
    world.api.denied.insert(key.clone());
    publish(&mut world, &[app("shop/one", vec![]), app("shop/two", vec![moving])]);
    assert_eq!(world.api.objects[&key].uid, uid);
    world.api.denied.clear();
    let mut changed = config("shop", "moving", "1");
    changed["data"] = json!({"other": "2"});
    publish(&mut world, &[app("shop/one", vec![]), app("shop/two", vec![changed])]);
    assert_eq!(world.api.objects[&key].uid, uid);
    assert_eq!(world.api.value(&key, &["data", "value"]), None);
    assert_eq!(world.api.value(&key, &["metadata", "labels", "rimward.dev/app"]), Some(json!("two")));
}

#[test]
fn one_objects_failure_is_its_own_and_keeps_its_app_from_pruning() {
    let mut world = World::new();
    let objects =
        |names: &[&str], value: &str| names.iter().map(|name| config("shop", name, value)).collect();
    publish(
        &mut world,
        &[app("shop/web", objects(&["a", "b", "old"], "1")), app("shop/api", objects(&["x", "y"], "1"))],
    );
    world.api.denied.insert(config_key("shop", "a"));
    publish(&mut world, &[app("shop/web", objects(&["a", "b"], "2")), app("shop/api", objects(&["x"], "2"))]);
    assert_eq!(reason(&world, "shop/web"), (Status::Failed, "Denied".into()));
    assert_eq!(world.api.value(&config_key("shop", "b"), &["data", "value"]), Some(json!("2")));
    assert!(world.api.objects.contains_key(&config_key("shop", "old")));
    assert!(!world.api.objects.contains_key(&config_key("shop", "y")), "another App prunes");
    world.api.denied.clear();
    world.pass(SignedDuration::from_mins(6));
    assert!(!world.api.objects.contains_key(&config_key("shop", "old")));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
}

#[test]
fn a_server_that_says_when_is_asked_then_and_not_later_and_not_for_ever() {
    let a = config_key("shop", "a");
    for (throttled, seconds) in [(10, 12), (14, 22)] {
        let mut world = World::new();
        world.api.throttled = throttled;
        publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
        assert!(!world.api.objects.contains_key(&a));
        world.pass(SignedDuration::from_secs(seconds));
        assert!(world.api.objects.contains_key(&a), "{throttled} answers of 429");
    }
    // One that says so for ever is asked less and less often.
    let mut world = World::new();
    world.api.throttled = 1_000;
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
    world.pass(SignedDuration::from_mins(10));
    let asked = 1_000 - world.api.throttled;
    assert!((20..50).contains(&asked), "asked {asked} times in ten minutes");
}

#[test]
fn what_is_not_served_any_more_is_unknown_until_it_is_and_nothing_is_written_for_it() {
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
    let writes = world.api.writes.len();
    let kind = world.discovery.kinds.remove(&(String::new(), "ConfigMap".to_owned())).unwrap();
    world.send(Event::Reconcile);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(reason(&world, "shop/web"), (Status::Waiting, "Unknown".into()));
    world.discovery.kinds.insert((String::new(), "ConfigMap".to_owned()), kind);
    world.send(Event::Reconcile);
    world.pass(SignedDuration::from_mins(6));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
    assert_eq!(world.api.writes.len(), writes);
}
