//! `Tenant`.

use schemars::JsonSchema;

use super::{ApiVersion, Deletion, DriftMode, Duration, Kind, Metadata, Name, Selector, Takeover};

/// A team: where its files come from, and how far they reach.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Tenant", rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: TenantKind,
    /// What the tenant is called.
    pub metadata: Metadata,
    /// Where its files come from, and how far they reach.
    pub spec: TenantSpec,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum TenantKind {
    /// A Tenant.
    Tenant,
}

/// Where a tenant's files come from, and how far they reach.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// Its repositories.
    pub sources: Vec<Source>,
    /// Upper bound of its Apps' clusters; `{}` is every cluster, and must be said.
    pub clusters: Selector,
    /// Its namespaces; a trailing * matches the rest.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?|([a-z0-9][a-z0-9-]*)?\*)$"))
    )]
    pub namespaces: Vec<String>,
    /// ClusterRole bound in its namespaces.
    #[schemars(extend("default" = "edit"))]
    pub role: Option<String>,
    /// namespace/name of an account that somebody else manages; excludes `role`.
    #[schemars(regex(pattern = r"^[a-z0-9-]+/[a-z0-9.-]+$"))]
    pub service_account: Option<String>,
    /// Which kinds of objects it may have.
    pub objects: Option<Objects>,
    /// What its Apps may ask for.
    pub limits: Option<Limits>,
    /// How much its Apps may be together, on each cluster.
    pub quota: Option<Quota>,
}

/// How much a tenant's Apps may be together, on each cluster.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Objects.
    pub objects: Option<u64>,
    /// Bytes of their canonical JSON, as in 512Ki, 4Mi or 1Gi.
    #[schemars(regex(pattern = r"^[0-9]+(Ki|Mi|Gi)$"))]
    pub bytes: Option<String>,
}

/// A repository of a tenant.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Its name, unique in the tenant: a DNS label of at most 53 characters.
    pub name: Name,
    /// Where it is.
    pub git: Git,
    /// Time between looks.
    #[schemars(extend("default" = "1m"))]
    pub interval: Option<Duration>,
    /// Bound of this source's Apps, within the tenant's; all if it is left out.
    pub clusters: Option<Selector>,
}

/// Where a repository is.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// http or https, without a user or password in it.
    #[schemars(regex(pattern = r"^https?://[^\s@/]+(/\S*)?$"))]
    pub url: String,
    /// What is fetched; the remote's HEAD if it is left out.
    #[schemars(rename = "ref")]
    pub reference: Option<Ref>,
    /// The folder that counts.
    #[schemars(extend("default" = "."))]
    pub path: Option<String>,
    /// A folder below the hub's `credentialsDir`.
    pub credentials: Option<String>,
}

/// What is fetched: one of these.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, extend("maxProperties" = 1))]
pub struct Ref {
    /// The newest commit of this branch.
    pub branch: Option<String>,
    /// This tag.
    pub tag: Option<String>,
    /// This commit: 40 lower-case hex digits.
    #[schemars(regex(pattern = r"^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
}

/// Which kinds of objects a tenant may have.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objects {
    /// Kinds it may have although they are denied by default; * makes it a platform tenant.
    pub allow: Option<Vec<Kind>>,
    /// Kinds it may not have, whatever `allow` says.
    pub deny: Option<Vec<Kind>>,
}

/// What a tenant's Apps may ask for.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Drift modes that its Apps may have.
    #[schemars(length(min = 1), extend("default" = ["revert", "report"]))]
    pub drift: Option<Vec<DriftMode>>,
    /// Takeovers that its Apps may have.
    #[schemars(length(min = 1), extend("default" = ["refuse"]))]
    pub takeover: Option<Vec<Takeover>>,
    /// Narrows what the fleet may delete without asking.
    pub deletion: Option<Deletion>,
}
