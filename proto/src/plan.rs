//! The plan: everything one cluster shall run. Clusters that want the same share
//! one plan, named by its digest.

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::ids::{AppId, AppName, Digest, TenantName};
use crate::limits;

/// A full wanted state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What to run, sorted by (tenant, app).
    pub bundles: Vec<PlanBundle>,
    /// Tombstones: Apps to remove, sorted by (tenant, app).
    #[serde(default)]
    pub removed: Vec<Removed>,
    /// Names of fields a reader must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

/// One App in a plan, with the scope the spoke holds it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanBundle {
    /// The tenant.
    pub tenant: TenantName,
    /// The App.
    pub app: AppName,
    /// Digest of the bundle index.
    pub digest: Digest,
    /// Sum of the objects' bytes.
    pub bytes: u64,
    /// Number of objects.
    pub objects: u64,
    /// The commit that first produced this entry; one that changes nothing changes no plan.
    pub commit: String,
    /// `namespace/name` of the ServiceAccount that every request for the App is made as.
    pub service_account: String,
    /// The tenant's namespaces; a trailing `*` matches the rest.
    pub namespaces: Vec<String>,
    /// Kinds allowed although the default deny list has them; `*` = all.
    pub allow: Vec<String>,
    /// Kinds refused on top of the default deny list.
    pub deny: Vec<String>,
    /// ClusterRole to bind in the tenant's namespaces; absent when the tenant manages its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Apps that must be ready first.
    #[serde(default)]
    pub depends_on: Vec<AppId>,
    /// What to do about drift.
    pub drift: Drift,
    /// What to do about objects that are there already and not ours.
    pub takeover: Takeover,
    /// When it counts as ready.
    pub health: Health,
    /// How much may be deleted.
    pub deletion: Deletion,
    /// Former names of the App in the same tenant: what they left behind is this App's, and nothing is deleted for
    /// the rename.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formerly: Vec<AppName>,
}

/// A tombstone: the App is to be removed, inside the budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// The tenant.
    pub tenant: TenantName,
    /// The App.
    pub app: AppName,
    /// The commit that removed it; empty when an approval did.
    pub commit: String,
    /// How much may be deleted.
    pub deletion: Deletion,
}

/// What to do about drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Revert, report or look away.
    pub mode: DriftMode,
    /// Paths left to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Ignore>,
}

/// Mode of [`Drift`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftMode {
    /// Put it back and report.
    Revert,
    /// Report only.
    Report,
    /// Neither.
    None,
}

/// Paths of some kinds that drift detection and apply leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignore {
    /// Kinds as people write them; empty = all.
    pub kinds: Vec<String>,
    /// JSON pointers.
    pub paths: Vec<String>,
}

/// What to do about an object that exists and is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// Leave it and say so.
    Refuse,
    /// Take it if an apply would change only labels and managers.
    IfIdentical,
    /// Take it and report from whom.
    Always,
}

/// When an App counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Seconds after which something that is not ready counts as failed.
    pub timeout_seconds: u64,
    /// Conditions per kind, on top of the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cel: Vec<HealthCel>,
}

/// A CEL condition for some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCel {
    /// Kinds as people write them.
    pub kinds: Vec<String>,
    /// True when ready.
    pub ready: String,
    /// True when failed for good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

/// The delete budget of an App, already narrowed by fleet, tenant and App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// Deletions per plan and cluster beyond which they are held.
    pub max_per_plan: u64,
    /// Kinds whose deletion is always held, as people write them (a bare kind matches any group).
    pub protect: Vec<String>,
}

/// Why a plan is refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Over [`limits::PLAN_BYTES`] or a bundle in it over its own limits.
    #[error("plan is over a limit: {what} is {found}, at most {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Not a plan document.
    #[error("plan document is malformed")]
    Parse(#[source] serde_json::Error),
    /// An App twice, both wanted and removed, or out of order.
    #[error("plan names {0} twice or out of order")]
    Order(AppId),
    /// Row 24.
    #[error("plan needs {0:?}, which this version does not understand")]
    Unsupported(String),
}

impl PlanBundle {
    /// Which App.
    pub fn id(&self) -> AppId {
        AppId { tenant: self.tenant.clone(), app: self.app.clone() }
    }
}

impl Removed {
    /// Which App.
    pub fn id(&self) -> AppId {
        AppId { tenant: self.tenant.clone(), app: self.app.clone() }
    }
}

impl Plan {
    /// The canonical bytes; their digest is the plan's name.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("a plan is strings, integers and lists of them")
    }

    /// Reads a plan whose digest was checked, and checks limits, order and `critical`.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        within("plan bytes", bytes.len() as u64, limits::PLAN_BYTES)?;
        let plan: Self = serde_json::from_slice(bytes).map_err(PlanError::Parse)?;
        if let Some(field) = plan.critical.first() {
            return Err(PlanError::Unsupported(field.clone()));
        }
        for bundle in &plan.bundles {
            within("objects of an App", bundle.objects, limits::BUNDLE_OBJECTS)?;
            within("bytes of an App", bundle.bytes, limits::BUNDLE_BYTES)?;
        }
        let wanted: Vec<AppId> = plan.bundles.iter().map(PlanBundle::id).collect();
        let removed: Vec<AppId> = plan.removed.iter().map(Removed::id).collect();
        let disorder = |ids: &[AppId]| ids.windows(2).find(|w| w[0] >= w[1]).map(|w| w[1].clone());
        let both = || removed.iter().find(|id| wanted.binary_search(id).is_ok()).cloned();
        match disorder(&wanted).or_else(|| disorder(&removed)).or_else(both) {
            Some(id) => Err(PlanError::Order(id)),
            None => Ok(plan),
        }
    }
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), PlanError> {
    if found <= limit { Ok(()) } else { Err(PlanError::Limit { what, found, limit }) }
}
