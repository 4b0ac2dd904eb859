//! The folder of batches, and what is read from it and written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rimward_proto::Digest;

use crate::batch::{self, Slot};
use crate::index::{Index, Place};

/// Extension of batches.
const BATCH: &str = "batch";
/// Extension of files that were not finished; they are removed at open.
const TEMPORARY: &str = "tmp";
/// Folder of what a disk changed: evidence, and never read again.
const DAMAGED: &str = "damaged";

/// Why content cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It should be there and is not.
    #[error("content {0} is not there")]
    Missing(Digest),
    /// What was read does not have its digest; it was put aside and counts as not there.
    #[error("content {0} is damaged")]
    Damaged(Digest),
    /// What was to be stored does not have the digest it came under; nothing was stored.
    #[error("content {0} does not have its digest")]
    Wrong(Digest),
    /// The filesystem refuses.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The content in one folder. One process at a time may use it.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    index: Mutex<Index>,
    /// Held while names in the folder change.
    naming: Mutex<()>,
    /// Numbers temporary files.
    temporaries: AtomicU64,
    /// Grows with each use that a collection decided before must not overtake.
    pub(crate) uses: AtomicU64,
}

/// The moment at which a collection was decided; see [`Store::collect_unused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub(crate) u64);

impl Store {
    /// The content in `folder`, which is made if it is missing. What a crash left unfinished is removed, and a batch
    /// whose header is not whole is put aside.
    pub fn open(folder: PathBuf) -> Result<Self, ContentError> {
        let store = Self {
            folder,
            index: Mutex::default(),
            naming: Mutex::default(),
            temporaries: AtomicU64::new(0),
            uses: AtomicU64::new(0),
        };
        fs::create_dir_all(&store.folder).map_err(failed("cannot make", &store.folder))?;
        for entry in fs::read_dir(&store.folder).map_err(failed("cannot list", &store.folder))? {
            let path = entry.map_err(failed("cannot list", &store.folder))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(TEMPORARY) => fs::remove_file(&path).map_err(failed("cannot remove", &path))?,
                Some(BATCH) => store.take_in(&path)?,
                _ => {}
            }
        }
        Ok(store)
    }

    fn take_in(&self, path: &Path) -> Result<(), ContentError> {
        let read = File::open(path).and_then(|mut file| Ok((file.metadata()?, read_header(&mut file)?)));
        let (metadata, header) = match read {
            Ok(read) => read,
            Err(error) if is_exhausted(&error) => return Err(failed("cannot read", path)(error)),
            Err(error) => {
                // What a disk does not give back counts as not there, and is stored anew when it is wanted.
                tracing::error!(file = %path.display(), %error, "a batch of content cannot be read; left out");
                return Ok(());
            }
        };
        let name = Digest::of(&header);
        let slots = batch::slots(&header, metadata.len()).filter(|_| self.path(&name) == path);
        let Some(mut slots) = slots else {
            tracing::error!(file = %path.display(), "a batch of content is damaged; put aside");
            let aside = self.aside(path.file_name().unwrap_or_default().as_ref())?;
            return fs::rename(path, &aside).map_err(failed("cannot put aside", path));
        };
        let touched = metadata.modified().unwrap_or_else(|_| SystemTime::now());
        let mut index = self.index();
        // Of two copies one may be what the other was stored anew for.
        slots.retain(|slot| !index.has(&slot.digest) || is_good(path, slot));
        index.add(name, &slots, touched);
        Ok(())
    }

    /// Stores what is not there yet. When it returns, all of it survives a power cut. Returns how many were new.
    pub fn put<'a>(
        &self,
        items: impl IntoIterator<Item = (Digest, &'a [u8])>,
    ) -> Result<usize, ContentError> {
        self.used();
        let items: BTreeMap<Digest, &[u8]> = items.into_iter().collect();
        if let Some((wrong, _)) = items.iter().find(|(digest, bytes)| Digest::of(bytes) != **digest) {
            return Err(ContentError::Wrong(*wrong));
        }
        let now = SystemTime::now();
        let mut aged = BTreeSet::new();
        let mut new = Vec::new();
        {
            let mut index = self.index();
            for (digest, bytes) in items {
                if index.has(&digest) {
                    aged.extend(index.touch(&digest, now));
                } else {
                    new.push((digest, bytes));
                }
            }
        }
        for name in aged {
            let path = self.path(&name);
            let touched = File::open(&path).and_then(|file| file.set_modified(now));
            touched.map_err(failed("cannot mark", &path))?;
        }
        batch::split(&new).into_iter().try_for_each(|batch| self.write(batch))?;
        Ok(new.len())
    }

    /// Writes one batch, also of what other batches have.
    pub(crate) fn write(&self, items: &[(Digest, &[u8])]) -> Result<(), ContentError> {
        let header = batch::header(items);
        let name = Digest::of(&header);
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{number}.{TEMPORARY}"));
        let bodies = items.iter().map(|(_, bytes)| *bytes);
        let written = write_file(&temporary, std::iter::once(header.as_slice()).chain(bodies));
        let path = self.path(&name);
        let _naming = self.naming();
        let named = written.and_then(|length| fs::rename(&temporary, &path).map(|()| length));
        let length = named.map_err(|error| {
            // A full disk must not be filled by what did not fit. If this fails too, the next start removes it.
            let _ = fs::remove_file(&temporary);
            failed("cannot write", &path)(error)
        })?;
        let slots = batch::slots(&header, length).unwrap_or_default();
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("cannot sync", &self.folder))?;
        self.index().add(name, &slots, SystemTime::now());
        Ok(())
    }

    /// Some content, checked; none if it is not there.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        loop {
            let Some((name, place)) = self.index().find(digest) else { return Ok(None) };
            let path = self.path(&name);
            match read(&path, place) {
                Ok(bytes) if Digest::of(&bytes) == *digest => return Ok(Some(bytes)),
                Ok(bytes) => {
                    self.index().forget(digest, place);
                    let aside = self.aside(digest.hex().as_ref())?;
                    tracing::error!(%digest, aside = %aside.display(), "content is damaged; put aside");
                    fs::write(&aside, bytes).map_err(failed("cannot put aside", &aside))?;
                    return Err(ContentError::Damaged(*digest));
                }
                Err(error) if is_gone(&error) => {
                    // Moved to another batch a moment ago, or removed by somebody.
                    self.index().forget(digest, place);
                }
                Err(source) if is_exhausted(&source) => return Err(failed("cannot read", &path)(source)),
                Err(error) => {
                    self.index().forget(digest, place);
                    tracing::error!(%digest, file = %path.display(), %error, "content cannot be read");
                    return Err(ContentError::Damaged(*digest));
                }
            }
        }
    }

    /// Which of these are not there; reading checks them.
    pub fn missing(&self, digests: &[Digest]) -> BTreeSet<Digest> {
        self.used();
        let index = self.index();
        digests.iter().copied().filter(|digest| !index.has(digest)).collect()
    }

    /// Stops collections decided before now, and waits until none is removing anything.
    fn used(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
        drop(self.naming());
    }

    fn aside(&self, name: &Path) -> Result<PathBuf, ContentError> {
        let folder = self.folder.join(DAMAGED);
        fs::create_dir_all(&folder).map_err(failed("cannot make", &folder))?;
        Ok(folder.join(name))
    }

    pub(crate) fn path(&self, name: &Digest) -> PathBuf {
        self.folder.join(name.hex()).with_extension(BATCH)
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a filesystem's refusal, an error that says what was tried.
pub(crate) fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> ContentError {
    move |source| ContentError::Io { what, path: path.to_owned(), source }
}

/// As much as there is of the header; empty if no batch begins so.
fn read_header(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(batch::FIXED as u64).read_to_end(&mut start)?;
    let length = start.as_slice().try_into().ok().and_then(batch::header_length).unwrap_or(0);
    file.take((length as u64).saturating_sub(start.len() as u64)).read_to_end(&mut start)?;
    Ok(start)
}

/// Writes a new file that only we can read, and makes it durable, its name apart. How long it is.
fn write_file<'a>(path: &Path, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = BufWriter::new(options.open(path)?);
    let mut length = 0;
    for part in parts {
        file.write_all(part)?;
        length += part.len() as u64;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(length)
}

fn read(path: &Path, place: Place) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; place.length as usize];
    File::open(path)?.read_exact_at(&mut bytes, place.offset)?;
    Ok(bytes)
}

/// True if this process or machine lacks something for a moment: that says nothing about the disk.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM];
    rustix::io::Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

fn is_good(path: &Path, slot: &Slot) -> bool {
    let place = Place::of(slot);
    read(path, place).is_ok_and(|bytes| Digest::of(&bytes) == slot.digest)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests;
