//! Drift: found by a watch, repaired at once, reported with who did it; and
//! what looks like drift and is none.

use jiff::SignedDuration;
use rimward_proto::report::{DriftReport, DriftType};
use serde_json::json;

use super::fleet::{app, config, config_key, key_of};
use super::world::{Fault, World};
use crate::core::Work;

fn world() -> World {
    let mut world = World::new();
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "s", "namespace": "shop"}, "data": {"password": "Y2FuYXJ5"}});
    let plan = world.fleet.plan(&[app("shop/web", vec![config("shop", "a", "1"), secret])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    world
}

fn drifts(world: &mut World) -> Vec<DriftReport> {
    world.pass(SignedDuration::from_secs(2));
    world.reports.iter().flat_map(|report| report.drift.clone()).collect()
}

#[test]
fn a_changed_field_is_put_back_and_its_manager_named() {
    let mut world = world();
    let key = config_key("shop", "a");
    world.api.edit(
        &key,
        "kubectl-edit",
        &[(&["data", "value"], "9".into()), (&["data", "theirs"], "x".into())],
    );
    assert!(world.run());
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("1")));
    assert_eq!(world.api.value(&key, &["data", "theirs"]), Some(json!("x")), "beside ours is theirs");
    let drifts = drifts(&mut world);
    assert_eq!(drifts.len(), 1);
    let drift = &drifts[0];
    assert_eq!((drift.kind, drift.manager.as_str()), (DriftType::Changed, "kubectl-edit"));
    assert_eq!(drift.restored_millis, Some(0));
    let field = &drift.fields[0];
    assert_eq!(
        (field.path.as_str(), field.wanted.as_str(), field.found.as_str()),
        ("/data/value", "\"1\"", "\"9\"")
    );
    assert_eq!(drift.fields.len(), 1);
}

#[test]
fn a_deleted_object_is_made_again_with_a_ledger_write_before_and_one_after() {
    let mut world = world();
    let ledger = world.count("ledger");
    let key = config_key("shop", "a");
    world.api.remove(&key);
    assert!(world.run());
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("1")));
    assert_eq!(drifts(&mut world)[0].kind, DriftType::Deleted);
    assert_eq!(world.count("ledger"), ledger + 2);
    let uid = &world.api.objects[&key].uid;
    assert_eq!(world.ledger.as_ref().unwrap().entries[&key].uid.as_ref(), Some(uid));
}

#[test]
fn our_own_writes_are_no_drift() {
    let mut world = world();
    assert_eq!(drifts(&mut world), []);
    assert_eq!(world.count("get"), 0);
}

#[test]
fn somebody_elses_fields_are_looked_at_once_and_left() {
    let mut world = world();
    let key = config_key("shop", "a");
    let writes = world.api.writes.len();
    world.api.edit(&key, "controller", &[(&["metadata", "annotations", "seen"], "1".into())]);
    assert_eq!(drifts(&mut world), []);
    assert_eq!((world.count("get"), world.api.writes.len()), (1, writes));
    world.api.edit(&key, "controller", &[(&["metadata", "annotations", "seen"], "2".into())]);
    assert_eq!(drifts(&mut world), []);
    assert_eq!(world.count("get"), 1, "same owners, same fields: no reason to look");
}

#[test]
fn a_removed_label_is_restored_without_making_the_object_again() {
    let mut world = world();
    let key = config_key("shop", "a");
    let uid = world.api.objects[&key].uid.clone();
    world.api.unset(&key, &["metadata", "labels", "rimward.dev/tenant"]);
    assert!(world.run());
    assert!(world.api.is_labelled(&key));
    assert_eq!(world.api.objects[&key].uid, uid);
    let drifts = drifts(&mut world);
    assert_eq!(drifts[0].fields[0].path, "/metadata/labels/rimward.dev~1tenant");
}

#[test]
fn a_namesake_made_by_somebody_else_is_never_taken() {
    let mut world = world();
    let key = config_key("shop", "a");
    world.api.remove(&key);
    world.api.edit(&key, "kubectl-create", &[(&["data", "value"], "theirs".into())]);
    world.pass(SignedDuration::from_mins(20));
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("theirs")));
    assert!(!world.api.is_labelled(&key));
}

#[test]
fn nothing_of_a_secret_is_ever_told() {
    let mut world = world();
    let secret = key_of(
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}),
    );
    world.api.edit(&secret, "kubectl-edit", &[(&["data", "password"], "c3RvbGVu".into())]);
    world.api.denied.insert(secret.clone());
    world.pass(SignedDuration::from_secs(2));
    world.api.denied.clear();
    world.pass(SignedDuration::from_mins(1));
    let drifts = drifts(&mut world);
    assert_eq!((drifts[0].fields[0].path.as_str(), drifts[0].fields[0].redacted), ("/data/password", true));
    let told = format!("{:?}", world.reports);
    assert!(!told.contains("Y2FuYXJ5") && !told.contains("c3RvbGVu"));
    assert!(!told.contains("admission webhook denied"), "the server's text may quote the object");
    assert!(told.contains("Denied"));
}

#[test]
fn a_fight_is_named_and_slowed_down() {
    let mut world = world();
    let key = config_key("shop", "a");
    let before = world.api.writes.len();
    for round in 0..300 {
        world.api.edit(&key, "other-controller", &[(&["data", "value"], format!("{round}").into())]);
        world.pass(SignedDuration::from_millis(10));
    }
    let repairs = world.api.writes.len() - before;
    assert!(repairs <= 62, "{repairs} repairs in three seconds");
    let contended = drifts(&mut world).into_iter().find(|drift| drift.kind == DriftType::Contended);
    assert_eq!(contended.unwrap().manager, "other-controller");
    world.pass(SignedDuration::from_mins(1));
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("1")), "and in the end repaired");
}

#[test]
fn drift_while_away_is_found_after_a_restart_and_reported() {
    let mut world = world();
    let key = config_key("shop", "a");
    world.disconnect();
    world.restart();
    world.api.edit(&key, "kubectl-edit", &[(&["data", "value"], "9".into())]);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("1")), "alone");
    world.connect();
    assert_eq!(drifts(&mut world).len(), 1);
}

#[test]
fn what_went_while_the_index_was_lost_is_looked_for() {
    let mut world = world();
    world.restart();
    world.connect();
    let is_load = |work: &Work| matches!(work, Work::LoadIndex(_));
    let at = world.work.iter().position(|(_, work)| is_load(work)).expect("it reads its index");
    let (id, work) = world.work.remove(at);
    world.perform(id, &work, Fault::Fails);
    let at = world.work.iter().position(|(_, work)| matches!(work, Work::Fetch(_))).expect("it fetches it");
    let fetch = world.work.remove(at);
    let key = config_key("shop", "a");
    world.api.remove(&key);
    world.pass(SignedDuration::from_secs(1));
    world.perform(fetch.0, &fetch.1, Fault::None);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(world.api.value(&key, &["data", "value"]), Some(json!("1")));
}

#[test]
fn a_watch_that_fails_means_unknown_no_create_no_prune() {
    let mut world = world();
    world.pass(SignedDuration::from_secs(10));
    let spec = world.watches.iter().find(|spec| spec.kind == "ConfigMap").unwrap().clone();
    world.broken.insert(spec.clone());
    world.list(&spec);
    let plan = world.fleet.plan(&[app("shop/web", vec![config("shop", "b", "1")])], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_mins(2));
    assert!(world.api.objects.contains_key(&config_key("shop", "a")));
    assert!(!world.api.objects.contains_key(&config_key("shop", "b")));
    let report = world.reports.iter().rev().find(|report| !report.apps.is_empty()).unwrap();
    assert_eq!(report.apps[0].reason, "Unknown");
    world.broken.clear();
    world.list(&spec);
    let renewed = world.fleet.offer(&plan, world.fleet.seq, world.now);
    world.offer(renewed);
    world.pass(SignedDuration::from_mins(2));
    assert!(!world.api.objects.contains_key(&config_key("shop", "a")));
    assert!(world.api.objects.contains_key(&config_key("shop", "b")));
}
