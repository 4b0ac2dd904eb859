//! `Fleet` and `Cluster`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{ApiVersion, Deletion, Drift, Health, LongName, Rollout, Scalar, Takeover};

/// What holds for the whole fleet. At most one; without it, the defaults hold.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Fleet", rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: FleetKind,
    /// What the fleet is called.
    pub metadata: FleetMetadata,
    /// What holds for the whole fleet.
    pub spec: Option<FleetSpec>,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum FleetKind {
    /// A Fleet.
    Fleet,
}

/// What the fleet is called.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetMetadata {
    /// The fleet's name, for people.
    pub name: Option<String>,
}

/// What holds for the whole fleet.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetSpec {
    /// What holds for Apps that do not say it themselves.
    pub defaults: Option<Defaults>,
    /// What may be deleted without asking.
    pub deletion: Option<Deletion>,
}

/// What holds for Apps that do not say it themselves.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Defaults {
    /// What to do about what others change.
    pub drift: Option<Drift>,
    /// What to do about objects that are there and not ours.
    #[schemars(extend("default" = "refuse"))]
    pub takeover: Option<Takeover>,
    /// How a change reaches the clusters.
    #[schemars(extend("default" = "immediate"))]
    pub rollout: Option<Rollout>,
    /// When an App is ready, and when it has failed.
    pub health: Option<Health>,
}

/// A cluster of the fleet.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Cluster", rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: ClusterKind,
    /// What the cluster is called, and its labels.
    pub metadata: ClusterMetadata,
    /// More about the cluster.
    pub spec: Option<ClusterSpec>,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum ClusterKind {
    /// A Cluster.
    Cluster,
}

/// What the cluster is called, and its labels.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterMetadata {
    /// The name it is enrolled under: a DNS label of at most 63 characters.
    pub name: LongName,
    /// What selectors look at.
    pub labels: Option<BTreeMap<String, String>>,
}

/// More about the cluster.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Values of variables that Apps declare.
    pub variables: Option<BTreeMap<String, Scalar>>,
}
