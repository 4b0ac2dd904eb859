//! Policy as values: what the files of the two kinds of teams say, once parsed
//! and checked. Every value knows where it was written.

mod guardrail;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rimward_proto::plan::{Drift, DriftMode, Health, HealthCel, Ignore, Takeover};
use rimward_proto::{AppId, AppName, ClusterName, TenantName};
use serde::{Deserialize, Serialize};

pub use self::guardrail::{Action, Guardrail, Rule};
use super::changes::{Changes, Values};
use super::note::Position;

/// Which repository: the fleet repo, or a source of a tenant. Displayed as `fleet` or `tenant/source`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceId {
    /// The fleet repo.
    Fleet,
    /// A source of a tenant.
    Tenant {
        /// The tenant.
        tenant: TenantName,
        /// The source's name within the tenant, a DNS label.
        source: String,
    },
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceId::Fleet => f.write_str("fleet"),
            SourceId::Tenant { tenant, source } => write!(f, "{tenant}/{source}"),
        }
    }
}

impl From<SourceId> for String {
    fn from(id: SourceId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for SourceId {
    type Error = rimward_proto::ids::IdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "fleet" {
            return Ok(SourceId::Fleet);
        }
        // A source is named like an App: `tenant/name`, both DNS labels.
        let AppId { tenant, app } = text.parse()?;
        Ok(SourceId::Tenant { tenant, source: app.into() })
    }
}

/// What to fetch of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GitRef {
    /// The remote's HEAD.
    Head,
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// A full commit id, 40 hex digits.
    Commit(String),
}

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSpec {
    /// URL, http(s); never with credentials in it.
    pub url: String,
    /// What to fetch.
    pub reference: GitRef,
    /// Folder within the repository; `.` = all.
    pub path: String,
    /// Name of a folder below the hub's `credentialsDir`.
    pub credentials: Option<String>,
}

/// The content of a repository at one commit: the one value that rendering and deciding read. Only regular files below
/// the source's path are read; what else is there is known by its path, so that it is never taken for absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTree {
    /// The commit, 40 hex digits.
    pub commit: String,
    /// File content by path relative to the source's path, `/`-separated. Only files that could matter: `.yaml`, `.yml`,
    /// `.json`.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// What is there and not read, by path; bytes that are not text are escaped.
    pub left_out: BTreeMap<String, LeftOut>,
}

/// What an entry is that is there and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// A symbolic link to a regular file of the repository.
    LinkToFile,
    /// A symbolic link to a folder that is read where it is.
    LinkToFolder,
    /// A symbolic link to anything else: out of the repository, to nothing, to another link.
    Link,
    /// A submodule.
    Submodule,
    /// A regular file whose name cannot be part of a path.
    OddFile,
    /// Anything else whose name cannot be part of a path.
    OddFolder,
}

impl LeftOut {
    /// What it is, for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::LinkToFile | Self::LinkToFolder | Self::Link => "a symbolic link, which is not followed",
            Self::Submodule => "a submodule, which is not fetched",
            Self::OddFile | Self::OddFolder => "not a name that can be part of a path",
        }
    }

    /// True if it may be a folder whose files are read nowhere else.
    pub fn may_be_folder(self) -> bool {
        matches!(self, Self::Link | Self::Submodule | Self::OddFolder)
    }
}

/// Which clusters. All parts must hold; the empty selector selects every cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// One of these names.
    pub names: Option<Vec<ClusterName>>,
    /// These labels with these values.
    pub match_labels: BTreeMap<String, String>,
    /// These expressions (Kubernetes label selector requirements).
    pub match_expressions: Vec<Requirement>,
}

/// One `matchExpressions` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// What must hold of it.
    pub operator: Operator,
    /// Values for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Operator of a [`Requirement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// A `Cluster` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Values of variables that Apps declare.
    pub variables: Values,
    /// Where it is written.
    pub at: Position,
}

/// A `Tenant` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// Its sources, by name.
    pub sources: BTreeMap<String, SourceSpec>,
    /// Upper bound of its Apps' clusters.
    pub clusters: Selector,
    /// Where `clusters` is written.
    pub clusters_at: Position,
    /// Its namespaces; a trailing `*` matches the rest.
    pub namespaces: Vec<String>,
    /// ClusterRole bound in its namespaces; default `edit`.
    pub role: String,
    /// `namespace/name` when the tenant manages its own account; then no role is bound.
    pub service_account: Option<String>,
    /// Kinds allowed although the default deny list has them; `*` = all.
    pub allow: Vec<String>,
    /// Kinds refused on top.
    pub deny: Vec<String>,
    /// What its Apps may ask for.
    pub limits: Limits,
    /// How much its Apps may be on one cluster, together; none = any.
    pub quota: Option<Quota>,
    /// Where it is written.
    pub at: Position,
}

/// How much a tenant's Apps may be together, on each cluster. Nothing goes for its sake; it only stops what grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Objects.
    pub objects: Option<u64>,
    /// Bytes of their canonical JSON.
    pub bytes: Option<u64>,
    /// Where it is written.
    pub at: Position,
}

/// Ceilings of a tenant's Apps: they only ever narrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Drift modes; default revert and report.
    pub drift: Ceiling<DriftMode>,
    /// Takeovers; default refuse.
    pub takeover: Ceiling<Takeover>,
    /// Narrows the fleet's delete budget.
    pub deletion: DeletionPolicy,
}

/// The values that a field of an App may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling<T> {
    /// At least one, in the order they are written.
    pub allowed: Vec<T>,
    /// Where that is written: the tenant's own place if it does not say.
    pub at: Position,
}

/// One source of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpec {
    /// Where it comes from.
    pub git: GitSpec,
    /// Seconds between looks.
    pub interval_seconds: u64,
    /// Bound of this source's Apps; absent in the file = all.
    pub clusters: Selector,
    /// Where it is written.
    pub at: Position,
}

/// What may be deleted without asking; absent = the wider policy's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionPolicy {
    /// Deletions per plan and cluster.
    pub max_per_plan: Option<u64>,
    /// Kinds whose deletion is always held.
    pub protect: Option<Vec<String>>,
}

/// The `Fleet` document, or its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Its name; empty if there is no document.
    pub name: String,
    /// The fleet's delete budget; default 20 and CustomResourceDefinition, Namespace, PersistentVolumeClaim.
    pub deletion: DeletionPolicy,
    /// What holds for Apps that do not say.
    pub defaults: Defaults,
}

/// The fleet's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Default revert, and nothing is ignored.
    pub drift: Drift,
    /// Default refuse.
    pub takeover: Takeover,
    /// Default 300 seconds, and no further condition.
    pub health: Health,
}

/// An `App` document (`rimward.yaml` in a tenant repo).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Tenant and name.
    pub id: AppId,
    /// The source it is in.
    pub source: SourceId,
    /// The App's root: the folder of its file, relative to the source's path; empty = the top.
    pub root: String,
    /// Folder of its manifests, relative to the source's path.
    pub path: String,
    /// Namespace that fills empty ones.
    pub namespace: Option<String>,
    /// Which clusters, within the tenant's and the source's bounds.
    pub clusters: Selector,
    /// Where `clusters` is written.
    pub clusters_at: Position,
    /// What it says besides its manifests.
    pub changes: Changes,
    /// How it is run.
    pub options: Options,
    /// Where it is written.
    pub at: Position,
}

/// What an App says of how it is run. Where it says nothing, the fleet's defaults hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Apps that must be ready first, and where each is named.
    pub depends_on: BTreeMap<AppId, Position>,
    /// What to do about drift; one of those the tenant may have.
    pub drift: Option<DriftMode>,
    /// Paths left to others.
    pub ignore: Option<Vec<Ignore>>,
    /// What to do about objects that are there already; one of those the tenant may have.
    pub takeover: Option<Takeover>,
    /// Seconds after which something that is not ready counts as failed.
    pub health_timeout_seconds: Option<u64>,
    /// Conditions per kind.
    pub health_cel: Option<Vec<HealthCel>>,
    /// Narrows the tenant's delete budget.
    pub deletion: DeletionPolicy,
    /// Former names in the same tenant, and where each is written.
    pub formerly: BTreeMap<AppName, Position>,
}

/// All of the fleet repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The commit it was read at.
    pub commit: String,
    /// Fleet-wide settings.
    pub fleet: Fleet,
    /// Clusters by name.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// Tenants by name.
    pub tenants: BTreeMap<TenantName, Tenant>,
    /// Guardrails by name.
    pub guardrails: BTreeMap<String, Guardrail>,
}

impl Policy {
    /// Every source of every tenant.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &SourceSpec)> {
        self.tenants.values().flat_map(|tenant| {
            tenant.sources.iter().map(|(name, spec)| {
                (SourceId::Tenant { tenant: tenant.name.clone(), source: name.clone() }, spec)
            })
        })
    }
}

/// The App of that tenant and name.
pub fn app_id(tenant: &TenantName, app: &AppName) -> AppId {
    AppId { tenant: tenant.clone(), app: app.clone() }
}
