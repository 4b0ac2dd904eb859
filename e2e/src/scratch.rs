//! Temporary folders that do not outlive their owner by much.
//!
//! A folder is removed when its value is dropped. The owner also holds a file
//! lock in it, which the kernel lets go however the owner ends; the next
//! process that makes a scratch folder removes those nobody holds any more.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Marks a folder that somebody wants to look at.
const KEPT: &str = "kept";
/// The file that says, by being locked, that a folder has a living owner.
const OWNER: &str = "owner.lock";

/// A temporary folder, removed on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _owner: File,
    keep: bool,
}

impl Scratch {
    /// Makes a new folder whose name begins with `name`.
    pub fn new(name: &str) -> Result<Self> {
        let root = root()?;
        // One lock for making and sweeping: otherwise a folder could be swept
        // between its creation and the locking of its owner file.
        let gate = File::create(root.join("gate.lock"))?;
        gate.lock().context("locking the scratch root")?;
        sweep(&root);
        let id = uuid::Uuid::now_v7().simple().to_string();
        // The last digits of a v7 UUID are the random ones.
        let path = root.join(format!("{name}-{}", &id[id.len() - 8..]));
        private_dir(&path)?;
        let owner = File::create(path.join(OWNER))?;
        owner.lock().context("locking a new scratch folder")?;
        Ok(Self { path, _owner: owner, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder there on drop, for somebody to look at and remove.
    pub fn keep(&mut self) {
        // Without the mark the next process sweeps it.
        self.keep = File::create(self.path.join(KEPT)).is_ok();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing useful can be done about a failure here; the next
            // process sweeps what is left.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes a folder, and those above it, that only this user may read.
pub fn private_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("making {}", path.display()))
}

fn root() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let root = std::env::temp_dir().join(format!("rimward-e2e-{user}"));
    private_dir(&root)?;
    Ok(root)
}

/// Removes the folders whose owners are gone. Best effort: a folder that
/// cannot be removed now is tried again by the next process.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.join(KEPT).exists() && !has_owner(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn has_owner(folder: &Path) -> bool {
    match File::open(folder.join(OWNER)) {
        Ok(file) => file.try_lock().is_err(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_folder_is_gone() {
        let scratch = Scratch::new("unit").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_without_an_owner_is_swept_and_one_with_stays() {
        let held = Scratch::new("held").unwrap();
        let orphan = held.path().parent().unwrap().join("unit-orphan");
        fs::create_dir_all(&orphan).unwrap();
        File::create(orphan.join(OWNER)).unwrap();
        let other = Scratch::new("other").unwrap();
        assert!(!orphan.exists());
        assert!(held.path().exists() && other.path().exists());
    }
}
