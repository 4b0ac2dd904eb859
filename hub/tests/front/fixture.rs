//! A small fleet: clusters eu-1 and us-1, tenant payments with one source and
//! the App web on both, published, applied and reported. Tests break one thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rimward_hub::core::model::{
    App, Ceiling, Cluster, Defaults, DeletionPolicy, Fleet, GitRef, GitSpec, Limits, Options, Policy,
    Selector, SourceId, SourceSpec, Tenant,
};
use rimward_hub::core::note::{Note, Position, Severity};
use rimward_hub::core::world::{AppDecision, ClusterStatus, Decided, Event, Published, SourceStatus, World};
use rimward_proto::envelope::{Role, SecretKey};
use rimward_proto::head::{Assignment, Head, TreeId};
use rimward_proto::merkle::{Tree, leaf_hash};
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, Plan, PlanBundle, Takeover};
use rimward_proto::report::{
    AppReport, DriftAction, DriftReport, DriftType, EventReport, FieldDrift, HeldObject, HoldReport,
    ObjectReport, State, hold_digest,
};
use rimward_proto::root::Root;
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest, ObjectKey};

pub const COMMIT: &str = "9f2c1ab0000000000000000000000000000000aa";

pub fn cluster(name: &str) -> ClusterName {
    name.parse().unwrap()
}

pub fn web() -> AppId {
    "payments/web".parse().unwrap()
}

pub fn apps_source() -> SourceId {
    SourceId::try_from("payments/apps".to_owned()).unwrap()
}

pub fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub fn bundle() -> Digest {
    Digest::of(b"bundle of web")
}

pub fn at(file: &str, line: u32) -> Position {
    Position { file: file.into(), line, column: 3 }
}

pub fn note(severity: Severity, code: &str, message: &str) -> Note {
    Note {
        severity,
        code: code.into(),
        at: at("web/rimward.yaml", 5),
        message: message.into(),
        help: String::new(),
    }
}

pub fn plan_bundle(id: &AppId, digest: Digest) -> PlanBundle {
    PlanBundle {
        tenant: id.tenant.clone(),
        app: id.app.clone(),
        digest,
        bytes: 100,
        objects: 2,
        commit: COMMIT.into(),
        service_account: "rimward-tenants/payments".into(),
        namespaces: vec!["payments".into()],
        allow: vec![],
        deny: vec![],
        role: Some("edit".into()),
        depends_on: vec![],
        drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
        takeover: Takeover::Refuse,
        health: Health { timeout_seconds: 300, cel: vec![] },
        deletion: Deletion { max_per_plan: 20, protect: vec![] },
        formerly: vec![],
    }
}

/// A signed publication of one plan for these clusters, sorted.
pub fn publish(now: Timestamp, plan: Plan, clusters: &[&str], deletes: Vec<Digest>) -> Published {
    let key = SecretKey::from_seed(&[7; 32]).unwrap();
    let digest = Digest::of(&plan.to_bytes());
    let assignment = |name: &str| Assignment {
        cluster: cluster(name),
        cluster_uid: uid(name),
        plan: digest,
        deletes: deletes.clone(),
    };
    let assignments: BTreeMap<_, _> = clusters
        .iter()
        .enumerate()
        .map(|(index, name)| (cluster(name), (index as u64, assignment(name))))
        .collect();
    let tree = Tree::new(assignments.values().map(|(_, a)| leaf_hash(&a.to_bytes())).collect());
    let root = Root {
        version: 1,
        trust_domain: "acme.example".parse().unwrap(),
        epoch: 1,
        expires: now + seconds(1_000_000),
        root_keys: Role::new([key.public()], 1),
        head_keys: Role::new([key.public()], 1),
        ca_bundle: String::new(),
        critical: vec![],
    };
    let head = Head {
        trust_domain: root.trust_domain.clone(),
        epoch: 1,
        seq: 41,
        root_version: 1,
        tree: TreeId { size: tree.size(), hash: tree.hash() },
        issued: now - seconds(60),
        expires: now + seconds(840),
        critical: vec![],
    };
    let envelope = head.sign(&key).to_bytes();
    let roots = Arc::new(vec![root.sign(&[&key]).to_bytes()]);
    Published { head, envelope, roots, assignments, tree, plans: BTreeMap::from([(digest, Arc::new(plan))]) }
}

pub fn uid(name: &str) -> ClusterUid {
    ClusterUid::new(format!("uid-of-{name}")).unwrap()
}

pub fn report(state: State, reason: &str, message: &str) -> AppReport {
    AppReport {
        id: web(),
        bundle: Some(bundle()),
        state,
        reason: reason.into(),
        message: message.into(),
        objects: 2,
        ready: if state == State::Ready { 2 } else { 1 },
        exceptions: vec![],
        taken: vec![],
    }
}

fn known(name: &str, now: Timestamp, plan: Digest) -> ClusterStatus {
    ClusterStatus {
        uid: Some(uid(name)),
        certificate_expires: Some(now + seconds(5 * 86_400 + 60)),
        connected: true,
        last_seen: Some(now - seconds(2)),
        spoke_version: "0.1.0".into(),
        kubernetes_version: "v1.37.2".into(),
        plan: Some(plan),
        held: Some((1, 41)),
        held_plan: Some(plan),
        applied_plan: Some(plan),
        reported: Some(now - seconds(10)),
        apps: BTreeMap::from([(web(), (report(State::Ready, "", ""), now - seconds(100)))]),
        ..ClusterStatus::default()
    }
}

fn policy() -> Policy {
    let cluster_document = |name: &str, env: &str| Cluster {
        name: cluster(name),
        labels: BTreeMap::from([("env".into(), env.into())]),
        variables: BTreeMap::new(),
        at: at("fleet.yaml", 1),
    };
    let git = GitSpec {
        url: "https://git.acme.example/payments/apps.git".into(),
        reference: GitRef::Branch("main".into()),
        path: ".".into(),
        credentials: None,
    };
    let source =
        SourceSpec { git, interval_seconds: 60, clusters: Selector::default(), at: at("fleet.yaml", 20) };
    let tenant = Tenant {
        name: web().tenant,
        sources: BTreeMap::from([("apps".into(), source)]),
        clusters: Selector::default(),
        clusters_at: at("fleet.yaml", 13),
        namespaces: vec!["payments".into()],
        role: "edit".into(),
        service_account: None,
        allow: vec![],
        deny: vec![],
        limits: Limits {
            drift: Ceiling { allowed: vec![DriftMode::Revert], at: at("fleet.yaml", 10) },
            takeover: Ceiling { allowed: vec![Takeover::Refuse], at: at("fleet.yaml", 10) },
            deletion: DeletionPolicy::default(),
        },
        quota: None,
        at: at("fleet.yaml", 10),
    };
    Policy {
        commit: "f1ee7000000000000000000000000000000000bb".into(),
        fleet: Fleet {
            name: "acme".into(),
            deletion: DeletionPolicy::default(),
            defaults: Defaults {
                drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
                takeover: Takeover::Refuse,
                health: Health { timeout_seconds: 300, cel: vec![] },
            },
        },
        clusters: [("eu-1", "prod"), ("us-1", "dev")]
            .map(|(n, e)| (cluster(n), cluster_document(n, e)))
            .into(),
        tenants: BTreeMap::from([(tenant.name.clone(), tenant)]),
        guardrails: BTreeMap::new(),
    }
}

pub fn source(now: Timestamp, commit: &str) -> SourceStatus {
    SourceStatus {
        url: "https://git.acme.example/payments/apps.git".into(),
        reference: "branch main".into(),
        commit: commit.into(),
        planned: commit.into(),
        fetched: Some(now - seconds(20)),
        ..SourceStatus::default()
    }
}

/// The fleet, all of it Ready.
pub fn world(now: Timestamp) -> World {
    let plan = Plan { bundles: vec![plan_bundle(&web(), bundle())], ..Plan::default() };
    let digest = Digest::of(&plan.to_bytes());
    let app = App {
        id: web(),
        source: apps_source(),
        root: "web".into(),
        path: "web".into(),
        namespace: None,
        clusters: Selector::default(),
        clusters_at: at("web/rimward.yaml", 6),
        changes: Default::default(),
        options: Options::default(),
        at: at("web/rimward.yaml", 1),
    };
    let decision = AppDecision {
        source: apps_source(),
        commit: COMMIT.into(),
        path: "web".into(),
        clusters: vec![cluster("eu-1"), cluster("us-1")],
        bundle: Some(bundle()),
        bundles: BTreeMap::new(),
        waits: Vec::new(),
        blocked: None,
    };
    World {
        policy: Some(Arc::new(policy())),
        apps: BTreeMap::from([(web(), Arc::new(app))]),
        sources: BTreeMap::from([
            (SourceId::Fleet, source(now, "f1ee7000000000000000000000000000000000bb")),
            (apps_source(), source(now, COMMIT)),
        ]),
        decided: Arc::new(Decided { apps: BTreeMap::from([(web(), decision)]), ..Decided::default() }),
        published: Some(Arc::new(publish(now, plan, &["eu-1", "us-1"], vec![]))),
        clusters: ["eu-1", "us-1"].map(|name| (cluster(name), known(name, now, digest))).into(),
        planned: Some(now - seconds(60)),
        ..World::default()
    }
}

/// us-1 without a stream for 14 minutes.
pub fn us_offline(world: &mut World, now: Timestamp) {
    let us = world.clusters.get_mut(&cluster("us-1")).unwrap();
    us.connected = false;
    us.held = Some((1, 40));
    us.last_seen = Some(now - seconds(840));
    us.reported = us.last_seen;
}

pub fn key(kind: &str, name: &str) -> ObjectKey {
    let group = if kind == "Deployment" { "apps" } else { "" };
    ObjectKey::new(group, kind, "payments", name)
}

/// An object that is not as it should be.
pub fn problem(kind: &str, name: &str, reason: &str, message: &str) -> ObjectReport {
    ObjectReport {
        key: key(kind, name),
        reason: reason.into(),
        message: message.into(),
        managers: vec![],
        fields: vec![],
        listed: None,
    }
}

/// An object that is there and not ours, and what taking it over would change.
pub fn foreign(kind: &str, name: &str, fields: &[(&str, &str, &str)]) -> ObjectReport {
    let field = |(path, wanted, found): &(&str, &str, &str)| FieldDrift {
        path: (*path).into(),
        wanted: (*wanted).into(),
        found: (*found).into(),
        redacted: false,
    };
    ObjectReport {
        managers: vec!["helm".into(), "kubectl-client-side-apply".into()],
        fields: fields.iter().map(field).collect(),
        ..problem(kind, name, "Foreign", "it is there, and not ours")
    }
}

/// Says something of web on a cluster.
pub fn say(world: &mut World, on: &str, report: AppReport) {
    world.clusters.get_mut(&cluster(on)).unwrap().apps.get_mut(&web()).unwrap().0 = report;
}

pub fn drift(id: &str, now: Timestamp) -> DriftReport {
    DriftReport {
        id: id.into(),
        app: web(),
        key: key("Deployment", "web"),
        version: "v1".into(),
        kind: DriftType::Changed,
        detected: now - seconds(1),
        manager: "kubectl-scale".into(),
        action: DriftAction::Reverted,
        restored_millis: Some(40),
        approximate: false,
        fields: vec![FieldDrift {
            path: "/spec/replicas".into(),
            wanted: "3".into(),
            found: "5".into(),
            redacted: false,
        }],
    }
}

pub fn event(id: &str, kind: &str, now: Timestamp) -> Event {
    let what = EventReport {
        id: id.into(),
        time: now,
        kind: kind.into(),
        message: "it happened".into(),
        app: Some(web()),
        key: Some(key("ConfigMap", "web")),
    };
    Event { time: now, cluster: Some(cluster("eu-1")), what, actor: String::new() }
}

/// A hold of eu-1 over one volume claim.
pub fn hold() -> HoldReport {
    let objects = vec![HeldObject { key: key("PersistentVolumeClaim", "data"), uid: "1b9d6bcd".into() }];
    HoldReport { digest: hold_digest(&objects), id: web(), reason: "Protected".into(), objects }
}
