//! A plan that says too much, as no planning makes it, and what is published
//! all the same.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, Plan, Takeover};
use rimward_proto::{AppId, ClusterName, ClusterUid, ObjectKey};

use super::*;
use crate::config::HubConfig;
use crate::core::files::load_fleet;
use crate::core::model::SourceTree;
use crate::core::plan::{Origin, PlanOutput};
use crate::core::world::{AppDecision, Published};
use crate::datadir::DataDir;
use crate::source::Mirrors;
use crate::tasks::memory::{Loaded, Memory};
use crate::tasks::publish::publish;

const FLEET: &str = "
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: payments}
spec: {sources: [], clusters: {}, namespaces: [payments]}
---
{apiVersion: rimward.dev/v1alpha1, kind: Cluster, metadata: {name: eu-1}}
---
{apiVersion: rimward.dev/v1alpha1, kind: Cluster, metadata: {name: us-1}}
";

struct Rig {
    _home: tempfile::TempDir,
    _data: DataDir,
    planner: Planner,
    content: BTreeMap<Digest, Arc<[u8]>>,
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

fn id(app: &str) -> AppId {
    format!("payments/{app}").parse().unwrap()
}

fn source() -> SourceId {
    SourceId::try_from("payments/apps".to_owned()).unwrap()
}

impl Rig {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let text = format!(
            "apiVersion: rimward.dev/v1alpha1\nkind: HubConfig\ntrustDomain: acme.example\naddress: localhost:8443\n\
             dataDir: {}\nfleet: {{git: {{url: 'http://127.0.0.1:1/x'}}}}\n",
            data.display()
        );
        let config = HubConfig::parse(&text, "hub.yaml").unwrap();
        crate::init::init(&config, &data, &home.path().join("root.pem"), Timestamp::now()).unwrap();
        let data = DataDir::open(&data).unwrap();
        let state = Arc::new(crate::run::open(&config, &data).map_err(|failure| failure.message).unwrap());
        let mirrors = Arc::new(Mirrors::new(data.folder("git").unwrap(), home.path().to_owned()));
        let loaded = Arc::new(Mutex::new(Loaded::default()));
        let planner = Planner::new(state, mirrors, loaded, Memory::default());
        Self { _home: home, _data: data, planner, content: BTreeMap::new() }
    }

    /// An entry with one ConfigMap.
    fn entry(&mut self, app: &str, namespace: &str, name: &str) -> PlanBundle {
        let key = ObjectKey::new("", "ConfigMap", namespace, name);
        let object: Arc<[u8]> = name.as_bytes().into();
        let sha256 = Digest::of(&object);
        let bytes = object.len() as u64;
        let entry = IndexEntry { key, version: "v1".to_owned(), sha256, bytes };
        let index = BundleIndex::new(vec![entry]).unwrap().to_bytes().unwrap();
        let digest = Digest::of(&index);
        self.content.extend([(digest, index.into()), (sha256, object)]);
        PlanBundle {
            tenant: id(app).tenant,
            app: id(app).app,
            digest,
            bytes,
            objects: 1,
            commit: "c".to_owned(),
            role: Some("edit".to_owned()),
            service_account: "rimward-tenants/payments".to_owned(),
            namespaces: vec!["payments".to_owned()],
            allow: vec![],
            deny: vec![],
            depends_on: vec![],
            drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
            takeover: Takeover::Refuse,
            health: Health { timeout_seconds: 300, cel: vec![] },
            deletion: Deletion { max_per_plan: 20, protect: vec![] },
            formerly: vec![],
        }
    }

    /// Publishes what a planning might have said.
    fn publish(&mut self, of: &[(&str, &[&PlanBundle])]) {
        let files = [("fleet.yaml".to_owned(), FLEET.as_bytes().into())].into();
        let policy = load_fleet(&SourceTree { files, ..SourceTree::default() }, &BTreeMap::new()).policy;
        let mut output = PlanOutput { content: self.content.clone(), ..PlanOutput::default() };
        for (name, bundles) in of {
            let bundles: Vec<PlanBundle> = bundles.iter().map(|bundle| (*bundle).clone()).collect();
            for bundle in &bundles {
                let origin = Origin { source: source(), path: "rimward.yaml".to_owned() };
                output.origins.insert(bundle.id(), origin);
                let decision = AppDecision {
                    source: source(),
                    commit: "c".to_owned(),
                    path: String::new(),
                    clusters: vec![],
                    bundle: Some(bundle.digest),
                    bundles: BTreeMap::new(),
                    waits: vec![],
                    blocked: None,
                };
                output.decided.apps.insert(bundle.id(), decision);
            }
            output.plans.insert(cluster(name), Arc::new(Plan { bundles, ..Plan::default() }));
        }
        let enrolled = ["eu-1", "us-1"].map(|name| (cluster(name), ClusterUid::new("uid").unwrap())).into();
        let approvals = BTreeMap::new();
        let loaded = Loaded::default();
        let planned = Planned { loaded, policy: Arc::new(policy), enrolled, approvals, output };
        publish(&mut self.planner, planned).unwrap();
    }

    fn published(&self) -> Arc<Published> {
        self.planner.state.published.borrow().clone().expect("something is published")
    }

    /// The digests that a cluster is to run.
    fn on(&self, name: &str) -> Option<Vec<Digest>> {
        let published = self.published();
        Some(published.plan(&cluster(name))?.bundles.iter().map(|bundle| bundle.digest).collect())
    }

    fn notes(&self) -> Vec<String> {
        let decided = self.planner.state.look(|world| world.decided.clone());
        decided.notes.iter().map(|(of, note)| format!("{of} {} {}", note.code, note.message)).collect()
    }
}

#[test]
fn what_says_too_much_is_held_and_the_others_get_theirs() {
    let mut rig = Rig::new();
    let (web, db) = (rig.entry("web", "payments", "one"), rig.entry("db", "payments", "db"));
    rig.publish(&[("eu-1", &[&web]), ("us-1", &[&db, &web])]);
    assert_eq!(rig.notes(), [] as [String; 0]);
    let (good, bad) = (rig.entry("db", "payments", "two"), rig.entry("web", "kube-system", "two"));
    rig.publish(&[("eu-1", &[&bad]), ("us-1", &[&good])]);
    assert_eq!(rig.on("eu-1"), Some(vec![web.digest]), "it keeps what it has");
    assert_eq!(rig.on("us-1"), Some(vec![good.digest]), "the head goes out without it");
    let why = "the plan for eu-1 is not signed: payments/web: ConfigMap/kube-system/two: the namespace is not the tenant's";
    assert_eq!(rig.notes(), [format!("payments/apps RW4022 {why}")]);
    let blocked = rig.planner.state.look(|world| world.decided.apps[&id("web")].blocked.clone());
    assert_eq!(blocked.unwrap().message, why);
    let seq = rig.published().head.seq;
    rig.publish(&[("eu-1", &[&bad]), ("us-1", &[&good])]);
    assert_eq!(rig.published().head.seq, seq, "and the same again says nothing new");
    assert_eq!(rig.notes().len(), 1);
    let mended = rig.entry("web", "payments", "two");
    rig.publish(&[("eu-1", &[&mended]), ("us-1", &[&good])]);
    assert_eq!((rig.on("eu-1"), rig.notes().len()), (Some(vec![mended.digest]), 0));
}

#[test]
fn a_cluster_that_has_nothing_yet_gets_nothing() {
    let mut rig = Rig::new();
    let (web, bad) = (rig.entry("web", "payments", "one"), rig.entry("db", "other", "two"));
    rig.publish(&[("eu-1", &[&web]), ("us-1", &[&bad])]);
    assert_eq!((rig.on("eu-1"), rig.on("us-1")), (Some(vec![web.digest]), None));
    assert_eq!(rig.notes().len(), 1);
}

/// A plan that is not signed may be one that a removed App is missing from: it is still there, and so is where it was.
#[test]
fn where_apps_are_is_not_forgotten() {
    let mut rig = Rig::new();
    let (web, db) = (rig.entry("web", "payments", "one"), rig.entry("db", "payments", "db"));
    rig.publish(&[("eu-1", &[&db, &web])]);
    let bad = rig.entry("web", "other", "two");
    rig.publish(&[("eu-1", &[&bad])]);
    assert_eq!(rig.on("eu-1"), Some(vec![db.digest, web.digest]));
    let known: Vec<_> = rig.planner.memory.origins.keys().cloned().collect();
    assert_eq!(known, [id("db"), id("web")]);
}
