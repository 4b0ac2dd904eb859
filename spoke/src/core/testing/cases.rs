//! The ordinary life of an App, and the cases a naive implementation fails.

use jiff::SignedDuration;
use rimward_proto::report::State as Status;
use rimward_proto::session::AckKind;
use serde_json::json;

use super::fleet::{app, config, config_key, key_of};
use super::world::World;
use crate::core::{ApiError, ErrorKind};

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

#[test]
fn a_definition_and_its_resource_in_one_plan_converge() {
    let mut world = World::new();
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"}, "spec": {"group": "example.com"}});
    let crd_key = key_of(&crd);
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "a", "namespace": "shop"}, "spec": {"x": 1}});
    let mut web = app("shop/web", vec![crd, thing]);
    web.allow = vec!["CustomResourceDefinition".into()];
    let plan = world.fleet.plan(&[web], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!(world.count("apply"), 1, "the kind is not known yet");
    let established = json!({"conditions": [{"type": "Established", "status": "True"}]});
    world.api.set_status(&crd_key, &established);
    world.discovery.insert("example.com", "Thing", true, &["v1"]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
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
fn a_lost_ledger_adopts_what_the_plan_wants_and_prunes_nothing() {
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1"), config("shop", "b", "1")])]);
    (world.ledger, world.plan) = (None, None);
    world.baselines.clear();
    let uid = world.api.objects[&config_key("shop", "a")].uid.clone();
    world.restart();
    world.connect();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
    assert_eq!(reason(&world, "shop/web"), (Status::Ready, String::new()));
    assert_eq!(world.api.objects[&config_key("shop", "a")].uid, uid);
    assert!(world.api.objects.contains_key(&config_key("shop", "b")));
    assert_eq!(world.ledger.as_ref().unwrap().entries[&config_key("shop", "a")].uid, Some(uid));
}
