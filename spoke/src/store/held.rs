//! What the disk holds besides content: the active plan, so that a spoke whose
//! hub is gone goes on after a restart, and the baselines, which save requests.
//! Each file carries its own digest: half a file is no file.

use std::io;
use std::path::{Path, PathBuf};

use rimward_proto::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dir::{sync_dir, write_atomic};
use super::pack::{pack, unpack};
use crate::core::event::{Baseline, StoredPlan};

/// A plan is at most 1 MiB, baselines of 10,000 objects some; what unpacks to more is not ours.
const UNPACKED_BYTES: u64 = 64 << 20;
const DIGEST_BYTES: usize = 32;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", path.display())]
pub struct HeldError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The files of the data directory.
#[derive(Debug, Clone)]
pub struct HeldStore {
    dir: PathBuf,
}

impl HeldStore {
    /// In the data directory.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes this the active plan, durably.
    pub fn store_plan(&self, plan: &StoredPlan) -> Result<(), HeldError> {
        self.write("plan", plan, true)
    }

    /// The active plan; none if there is none, or its file is damaged.
    pub fn plan(&self) -> Option<StoredPlan> {
        self.read("plan")
    }

    /// Keeps the baselines; not synced, because losing them costs requests and nothing else.
    pub fn store_baselines(&self, baselines: &[Baseline]) -> Result<(), HeldError> {
        self.write("baselines", baselines, false)
    }

    /// The baselines, as far as they can be read.
    pub fn baselines(&self) -> Vec<Baseline> {
        self.read("baselines").unwrap_or_default()
    }

    fn write<T: Serialize + ?Sized>(&self, name: &str, value: &T, durable: bool) -> Result<(), HeldError> {
        let path = self.dir.join(name);
        let written = pack(value)
            .and_then(|packed| write_atomic(&path, &[Digest::of(&packed).as_bytes(), &packed[..]].concat()))
            .and_then(|()| if durable { sync_dir(&self.dir) } else { Ok(()) });
        written.map_err(|source| HeldError { path, source })
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.dir.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "file cannot be read; going on without it");
                return None;
            }
        };
        let value = checked(&bytes);
        if value.is_none() {
            tracing::warn!(path = %path.display(), "file is damaged; going on without it");
        }
        value
    }
}

fn checked<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (digest, packed) = bytes.split_at_checked(DIGEST_BYTES)?;
    if Digest::of(packed).as_bytes() != digest {
        return None;
    }
    unpack(packed, UNPACKED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let dir = tempfile::tempdir().unwrap();
        let store = HeldStore::new(dir.path());
        assert_eq!(store.plan(), None);
        let plan = StoredPlan { assignment: vec![1], plan: vec![2; 1000], seq: 7, carried: Vec::new() };
        store.store_plan(&plan).unwrap();
        assert_eq!(store.plan(), Some(plan));
        let path = dir.path().join("plan");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(store.plan(), None);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(store.plan(), None);
        assert_eq!(store.baselines(), Vec::new());
    }
}
