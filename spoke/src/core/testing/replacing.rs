//! The two annotations: what is kept where it would be pruned, and what may be
//! deleted to be made again.

use jiff::SignedDuration;
use rimward_proto::ObjectKey;
use rimward_proto::object::{PRUNE_ANNOTATION, REPLACE_ANNOTATION};
use rimward_proto::plan::{DriftMode, PlanBundle};
use rimward_proto::report::{AppReport, State as Status};
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key, key_of};
use super::world::World;
use crate::core::Event;

/// A ConfigMap whose data cannot be changed, with annotations.
pub(super) fn fixed(name: &str, value: &str, annotations: &[(&str, &str)]) -> Value {
    let mut object = config("shop", name, value);
    object["immutable"] = json!(true);
    for (name, value) in annotations {
        object["metadata"]["annotations"][*name] = json!(value);
    }
    object
}

pub(super) fn replaced(name: &str, value: &str) -> Value {
    fixed(name, value, &[(REPLACE_ANNOTATION, "true")])
}

fn publish(world: &mut World, apps: &[App], removed: &[&str], change: impl Fn(&mut PlanBundle)) {
    let mut plan = world.fleet.plan(apps, removed);
    plan.bundles.iter_mut().for_each(change);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(5));
}

fn one(world: &mut World, object: Value) {
    publish(world, &[app("shop/web", vec![object])], &[], |_| ());
}

fn value(world: &World, name: &str) -> Option<Value> {
    world.api.value(&config_key("shop", name), &["data", "value"])
}

fn uid(world: &World, key: &ObjectKey) -> Option<String> {
    world.api.objects.get(key).map(|stored| stored.uid.clone())
}

fn report(world: &World) -> AppReport {
    world.reports.iter().rev().flat_map(|report| &report.apps).next().expect("never reported").clone()
}

fn events(world: &World, kind: &str) -> usize {
    world.reports.iter().flat_map(|report| &report.events).filter(|event| event.kind == kind).count()
}

#[test]
fn what_is_immutable_is_made_again_where_git_says_so() {
    for mode in [DriftMode::Revert, DriftMode::Report] {
        let mut world = World::new();
        let mode = |bundle: &mut PlanBundle| bundle.drift.mode = mode;
        publish(&mut world, &[app("shop/web", vec![fixed("a", "1", &[])])], &[], mode);
        let before = uid(&world, &config_key("shop", "a"));
        publish(&mut world, &[app("shop/web", vec![replaced("a", "2")])], &[], mode);
        assert_eq!(value(&world, "a"), Some(json!("2")));
        assert_ne!(uid(&world, &config_key("shop", "a")), before);
        assert_eq!((report(&world).state, events(&world, "Replaced")), (Status::Ready, 1));
        assert!(world.reports.iter().all(|report| report.drift.is_empty()), "what we do is no drift");
        assert_eq!(world.ledger.as_ref().unwrap().spent.deletes, 1);
    }
}

#[test]
fn without_the_word_it_stays_and_says_why() {
    let mut world = World::new();
    one(&mut world, fixed("a", "1", &[]));
    let before = uid(&world, &config_key("shop", "a"));
    one(&mut world, fixed("a", "2", &[(REPLACE_ANNOTATION, "false")]));
    world.api.edit(
        &config_key("shop", "a"),
        "kubectl",
        &[(&["metadata", "annotations", REPLACE_ANNOTATION], "true".into())],
    );
    world.pass(SignedDuration::from_mins(20));
    assert_eq!((value(&world, "a"), uid(&world, &config_key("shop", "a"))), (Some(json!("1")), before));
    let told = report(&world);
    assert_eq!((told.state, told.reason.as_str()), (Status::Failed, "Immutable"));
    assert!(!told.message.contains("not replaced"), "nobody asked for it: {}", told.message);
}

#[test]
fn what_can_be_changed_is_changed_and_not_replaced() {
    let mut world = World::new();
    let object = |value: &str| {
        let mut object = config("shop", "a", value);
        object["metadata"]["annotations"] = json!({REPLACE_ANNOTATION: "true"});
        object
    };
    one(&mut world, object("1"));
    let before = uid(&world, &config_key("shop", "a"));
    one(&mut world, object("2"));
    assert_eq!((value(&world, "a"), uid(&world, &config_key("shop", "a"))), (Some(json!("2")), before));
}

#[test]
fn beyond_the_budget_it_stays_until_another_plan() {
    let mut world = World::new();
    let apps = |value: &str, max| {
        let objects = ["a", "b", "c"].iter().map(|name| replaced(name, value)).collect();
        [App { max_per_plan: max, ..app("shop/web", objects) }]
    };
    publish(&mut world, &apps("1", 2), &[], |_| ());
    publish(&mut world, &apps("2", 2), &[], |_| ());
    world.pass(SignedDuration::from_mins(10));
    let changed = ["a", "b", "c"].iter().filter(|name| value(&world, name) == Some(json!("2"))).count();
    assert_eq!(changed, 2);
    let told = report(&world);
    assert_eq!((told.state, told.reason.as_str()), (Status::Failed, "Immutable"));
    assert!(told.message.contains("delete budget"), "{}", told.message);
    publish(&mut world, &apps("3", 3), &[], |_| ());
    assert_eq!(report(&world).state, Status::Ready);
    assert_eq!(value(&world, "c"), Some(json!("3")));
}

#[test]
fn the_days_ceiling_and_protected_kinds_hold_for_replacements_too() {
    let mut world = World::new();
    world.settings.deletes_per_day = 0;
    world.send(Event::Config(world.settings.clone()));
    one(&mut world, replaced("a", "1"));
    one(&mut world, replaced("a", "2"));
    assert_eq!(value(&world, "a"), Some(json!("1")));
    assert!(report(&world).message.contains("deletesPerDay"), "{}", report(&world).message);
    let mut world = World::new();
    let protected = |value: &str| {
        [App { protect: vec!["ConfigMap".into()], ..app("shop/web", vec![replaced("a", value)]) }]
    };
    publish(&mut world, &protected("1"), &[], |_| ());
    publish(&mut world, &protected("2"), &[], |_| ());
    assert_eq!(value(&world, "a"), Some(json!("1")));
    assert!(report(&world).message.contains("protected"), "{}", report(&world).message);
}

#[test]
fn what_holds_other_things_or_data_is_never_replaced() {
    let definition = |value: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com", "annotations": {REPLACE_ANNOTATION: "true"}},
            "immutable": true, "data": {"value": value}})
    };
    let mut world = World::new();
    let apps = |value: &str| [App { allow: vec!["*".into()], ..app("shop/web", vec![definition(value)]) }];
    publish(&mut world, &apps("1"), &[], |_| ());
    let key = key_of(&definition("1"));
    let before = uid(&world, &key);
    assert!(before.is_some());
    publish(&mut world, &apps("2"), &[], |_| ());
    assert_eq!(uid(&world, &key), before);
    assert!(report(&world).message.contains("never replaced"), "{}", report(&world).message);
}

#[test]
fn finalizers_are_waited_for() {
    let mut world = World::new();
    one(&mut world, replaced("a", "1"));
    let key = config_key("shop", "a");
    world.api.objects.get_mut(&key).unwrap().finalizer = true;
    one(&mut world, replaced("a", "2"));
    let told = report(&world);
    assert_eq!((told.state, told.reason.as_str()), (Status::Progressing, "Terminating"));
    assert!(told.message.contains("made again"), "{}", told.message);
    world.api.objects.get_mut(&key).unwrap().finalizer = false;
    world.api.remove(&key);
    world.pass(SignedDuration::from_mins(1));
    assert_eq!((value(&world, "a"), report(&world).state), (Some(json!("2")), Status::Ready));
}

#[test]
fn a_namesake_that_comes_in_between_is_left_alone() {
    let mut world = World::new();
    one(&mut world, replaced("a", "1"));
    let key = config_key("shop", "a");
    world.api.objects.get_mut(&key).unwrap().finalizer = true;
    one(&mut world, replaced("a", "2"));
    world.api.objects.get_mut(&key).unwrap().finalizer = false;
    world.api.remove(&key);
    world.api.edit(&key, "somebody", &[(&["data", "value"], "theirs".into()), (&["immutable"], true.into())]);
    world.pass(SignedDuration::from_mins(20));
    assert_eq!(value(&world, "a"), Some(json!("theirs")));
    assert_eq!(report(&world).reason, "Conflict");
}

fn kept(value: &str) -> Value {
    let mut object = config("shop", "a", value);
    object["metadata"]["annotations"] = json!({PRUNE_ANNOTATION: "false"});
    object
}

#[test]
fn what_is_kept_is_let_go_when_its_object_or_its_app_goes() {
    for whole in [false, true] {
        let mut world = World::new();
        let apps = [app("shop/web", vec![kept("1"), config("shop", "b", "1")])];
        publish(&mut world, &apps, &[], |_| ());
        let key = config_key("shop", "a");
        let before = uid(&world, &key);
        assert!(world.ledger.as_ref().unwrap().entries[&key].keep);
        if whole {
            publish(&mut world, &[], &["shop/web"], |_| ());
        } else {
            publish(&mut world, &[app("shop/web", vec![config("shop", "b", "1")])], &[], |_| ());
        }
        assert_eq!((uid(&world, &key), events(&world, "Kept")), (before.clone(), 1));
        assert_eq!(value(&world, "b"), (!whole).then(|| json!("1")));
        assert!(!world.ledger.as_ref().unwrap().entries.contains_key(&key));
        assert_eq!(
            world.ledger.as_ref().unwrap().spent.deletes,
            u64::from(whole),
            "what stays costs no budget"
        );
        if whole {
            let cleared = world.reports.iter().rev().map(|report| report.cleared.len()).max();
            assert_eq!(cleared, Some(1), "the tombstone has done its work");
        }
        // Wanted again, by an App of the same tenant: it is there.
        publish(&mut world, &[app("shop/other", vec![kept("2")])], &[], |_| ());
        assert_eq!((value(&world, "a"), uid(&world, &key)), (Some(json!("2")), before));
    }
}

#[test]
fn the_live_word_counts_and_so_does_the_last_one_of_git() {
    let at = ["metadata", "annotations", PRUNE_ANNOTATION];
    // Somebody says so on the cluster, even while the deletion waits for an approval.
    let mut world = World::new();
    let apps = |objects| [App { max_per_plan: 0, ..app("shop/web", objects) }];
    publish(&mut world, &apps(vec![config("shop", "a", "1"), config("shop", "b", "1")]), &[], |_| ());
    publish(&mut world, &apps(vec![config("shop", "b", "1")]), &[], |_| ());
    assert_eq!(world.reports.last().unwrap().holds.len(), 1);
    world.api.edit(&config_key("shop", "a"), "kubectl-annotate", &[(&at, "false".into())]);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((value(&world, "a"), events(&world, "Kept")), (Some(json!("1")), 1));
    assert!(world.reports.last().unwrap().holds.is_empty());
    // Somebody takes it away on the cluster, where drift is left.
    let mut world = World::new();
    let report = |bundle: &mut PlanBundle| bundle.drift.mode = DriftMode::Report;
    publish(&mut world, &[app("shop/web", vec![kept("1"), config("shop", "b", "1")])], &[], report);
    world.api.unset(&config_key("shop", "a"), &at);
    world.pass(SignedDuration::from_secs(5));
    publish(&mut world, &[app("shop/web", vec![config("shop", "b", "1")])], &[], report);
    assert_eq!((value(&world, "a"), events(&world, "Kept")), (Some(json!("1")), 1));
}

#[test]
fn git_takes_its_word_back_before_the_object_goes() {
    let mut world = World::new();
    let apps = |objects| [app("shop/web", objects)];
    publish(&mut world, &apps(vec![kept("1"), config("shop", "b", "1")]), &[], |_| ());
    publish(&mut world, &apps(vec![config("shop", "a", "1"), config("shop", "b", "1")]), &[], |_| ());
    publish(&mut world, &apps(vec![config("shop", "b", "1")]), &[], |_| ());
    assert_eq!(value(&world, "a"), None);
}

#[test]
fn what_is_kept_is_not_replaced_either() {
    let mut world = World::new();
    let object = |value| fixed("a", value, &[(REPLACE_ANNOTATION, "true"), (PRUNE_ANNOTATION, "false")]);
    one(&mut world, object("1"));
    one(&mut world, object("2"));
    assert_eq!(value(&world, "a"), Some(json!("1")));
    assert!(report(&world).message.contains("rimward.dev/prune"), "{}", report(&world).message);
}
