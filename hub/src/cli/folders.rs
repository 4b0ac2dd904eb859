//! Folders of this machine, for the commands that need no hub.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rimward_hub::core::model::{Policy, SourceId, SourceTree};
use rimward_hub::source::{DirError, Folder, read_dir, remotes, repository};

use super::exit::{Exit, Failure};
use super::offline_args::SourceDir;

/// Reads a folder.
pub fn read(dir: &Path) -> Result<Folder, Failure> {
    read_dir(dir).map_err(|error| {
        let exit = if matches!(error, DirError::NotThere(_)) { Exit::NotFound } else { Exit::No };
        let why = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::new(exit, format!("{error}{why}"))
    })
}

/// Reads the folders of sources; each must be one of the policy.
pub fn sources(
    policy: &Policy,
    given: &[SourceDir],
) -> Result<BTreeMap<SourceId, (PathBuf, Arc<SourceTree>)>, Failure> {
    let mut trees = BTreeMap::new();
    for SourceDir { id, dir } in given {
        known(policy, id)?;
        let dir = content(policy, id, dir);
        let folder = read(&dir)?;
        if trees.insert(id.clone(), (dir, folder.tree)).is_some() {
            return Err(Failure::usage(format!("source {id} is given twice")));
        }
    }
    Ok(trees)
}

/// Says so if the fleet has no such source.
pub fn known(policy: &Policy, id: &SourceId) -> Result<(), Failure> {
    if policy.sources().any(|(known, _)| known == *id) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotFound, format!("the fleet has no source {id}; it has {}", names(policy))))
}

fn names(policy: &Policy) -> String {
    let names: Vec<String> = policy.sources().map(|(id, _)| id.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The folder that counts of a source whose repository, or whose `path` within it, is at `dir`.
pub fn content(policy: &Policy, id: &SourceId, dir: &Path) -> PathBuf {
    let path = policy.sources().find(|(known, _)| known == id).map(|(_, spec)| spec.git.path.clone());
    let path = path.filter(|path| path != "." && dir.join(path).is_dir());
    let is_top =
        dir.canonicalize().is_ok_and(|dir| repository(&dir).join(".git").exists() && repository(&dir) == dir);
    match path {
        Some(path) if is_top => dir.join(path),
        _ => dir.to_owned(),
    }
}

/// Which source a folder is: the only one, or the one whose URL is a remote of the folder's repository.
pub fn source_of(policy: &Policy, dir: &Path) -> Result<SourceId, Failure> {
    let all: Vec<_> = policy.sources().collect();
    if let [(id, _)] = all.as_slice() {
        return Ok(id.clone());
    }
    let remotes: Vec<String> = remotes(dir).iter().filter_map(|url| place(url)).collect();
    let same = |url: &str| place(url).is_some_and(|place| remotes.contains(&place));
    let found: Vec<_> = all.iter().filter(|(_, spec)| same(&spec.git.url)).collect();
    match found.as_slice() {
        [(id, _)] => Ok(id.clone()),
        _ => {
            let which = format!("which source is {}? say it with --source T/S", dir.display());
            Err(Failure::usage(format!("{which}; the fleet has {}", names(policy))))
        }
    }
}

/// Host and path of a repository, whichever way it is reached.
fn place(url: &str) -> Option<String> {
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => url.split_once(':')?,
    };
    let host = host.rsplit('@').next().unwrap_or(host);
    let host = host.split(':').next().unwrap_or(host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    Some(format!("{}/{path}", host.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn one_repository_has_many_urls() {
        for url in [
            "https://git.example/team/apps.git",
            "http://git.example/team/apps/",
            "ssh://git@git.example:2222/team/apps.git",
            "git@git.example:team/apps.git",
            "https://user@Git.Example/team/apps",
        ] {
            assert_eq!(place(url).as_deref(), Some("git.example/team/apps"), "{url}");
        }
        assert_eq!(place("../apps"), None);
    }
}
