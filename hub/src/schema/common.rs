//! What several kinds of documents have in common.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// The version of all documents.
#[derive(Debug, JsonSchema)]
pub enum ApiVersion {
    /// The only one there is.
    #[schemars(rename = "rimward.dev/v1alpha1")]
    V1Alpha1,
}

/// A name: a DNS label of at most 53 characters.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub struct Name(
    #[schemars(length(max = 53), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))] pub String,
);

/// A cluster's name: a DNS label of at most 63 characters.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub struct LongName(
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))] pub String,
);

/// A duration, as in 30s, 5m, 1h or 7d; at least a second.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub struct Duration(#[schemars(regex(pattern = r"^[0-9]*[1-9][0-9]*[smhd]$"))] pub String);

/// A kind: Kind.group, as in Deployment.apps; Kind alone, as in Secret, which is that kind of any group; or *, every kind.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub struct Kind(#[schemars(regex(pattern = r"^(\*|[A-Z][A-Za-z0-9]*(\.[a-z0-9.-]+)?)$"))] pub String);

/// What a document is called.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The name, unique among the documents of its kind: a DNS label of at most 53 characters.
    pub name: Name,
}

/// What a variable stands for: one scalar. Null: somebody nearer must say it.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// Not said here.
    Null(()),
}

/// Which clusters. All parts must hold; `{}` is every cluster.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// One of these clusters.
    pub names: Option<Vec<LongName>>,
    /// Each of these labels with its value.
    pub match_labels: Option<BTreeMap<String, String>>,
    /// What must hold of labels, as in Kubernetes.
    pub match_expressions: Option<Vec<Requirement>>,
}

/// What must hold of one label.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold of it.
    pub operator: Operator,
    /// The values of In and NotIn; the others take none.
    pub values: Option<Vec<String>>,
}

/// What must hold of a label.
#[derive(Debug, JsonSchema)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// What may be deleted without asking. It only ever gets less from Fleet to Tenant to App.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deletion {
    /// Deletions in one plan on one cluster; more than that are held until somebody approves them.
    pub max_per_plan: Option<u64>,
    /// Kinds whose deletion is always held.
    pub protect: Option<Vec<Kind>>,
}

/// How a change reaches the clusters.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Rollout {
    /// All at once.
    Immediate,
}

/// What to do about drift: what others change of an object.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// What to do.
    pub mode: Option<DriftMode>,
    /// Fields that are left to others, also when the App is applied.
    pub ignore: Option<Vec<Ignore>>,
}

/// What to do about drift.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum DriftMode {
    /// Put it back, and report it.
    Revert,
    /// Report it.
    Report,
    /// Neither.
    None,
}

/// Fields that are left to others.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ignore {
    /// Of objects of these kinds; of all if it is left out.
    pub kinds: Option<Vec<Kind>>,
    /// JSON pointers (RFC 6901), as in /spec/replicas; within a key, / is ~1 and ~ is ~0.
    #[schemars(length(min = 1), inner(regex(pattern = r"^/")))]
    pub paths: Vec<String>,
}

/// What to do about objects that are on the cluster and are not ours.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Takeover {
    /// Leave them, and say so.
    Refuse,
    /// Take those that an apply would not change.
    IfIdentical,
    /// Take them, and say from whom.
    Always,
}

/// When an App is ready, and when it has failed.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// After that time, what is not ready has failed.
    pub timeout: Option<Duration>,
    /// Conditions per kind, on top of what is known of Kubernetes' own kinds.
    pub cel: Option<Vec<Condition>>,
}

/// When objects of some kinds are ready, and when they have failed.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The kinds.
    #[schemars(length(min = 1))]
    pub kinds: Vec<Kind>,
    /// CEL over `object`, the object as it is on the cluster: true when it is ready.
    #[schemars(length(min = 1, max = 1024))]
    pub ready: String,
    /// CEL over `object`: true when it has failed.
    #[schemars(length(min = 1, max = 1024))]
    pub failed: Option<String>,
}
