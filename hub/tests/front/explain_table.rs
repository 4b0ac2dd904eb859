//! What an explanation says, case by case: one thing is broken, and the step that
//! names it fails.

use std::sync::Arc;

use jiff::Timestamp;
use rimward_hub::core::explain::{Explanation, Override, Step, StepName, Went, explain, misses};
use rimward_hub::core::model::{App, Operator, Policy, Requirement, Selector};
use rimward_hub::core::note::Severity;
use rimward_hub::core::world::{AppWait, Decided, HubHold, World};
use rimward_proto::Digest;
use rimward_proto::plan::{Deletion, Plan, Removed};
use rimward_proto::report::State;

use crate::fixture::*;

fn on(world: &World, name: &str) -> Explanation {
    explain(world, &web(), &cluster(name), &[], Timestamp::now()).expect("the App is known")
}

fn step(explanation: &Explanation, name: StepName) -> &Step {
    explanation.steps.iter().find(|step| step.step == name).expect("every step is there")
}

/// What blocks, and what it says.
fn blocked(world: &World, name: &str) -> (bool, StepName, String) {
    let explanation = on(world, name);
    let blocking = explanation.blocking.expect("something blocks");
    (explanation.here, blocking, step(&explanation, blocking).message.clone())
}

fn policy(world: &mut World, change: impl FnOnce(&mut Policy)) {
    let mut policy = Policy::clone(world.policy.as_ref().unwrap());
    change(&mut policy);
    world.policy = Some(Arc::new(policy));
}

fn decided(world: &mut World, change: impl FnOnce(&mut Decided)) {
    let mut decided = Decided::clone(&world.decided);
    change(&mut decided);
    world.decided = Arc::new(decided);
}

fn app(world: &mut World, change: impl FnOnce(&mut App)) {
    let mut app = App::clone(&world.apps[&web()]);
    change(&mut app);
    world.apps.insert(web(), Arc::new(app));
}

/// Nothing of web is published any more.
fn unpublished(world: &mut World) {
    world.published = Some(Arc::new(publish(Timestamp::now(), Plan::default(), &["eu-1", "us-1"], vec![])));
}

fn label(key: &str, value: &str) -> Selector {
    Selector { match_labels: [(key.into(), value.into())].into(), ..Selector::default() }
}

#[test]
fn all_is_well() {
    let explanation = on(&world(Timestamp::now()), "eu-1");
    assert_eq!((explanation.here, explanation.blocking), (true, None));
    let went: Vec<Went> = explanation.steps.iter().map(|step| step.result).collect();
    let (pass, skip) = (Went::Pass, Went::Skip);
    assert_eq!(went, [pass, pass, pass, skip, pass, pass, skip, pass, pass]);
    let named = step(&explanation, StepName::AppClusters);
    assert_eq!((named.file.as_str(), named.line, named.commit.as_str()), ("web/rimward.yaml", 6, COMMIT));
}

#[test]
fn a_bound_names_the_part_that_fails() {
    let mut world = world(Timestamp::now());
    unpublished(&mut world);
    policy(&mut world, |policy| {
        policy.tenants.get_mut(&web().tenant).unwrap().clusters = label("env", "dev")
    });
    let expected = (false, StepName::TenantClusters, "env=dev, eu-1 has env=prod".to_owned());
    assert_eq!(blocked(&world, "eu-1"), expected);
    let explanation = on(&world, "eu-1");
    let at = step(&explanation, StepName::TenantClusters);
    assert_eq!((at.file.as_str(), at.line, &at.commit[..7]), ("fleet.yaml", 13, "f1ee700"));
    // Nothing behind it is said to be well.
    assert!(explanation.steps[3..].iter().all(|step| step.result == Went::Skip), "{explanation:?}");
    policy(&mut world, |policy| {
        let tenant = policy.tenants.get_mut(&web().tenant).unwrap();
        tenant.clusters = Selector::default();
        tenant.sources.get_mut("apps").unwrap().clusters = label("zone", "a");
    });
    let (_, step, why) = blocked(&world, "eu-1");
    assert_eq!(
        (step, why.as_str()),
        (StepName::Source, "payments/apps is bound to other clusters: zone=a, eu-1 has no zone")
    );
    policy(&mut world, |policy| drop(policy.clusters.remove(&cluster("eu-1"))));
    let (_, step, why) = blocked(&world, "eu-1");
    assert_eq!(
        (step, why.as_str()),
        (StepName::TenantClusters, "cluster eu-1 has no Cluster document in the fleet repo")
    );
}

#[test]
fn every_part_of_a_selector_has_words() {
    let world = world(Timestamp::now());
    let eu = &world.policy.as_ref().unwrap().clusters[&cluster("eu-1")];
    let expression = |operator, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let requirement = Requirement { key: "env".into(), operator, values };
        Selector { match_expressions: vec![requirement], ..Selector::default() }
    };
    let names = |names: &[&str]| Selector {
        names: Some(names.iter().map(|name| cluster(name)).collect()),
        ..Selector::default()
    };
    for (selector, why) in [
        (Selector::default(), None),
        (names(&["us-1"]), Some("names us-1, this is eu-1")),
        (names(&["eu-1"]), None),
        (names(&[]), Some("names none, this is eu-1")),
        (label("env", "dev"), Some("env=dev, eu-1 has env=prod")),
        (expression(Operator::In, &["a", "b"]), Some("env In (a, b), eu-1 has env=prod")),
        (expression(Operator::In, &["prod"]), None),
        (expression(Operator::NotIn, &["prod"]), Some("env NotIn (prod), eu-1 has env=prod")),
        (expression(Operator::DoesNotExist, &[]), Some("env DoesNotExist, eu-1 has env=prod")),
        (expression(Operator::Exists, &[]), None),
    ] {
        assert_eq!(misses(&selector, eu).as_deref(), why, "{selector:?}");
    }
}

#[test]
fn what_is_wrong_in_git_is_named_where_it_is() {
    let cases = [
        ("RW3021", false, StepName::Render),
        ("RW4003", true, StepName::Guardrails),
        ("RW4004", false, StepName::Guardrails),
        ("RW4005", true, StepName::Guardrails),
        ("RW3018", true, StepName::Plan),
        ("RW3010", true, StepName::Plan),
    ];
    for (code, rendered, wanted) in cases {
        let mut world = world(Timestamp::now());
        decided(&mut world, |decided| {
            let decision = decided.apps.get_mut(&web()).unwrap();
            decision.blocked = Some(note(Severity::Error, code, "it is wrong"));
            decision.bundle = decision.bundle.filter(|_| rendered);
        });
        // What is published stays, so it is here, and its newest revision is not.
        assert_eq!(blocked(&world, "eu-1"), (true, wanted, format!("[{code}] it is wrong")), "{code}");
        let explanation = on(&world, "eu-1");
        let at = step(&explanation, wanted);
        assert_eq!((at.file.as_str(), at.line, at.commit.as_str()), ("web/rimward.yaml", 5, COMMIT));
        unpublished(&mut world);
        let (here, blocking, _) = blocked(&world, "eu-1");
        assert_eq!((here, blocking), (false, wanted), "{code}");
    }
    let mut world = world(Timestamp::now());
    world.apps.clear();
    decided(&mut world, |decided| {
        let decision = decided.apps.get_mut(&web()).unwrap();
        (decision.bundle, decision.blocked) = (None, Some(note(Severity::Error, "RW3004", "unknown field")));
    });
    assert_eq!(blocked(&world, "eu-1"), (true, StepName::Source, "payments/apps: unknown field".to_owned()));
    decided(&mut world, |decided| decided.apps.clear());
    let (here, step, why) = blocked(&world, "eu-1");
    assert_eq!((here, step), (true, StepName::Source), "{why}");
}

#[test]
fn a_hold_and_a_tombstone_are_named() {
    let mut world = world(Timestamp::now());
    let digest = Digest::of(b"hold");
    decided(&mut world, |decided| {
        decided.holds.push(HubHold {
            digest,
            reason: "LastCluster".into(),
            apps: vec![web()],
            clusters: vec![cluster("eu-1")],
            message: "payments/web selects no cluster any more".into(),
        });
    });
    let (here, step, why) = blocked(&world, "eu-1");
    assert_eq!((here, step), (true, StepName::Plan));
    assert!(
        why.starts_with("held: LastCluster:") && why.ends_with(&format!("rimward approve {digest}")),
        "{why}"
    );
    assert_eq!(on(&world, "us-1").blocking, None, "the hold is about another cluster");
    decided(&mut world, |decided| {
        decided.holds.clear();
        decided.apps.clear();
    });
    world.apps.clear();
    let deletion = Deletion { max_per_plan: 20, protect: vec![] };
    let removed = Removed { tenant: web().tenant, app: web().app, commit: "c0ffee".into(), deletion };
    let plan = Plan { removed: vec![removed], ..Plan::default() };
    world.published = Some(Arc::new(publish(Timestamp::now(), plan, &["eu-1", "us-1"], vec![])));
    let explanation = on(&world, "eu-1");
    let plan = explanation.steps.iter().find(|step| step.step == StepName::Plan).unwrap();
    assert_eq!(
        (plan.result, plan.message.as_str(), plan.commit.as_str()),
        (Went::Fail, "it is to be removed from here", "c0ffee")
    );
}

#[test]
fn what_cannot_be_seen_is_never_well() {
    let now = Timestamp::now();
    let spoke = |change: &dyn Fn(&mut World)| {
        let mut world = world(now);
        change(&mut world);
        let explanation = on(&world, "us-1");
        let spoke = explanation.steps.into_iter().next_back().unwrap();
        (explanation.here, spoke.result, spoke.message)
    };
    let status = |world: &mut World, change: &dyn Fn(&mut rimward_hub::core::world::ClusterStatus)| {
        change(world.clusters.get_mut(&cluster("us-1")).unwrap());
    };
    let (here, went, why) = spoke(&|world| us_offline(world, now));
    assert!(here && went == Went::Fail && why.starts_with("Offline NoStream: no stream since "), "{why}");
    let (_, went, why) = spoke(&|world| status(world, &|us| us.certificate_expires = Some(now - seconds(1))));
    assert!(went == Went::Fail && why.starts_with("Stale CertificateExpired"), "{why}");
    let (_, went, why) = spoke(&|world| status(world, &|us| us.plan = Some(Digest::of(b"old"))));
    assert!(went == Went::Fail && why.starts_with("Progressing PlanNotApplied"), "{why}");
    let (_, went, why) = spoke(&|world| say(world, "us-1", report(State::Failed, "Denied", "by policy")));
    assert!(went == Went::Fail && why.starts_with("Failed Denied: by policy"), "{why}");
    let mut world = world(now);
    world.clusters.get_mut(&cluster("us-1")).unwrap().uid = None;
    unpublished(&mut world);
    let (here, step, why) = blocked(&world, "us-1");
    assert_eq!((here, step), (false, StepName::Plan));
    assert!(why.contains("is not enrolled"), "{why}");
    let mut world = crate::fixture::world(now);
    unpublished(&mut world);
    assert_eq!(blocked(&world, "us-1"), (false, StepName::Plan, "it is not in a publication yet".to_owned()));
    world.clusters.get_mut(&cluster("us-1")).unwrap().unaccounted = vec![web()];
    app(&mut world, |app| app.clusters = label("env", "prod"));
    let explanation = on(&world, "us-1");
    let spoke = explanation.steps.last().unwrap();
    assert!(spoke.result == Went::Fail && spoke.message.contains("no plan accounts for it"), "{spoke:?}");
}

#[test]
fn of_the_overrides_that_apply_the_later_wins() {
    let world = world(Timestamp::now());
    let one = |line: u32, applies: bool, sets: &[&str]| Override {
        at: at("web/rimward.yaml", line),
        fleet: false,
        applies,
        sets: sets.iter().map(|name| (*name).to_owned()).collect(),
    };
    let chain =
        [one(8, true, &["replicas", "domain"]), one(9, false, &["replicas"]), one(10, true, &["replicas"])];
    let explained = explain(&world, &web(), &cluster("eu-1"), &chain, Timestamp::now()).unwrap();
    let overrides = step(&explained, StepName::Overrides);
    assert_eq!(overrides.result, Went::Pass);
    let expected = "web/rimward.yaml:8:3 sets domain; web/rimward.yaml:10:3 sets replicas";
    assert_eq!((overrides.message.as_str(), overrides.line), (expected, 10));
    let explained = explain(&world, &web(), &cluster("eu-1"), &chain[1..2], Timestamp::now()).unwrap();
    assert_eq!(step(&explained, StepName::Overrides).result, Went::Skip);
}

#[test]
fn a_value_that_is_missing_for_one_cluster_is_named_there() {
    let mut world = world(Timestamp::now());
    decided(&mut world, |decided| {
        let note = note(Severity::Error, "RW3040", "variable domain has no value on us-1");
        let wait = AppWait { reason: "VariableUnset".into(), note, clusters: vec![cluster("us-1")] };
        decided.apps.get_mut(&web()).unwrap().waits.push(wait);
    });
    assert_eq!(on(&world, "eu-1").blocking, None);
    let (here, step, why) = blocked(&world, "us-1");
    assert_eq!((here, step), (true, StepName::Overrides));
    assert_eq!(why, "[RW3040] variable domain has no value on us-1");
}
