//! Content by its digest: objects, indexes, plans, and the documents a
//! publication record points to. What should be there and is not is remembered,
//! so that whoever knows it can write it again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use rimward_content::ContentError;
use rimward_content::Store;
use rimward_proto::Digest;

/// Digests remembered as lost: more at once is a disk that is gone, and then the log says so.
const LOST: usize = 10_000;

/// The hub's content.
#[derive(Debug)]
pub struct Content {
    store: Store,
    lost: Mutex<BTreeSet<Digest>>,
}

impl Content {
    /// Content in `folder`; see [`Store::open`].
    pub fn open(folder: PathBuf) -> Result<Self, ContentError> {
        Ok(Self { store: Store::open(folder)?, lost: Mutex::default() })
    }

    /// Stores what is not there yet. When it returns, all of it survives a power cut. Returns how many were new.
    pub fn put<B: AsRef<[u8]>>(&self, items: &BTreeMap<Digest, B>) -> Result<usize, ContentError> {
        self.store.put(items.iter().map(|(digest, bytes)| (*digest, bytes.as_ref())))
    }

    /// Some content; none if it is not there, or not what its name says. What is damaged counts as lost.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        match self.store.get(digest) {
            Err(ContentError::Damaged(_)) => {
                self.lose(digest);
                Ok(None)
            }
            other => other,
        }
    }

    /// Something that should be here is not: whoever knows it shall write it again.
    pub fn lose(&self, digest: &Digest) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < LOST {
            lost.insert(*digest);
        }
    }

    /// The same, as an error.
    pub fn missing(&self, digest: &Digest) -> ContentError {
        self.lose(digest);
        ContentError::Missing(*digest)
    }

    /// What was lost since this was last asked.
    pub fn take_lost(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes what is neither in `reachable` nor younger than `age`. Returns how much went.
    pub fn collect(&self, reachable: &HashSet<Digest>, age: Duration) -> Result<usize, ContentError> {
        self.store.collect_older(|digest| reachable.contains(digest), age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_missed_is_lost_until_it_is_asked_for() {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path().to_owned()).unwrap();
        let item = (Digest::of(b"item"), b"item".to_vec());
        let items = BTreeMap::from([item.clone()]);
        assert_eq!(content.put(&items).unwrap(), 1);
        let path = std::fs::read_dir(temp.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(content.get(&item.0).unwrap(), None);
        let other = Digest::of(b"other");
        assert_eq!(content.missing(&other).to_string(), format!("content {other} is not there"));
        assert_eq!(content.take_lost(), [item.0, other].into());
        assert_eq!(content.take_lost(), [].into());
        assert_eq!(content.put(&items).unwrap(), 1);
        assert_eq!(content.get(&item.0).unwrap(), Some(item.1));
    }
}
