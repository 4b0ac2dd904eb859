//! What an App says besides its manifests: variables, images, patches, and
//! overrides of them for some of its clusters. Plain values, as they are written;
//! what comes of them on a cluster is decided in `plan`, and made in `render`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use json_patch::PatchOperation;
use serde_json::{Number, Value as Json};

use super::model::Selector;
use super::note::Position;

/// The value of a variable. Lists and mappings are none: a variable stands for one scalar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A number, by its JSON text, which is exact and can be compared.
    Number(String),
    /// A boolean.
    Bool(bool),
}

impl Scalar {
    /// The value with its own type.
    pub fn to_json(&self) -> Json {
        match self {
            Scalar::Text(text) => Json::String(text.clone()),
            Scalar::Number(text) => text.parse::<Number>().map_or(Json::Null, Json::Number),
            Scalar::Bool(value) => Json::Bool(*value),
        }
    }

    /// The value within a text; none of a number with a fraction, which may have been written otherwise (`1.10` is 1.1).
    pub fn to_text(&self) -> Option<String> {
        match self {
            Scalar::Text(text) => Some(text.clone()),
            Scalar::Number(text) => {
                text.bytes().all(|b| b == b'-' || b.is_ascii_digit()).then(|| text.clone())
            }
            Scalar::Bool(value) => Some(value.to_string()),
        }
    }
}

/// Values by name, as one file gives them; none takes away what was given before.
pub type Values = BTreeMap<String, Option<Scalar>>;

/// A variable that an App declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its value where nothing nearer gives one; none: the cluster, or an override, must.
    pub value: Option<Scalar>,
    /// Where it is declared.
    pub at: Position,
}

/// Everything an App says besides its manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The variables it declares; none if it has no `variables`, and then nothing at all is substituted.
    pub variables: Option<BTreeMap<String, Variable>>,
    /// For all clusters.
    pub edits: Edits,
    /// For some clusters, in the order they are written.
    pub overrides: Vec<Override>,
    /// Files that patches are read from: they are no manifests.
    pub files: BTreeSet<String>,
}

impl Changes {
    /// True if the manifests go to the clusters as they are.
    pub fn is_empty(&self) -> bool {
        self.variables.is_none() && self.edits.is_empty() && self.overrides.is_empty()
    }
}

/// Changes to objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Images to replace.
    pub images: Vec<Image>,
    /// Patches, in the order they are applied.
    pub patches: Vec<Arc<Patch>>,
}

impl Edits {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.patches.is_empty()
    }
}

/// What is different on some clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Which clusters.
    pub clusters: Selector,
    /// Further changes, after those before it.
    pub edits: Edits,
    /// Values that win over those before it.
    pub variables: Values,
    /// Where it is written.
    pub at: Position,
}

/// An image to replace, as in Kustomize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image's name, without tag and digest.
    pub name: String,
    /// The name it gets.
    pub new_name: Option<String>,
    /// The tag it gets.
    pub new_tag: Option<String>,
    /// The digest it gets.
    pub digest: Option<String>,
}

/// A patch of the objects that its target picks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Which objects.
    pub target: Target,
    /// True if the patch itself says which object it is for, so that there must be one.
    pub named: bool,
    /// What it does.
    pub edit: Arc<Edit>,
    /// Where it is written.
    pub at: Position,
}

/// What a patch does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// JSON patch, RFC 6902.
    Operations(Vec<PatchOperation>),
    /// JSON merge patch, RFC 7386, without what says which object it is for.
    Merge(Json),
}

/// Which objects a patch is for. All parts must hold; what is not said matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// API group; the empty one is the core group.
    pub group: Option<String>,
    /// API version.
    pub version: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// What must hold of its labels.
    pub labels: Vec<LabelRule>,
}

/// One requirement of a `labelSelector`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelRule {
    /// `key=value`
    Is(String, String),
    /// `key!=value`, which holds without the label too.
    IsNot(String, String),
    /// `key`
    Has(String),
    /// `!key`
    HasNot(String),
}
