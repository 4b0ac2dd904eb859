//! What an App says of how it is run: dependencies, drift that is left, paths
//! that are left to others, takeover, former names.

use jiff::SignedDuration;
use rimward_proto::plan::{DriftMode, Ignore, Plan, PlanBundle, Takeover};
use rimward_proto::report::{AppReport, DriftAction, DriftReport, DriftType, State as Status};
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key, key_of};
use super::world::World;
use crate::core::ErrorKind;

/// Publishes these Apps, changed by `change`, and lets everything come to rest.
fn publish(world: &mut World, apps: &[App], removed: &[&str], change: impl Fn(&mut PlanBundle)) -> Plan {
    let mut plan = world.fleet.plan(apps, removed);
    plan.bundles.iter_mut().for_each(change);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    plan
}

fn report(world: &World, id: &str) -> AppReport {
    let mut apps = world.reports.iter().rev().flat_map(|report| &report.apps);
    apps.find(|app| app.id.to_string() == id).expect("never reported").clone()
}

fn drifts(world: &World) -> Vec<DriftReport> {
    world.reports.iter().flat_map(|report| report.drift.clone()).collect()
}

fn value(world: &World, name: &str) -> Option<Value> {
    world.api.value(&config_key("shop", name), &["data", "value"])
}

fn one(value: &str) -> Vec<App> {
    vec![app("shop/web", vec![config("shop", "a", value)])]
}

#[test]
fn new_content_waits_for_what_it_depends_on_and_repairs_do_not() {
    let mut world = World::new();
    let apps = |value: &str| {
        vec![
            app("shop/web", vec![config("shop", "w", value)]),
            app("shop/db", vec![config("shop", "d", value)]),
        ]
    };
    let depends = |bundle: &mut PlanBundle| {
        if bundle.app.as_str() == "web" {
            bundle.depends_on = vec!["shop/db".parse().unwrap()];
        }
    };
    world.api.denied.insert(config_key("shop", "d"));
    publish(&mut world, &apps("1"), &[], depends);
    assert_eq!(value(&world, "w"), None);
    let web = report(&world, "shop/web");
    assert_eq!((web.state, web.reason.as_str()), (Status::Waiting, "DependsOn"));
    assert!(web.message.contains("shop/db"), "{}", web.message);
    world.api.denied.clear();
    world.send(crate::core::Event::Reconcile);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((value(&world, "d"), value(&world, "w")), (Some(json!("1")), Some(json!("1"))));
    assert_eq!(report(&world, "shop/web").state, Status::Ready);
    world.api.denied.insert(config_key("shop", "d"));
    publish(&mut world, &apps("2"), &[], depends);
    assert_eq!(value(&world, "w"), Some(json!("1")));
    world.api.edit(&config_key("shop", "w"), "kubectl-edit", &[(&["data", "value"], "9".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(&world, "w"), Some(json!("9")), "what Git wants now may not be applied yet");
    world.api.denied.clear();
    world.send(crate::core::Event::Reconcile);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(&world, "w"), Some(json!("2")));
}

#[test]
fn a_dependency_that_is_not_in_the_plan_is_waited_for() {
    let mut world = World::new();
    publish(&mut world, &one("1"), &[], |bundle| bundle.depends_on = vec!["shop/db".parse().unwrap()]);
    assert_eq!(value(&world, "a"), None);
    assert_eq!(report(&world, "shop/web").reason, "DependsOn");
}

#[test]
fn reported_drift_is_told_once_left_and_told_again_when_it_is_over() {
    let mut world = World::new();
    let mode = |bundle: &mut PlanBundle| bundle.drift.mode = DriftMode::Report;
    publish(&mut world, &one("1"), &[], mode);
    let writes = world.api.writes.len();
    let edit = |world: &mut World, value: &str| {
        world.api.edit(&config_key("shop", "a"), "kubectl-edit", &[(&["data", "value"], value.into())]);
        world.pass(SignedDuration::from_secs(2));
    };
    edit(&mut world, "9");
    assert_eq!(value(&world, "a"), Some(json!("9")));
    let found = drifts(&world);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].action, found[0].restored_millis), (DriftAction::Reported, None));
    assert_eq!((found[0].manager.as_str(), found[0].fields[0].found.as_str()), ("kubectl-edit", "\"9\""));
    assert_eq!(report(&world, "shop/web").state, Status::Ready);
    world.disconnect();
    world.connect();
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(drifts(&world).last().unwrap().id, found[0].id, "a new stream hears of it again");
    edit(&mut world, "1");
    let last = drifts(&world).pop().unwrap();
    assert_eq!((&last.id, last.restored_millis.is_some()), (&found[0].id, true));
    assert_eq!(world.api.writes.len(), writes, "nothing was written");
    publish(&mut world, &one("2"), &[], mode);
    assert_eq!(value(&world, "a"), Some(json!("2")), "Git's changes are applied all the same");
}

#[test]
fn where_no_dry_run_is_to_be_had_a_report_is_approximate() {
    let mut world = World::new();
    publish(&mut world, &one("1"), &[], |bundle| bundle.drift.mode = DriftMode::Report);
    world.api.no_dry_run = Some(ErrorKind::Denied);
    let edit = |world: &mut World, value: &str| {
        world.api.edit(&config_key("shop", "a"), "kubectl-edit", &[(&["data", "value"], value.into())]);
        world.pass(SignedDuration::from_secs(2));
    };
    edit(&mut world, "9");
    let found = drifts(&world);
    assert_eq!((found.len(), found[0].approximate, found[0].fields.len()), (1, true, 1), "{found:?}");
    assert_eq!(report(&world, "shop/web").state, Status::Ready);
    edit(&mut world, "1");
    assert!(drifts(&world).last().unwrap().restored_millis.is_some());
    // Nor is one needed to know an object again.
    let writes = world.api.writes.len();
    world.baselines.clear();
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((report(&world, "shop/web").state, world.api.writes.len()), (Status::Ready, writes));
}

#[test]
fn what_is_deleted_is_left_gone_unless_git_changes_it() {
    for mode in [DriftMode::Report, DriftMode::None] {
        let mut world = World::new();
        publish(&mut world, &one("1"), &[], |bundle| bundle.drift.mode = mode);
        world.api.remove(&config_key("shop", "a"));
        world.pass(SignedDuration::from_secs(60));
        assert_eq!(value(&world, "a"), None);
        assert_eq!(report(&world, "shop/web").exceptions[0].reason, "Deleted");
        let told: Vec<_> = drifts(&world).iter().map(|drift| drift.kind).collect();
        assert_eq!(told, if mode == DriftMode::Report { vec![DriftType::Deleted] } else { vec![] });
        publish(&mut world, &one("2"), &[], |bundle| bundle.drift.mode = mode);
        assert_eq!(value(&world, "a"), Some(json!("2")));
        assert_eq!(report(&world, "shop/web").state, Status::Ready);
    }
}

#[test]
fn looking_away_costs_nothing() {
    let mut world = World::new();
    publish(&mut world, &one("1"), &[], |bundle| bundle.drift.mode = DriftMode::None);
    let (writes, gets) = (world.api.writes.len(), world.count("get"));
    world.api.edit(&config_key("shop", "a"), "kubectl-edit", &[(&["data", "value"], "9".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((world.api.writes.len(), world.count("get")), (writes, gets));
    assert!(drifts(&world).is_empty());
}

#[test]
fn an_ignored_path_keeps_its_live_value_through_every_apply() {
    let mut world = World::new();
    let ignore = |bundle: &mut PlanBundle| {
        bundle.drift.ignore = vec![Ignore { kinds: vec![], paths: vec!["/data/replicas".into()] }];
    };
    let web = |value: &str| {
        let mut object = config("shop", "a", value);
        object["data"]["replicas"] = "5".into();
        vec![app("shop/web", vec![object])]
    };
    let replicas = |world: &World| world.api.value(&config_key("shop", "a"), &["data", "replicas"]);
    publish(&mut world, &web("1"), &[], ignore);
    publish(&mut world, &web("2"), &[], ignore);
    assert_eq!(replicas(&world), Some(json!("5")), "untouched, it is Git's");
    let writes = world.api.writes.len();
    world.api.edit(&config_key("shop", "a"), "autoscaler", &[(&["data", "replicas"], "9".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((replicas(&world), world.api.writes.len()), (Some(json!("9")), writes), "no drift");
    let asked = (world.count("get"), world.count("dry-run"));
    world.api.edit(&config_key("shop", "a"), "autoscaler", &[(&["data", "replicas"], "8".into())]);
    world.api.edit(&config_key("shop", "a"), "another", &[(&["data", "replicas"], "9".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((world.count("get"), world.count("dry-run")), asked, "nor anything to look at");
    world.api.edit(&config_key("shop", "a"), "another", &[(&["data", "value"], "x".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(value(&world, "a"), Some(json!("2")), "the same manager, another field");
    assert!(drifts(&world)[0].fields.iter().all(|field| field.path == "/data/value"));
    publish(&mut world, &web("3"), &[], ignore);
    assert_eq!((value(&world, "a"), replicas(&world)), (Some(json!("3")), Some(json!("9"))));
    world.api.edit(&config_key("shop", "a"), "kubectl-edit", &[(&["data", "value"], "x".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(
        (value(&world, "a"), replicas(&world)),
        (Some(json!("3")), Some(json!("9"))),
        "repaired around it"
    );
    assert_eq!(drifts(&world).len(), 2);
}

#[test]
fn a_path_that_is_no_longer_ignored_is_put_back() {
    let mut world = World::new();
    let ignore = |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        move |bundle: &mut PlanBundle| {
            bundle.drift.ignore = vec![Ignore { kinds: vec!["ConfigMap".into()], paths: paths.clone() }];
        }
    };
    publish(&mut world, &one("1"), &[], ignore(&["/data/value"]));
    world.api.edit(&config_key("shop", "a"), "autoscaler", &[(&["data", "value"], "9".into())]);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((value(&world, "a"), world.count("get")), (Some(json!("9")), 0));
    publish(&mut world, &one("1"), &[], ignore(&["/data/other"]));
    assert_eq!(value(&world, "a"), Some(json!("1")));
}

/// Somebody's ConfigMap under our name.
fn foreign(world: &mut World, fields: &[(&[&str], Value)]) {
    world.api.namespaces.insert("shop".into());
    world.api.edit(&config_key("shop", "a"), "kubectl-client-side-apply", fields);
}

#[test]
fn a_refused_takeover_says_whose_it_is_and_what_would_change() {
    let mut world = World::new();
    foreign(&mut world, &[(&["data", "value"], "theirs".into())]);
    publish(&mut world, &one("1"), &[], |_| {});
    assert_eq!(value(&world, "a"), Some(json!("theirs")));
    assert!(!world.api.is_labelled(&config_key("shop", "a")) && world.api.writes.is_empty());
    let web = report(&world, "shop/web");
    let object = &web.exceptions[0];
    assert_eq!((web.state, object.reason.as_str()), (Status::Failed, "Conflict"));
    assert_eq!(object.managers, ["kubectl-client-side-apply"]);
    let paths: Vec<_> = object.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["/data/value"]);
}

#[test]
fn identical_objects_alone_are_taken_over_if_identical() {
    for (theirs, taken) in [("1", true), ("other", false)] {
        let mut world = World::new();
        world.api.takeover = true;
        foreign(&mut world, &[(&["data", "value"], theirs.into())]);
        publish(&mut world, &one("1"), &[], |bundle| bundle.takeover = Takeover::IfIdentical);
        assert_eq!(world.api.is_labelled(&config_key("shop", "a")), taken, "{theirs}");
        let web = report(&world, "shop/web");
        assert_eq!(web.taken.len(), usize::from(taken));
        assert_eq!(web.state == Status::Ready, taken, "{web:?}");
    }
}

#[test]
fn what_git_removes_after_a_takeover_is_gone() {
    let mut world = World::new();
    world.api.takeover = true;
    foreign(&mut world, &[(&["data", "value"], "theirs".into()), (&["data", "old"], "theirs".into())]);
    let uid = world.api.objects[&config_key("shop", "a")].uid.clone();
    publish(&mut world, &one("1"), &[], |bundle| bundle.takeover = Takeover::Always);
    let stored = &world.api.objects[&config_key("shop", "a")];
    assert_eq!((stored.uid.as_str(), value(&world, "a")), (uid.as_str(), Some(json!("1"))));
    assert_eq!(world.api.value(&config_key("shop", "a"), &["data", "old"]), None);
    assert!(!stored.managers.contains_key("kubectl-client-side-apply"));
    let taken = report(&world, "shop/web").taken;
    assert_eq!(taken[0].managers, ["kubectl-client-side-apply"]);
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(report(&world, "shop/web").taken, taken, "the ledger remembers");
}

#[test]
fn another_tenants_object_is_never_taken() {
    let mut world = World::new();
    publish(&mut world, &one("1"), &[], |_| {});
    let key = config_key("shop", "a");
    let theirs = &[(&["metadata", "labels", "rimward.dev/tenant"][..], json!("other"))];
    world.ledger = None;
    world.plan = None;
    world.restart();
    world.api.edit(&key, "rimward", theirs);
    world.connect();
    publish(&mut world, &one("2"), &[], |bundle| bundle.takeover = Takeover::Always);
    assert_eq!(value(&world, "a"), Some(json!("1")));
    assert!(report(&world, "shop/web").message.contains("another tenant"));
}

#[test]
fn a_renamed_app_keeps_its_objects_and_trims_the_rest() {
    let mut world = World::new();
    let objects = || vec![config("shop", "a", "1"), config("shop", "b", "1")];
    publish(&mut world, &[app("shop/old", objects())], &[], |_| {});
    let uid = world.api.objects[&config_key("shop", "a")].uid.clone();
    let new = [app("shop/new", vec![config("shop", "a", "1")])];
    let rename = |bundle: &mut PlanBundle| bundle.formerly = vec!["old".parse().unwrap()];
    let mut plan = world.fleet.plan(&new, &["shop/old"]);
    plan.bundles.iter_mut().for_each(rename);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(world.api.objects[&key_of(&config("shop", "a", ""))].uid, uid);
    assert_eq!(value(&world, "b"), None);
    let last = world.reports.last().unwrap();
    assert_eq!(last.cleared, ["shop/old".parse().unwrap()]);
    assert_eq!(report(&world, "shop/new").state, Status::Ready);
}
