//! Content by its digest: objects, bundle indexes and plans, one file each. The
//! digest is checked when a file is read, because a disk may lie, and what does
//! not match counts as missing, so that it is fetched again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

use rimward_proto::Digest;
use rimward_proto::ids::unhex;
use rimward_proto::session::Content;

use super::dir::{TEMPORARY, sync_dir, write_temporary};

/// Files removed by one collection: more wait for the next, so that a collection never stalls the loop's disk.
const COLLECT_FILES: usize = 10_000;
/// Threads that sync files: measured on ext4, 4 make 500 files durable in a quarter of the time that one needs, 16 in a
/// sixth, and more than that gain nothing.
const SYNC_THREADS: usize = 8;

/// Why content is not there, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// No such content.
    #[error("content {0} is not there")]
    Missing(Digest),
    /// The bytes do not have the digest they came or were stored under: trust row 18.
    #[error("content {0} does not have its digest")]
    Corrupt(Digest),
    /// The filesystem refuses.
    #[error("content cannot be read or written in {}", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The content directory. Clones share it.
#[derive(Debug, Clone)]
pub struct ContentStore {
    path: PathBuf,
    gate: Arc<Gate>,
}

/// Keeps a collection from removing what was asked for since it was decided.
#[derive(Debug, Default)]
struct Gate {
    /// Grows with each use of the content.
    uses: AtomicU64,
    /// Numbers temporary files.
    temporaries: AtomicU64,
    /// Held while a file is removed.
    removing: Mutex<()>,
}

/// The moment at which a collection was decided; see [`ContentStore::collect`].
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl ContentStore {
    /// Opens the directory in `data`, and removes what a crash left unfinished.
    pub fn open(data: &Path) -> Result<Self, ContentError> {
        let store = Self { path: data.join("content"), gate: Arc::default() };
        std::fs::create_dir_all(&store.path).map_err(|error| store.io(error))?;
        for entry in std::fs::read_dir(&store.path).map_err(|error| store.io(error))? {
            let path = entry.map_err(|error| store.io(error))?.path();
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                std::fs::remove_file(&path).map_err(|error| store.io(error))?;
            }
        }
        Ok(store)
    }

    /// Keeps a set of content durably, or none of it is promised. Files are synced by several threads at once, because
    /// the disk's journal commits together what waits together, and the directory is synced once.
    pub fn put(&self, set: &[Content]) -> Result<(), ContentError> {
        self.used();
        if let Some(wrong) = set.iter().find(|content| Digest::of(&content.bytes) != content.digest) {
            return Err(ContentError::Corrupt(wrong.digest));
        }
        if set.is_empty() {
            return Ok(());
        }
        let written: io::Result<()> = std::thread::scope(|scope| {
            let parts = set.chunks(set.len().div_ceil(SYNC_THREADS));
            let threads: Vec<_> = parts.map(|part| scope.spawn(|| self.put_part(part))).collect();
            let join = |thread: ScopedJoinHandle<'_, io::Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a writing thread panicked")))
            };
            threads.into_iter().map(join).fold(Ok(()), io::Result::and)
        });
        written.and_then(|()| sync_dir(&self.path)).map_err(|error| self.io(error))
    }

    fn put_part(&self, set: &[Content]) -> io::Result<()> {
        for content in set {
            // Two sets with the same content may be written at once; each needs a temporary file of its own.
            let number = self.gate.temporaries.fetch_add(1, Ordering::Relaxed);
            let path = self.file(content.digest);
            let temporary = path.with_extension(format!("{number}.{TEMPORARY}"));
            write_temporary(&temporary, &content.bytes)?.sync_all()?;
            std::fs::rename(temporary, path)?;
        }
        Ok(())
    }

    /// The bytes of `digest`, checked. A file that does not match is removed: it will be fetched again.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, ContentError> {
        let path = self.file(digest);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContentError::Missing(digest));
            }
            read => read.map_err(|error| self.io(error))?,
        };
        if Digest::of(&bytes) == digest {
            return Ok(bytes);
        }
        std::fs::remove_file(&path).map_err(|error| self.io(error))?;
        Err(ContentError::Corrupt(digest))
    }

    /// Which of these are not there, by name alone; reading checks them.
    pub fn missing(&self, digests: &[Digest]) -> BTreeSet<Digest> {
        self.used();
        digests.iter().copied().filter(|digest| !self.file(*digest).exists()).collect()
    }

    /// For a collection decided now.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.gate.uses.load(Ordering::SeqCst))
    }

    /// Removes what is not in `keep`, unless content was asked for or stored since `ticket`: then `keep` may be out of
    /// date, and the core decides anew. Bounded; what is left waits for the next time.
    pub fn collect(&self, keep: &BTreeSet<Digest>, ticket: Ticket) -> Result<usize, ContentError> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.path).map_err(|error| self.io(error))? {
            let path = entry.map_err(|error| self.io(error))?.path();
            if digest_of(&path).is_none_or(|digest| keep.contains(&digest)) {
                continue;
            }
            let _removing = self.lock();
            if removed == COLLECT_FILES || self.ticket().0 != ticket.0 {
                break;
            }
            std::fs::remove_file(&path).map_err(|error| self.io(error))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Stops collections decided before now, and waits until none is removing a file.
    fn used(&self) {
        self.gate.uses.fetch_add(1, Ordering::SeqCst);
        drop(self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.gate.removing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.path.join(digest.hex())
    }

    fn io(&self, source: io::Error) -> ContentError {
        ContentError::Io { path: self.path.clone(), source }
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    let bytes = unhex(path.file_name()?.to_str()?)?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content { digest: Digest::of(text.as_bytes()), bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn round_trip_and_wrong_digest() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let (a, mut b) = (content("a"), content("b"));
        store.put(std::slice::from_ref(&a)).unwrap();
        assert_eq!(store.get(a.digest).unwrap(), b"a");
        assert!(matches!(store.get(b.digest), Err(ContentError::Missing(_))));
        b.bytes = b"other".to_vec();
        assert!(matches!(store.put(std::slice::from_ref(&b)), Err(ContentError::Corrupt(_))));
        assert_eq!(store.missing(&[a.digest, b.digest]), [b.digest].into());
    }

    #[test]
    fn a_crash_between_temporary_and_rename_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let a = content("a");
        let half = store.file(a.digest).with_extension(TEMPORARY);
        std::fs::write(&half, b"ha").unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        assert!(!half.exists());
        assert!(matches!(store.get(a.digest), Err(ContentError::Missing(_))));
    }

    #[test]
    fn a_corrupted_file_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let a = content("a");
        store.put(std::slice::from_ref(&a)).unwrap();
        std::fs::write(store.file(a.digest), b"b").unwrap();
        assert!(matches!(store.get(a.digest), Err(ContentError::Corrupt(_))));
        assert!(matches!(store.get(a.digest), Err(ContentError::Missing(_))));
        store.put(std::slice::from_ref(&a)).unwrap();
        assert_eq!(store.get(a.digest).unwrap(), b"a");
    }

    #[test]
    fn collection_keeps_what_is_reachable() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let (a, b) = (content("a"), content("b"));
        store.put(&[a.clone(), b.clone()]).unwrap();
        let old = store.ticket();
        assert_eq!(store.missing(&[b.digest]), [].into());
        assert_eq!(store.collect(&[a.digest].into(), old).unwrap(), 0, "b was asked for since");
        assert_eq!(store.collect(&[a.digest].into(), store.ticket()).unwrap(), 1);
        assert_eq!(store.missing(&[a.digest, b.digest]), [b.digest].into());
    }
}
