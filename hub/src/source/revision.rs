//! A folder of this machine as it was at a commit: what people compare with
//! before they push. Read from the repository that the folder is in, by the rules
//! that a mirror is read by. For the command; the hub reads its mirrors alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::bstr::ByteSlice;

use super::{SourceError, tree};
use crate::core::model::{GitRef, GitSpec, SourceTree};

/// Why a folder is not known as it was.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// It is in no repository that can be read.
    #[error("{0:?} is in no Git repository that can be read")]
    NoRepository(PathBuf, #[source] Box<gix::Error>),
    /// The repository has no work tree, or the folder is not in it.
    #[error("{0:?} is not in the work tree of its Git repository")]
    Outside(PathBuf),
    /// The repository does not know the revision.
    #[error("the repository of {0:?} has no commit {1:?}")]
    Unknown(PathBuf, String, #[source] Box<gix::Error>),
    /// What is there cannot be read.
    #[error("{0:?} cannot be read as it was")]
    Read(PathBuf, #[source] Box<SourceError>),
}

/// The files below `dir` at `revision`, whatever Git takes for one: `origin/main`, `HEAD~1`, a commit. A folder that the
/// commit does not have is empty there.
pub fn read_revision(dir: &Path, revision: &str) -> Result<Arc<SourceTree>, RevisionError> {
    // Nothing but the repository's own files decides: no system or user configuration, no environment.
    let options = gix::open::Options::isolated();
    let repo = gix::discover_opts(dir, Default::default(), options)
        .map_err(|error| RevisionError::NoRepository(dir.to_owned(), Box::new(error)))?;
    let outside = || RevisionError::Outside(dir.to_owned());
    let top = repo.workdir().and_then(|top| top.canonicalize().ok()).ok_or_else(outside)?;
    let folder = dir.canonicalize().map_err(|_| outside())?;
    let path = folder.strip_prefix(&top).ok().and_then(Path::to_str).ok_or_else(outside)?;
    let unknown = |error| RevisionError::Unknown(dir.to_owned(), revision.to_owned(), Box::new(error));
    let found = repo.rev_parse_single(revision.as_bytes().as_bstr()).map_err(unknown)?;
    let commit =
        found.object().map_err(unknown)?.peel_to_kind(gix::object::Kind::Commit).map_err(unknown)?.id;
    let git = GitSpec {
        url: dir.display().to_string(),
        reference: GitRef::Commit(commit.to_string()),
        path: path.to_owned(),
        credentials: None,
    };
    match tree::read(&repo, &git, commit, None) {
        Err(SourceError::NoPath { .. }) => {
            Ok(Arc::new(SourceTree { commit: commit.to_string(), ..SourceTree::default() }))
        }
        Ok(snapshot) => Ok(snapshot.tree),
        Err(error) => Err(RevisionError::Read(dir.to_owned(), Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn git(dir: &Path, args: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
        assert!(git.output().unwrap().status.success(), "{args:?}");
    }

    #[test]
    fn a_folder_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("repo");
        fs::create_dir_all(dir.join("apps/web")).unwrap();
        fs::write(dir.join("apps/web/cm.yaml"), "a: 1").unwrap();
        git(&dir, &["init", "-q", "-b", "main"]);
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-q", "-m", "one"]);
        fs::write(dir.join("apps/web/cm.yaml"), "a: 2").unwrap();
        fs::create_dir(dir.join("new")).unwrap();
        fs::write(dir.join("new/x.yaml"), "").unwrap();
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-q", "-m", "two"]);
        let read = |below: &str, revision: &str| read_revision(&dir.join(below), revision);
        assert_eq!(&*read("apps", "main").unwrap().files["web/cm.yaml"], b"a: 2");
        let before = read("apps", "HEAD~1").unwrap();
        assert_eq!(&*before.files["web/cm.yaml"], b"a: 1");
        assert_eq!(read("", &before.commit[..9]).unwrap().commit, before.commit);
        let none = read("new", "HEAD~1").unwrap();
        assert!(none.files.is_empty() && none.commit == before.commit);
        assert!(matches!(read("apps", "nowhere"), Err(RevisionError::Unknown(..))));
        assert!(matches!(read_revision(temp.path(), "main"), Err(RevisionError::NoRepository(..))));
    }
}
