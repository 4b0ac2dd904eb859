//! `App`.

use schemars::JsonSchema;

use super::{ApiVersion, Deletion, Drift, Health, Metadata, Name, Rollout, Selector, Takeover};

/// An App: the manifests of a folder, and where they go. The file is called `rimward.yaml`.
#[derive(Debug, JsonSchema)]
#[schemars(title = "App", rename_all = "camelCase", deny_unknown_fields)]
pub struct AppDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: AppKind,
    /// What the App is called. With its tenant, the name is what the App is, wherever its file stands.
    pub metadata: Metadata,
    /// Where the App goes, and how it is run.
    pub spec: AppSpec,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum AppKind {
    /// An App.
    App,
}

/// Where an App goes, and how it is run.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSpec {
    /// Fills empty namespaces and checks the others; never rewrites one.
    pub namespace: Option<String>,
    /// Which clusters, within the bounds of the source and the tenant; `{}` is all of those.
    pub clusters: Selector,
    /// The folder of the manifests, within the App's own.
    #[schemars(extend("default" = "."))]
    pub path: Option<String>,
    /// Apps that must be Ready on a cluster before this one is applied there.
    pub depends_on: Option<Vec<Dependency>>,
    /// How a change reaches the clusters.
    pub rollout: Option<Rollout>,
    /// What to do about what others change.
    pub drift: Option<Drift>,
    /// What to do about objects that are there and not ours.
    pub takeover: Option<Takeover>,
    /// When the App is ready, and when it has failed.
    pub health: Option<Health>,
    /// Narrows what the tenant may delete without asking; holds for the App's removal too.
    pub deletion: Option<Deletion>,
    /// Names the App had before in this tenant.
    pub formerly: Option<Vec<Name>>,
}

/// An App that must be Ready first.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// The App.
    pub app: Name,
    /// Its tenant; the App's own if it is left out.
    pub tenant: Option<Name>,
}
