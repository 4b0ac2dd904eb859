//! What is lost makes nothing else go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use jiff::Timestamp;
use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::head::TreeId;
use rimward_proto::merkle::Tree;
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, PlanBundle, Takeover};
use rimward_proto::{ClusterName, ClusterUid, ObjectKey};

use super::*;
use crate::config::HubConfig;
use crate::datadir::DataDir;
use crate::source::Mirrors;
use crate::store::content::Content;
use crate::store::records::encode;
use crate::tasks::memory::{Loaded, Memory};

struct Rig {
    home: tempfile::TempDir,
    _data: DataDir,
    planner: Planner,
    plan: Plan,
    index: Vec<u8>,
    assignments: Vec<u8>,
}

const OBJECT: &[u8] = b"object";
const UNUSED: &[u8] = b"unused";

impl Rig {
    /// One publication of one plan of one object, and something that nothing reaches, all of it old.
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
        let (plan, index) = plan();
        let cluster = ClusterName::new("eu-1").unwrap();
        let cluster_uid = ClusterUid::new("uid").unwrap();
        let digest = Digest::of(&plan.to_bytes());
        let assignments = encode(&vec![Assignment { cluster, cluster_uid, plan: digest, deletes: vec![] }]);
        // Long ago, each in a file of its own, so that one can be hurt and the others not.
        let folder = data.folder("content").unwrap();
        let content = Content::open(folder.clone()).unwrap();
        for bytes in [OBJECT, UNUSED, &index, &assignments, &plan.to_bytes()] {
            content.put(&BTreeMap::from([(Digest::of(bytes), bytes)])).unwrap();
            let old = SystemTime::now() - 2 * AGE;
            File::open(folder.join(file_of(bytes))).unwrap().set_modified(old).unwrap();
        }
        let state = Arc::new(crate::run::open(&config, &data).map_err(|failure| failure.message).unwrap());
        let mirrors = Arc::new(Mirrors::new(data.folder("git").unwrap(), home.path().to_owned()));
        let tree = Tree::new(vec![]);
        let record = Publication {
            epoch: 1,
            seq: 0,
            tree: TreeId { size: 0, hash: tree.hash() },
            assignments: Digest::of(&assignments),
            made: Timestamp::now(),
        };
        state.store.write(&records::publication(0), &record).unwrap();
        let loaded = Arc::new(Mutex::new(Loaded::default()));
        let planner = Planner::new(state, mirrors, loaded, Memory::default());
        Self { home, _data: data, planner, plan, index, assignments }
    }

    fn path(&self, bytes: &[u8]) -> PathBuf {
        self.home.path().join("data").join("content").join(file_of(bytes))
    }

    fn get(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.planner.state.content.get(&Digest::of(bytes)).unwrap()
    }

    /// Collects; returns what is left of object and unused, and why it failed.
    fn collect(&mut self) -> (bool, bool, Option<String>) {
        collect(&mut self.planner);
        let there = |bytes| self.get(bytes).is_some();
        let trouble = self.planner.state.look(|world| world.troubles.get(&Task::Collection).cloned());
        (there(OBJECT), there(UNUSED), trouble.map(|trouble| trouble.message))
    }
}

/// The file of content that was stored alone.
fn file_of(bytes: &[u8]) -> String {
    let header = rimward_content::batch::header(&[(Digest::of(bytes), bytes)]);
    format!("{}.batch", Digest::of(&header).hex())
}

/// The same bytes but one.
fn hurt(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn plan() -> (Plan, Vec<u8>) {
    let key = ObjectKey::new("", "ConfigMap", "a", "x");
    let entry = IndexEntry { key, version: "v1".into(), sha256: Digest::of(OBJECT), bytes: 6 };
    let index = BundleIndex::new(vec![entry]).unwrap().to_bytes().unwrap();
    let bundle = PlanBundle {
        tenant: "t".parse().unwrap(),
        app: "a".parse().unwrap(),
        digest: Digest::of(&index),
        bytes: 6,
        objects: 1,
        commit: "c".into(),
        service_account: "rimward-tenants/t".into(),
        namespaces: vec!["a".into()],
        allow: vec![],
        deny: vec![],
        role: Some("edit".into()),
        depends_on: vec![],
        drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
        takeover: Takeover::Refuse,
        health: Health { timeout_seconds: 300, cel: vec![] },
        deletion: Deletion { max_per_plan: 20, protect: vec![] },
        formerly: vec![],
    };
    (Plan { bundles: vec![bundle], ..Plan::default() }, index)
}

#[test]
fn what_is_reached_stays_and_the_rest_goes() {
    assert_eq!(Rig::new().collect(), (true, false, None));
}

#[test]
fn a_document_that_is_gone_or_damaged_makes_nothing_go() {
    for lost in ["assignments", "plan", "index"] {
        for damage in [false, true] {
            let mut rig = Rig::new();
            let bytes = match lost {
                "assignments" => rig.assignments.clone(),
                "plan" => rig.plan.to_bytes(),
                _ => rig.index.clone(),
            };
            let path = rig.path(&bytes);
            if damage {
                hurt(&path);
            } else {
                fs::remove_file(&path).unwrap()
            }
            for _ in 0..2 {
                let (object, unused, why) = rig.collect();
                assert!(object && unused, "{lost} {damage}");
                assert!(why.unwrap().contains(&Digest::of(&bytes).to_string()), "{lost} {damage}");
            }
            rig.planner.state.content.put(&BTreeMap::from([(Digest::of(&bytes), &bytes)])).unwrap();
            assert_eq!(rig.collect(), (true, false, None), "{lost} {damage}");
        }
    }
}

#[test]
fn what_memory_knows_is_written_again() {
    let mut rig = Rig::new();
    let digest = Digest::of(&rig.plan.to_bytes());
    let (plan, cluster) = (Arc::new(rig.plan.clone()), ClusterName::new("eu-1").unwrap());
    rig.planner.memory.plans.insert(cluster, plan);
    let index = BundleIndex::parse(&rig.index).unwrap();
    rig.planner.memory.indexes.insert(Digest::of(&rig.index), Arc::new(index));
    let bytes = rig.plan.to_bytes();
    hurt(&rig.path(&bytes));
    fs::remove_file(rig.path(&rig.index)).unwrap();
    assert_eq!(rig.collect(), (true, false, None));
    assert_eq!(rig.get(&bytes).as_ref(), Some(&bytes));
    assert_eq!(rig.get(&rig.index).as_ref(), Some(&rig.index));
    // Between collections, what somebody missed is written again by the next planning.
    fs::remove_file(rig.path(&bytes)).unwrap();
    assert_eq!(rig.get(&bytes), None);
    rig.planner.state.content.lose(&digest);
    heal::heal(&mut rig.planner).unwrap();
    assert_eq!(rig.get(&bytes), Some(bytes));
}
