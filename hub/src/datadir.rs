//! The data directory: who may read it, who holds it, and what lies where. One
//! hub at a time (`LOCK`), nobody but its owner (0700), one layout (`VERSION`).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The layout that this version reads and writes.
const LAYOUT: &str = "rimward-hub 1\n";

/// Times the lock is tried, [`LOCK_PAUSE`] apart: a hub that has just ended may still have a child between fork and exec,
/// which holds its copy of the lock for a moment.
const LOCK_TRIES: u32 = 25;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another process holds it.
    #[error("{} is in use by another rimward-hub", .0.display())]
    Locked(PathBuf),
    /// Others may read it.
    #[error("{} has mode {mode:o}; it holds keys, so it must be 0700 (chmod 0700 {})", path.display(), path.display())]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It was never initialised.
    #[error("{} is not initialised; run `rimward-hub init`", .0.display())]
    NotInitialised(PathBuf),
    /// Written by another version.
    #[error("{} was written by a version with another layout ({found:?}, this one reads {LAYOUT:?})", path.display())]
    Layout {
        /// The directory.
        path: PathBuf,
        /// What VERSION says.
        found: String,
    },
    /// The system refused.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A data directory that this process holds until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes hold of an initialised directory.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DataError::NotInitialised(path.to_owned()));
            }
            Err(source) => {
                return Err(DataError::Io { what: "cannot look at", path: path.to_owned(), source });
            }
        };
        if mode != 0o700 {
            return Err(DataError::Mode { path: path.to_owned(), mode });
        }
        let dir = Self { path: path.to_owned(), _lock: lock(path)? };
        match fs::read_to_string(dir.version()) {
            Ok(text) if text == LAYOUT => Ok(dir),
            Ok(found) => Err(DataError::Layout { path: path.to_owned(), found }),
            Err(_) => Err(DataError::NotInitialised(path.to_owned())),
        }
    }

    /// Takes hold of a directory that may be new.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        if !path.exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| DataError::Io { what: "cannot make", path: path.to_owned(), source })?;
        }
        match Self::open(path) {
            Err(DataError::NotInitialised(_)) => Ok(Self { path: path.to_owned(), _lock: lock(path)? }),
            other => other,
        }
    }

    /// True once [`DataDir::finish`] was reached.
    pub fn initialised(&self) -> bool {
        self.version().exists()
    }

    /// Marks the directory as complete: the last step of init.
    pub fn finish(&self) -> Result<(), DataError> {
        write_new(&self.version(), LAYOUT.as_bytes()).map(drop)
    }

    /// A folder in it, made if missing.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataError> {
        let path = self.path.join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(DataError::Io { what: "cannot make", path, source: error })
            }
            _ => Ok(path),
        }
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn version(&self) -> PathBuf {
        self.path.join("VERSION")
    }
}

fn lock(path: &Path) -> Result<File, DataError> {
    let lock = path.join("LOCK");
    let io = |source| DataError::Io { what: "cannot lock", path: lock.clone(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock).map_err(io)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
    }
    Err(DataError::Locked(path.to_owned()))
}

/// Writes a new file, 0600, durably. False if it was there already: nothing is ever overwritten.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, DataError> {
    let io = |source| DataError::Io { what: "cannot write", path: path.to_owned(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(io(error)),
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    sync_parent(path).map_err(io)?;
    Ok(true)
}

/// Replaces a file, 0600, durably and at once.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let io = |source| DataError::Io { what: "cannot write", path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(io)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&temporary, path).map_err(io)?;
    sync_parent(path).map_err(io)
}

/// Reads a file that must be there.
pub fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| DataError::Io { what: "cannot read", path: path.to_owned(), source })
}

/// Makes a name in a folder durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_owner_only_and_complete() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("hub");
        assert!(matches!(DataDir::open(&path), Err(DataError::NotInitialised(_))));
        let dir = DataDir::create(&path).unwrap();
        assert!(!dir.initialised());
        assert!(matches!(DataDir::create(&path), Err(DataError::Locked(_))));
        dir.finish().unwrap();
        drop(dir);
        assert!(DataDir::open(&path).unwrap().initialised());
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataError::Mode { mode: 0o750, .. })));
    }

    #[test]
    fn write_new_never_overwrites_and_replace_does() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        assert!(write_new(&path, b"one").unwrap());
        assert!(!write_new(&path, b"two").unwrap());
        assert_eq!(read(&path).unwrap(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
