//! Each rule of the states, by breaking one thing of a fleet that is all Ready.

use std::sync::Arc;

use jiff::Timestamp;
use rimward_hub::core::model::SourceId;
use rimward_hub::core::note::Severity;
use rimward_hub::core::status::app::AppView;
use rimward_hub::core::status::cluster::ClusterView;
use rimward_hub::core::status::drift::Standing;
use rimward_hub::core::status::overview::Overview;
use rimward_hub::core::status::{self, Status, is_camel_case, tenant};
use rimward_hub::core::world::{AppWait, ClusterStatus, Decided, HubHold, Published, World};
use rimward_proto::Digest;
use rimward_proto::plan::{Deletion, Plan, Removed};
use rimward_proto::report::State;

use crate::fixture::*;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn cluster_status(world: &World) -> Status {
    ClusterView::new(world, &cluster("eu-1"), now()).unwrap().status()
}

fn app_status(world: &World) -> Status {
    AppView::new(&Overview::new(world, now()), &web()).status(now())
}

fn eu(world: &mut World) -> &mut ClusterStatus {
    world.clusters.get_mut(&cluster("eu-1")).unwrap()
}

fn decided(world: &mut World) -> &mut Decided {
    Arc::make_mut(&mut world.decided)
}

fn published(world: &mut World) -> &mut Published {
    Arc::get_mut(world.published.as_mut().unwrap()).unwrap()
}

/// What happens, then what the cluster says, then what the App says.
type Case = (&'static str, fn(&mut World), (State, &'static str), (State, &'static str));

const CASES: &[Case] = {
    use State::*;
    &[
        ("nothing", |_| {}, (Ready, ""), (Ready, "")),
        ("not enrolled", |w| eu(w).uid = None, (Pending, "NotEnrolled"), (Pending, "NotEnrolled")),
        ("locked", |w| eu(w).locked = Some("a cloned disk?".into()), (Failed, "Locked"), (Failed, "Locked")),
        ("no stream", |w| eu(w).connected = false, (Offline, "NoStream"), (Offline, "NoStream")),
        (
            "certificate over",
            |w| eu(w).certificate_expires = Some(now()),
            (Stale, "CertificateExpired"),
            (Stale, "CertificateExpired"),
        ),
        ("head over", |w| published(w).head.expires = now(), (Stale, "HeadExpired"), (Stale, "HeadExpired")),
        ("no report", |w| eu(w).reported = None, (Pending, "NoReport"), (Pending, "NoReport")),
        (
            "older plan",
            |w| eu(w).plan = Some(Digest::of(b"older")),
            (Progressing, "PlanNotApplied"),
            (Progressing, "PlanNotApplied"),
        ),
        (
            "older bundle",
            |w| eu(w).apps.get_mut(&web()).unwrap().0.bundle = Some(Digest::of(b"older")),
            (Progressing, "Applying"),
            (Progressing, "Applying"),
        ),
        (
            "App not reported",
            |w| eu(w).apps.clear(),
            (Progressing, "NotReported"),
            (Progressing, "NotReported"),
        ),
        (
            "refused",
            |w| eu(w).refused = Some(("BadSignature".into(), "key k is not in root 1".into())),
            (Failed, "BadSignature"),
            (Failed, "BadSignature"),
        ),
        (
            "content on its way",
            |w| eu(w).refused = Some(("Incomplete".into(), "2 objects".into())),
            (Progressing, "Incomplete"),
            (Progressing, "Incomplete"),
        ),
        (
            "App failed",
            |w| eu(w).apps.get_mut(&web()).unwrap().0 = report(Failed, "Denied", "policy p says no"),
            (Failed, "Denied"),
            (Failed, "Denied"),
        ),
        (
            "report without a reason",
            |w| eu(w).apps.get_mut(&web()).unwrap().0 = report(Failed, "no good", ""),
            (Failed, "Unspecified"),
            (Failed, "Unspecified"),
        ),
        ("deletions held", |w| eu(w).holds = vec![hold()], (Held, "DeletionsHeld"), (Ready, "")),
        (
            "deletions approved",
            |w| {
                eu(w).holds = vec![hold()];
                published(w).assignments.get_mut(&cluster("eu-1")).unwrap().1.deletes = vec![hold().digest];
            },
            (Progressing, "Deleting"),
            (Ready, ""),
        ),
        (
            "an App nobody knows",
            |w| eu(w).unaccounted = vec!["payments/old".parse().unwrap()],
            (Held, "Unaccounted"),
            (Ready, ""),
        ),
        ("fleet not read", |w| w.policy = None, (Waiting, "FleetUnknown"), (Ready, "")),
        (
            "document gone",
            |w| {
                Arc::make_mut(w.policy.as_mut().unwrap()).clusters.remove(&cluster("eu-1"));
            },
            (Held, "Frozen"),
            (Ready, ""),
        ),
        (
            "new revision",
            |w| decided(w).apps.get_mut(&web()).unwrap().bundle = Some(Digest::of(b"newer")),
            (Ready, ""),
            (Progressing, "NotPublished"),
        ),
        (
            "blocked",
            |w| {
                let blocked = note(Severity::Error, "RW4001", "namespace `kube-system` is not yours");
                decided(w).apps.get_mut(&web()).unwrap().blocked = Some(blocked);
            },
            (Ready, ""),
            (Failed, "Guardrail"),
        ),
        (
            "not rendered",
            |w| decided(w).apps.get_mut(&web()).unwrap().bundle = None,
            (Ready, ""),
            (Waiting, "NotRendered"),
        ),
        (
            "another form on each cluster",
            |w| {
                let app = decided(w).apps.get_mut(&web()).unwrap();
                let us = (cluster("us-1"), Digest::of(b"of us-1"));
                (app.bundle, app.bundles) = (None, [(cluster("eu-1"), bundle()), us].into());
            },
            (Ready, ""),
            (Progressing, "NotPublished"),
        ),
        (
            "a cluster without a value",
            |w| waits(w, "VariableUnset", Severity::Warning),
            (Ready, ""),
            (Waiting, "VariableUnset"),
        ),
        (
            "a cluster whose form is refused",
            |w| waits(w, "VariantRefused", Severity::Error),
            (Ready, ""),
            (Failed, "VariantRefused"),
        ),
        ("held by the hub", |w| decided(w).holds = vec![hub_hold()], (Ready, ""), (Held, "LastApp")),
        ("source unknown", |w| decided(w).apps.clear(), (Ready, ""), (Waiting, "SourceUnknown")),
    ]
};

/// App web waits on eu-1.
fn waits(world: &mut World, reason: &str, severity: Severity) {
    let note = note(severity, "RW3040", "variable `domain` has no value on the cluster");
    let wait = AppWait { reason: reason.into(), note, clusters: vec![cluster("eu-1")] };
    decided(world).apps.get_mut(&web()).unwrap().waits = vec![wait];
}

#[test]
fn it_is_said_which_cluster_waits_and_why() {
    let mut world = world(now());
    waits(&mut world, "VariableUnset", Severity::Warning);
    let overview = Overview::new(&world, now());
    let view = AppView::new(&overview, &web());
    let status = view.status(now());
    let wanted = "1 of 2 clusters: eu-1: web/rimward.yaml:5:3: variable `domain` has no value on the cluster";
    assert_eq!(status.message, wanted);
    let counts = view.clusters;
    assert_eq!((counts.total, counts.ready, counts.updated, counts.waiting), (2, 1, 1, 1));
    assert_eq!(view.on[&cluster("us-1")].state, State::Ready);
    // What cannot be seen is not said to wait.
    us_offline(&mut world, now());
    eu(&mut world).connected = false;
    assert_eq!(app_status(&world).state, State::Offline);
}

fn hub_hold() -> HubHold {
    HubHold {
        digest: Digest::of(b"hold"),
        reason: "LastApp".into(),
        apps: vec![web()],
        clusters: vec![cluster("eu-1")],
        message: "source payments/apps has no App left".into(),
    }
}

#[test]
fn one_thing_broken_at_a_time() {
    for (what, change, on_cluster, of_app) in CASES {
        let mut world = world(now());
        change(&mut world);
        let (cluster, app) = (cluster_status(&world), app_status(&world));
        assert_eq!((cluster.state, cluster.reason.as_str()), *on_cluster, "cluster: {what}: {cluster:?}");
        assert_eq!((app.state, app.reason.as_str()), *of_app, "app: {what}: {app:?}");
        for status in [cluster, app] {
            let ready = status.state == State::Ready;
            assert_eq!(status.message.is_empty(), ready, "{what}: {status:?}");
            assert!(ready || is_camel_case(&status.reason), "{what}: {status:?}");
        }
    }
}

#[test]
fn an_offline_cluster_keeps_its_last_counts_and_its_drift_is_unknown() {
    let mut world = world(now());
    us_offline(&mut world, now());
    let standing = Standing::of(&world);
    let view = |name: &str| ClusterView::new(&world, &cluster(name), now()).unwrap();
    let count = view("us-1").count();
    assert_eq!((count.ready, count.total), (1, 1));
    assert_eq!((standing.on(&view("eu-1")), standing.on(&view("us-1"))), (Some(0), None));
    let both = [cluster("eu-1"), cluster("us-1")];
    let overview = Overview::new(&world, now());
    assert_eq!(standing.of_app(&overview, &web(), &both), None);
    assert_eq!(standing.of_app(&overview, &web(), &both[..1]), Some(0));
    let app = AppView::new(&overview, &web());
    assert_eq!((app.clusters.ready, app.clusters.offline, app.clusters.total), (1, 1, 2));
    assert_eq!(app.status(now()).state, State::Offline);
    assert!(app.status(now()).message.contains("1 of 2 clusters: us-1"), "{:?}", app.status(now()));
    assert_eq!(app.status(now()).as_of, now() - seconds(840));
}

#[test]
fn what_was_reported_long_ago_is_not_of_now() {
    let mut world = world(now());
    let hour = now() - seconds(3600);
    eu(&mut world).reported = Some(hour);
    assert_eq!((cluster_status(&world).state, cluster_status(&world).as_of), (State::Ready, hour));
    assert_eq!(app_status(&world).as_of, hour);
    let view = ClusterView::new(&world, &cluster("eu-1"), now()).unwrap();
    assert_eq!(view.as_of(), hour, "a stream that is open makes no report younger");
    // What is said of the stream itself is as of when it was last heard.
    eu(&mut world).connected = false;
    assert_eq!(
        (cluster_status(&world).state, cluster_status(&world).as_of),
        (State::Offline, now() - seconds(2))
    );
}

#[test]
fn drift_stands_until_its_object_is_restored() {
    let mut world = world(now());
    let count =
        |world: &World| Standing::of(world).on(&ClusterView::new(world, &cluster("eu-1"), now()).unwrap());
    let mut standing = drift("1", now());
    standing.restored_millis = None;
    world.drift.push_back((cluster("eu-1"), standing));
    assert_eq!(count(&world), Some(1));
    world.drift.push_back((cluster("eu-1"), drift("2", now())));
    assert_eq!(count(&world), Some(0));
    // Of an App that is not published there any more, nothing stands.
    let mut other = drift("3", now());
    (other.restored_millis, other.app) = (None, "payments/gone".parse().unwrap());
    world.drift.push_back((cluster("eu-1"), other));
    assert_eq!(count(&world), Some(0));
}

#[test]
fn a_tombstone_shows_until_it_is_cleared() {
    let mut world = world(now());
    decided(&mut world).apps.clear();
    world.apps.clear();
    let deletion = Deletion { max_per_plan: 20, protect: vec![] };
    let removed = Removed { tenant: web().tenant, app: web().app, commit: COMMIT.into(), deletion };
    let plan = Plan { removed: vec![removed], ..Plan::default() };
    let digest = Digest::of(&plan.to_bytes());
    world.published = Some(Arc::new(publish(now(), plan, &["eu-1", "us-1"], vec![])));
    for known in world.clusters.values_mut() {
        known.plan = Some(digest);
    }
    assert_eq!(app_status(&world).reason, "Removing");
    assert_eq!(cluster_status(&world).reason, "Removing");
    for known in world.clusters.values_mut() {
        known.cleared = vec![web()];
    }
    assert_eq!(cluster_status(&world).state, State::Ready);
    assert!(status::app::ids(&Overview::new(&world, now())).is_empty());
}

#[test]
fn a_cluster_enrolled_before_its_document_is_told_what_to_commit() {
    let mut world = world(now());
    Arc::make_mut(world.policy.as_mut().unwrap()).clusters.remove(&cluster("eu-1"));
    world.published = None;
    let status = cluster_status(&world);
    assert_eq!((status.state, status.reason.as_str()), (State::Pending, "NoDocument"));
    assert!(status.message.contains("kind: Cluster, metadata: {name: eu-1}"), "{}", status.message);
}

#[test]
fn a_source_that_cannot_be_read_is_never_ready() {
    let status = |change: &dyn Fn(&mut rimward_hub::core::world::SourceStatus)| {
        let mut source = source(now(), COMMIT);
        change(&mut source);
        let status = status::source::status(&source, [], now());
        (status.state, status.reason)
    };
    let failed = || Some(note(Severity::Error, "RW2001", "connection refused"));
    assert_eq!(status(&|_| {}), (State::Ready, String::new()));
    assert_eq!(status(&|s| s.error = failed()), (State::Stale, "SourceFailed".into()));
    assert_eq!(
        status(&|s| (s.error, s.commit) = (failed(), String::new())),
        (State::Failed, "SourceFailed".into())
    );
    assert_eq!(status(&|s| s.commit.clear()), (State::Pending, "NotRead".into()));
    // What is said of the commit before is not said of this one.
    assert_eq!(
        status(&|s| (s.commit, s.notes) = ("newer".into(), vec![note(Severity::Error, "RW3004", "unknown")])),
        (State::Progressing, "NotPlanned".into())
    );
    assert_eq!(
        status(&|s| s.notes = vec![note(Severity::Error, "RW3004", "unknown field")]),
        (State::Failed, "BadFile".into())
    );
    assert_eq!(status(&|s| s.notes = vec![note(Severity::Warning, "RW3009", "near miss")]).0, State::Ready);
}

#[test]
fn a_tenant_shows_the_worst_of_its_parts() {
    let mut world = world(now());
    let summary = |world: &World| {
        let overview = Overview::new(world, now());
        tenant::summary(&overview, &status::app::ids(&overview), &web().tenant)
    };
    let well = summary(&world);
    assert_eq!(
        (well.status.state, well.sources, well.apps, well.ready, well.clusters),
        (State::Ready, 1, 1, 1, 2)
    );
    world.sources.get_mut(&apps_source()).unwrap().error = Some(note(Severity::Error, "RW2001", "gone"));
    us_offline(&mut world, now());
    let status = summary(&world).status;
    assert_eq!((status.state, status.reason.as_str()), (State::Offline, "NoStream"));
    // A tenant whose document is gone but whose Apps still run is still listed.
    Arc::make_mut(world.policy.as_mut().unwrap()).tenants.clear();
    assert_eq!(tenant::names(&world, &status::app::ids(&Overview::new(&world, now()))).len(), 1);
    assert!(!world.sources.is_empty() && world.sources.contains_key(&SourceId::Fleet));
}

#[test]
fn a_listing_costs_what_its_apps_run_on() {
    let mut world = world(now());
    let (known, of_one) = (eu(&mut world).clone(), world.decided.apps[&web()].clone());
    for n in 0..1_000 {
        let name = cluster(&format!("c-{n:04}"));
        world.clusters.insert(name.clone(), known.clone());
        let mut decision = of_one.clone();
        decision.clusters = vec![name];
        decided(&mut world).apps.insert(format!("payments/a-{n:04}").parse().unwrap(), decision);
    }
    let overview = Overview::new(&world, now());
    let ids = status::app::ids(&overview);
    assert_eq!(ids.len(), 1_001);
    let on: usize = ids.iter().map(|id| AppView::new(&overview, id).on.len()).sum();
    assert_eq!((on, overview.looked()), (1_002, 1_002), "not each App on each cluster");
}
