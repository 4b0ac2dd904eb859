//! Sources → objects. Pure as far as it is built: plain YAML is read from the
//! tree in memory. Each object leaves here in canonical bytes, named by their
//! digest, so that equal objects are equal everywhere after.

pub mod images;
mod listkeys;
mod manifest;
pub mod names;
pub mod part;
pub mod patches;
pub mod plain;
pub mod variables;
pub mod variant;

use std::sync::Arc;

use rimward_proto::{Digest, ObjectKey};

use crate::core::note::Position;
use crate::core::scope::Scope;

/// One object of an App, as it goes to the clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedObject {
    /// Which object.
    pub key: ObjectKey,
    /// API version without the group.
    pub version: String,
    /// Its canonical JSON.
    pub bytes: Arc<[u8]>,
    /// Digest of `bytes`.
    pub sha256: Digest,
    /// `type` of a Secret.
    pub secret_type: Option<String>,
    /// What a CustomResourceDefinition defines.
    pub defines: Option<Defined>,
    /// Where it is written.
    pub at: Position,
}

/// A kind that a CustomResourceDefinition brings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defined {
    /// Its group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its scope.
    pub scope: Scope,
}
