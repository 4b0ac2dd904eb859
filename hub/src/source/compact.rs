//! Keeping mirrors small: each fetch adds a pack, and a mirror of thousands of
//! packs is slow. Beyond [`PACKS`] it is fetched anew next to the old one, which
//! goes only when everything that is held is in the new one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use gix::{ObjectId, Repository};

use super::mirror::{Fetch, Patience, open_or_make};
use super::{SourceError, tls::Tls, track};
use crate::core::model::GitSpec;

/// Packs from which on a mirror is fetched anew: opening this many costs a look some ten milliseconds.
pub const PACKS: usize = 200;

/// Number of packs in a mirror.
pub fn packs(mirror: &Path) -> usize {
    let Ok(list) = fs::read_dir(mirror.join("objects").join("pack")) else { return 0 };
    list.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count()
}

/// Puts the old mirror back if a crash came between the two renames of [`compact`].
pub fn recover(mirror: &Path) {
    let old = sibling(mirror, "old");
    if !mirror.exists() && old.exists() {
        // If it fails, the mirror is as good as deleted by hand: it is fetched again.
        let _ = fs::rename(old, mirror);
    }
}

/// Replaces the mirror by one fetched anew. False if the server does not have everything any more that is held: then the
/// old one stays.
pub fn compact(
    repo: &Repository,
    mirror: &Path,
    git: &GitSpec,
    server: &str,
    load: impl Fn() -> Result<Option<super::Credentials>, SourceError>,
    (tls, patience): (&Tls, Patience),
) -> Result<bool, SourceError> {
    let local = |why: String| SourceError::Mirror { url: git.url.clone(), why };
    let path = sibling(mirror, "new");
    remove(&path).map_err(|error| local(error.to_string()))?;
    let new = open_or_make(&path).map_err(|error| local(error.to_string()))?;
    for (name, _) in references(repo, track::PREFIX) {
        let Some(reference) = track::tracked(&name) else { continue };
        let git = GitSpec { reference, ..git.clone() };
        let fetch = Fetch { repo: &new, path: &path, git: &git, server, credentials: load()?, tls, patience };
        match fetch.run(None, true) {
            // A ref that is gone may still be one of another source, whose commit is then looked for below.
            Ok(_) | Err(SourceError::NoRef { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // Opened again, to see what has just come.
    let new = open_or_make(&path).map_err(|error| local(error.to_string()))?;
    let held = references(repo, "refs/rimward/held/");
    if !held.iter().all(|(_, commit)| new.has_object(commit)) {
        remove(&path).map_err(|error| local(error.to_string()))?;
        return Ok(false);
    }
    for (name, commit) in held {
        super::mirror::hold(&new, &path, &name, commit).map_err(local)?;
    }
    swap(mirror, &path).map_err(|error| local(error.to_string()))?;
    Ok(true)
}

fn swap(mirror: &Path, new: &Path) -> std::io::Result<()> {
    let old = sibling(mirror, "old");
    remove(&old)?;
    fs::rename(mirror, &old)?;
    fs::rename(new, mirror)?;
    if let Some(folder) = mirror.parent() {
        File::open(folder)?.sync_all()?;
    }
    remove(&old)
}

fn references(repo: &Repository, prefix: &str) -> Vec<(String, ObjectId)> {
    let Ok(platform) = repo.references() else { return Vec::new() };
    let Ok(all) = platform.prefixed(prefix) else { return Vec::new() };
    all.flatten()
        .filter_map(|mut reference| {
            let name = reference.name().as_bstr().to_string();
            Some((name, reference.peel_to_id().ok()?.detach()))
        })
        .collect()
}

fn sibling(mirror: &Path, end: &str) -> PathBuf {
    mirror.with_extension(end)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_between_the_renames_is_undone() {
        let temp = tempfile::tempdir().unwrap();
        let mirror = temp.path().join("m");
        fs::create_dir(sibling(&mirror, "old")).unwrap();
        recover(&mirror);
        assert!(mirror.exists() && !sibling(&mirror, "old").exists());
    }
}
