//! What the core wants done. An effect carries an id and completes with exactly
//! one event of that id, whatever happens to it; the few that carry none are
//! told to somebody and forgotten. Effects are values: the edge adds no
//! decision to them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rimward_proto::session::{Content, SpokeMessage};
use rimward_proto::{AppId, Digest, ObjectKey, TenantName};
use serde_json::Value;

use super::event::{Baseline, StoredPlan, StoredTrust};
use super::health::Judge;
use super::ledger::Ledger;

/// Names one effect in flight. Never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the hub, if a stream is open; else drop it, the core says it again after [`super::Event::Connected`].
    Send(SpokeMessage),
    /// Deliver [`super::Event::Tick`] at this time. Replaces the wake-up asked for before.
    WakeAt(Timestamp),
    /// Exactly these watches shall run; the edge starts what is missing and stops the rest. Each watch reports
    /// [`super::Event::WatchSynced`] once listed (again after each relist), then upserts and deletions, or
    /// [`super::Event::WatchFailed`], and is retried by the edge for as long as it is in the set. What is beyond their
    /// number is listed; see [`Work::List`].
    SetWatches(BTreeSet<WatchSpec>),
    /// Content outside this set may be deleted: indexes, objects and plans that nothing holds any more.
    KeepContent(BTreeSet<Digest>),
    /// An effect that completes with an event.
    Do(EffectId, Work),
}

/// An effect that completes with an event of the same id.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Write roots, floor and head to the identity Secret. → [`super::Outcome::Written`]
    WriteTrust(Box<StoredTrust>),
    /// Write all of the ledger to its ConfigMaps. → [`super::Outcome::Written`]
    WriteLedger(Box<Ledger>),
    /// Make this the active plan on disk, atomically and durably. → [`super::Outcome::Written`]
    StorePlan(Box<StoredPlan>),
    /// Write the baselines to disk; losing them costs dry-runs, not correctness. → [`super::Outcome::Written`]
    StoreBaselines(Vec<Baseline>),
    /// Put content, already checked against its digests, into the content store, durably.
    /// → [`super::Outcome::Written`]
    StoreContent(Vec<Content>),
    /// Which of these are not in the content store? → [`super::Outcome::Missing`]
    CheckContent(Vec<Digest>),
    /// Read a bundle index from the content store. → [`super::Outcome::Loaded`]
    LoadIndex(Digest),
    /// Fetch these from the hub, check each against its digest, store them durably. → [`super::Outcome::Fetched`]
    Fetch(Vec<Digest>),
    /// Look again at what the API server serves. → [`super::Outcome::Discovered`]
    Discover,
    /// As the agent: make what is missing of a tenant's namespaces, account and bindings; reads first, so that
    /// nothing missing means nothing written. → [`super::Outcome::Tenant`]
    EnsureTenant(Box<TenantSetup>),
    /// As the tenant: read one object. → [`super::Outcome::Got`]
    Get(Box<GetWork>),
    /// As the tenant: server-side apply of one object. → [`super::Outcome::Applied`]
    Apply(Box<ApplyWork>),
    /// As the tenant: make the fields of legacy managers ours. → [`super::Outcome::Applied`]
    Fold(Box<FoldWork>),
    /// As the tenant: delete one object, in the background. → [`super::Outcome::Deleted`]
    Delete(Box<DeleteWork>),
    /// As the tenant: look up what Kubernetes says about an object that is not healthy.
    /// → [`super::Outcome::Explained`]
    Explain(Box<ExplainWork>),
    /// As the agent: the names of all namespaces. → [`super::Outcome::Namespaces`]
    ListNamespaces,
    /// As the tenant: the metadata of all objects of a kind with the tenant's label, in one place.
    /// → [`super::Outcome::Labelled`]
    ListLabelled(Box<ListWork>),
    /// As the tenant: list, to the last page, what a watch of this would show. → [`super::Outcome::Listed`]
    List(Box<WatchSpec>),
}

/// One object and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Which object.
    pub key: ObjectKey,
    /// The API version to use, without the group.
    pub version: String,
    /// `namespace/name` of the ServiceAccount to impersonate.
    pub service_account: String,
    /// How its health is judged; whether an answer has to bring all of it.
    pub judge: Judge,
}

/// See [`Work::Get`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetWork {
    /// The object.
    pub target: Target,
    /// The wanted body to return along with the live one, decorated; none when nothing is wanted.
    pub wanted: Option<Body>,
}

/// A wanted body: where it is in the content store and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Digest of the object in the content store.
    pub digest: Digest,
    /// For the labels; see [`super::decorate()`].
    pub app: AppId,
}

/// See [`Work::Apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyWork {
    /// The object.
    pub target: Target,
    /// What it shall be: load it, then [`super::decorate()`] it.
    pub body: Body,
    /// May it create or may it update.
    pub mode: ApplyMode,
    /// Ask the server what it would make of it, and write nothing.
    pub dry_run: bool,
    /// Return the whole object the server answered with; else its metadata are enough.
    pub return_body: bool,
    /// What to send as it is instead of as Git has it.
    pub overlay: Option<Box<Overlay>>,
}

/// Live values that an apply sends back (apply rule 6); see [`super::ignore::lay`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The version they were read at: the apply's lock.
    pub resource_version: String,
    /// JSON pointers, and what is there; none where nothing is.
    pub values: Vec<(String, Option<Value>)>,
}

/// See [`Work::Fold`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldWork {
    /// The object.
    pub target: Target,
    /// The JSON patch (RFC 6902); it names the resourceVersion it is for.
    pub patch: Value,
}

/// An apply can create or update, never either (apply rule 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyMode {
    /// With `metadata.resourceVersion: "1"`: a present object answers 409, which is
    /// [`super::ErrorKind::Exists`].
    Create,
    /// With force and `metadata.uid` set: an absent or another object answers an error, which is
    /// [`super::ErrorKind::Replaced`].
    Update {
        /// The UID it must have.
        uid: String,
    },
}

/// See [`Work::Delete`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteWork {
    /// The object.
    pub target: Target,
    /// Precondition.
    pub uid: String,
    /// Precondition.
    pub resource_version: String,
}

/// See [`Work::ListLabelled`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListWork {
    /// The tenant whose label they carry.
    pub tenant: TenantName,
    /// `namespace/name` of the ServiceAccount to impersonate.
    pub service_account: String,
    /// API group.
    pub group: String,
    /// API version, without the group.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
}

/// See [`Work::Explain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainWork {
    /// The object.
    pub target: Target,
    /// Its UID: a namesake's events are not its own.
    pub uid: String,
    /// Events before this are over.
    pub since: Timestamp,
    /// It stands for pods: warnings about what it made count, and why its pods wait.
    pub has_pods: bool,
}

/// What a tenant needs before anything of it is applied (apply rule 10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantSetup {
    /// The tenant.
    pub tenant: TenantName,
    /// `namespace/name`. Made if missing when it is in `rimward-tenants` and `role` is set; else it must exist.
    pub service_account: String,
    /// ClusterRole to bind in `create` and `used`; none when the tenant manages its own account.
    pub role: Option<String>,
    /// Literal namespaces of the tenant: made if missing.
    pub create: BTreeSet<String>,
    /// Namespaces that its bundles use and one of its globs matches: bound if they exist, reported if not.
    pub used: BTreeSet<String>,
}

/// One watch of objects that carry the label `rimward.dev/tenant`: of their metadata only, or of whole objects where
/// [`Judge::is_whole`]. Another judge is another watch, so that everything is listed and judged again. Its place comes
/// first: in order, all of one place stand together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchSpec {
    /// `namespace/name` of the ServiceAccount to impersonate.
    pub service_account: String,
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds, and for all namespaces.
    pub namespace: String,
    /// API version, without the group.
    pub version: String,
    /// How the health of what it shows is judged.
    pub judge: Judge,
}

impl WatchSpec {
    /// True if one of the two shows objects that the other shows as well, however judged.
    pub fn overlaps(&self, other: &Self) -> bool {
        let kind = |spec: &Self| (&spec.service_account, &spec.group, &spec.kind) == self.account_kind();
        let everywhere = self.namespace.is_empty() || other.namespace.is_empty();
        kind(other) && (everywhere || self.namespace == other.namespace)
    }

    /// True if both show the same objects, however judged.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.overlaps(other) && self.namespace == other.namespace
    }

    /// Who watches which kind.
    pub fn account_kind(&self) -> (&String, &String, &String) {
        (&self.service_account, &self.group, &self.kind)
    }

    /// True if an object of this key would show in this watch.
    pub fn covers(&self, key: &ObjectKey) -> bool {
        let place = self.namespace.is_empty() || self.namespace == key.namespace;
        self.group == key.group && self.kind == key.kind && place
    }
}
