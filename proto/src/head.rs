//! The head: the one signature of a publication. "At (epoch, seq) the
//! assignments have this Merkle root", with an expiry; and the assignment, the
//! leaf that says which plan one cluster shall run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::envelope::{Envelope, SecretKey};
use crate::ids::{ClusterName, ClusterUid, Digest, TrustDomain};
use crate::limits;

/// Media type of a head.
pub const MEDIA_TYPE: &str = "application/vnd.rimward.head.v1+json";

/// The tree a head vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeId {
    /// Number of assignments.
    pub size: u64,
    /// Root hash.
    pub hash: Digest,
}

/// The signed statement of one publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The fleet it is for.
    pub trust_domain: TrustDomain,
    /// From the root; orders before seq.
    pub epoch: u64,
    /// Grows by one with each publication; a renewal of freshness keeps it.
    pub seq: u64,
    /// The root whose head keys signed it.
    pub root_version: u64,
    /// The assignments.
    pub tree: TreeId,
    /// When it was signed.
    pub issued: Timestamp,
    /// After this it is stale.
    pub expires: Timestamp,
    /// Names of fields a reader must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

impl Head {
    /// The head in an envelope signed by `key`.
    pub fn sign(&self, key: &SecretKey) -> Envelope {
        let payload = canonical::to_bytes(self).expect("a head is strings and integers");
        Envelope::sign(MEDIA_TYPE, &payload, &[key])
    }

    /// Reads a head from a payload that was verified.
    pub fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// What a spoke remembers of it.
    pub fn floor(&self) -> Floor {
        Floor { epoch: self.epoch, seq: self.seq, tree: self.tree.hash }
    }
}

/// The point a spoke never goes back behind. Ordered by epoch, then seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Epoch of the newest head accepted.
    pub epoch: u64,
    /// Its seq.
    pub seq: u64,
    /// Its tree hash: another one at the same seq is equivocation.
    pub tree: Digest,
}

/// What one cluster shall run: a leaf of the tree, by its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its kube-system namespace UID, so that a re-created namesake is not taken for it.
    pub cluster_uid: ClusterUid,
    /// Digest of the plan.
    pub plan: Digest,
    /// Digests of approved holds, sorted.
    #[serde(default)]
    pub deletes: Vec<Digest>,
}

impl Assignment {
    /// The canonical bytes: the leaf data.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("an assignment is strings")
    }

    /// Reads an assignment from leaf data whose proof was verified. `None` if malformed or over its limit.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let assignment: Self = serde_json::from_slice(bytes).ok()?;
        (assignment.deletes.len() <= limits::ASSIGNMENT_DELETES).then_some(assignment)
    }
}
