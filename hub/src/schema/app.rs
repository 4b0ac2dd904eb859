//! `App`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{ApiVersion, Deletion, Drift, Health, Metadata, Name, Rollout, Scalar, Selector, Takeover};

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
    /// Variables that are substituted, and their values; null means that the cluster, or an override, must say it.
    pub variables: Option<BTreeMap<String, Scalar>>,
    /// Container images that become others.
    pub images: Option<Vec<Image>>,
    /// Changes to the objects, in Kustomize's shape.
    pub patches: Option<Vec<Patch>>,
    /// What differs on some clusters: every match, in order, the later wins.
    pub overrides: Option<Vec<Override>>,
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

/// A container image that becomes another; at least one of `newName`, `newTag` and `digest`.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Its name, without tag and digest.
    pub name: String,
    /// The name it gets.
    pub new_name: Option<String>,
    /// The tag it gets.
    pub new_tag: Option<String>,
    /// The digest it gets, with its algorithm.
    #[schemars(regex(pattern = r"^[^\s]*:[^\s]*$"))]
    pub digest: Option<String>,
}

/// A change to some objects: JSON patch operations, or a JSON merge patch.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// Which objects; a merge patch that names its object does without.
    pub target: Option<Target>,
    /// The patch as YAML or JSON text; or else `path`.
    pub patch: Option<String>,
    /// A file of the same source that has it, from the App's folder.
    pub path: Option<String>,
}

/// Which objects a patch is for: all that is said must hold.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// API group; empty for the core group.
    pub group: Option<String>,
    /// API version, without the group.
    pub version: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// Namespace of the object.
    pub namespace: Option<String>,
    /// Labels it has, as `kubectl -l` reads them.
    pub label_selector: Option<String>,
}

/// What differs on some clusters.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// On which.
    pub clusters: Selector,
    /// Values of variables that the App declares.
    pub variables: Option<BTreeMap<String, Scalar>>,
    /// Container images that become others.
    pub images: Option<Vec<Image>>,
    /// Changes to the objects, after the App's own.
    pub patches: Option<Vec<Patch>>,
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
