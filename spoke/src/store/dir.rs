//! The data directory: private to us, and to one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Others may read or write it.
    #[error("error[RW1020]: the data directory is open to others (mode {mode:04o}); `chmod 700 {}`", path.display())]
    Open {
        /// Which directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another spoke runs on it.
    #[error("error[RW1021]: another process holds the lock of {}", path.display())]
    Locked {
        /// Which directory.
        path: PathBuf,
    },
    /// The filesystem refuses.
    #[error("error[RW1022]: the data directory cannot be used: {}", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The locked data directory; the lock is released when this is dropped, or the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, refuses it unless it is ours alone, and locks it.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let io = |source| DirError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let mode = std::fs::metadata(path).map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(DirError::Open { path: path.to_owned(), mode });
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join("LOCK")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DirError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes `bytes` to `path` so that after a power cut there is the old content or the new, never half: a temporary
/// file, which only we can read, fsync, rename. The caller syncs the directory, once for many files.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// Makes the renames in `path` durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DirError::Locked { .. })));
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let chmod =
            |mode| std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o755, 0o750, 0o2770] {
            chmod(mode);
            assert!(matches!(DataDir::open(parent.path()), Err(DirError::Open { .. })), "{mode:o}");
        }
        for mode in [0o700, 0o2700] {
            chmod(mode);
            assert!(DataDir::open(parent.path()).is_ok(), "{mode:o}");
        }
    }
}
