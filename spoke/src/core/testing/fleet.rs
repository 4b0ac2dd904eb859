//! The hub's side: keys, roots, heads, plans and the content they name.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::envelope::{Role, SecretKey};
use rimward_proto::head::{Assignment, Head, TreeId};
use rimward_proto::merkle::{Tree, leaf_hash};
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, Plan, PlanBundle, Removed, Takeover};
use rimward_proto::root::Root;
use rimward_proto::session::{Content, Offer};
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest, ObjectKey, TrustDomain, canonical};
use serde_json::{Value, json};

use crate::core::event::{Following, StoredTrust};
use crate::core::{Discovery, Settings, Started};

/// The key of this number.
pub fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

/// One App as a test writes it.
#[derive(Debug, Clone)]
pub struct App {
    pub id: AppId,
    pub objects: Vec<Value>,
    pub max_per_plan: u64,
    pub protect: Vec<String>,
    pub allow: Vec<String>,
    pub health: Health,
}

/// An App with objects.
pub fn app(id: &str, objects: Vec<Value>) -> App {
    let health = Health { timeout_seconds: 300, cel: vec![] };
    App { id: id.parse().unwrap(), objects, max_per_plan: 20, protect: vec![], allow: vec![], health }
}

/// A ConfigMap of the tenant's namespace with one value.
pub fn config(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace}, "data": {"value": value}})
}

/// The key of an object.
pub fn key_of(object: &Value) -> ObjectKey {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = text("/apiVersion").split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    ObjectKey::new(group, text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// The key of a ConfigMap.
pub fn config_key(namespace: &str, name: &str) -> ObjectKey {
    key_of(&config(namespace, name, ""))
}

/// The hub.
pub struct Fleet {
    pub domain: TrustDomain,
    pub root_key: SecretKey,
    pub head_key: SecretKey,
    pub root: Root,
    pub cluster: ClusterName,
    pub uid: ClusterUid,
    pub epoch: u64,
    pub seq: u64,
    pub deletes: Vec<Digest>,
    pub content: BTreeMap<Digest, Vec<u8>>,
    pub following: Following,
    /// For tests that compare.
    pub last_plan: Plan,
}

impl Fleet {
    pub fn new() -> Self {
        let (root_key, head_key) = (secret(1), secret(2));
        let domain = TrustDomain::new("acme.example").unwrap();
        let root = Root {
            version: 1,
            trust_domain: domain.clone(),
            epoch: 1,
            expires: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 3650),
            root_keys: Role::new([root_key.public()], 1),
            head_keys: Role::new([head_key.public()], 1),
            ca_bundle: "CA".into(),
            critical: vec![],
        };
        Self {
            domain,
            root_key,
            head_key,
            root,
            cluster: ClusterName::new("eu-1").unwrap(),
            uid: ClusterUid::new("0000-1111").unwrap(),
            epoch: 1,
            seq: 0,
            deletes: vec![],
            content: BTreeMap::new(),
            following: Following::default(),
            last_plan: Plan::default(),
        }
    }

    pub fn root_bytes(&self) -> Vec<u8> {
        self.root.sign(&[&self.root_key]).to_bytes()
    }

    pub fn enrolled(&self) -> StoredTrust {
        StoredTrust { root: self.root_bytes(), floor: None, head: None }
    }

    /// A plan of these Apps; its content becomes fetchable.
    pub fn plan(&mut self, apps: &[App], removed: &[&str]) -> Plan {
        let mut bundles: Vec<PlanBundle> = apps.iter().map(|app| self.bundle(app)).collect();
        bundles.sort_by_key(PlanBundle::id);
        let mut removed: Vec<Removed> = removed.iter().map(|id| tombstone(id, 20)).collect();
        removed.sort_by_key(Removed::id);
        Plan { bundles, removed, critical: vec![] }
    }

    pub fn bundle(&mut self, app: &App) -> PlanBundle {
        let entries = app.objects.iter().map(|object| {
            let bytes = canonical::value_to_bytes(object);
            let (sha256, length) = (Digest::of(&bytes), bytes.len() as u64);
            self.content.insert(sha256, bytes);
            let version = object["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            IndexEntry { key: key_of(object), version, sha256, bytes: length }
        });
        let index = BundleIndex::new(entries.collect()).unwrap();
        let bytes = index.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        self.content.insert(digest, bytes);
        let tenant = app.id.tenant.clone();
        PlanBundle {
            service_account: format!("rimward-tenants/{tenant}"),
            namespaces: vec![tenant.to_string(), format!("{tenant}-*")],
            tenant,
            app: app.id.app.clone(),
            digest,
            bytes: index.total_bytes(),
            objects: index.entries().len() as u64,
            commit: "c0ffee".into(),
            allow: app.allow.clone(),
            deny: vec![],
            role: Some("edit".into()),
            depends_on: vec![],
            drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
            takeover: Takeover::Refuse,
            health: app.health.clone(),
            deletion: Deletion { max_per_plan: app.max_per_plan, protect: app.protect.clone() },
            formerly: vec![],
        }
    }

    /// A new publication of `plan`, issued at `now`.
    pub fn publish(&mut self, plan: &Plan, now: Timestamp) -> Offer {
        self.seq += 1;
        self.offer(plan, self.seq, now)
    }

    /// The publication of `plan` at `seq`.
    pub fn offer(&self, plan: &Plan, seq: u64, now: Timestamp) -> Offer {
        self.offer_of(&self.assignment(plan), Some(plan.to_bytes()), seq, now)
    }

    /// The assignment of `plan` to the cluster.
    pub fn assignment(&self, plan: &Plan) -> Assignment {
        Assignment {
            cluster: self.cluster.clone(),
            cluster_uid: self.uid.clone(),
            plan: Digest::of(&plan.to_bytes()),
            deletes: self.deletes.clone(),
        }
    }

    /// An offer of an assignment, next to another cluster's.
    pub fn offer_of(
        &self,
        assignment: &Assignment,
        plan: Option<Vec<u8>>,
        seq: u64,
        now: Timestamp,
    ) -> Offer {
        let leaf = assignment.to_bytes();
        let tree = Tree::new(vec![leaf_hash(&leaf), leaf_hash(b"another cluster's")]);
        let head = self.head(TreeId { size: 2, hash: tree.hash() }, seq, now);
        Offer {
            roots: vec![],
            head: head.sign(&self.head_key).to_bytes(),
            assignment: leaf,
            proof: tree.prove(0).unwrap(),
            plan,
            inline: vec![],
        }
    }

    pub fn head(&self, tree: TreeId, seq: u64, now: Timestamp) -> Head {
        Head {
            trust_domain: self.domain.clone(),
            epoch: self.epoch,
            seq,
            root_version: self.root.version,
            tree,
            issued: now,
            expires: now + SignedDuration::from_mins(15),
            critical: vec![],
        }
    }

    /// All content a plan names, to send along.
    pub fn inline(&self) -> Vec<Content> {
        self.content.iter().map(|(digest, bytes)| Content { digest: *digest, bytes: bytes.clone() }).collect()
    }

    /// What a spoke that has nothing but its trust starts with.
    pub fn started(
        &self,
        boot: u32,
        settings: &Settings,
        discovery: &Discovery,
        trust: StoredTrust,
    ) -> Started {
        Started {
            boot_id: format!("boot{boot}"),
            cluster: self.cluster.clone(),
            cluster_uid: self.uid.clone(),
            trust_domain: self.domain.clone(),
            trust,
            ledger: None,
            plan: None,
            baselines: vec![],
            discovery: Some(discovery.clone()),
            settings: settings.clone(),
            following: self.following,
        }
    }
}

/// A tombstone.
pub fn tombstone(id: &str, max_per_plan: u64) -> Removed {
    let id: AppId = id.parse().unwrap();
    let deletion = Deletion { max_per_plan, protect: vec![] };
    Removed { tenant: id.tenant, app: id.app, commit: "dead".into(), deletion }
}
