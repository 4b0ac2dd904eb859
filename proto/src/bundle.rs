//! The bundle: the objects of one App for one set of equal inputs, as a sorted
//! index that is itself named by its digest. Content travels object by object,
//! so one changed object in 10,000 costs one object.

use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::ids::Digest;
use crate::limits;
use crate::object::ObjectKey;

/// One line of a bundle index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Which object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// The API version its bytes are written in, without the group.
    pub version: String,
    /// Digest of the object's canonical JSON.
    pub sha256: Digest,
    /// Length of that JSON.
    pub bytes: u64,
}

/// The sorted list of an App's objects; its digest names the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BundleIndex {
    entries: Vec<IndexEntry>,
}

/// Why a bundle index is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON of the right shape.
    #[error("bundle index is not valid JSON")]
    Parse(#[source] serde_json::Error),
    /// It has no canonical form.
    #[error("bundle index has no canonical form")]
    Canonical(#[source] CanonicalError),
    /// Two entries with one key, or entries out of order.
    #[error("bundle index is not sorted, or names {0} twice")]
    Order(ObjectKey),
    /// Over a limit of [`limits`].
    #[error("bundle is over a limit: {what} is {found}, at most {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

impl BundleIndex {
    /// An index of `entries`, sorted by key.
    pub fn new(mut entries: Vec<IndexEntry>) -> Result<Self, BundleError> {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Self { entries }.checked()
    }

    /// Reads an index from its exact bytes and checks order, uniqueness and limits.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        within("index bytes", bytes.len() as u64, limits::INDEX_BYTES)?;
        serde_json::from_slice::<Self>(bytes).map_err(BundleError::Parse)?.checked()
    }

    /// The canonical bytes; their digest is the bundle's name.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        canonical::to_bytes(self).map_err(BundleError::Canonical)
    }

    /// The entries, in key order.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Takes equal keys from whoever has them already, so that each is in memory once. `known` is asked in key order.
    pub fn share_keys(&mut self, mut known: impl FnMut(&ObjectKey) -> Option<ObjectKey>) {
        for entry in &mut self.entries {
            if let Some(key) = known(&entry.key).filter(|key| *key == entry.key) {
                entry.key = key;
            }
        }
    }

    /// Sum of the objects' lengths.
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    fn checked(self) -> Result<Self, BundleError> {
        within("objects", self.entries.len() as u64, limits::BUNDLE_OBJECTS)?;
        for entry in &self.entries {
            within("object bytes", entry.bytes, limits::OBJECT_BYTES)?;
        }
        within("bundle bytes", self.total_bytes(), limits::BUNDLE_BYTES)?;
        match self.entries.windows(2).find(|pair| pair[0].key >= pair[1].key) {
            Some(pair) => Err(BundleError::Order(pair[1].key.clone())),
            None => Ok(self),
        }
    }
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), BundleError> {
    if found <= limit { Ok(()) } else { Err(BundleError::Limit { what, found, limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> IndexEntry {
        let key = ObjectKey::new("", "ConfigMap", "a", name);
        IndexEntry { key, version: "v1".into(), sha256: Digest::of(name.as_bytes()), bytes: 10 }
    }

    #[test]
    fn order_does_not_matter_and_round_trips() {
        let one = BundleIndex::new(vec![entry("a"), entry("b")]).unwrap();
        let two = BundleIndex::new(vec![entry("b"), entry("a")]).unwrap();
        assert_eq!(one.to_bytes().unwrap(), two.to_bytes().unwrap());
        assert_eq!(BundleIndex::parse(&one.to_bytes().unwrap()).unwrap(), one);
    }

    #[test]
    fn refuses_duplicates_disorder_and_oversize() {
        assert!(matches!(BundleIndex::new(vec![entry("a"), entry("a")]), Err(BundleError::Order(_))));
        let swapped = serde_json::to_vec(&vec![entry("b"), entry("a")]).unwrap();
        assert!(matches!(BundleIndex::parse(&swapped), Err(BundleError::Order(_))));
        let mut large = entry("a");
        large.bytes = limits::OBJECT_BYTES + 1;
        assert!(matches!(BundleIndex::new(vec![large]), Err(BundleError::Limit { .. })));
    }
}
