//! The records and their keys: what exactly the hub keeps, as values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rimward_proto::head::{Assignment, TreeId};
use rimward_proto::{ClusterName, ClusterUid, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Batch, Store, StoreError};
use crate::core::model::{GitSpec, SourceId};

/// Publications whose content is kept: what a rollback or a spoke that comes back late may ask for.
pub const KEPT: u64 = 10;
/// Publications whose tree hash is kept, to tell a fork from a head of ours: months of publishing every few minutes,
/// in about 2 MB.
pub const REMEMBERED: u64 = 10_000;

/// A publication: small, because the documents are content files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its epoch.
    pub epoch: u64,
    /// Its seq.
    pub seq: u64,
    /// Its tree.
    pub tree: TreeId,
    /// Content: all [`Assignment`]s.
    pub assignments: Digest,
    /// When it was made.
    pub made: Timestamp,
}

/// What planning needs to remember, written together with the publication it led to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planning {
    /// Content: plan digest by cluster, also of clusters that are not enrolled.
    pub plans: Option<Digest>,
    /// Content: where each App was last seen.
    pub origins: Option<Digest>,
    /// Content: the fleet repo's files when they were last right, by path.
    pub good: Option<Digest>,
}

/// A source's last good snapshot: the objects are in the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Where it was fetched from.
    pub git: GitSpec,
    /// The commit.
    pub commit: String,
    /// When the server last confirmed it.
    pub fetched: Timestamp,
}

/// An enrolled cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// UID of its kube-system namespace.
    pub uid: ClusterUid,
    /// Digest of its public key.
    pub key: Digest,
    /// Digest of the key before the last renewal: lets in until the new one was used, and tells a cloned disk after.
    pub previous: Option<Digest>,
    /// The key was used to connect.
    #[serde(default)]
    pub used: bool,
    /// Number of renewals.
    pub counter: u64,
    /// The leaf, DER in base64, given again when a reply was lost.
    pub leaf: String,
    /// When the leaf ends.
    pub expires: Timestamp,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// Why it may not connect; none if it may.
    pub locked: Option<String>,
}

/// A token that was issued. Its secret is only here as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Digest of the secret.
    pub secret: Digest,
    /// For this cluster.
    pub cluster: ClusterName,
    /// Good until.
    pub expires: Timestamp,
    /// May replace an enrolment.
    pub replace: bool,
    /// Digest of the public key that used it.
    pub used: Option<Digest>,
}

/// A spoke holds a head that this store does not know: nothing may be signed any more, whatever comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// Which cluster's.
    pub cluster: ClusterName,
    /// Epoch of that head.
    pub epoch: u64,
    /// Its seq.
    pub seq: u64,
    /// Its tree.
    pub tree: Digest,
    /// When it was shown.
    pub time: Timestamp,
}

/// An approval of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub time: Timestamp,
    /// The cluster whose spoke holds it; none if the hub holds it.
    pub cluster: Option<ClusterName>,
}

/// The record of the publication in force.
pub const CURRENT: &str = "publication/current";
/// The record of [`Ahead`].
pub const AHEAD: &str = "ahead";
/// The record of [`Planning`].
pub const PLANNING: &str = "planning";

/// Key of the publication at `seq`: sorts by number.
pub fn publication(seq: u64) -> String {
    format!("publication/{seq:020}")
}

/// Key of a source.
pub fn source(id: &SourceId) -> String {
    format!("source/{id}")
}

/// Key of an enrolment.
pub fn enrolment(cluster: &ClusterName) -> String {
    format!("enrolment/{cluster}")
}

/// Key of a token.
pub fn token(id: &str) -> String {
    format!("token/{id}")
}

/// Key of an approval.
pub fn approval(digest: &Digest) -> String {
    format!("approval/{}", digest.hex())
}

/// A record's bytes.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain values with string keys")
}

impl Store {
    /// A record as a value.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// All records below `prefix` as values, by the rest of their key.
    pub fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<BTreeMap<String, T>, StoreError> {
        let rest = |key: &str| key[prefix.len()..].to_owned();
        self.scan(prefix)?.into_iter().map(|(key, bytes)| Ok((rest(&key), decode(&key, &bytes)?))).collect()
    }

    /// Writes one record.
    pub fn write<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(key, encode(value));
        self.commit(batch)
    }
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Parse { key: key.to_owned(), source })
}

/// The document of all assignments, in order.
pub fn assignments_document(assignments: &BTreeMap<ClusterName, (u64, Assignment)>) -> Vec<u8> {
    let list: Vec<&Assignment> = assignments.values().map(|(_, assignment)| assignment).collect();
    encode(&list)
}
