//! Content in files named by their digest: objects, indexes, plans, and the
//! documents a publication record points to. Written once, never changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rimward_proto::Digest;

/// Folder of content that is not what its name says: evidence, and never read again.
const DAMAGED: &str = "damaged";
/// Threads that write new files at once: fsync waits for the disk, not for the processor.
const WRITERS: usize = 8;
/// Files from which on writing is spread over threads: below, starting them costs more than it saves.
const PARALLEL_FROM: usize = 16;
/// Digests remembered as lost: more at once is a disk that is gone, and then the log says so.
const LOST: usize = 10_000;
/// Files removed in one collection, so that it never keeps the disk busy for long; the next one goes on.
pub const COLLECT: usize = 50_000;

/// Why content cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{what} content {}", path.display())]
pub struct ContentError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder of content.
#[derive(Debug)]
pub struct Content {
    folder: PathBuf,
    temporary: AtomicU64,
    lost: Mutex<BTreeSet<Digest>>,
}

impl Content {
    /// Content in `folder`. What a crash left half written is removed.
    pub fn open(folder: PathBuf) -> Result<Self, ContentError> {
        let temporary = folder.join("new");
        let failed = |source| ContentError { what: "cannot prepare", path: temporary.clone(), source };
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir_all(&temporary).map_err(failed)?,
        }
        Ok(Self { folder, temporary: AtomicU64::new(0), lost: Mutex::default() })
    }

    /// Stores what is not there yet. When it returns, all of it survives a power cut. Returns how many were new.
    pub fn put<B: AsRef<[u8]> + Sync>(&self, items: &BTreeMap<Digest, B>) -> Result<usize, ContentError> {
        let new: Vec<(&Digest, &[u8])> = items
            .iter()
            .map(|(digest, bytes)| (digest, bytes.as_ref()))
            .filter(|(digest, bytes)| !self.keep(digest, bytes.len()))
            .collect();
        let folders: BTreeSet<PathBuf> =
            new.iter().filter_map(|(d, _)| Some(self.path(d).parent()?.into())).collect();
        let mut made = false;
        for folder in &folders {
            made |= make(folder)?;
        }
        self.write_all(&new)?;
        for folder in folders.iter().map(PathBuf::as_path).chain(made.then_some(self.folder.as_path())) {
            let sync = File::open(folder).and_then(|folder| folder.sync_all());
            sync.map_err(|source| ContentError { what: "cannot sync", path: folder.to_owned(), source })?;
        }
        Ok(new.len())
    }

    fn write_all(&self, new: &[(&Digest, &[u8])]) -> Result<(), ContentError> {
        if new.len() < PARALLEL_FROM {
            return new.iter().try_for_each(|(digest, bytes)| self.write(digest, bytes));
        }
        std::thread::scope(|scope| {
            let shares = new.chunks(new.len().div_ceil(WRITERS));
            let workers: Vec<_> = shares
                .map(|share| {
                    scope.spawn(|| share.iter().try_for_each(|(digest, bytes)| self.write(digest, bytes)))
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("writing content does not panic"))
        })
    }

    fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ContentError> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join("new").join(number.to_string());
        let path = self.path(digest);
        let written = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)
        })();
        written.map_err(|source| ContentError { what: "cannot write", path, source })
    }

    /// True if the content is there in full length; then it is also made young, so that a collection that runs now does
    /// not take what is about to be named.
    fn keep(&self, digest: &Digest, length: usize) -> bool {
        let Ok(file) = File::open(self.path(digest)) else { return false };
        let whole = file.metadata().is_ok_and(|metadata| metadata.len() == length as u64);
        whole && file.set_modified(SystemTime::now()).is_ok()
    }

    /// Some content; none if it is not there, or not what its name says. What is damaged is put aside and counts as lost.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Ok(_) => {
                let aside = self.folder.join(DAMAGED).join(digest.hex());
                tracing::error!(%digest, aside = %aside.display(), "content is damaged; put aside");
                make(&self.folder.join(DAMAGED))?;
                let failed = |source| ContentError { what: "cannot put aside", path, source };
                fs::rename(self.path(digest), aside).map_err(failed)?;
                self.lose(digest);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ContentError { what: "cannot read", path, source }),
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
        let source = io::Error::from(io::ErrorKind::NotFound);
        ContentError { what: "there is no", path: self.path(digest), source }
    }

    /// What was lost since this was last asked.
    pub fn take_lost(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes what is neither in `reachable` nor younger than `age`. Returns how many files went.
    pub fn collect(&self, reachable: &HashSet<Digest>, age: Duration) -> Result<usize, ContentError> {
        let mut removed = 0;
        let before = SystemTime::now() - age;
        for folder in entries(&self.folder)? {
            if folder.file_name().is_some_and(|name| name == "new" || name == DAMAGED) || !folder.is_dir() {
                continue;
            }
            for path in entries(&folder)? {
                if removed == COLLECT {
                    return Ok(removed);
                }
                let named = path.file_name().and_then(|name| name.to_str()).and_then(digest_of);
                let old = path.metadata().and_then(|m| m.modified()).is_ok_and(|modified| modified < before);
                if old && named.is_none_or(|digest| !reachable.contains(&digest)) {
                    fs::remove_file(&path).map_err(|source| ContentError {
                        what: "cannot remove",
                        path,
                        source,
                    })?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(&hex[..2]).join(hex)
    }
}

fn digest_of(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

/// Makes a folder; true if it was not there.
fn make(folder: &Path) -> Result<bool, ContentError> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(ContentError { what: "cannot make", path: folder.to_owned(), source }),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ContentError> {
    let failed = |source| ContentError { what: "cannot list", path: folder.to_owned(), source };
    let list = fs::read_dir(folder).map_err(failed)?;
    list.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: u32) -> BTreeMap<Digest, Vec<u8>> {
        (0..count).map(|n| n.to_be_bytes().to_vec()).map(|bytes| (Digest::of(&bytes), bytes)).collect()
    }

    #[test]
    fn writes_only_what_is_missing_and_repairs_what_is_short() {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path().to_owned()).unwrap();
        let items = items(100);
        assert_eq!(content.put(&items).unwrap(), 100);
        assert_eq!(content.put(&items).unwrap(), 0);
        let (digest, bytes) = items.iter().next().unwrap();
        fs::write(content.path(digest), b"").unwrap();
        assert_eq!(content.put(&items).unwrap(), 1);
        assert_eq!(content.get(digest).unwrap().as_ref(), Some(bytes));
        fs::write(content.path(digest), b"dama").unwrap();
        assert_eq!(content.get(digest).unwrap(), None);
        assert_eq!(fs::read(temp.path().join("damaged").join(digest.hex())).unwrap(), b"dama");
        assert_eq!(content.take_lost(), [*digest].into());
        assert_eq!(content.put(&items).unwrap(), 1);
        assert_eq!(content.get(digest).unwrap().as_ref(), Some(bytes));
    }

    #[test]
    fn collects_only_what_is_old_and_unreachable() {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path().to_owned()).unwrap();
        let items = items(10);
        content.put(&items).unwrap();
        let reachable: HashSet<Digest> = items.keys().take(3).copied().collect();
        assert_eq!(content.collect(&reachable, Duration::from_secs(3600)).unwrap(), 0);
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        for digest in items.keys().skip(1) {
            File::open(content.path(digest)).unwrap().set_modified(long_ago).unwrap();
        }
        assert_eq!(content.collect(&reachable, Duration::from_secs(3600)).unwrap(), 7);
        for digest in items.keys() {
            assert_eq!(content.get(digest).unwrap().is_some(), reachable.contains(digest));
        }
    }
}
