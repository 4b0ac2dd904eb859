//! A repository as its team uses it: commit, revert, branch, tag, and the
//! accidents that Rimward must survive.
//!
//! Pushes go to the bare folder directly, not through the server: a test can
//! commit while the server is down, and its log shows the clients alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::command::git;

/// The branch a new repository has.
const MAIN: &str = "main";

/// What public Git servers allow, and http-backend does not by itself: to
/// fetch a commit by its id, and partial fetches.
const SERVER_CONFIG: [(&str, &str); 5] = [
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("uploadpack.allowFilter", "true"),
    ("receive.denyNonFastForwards", "false"),
    // Background work would go on after the test and touch removed folders.
    ("gc.auto", "0"),
    ("receive.autogc", "false"),
];

/// A bare repository behind the server, and a working clone of it. Methods
/// block, some tens of milliseconds.
#[derive(Debug)]
pub struct GitRepo {
    url: String,
    bare: PathBuf,
    work: PathBuf,
}

impl GitRepo {
    pub(super) fn create(url: String, bare: PathBuf, work: PathBuf) -> Result<Self> {
        let repo = Self { url, bare, work };
        repo.init_bare()?;
        fs::create_dir_all(&repo.work)?;
        repo.git(&["init", "--quiet", "--initial-branch", MAIN])?;
        repo.git(&["config", "gc.auto", "0"])?;
        let bare = repo.bare.to_str().context("a path that is not UTF-8")?;
        repo.git(&["remote", "add", "origin", bare])?;
        Ok(repo)
    }

    /// The URL to clone from, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The working clone, for what the methods here do not do.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The served folder.
    pub fn bare(&self) -> &Path {
        &self.bare
    }

    /// Writes (`Some`) and removes (`None`) files, commits and pushes the
    /// current branch. Returns the commit. Nothing to commit is an error.
    pub fn commit(&self, files: &[(&str, Option<&str>)], message: &str) -> Result<String> {
        for (path, content) in files {
            let path = self.work.join(path);
            match content {
                Some(content) => {
                    let folder = path.parent().context("a file without a folder")?;
                    fs::create_dir_all(folder)?;
                    fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
                }
                None => fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?,
            }
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.push(false)
    }

    /// Commits what is the case without changing any file.
    pub fn commit_nothing(&self, message: &str) -> Result<String> {
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.push(false)
    }

    /// `git revert`, pushed. Returns the new commit.
    pub fn revert(&self, commit: &str) -> Result<String> {
        self.git(&["revert", "--no-edit", commit])?;
        self.push(false)
    }

    /// Makes a branch at the current commit and pushes it, without going there.
    pub fn branch(&self, name: &str) -> Result<()> {
        self.git(&["branch", name])?;
        self.git(&["push", "--quiet", "origin", name])?;
        Ok(())
    }

    /// Goes to a branch; further commits land there.
    pub fn checkout(&self, branch: &str) -> Result<()> {
        self.git(&["checkout", "--quiet", branch])?;
        Ok(())
    }

    /// Puts a tag on the current commit, moving it if it exists, and pushes it.
    pub fn tag(&self, name: &str) -> Result<()> {
        self.git(&["tag", "--force", name])?;
        self.git(&["push", "--quiet", "--force", "origin", &format!("refs/tags/{name}")])?;
        Ok(())
    }

    /// Removes a branch or tag from the server.
    pub fn delete_ref(&self, name: &str) -> Result<()> {
        self.git(&["push", "--quiet", "origin", "--delete", name])?;
        Ok(())
    }

    /// The current commit of the working clone.
    pub fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Puts a commit without any file, and without a parent, in place of the
    /// current branch. The working clone stays where it is: `push_again`
    /// undoes it.
    pub fn force_push_empty(&self) -> Result<String> {
        let tree = self.git(&["hash-object", "-t", "tree", "-w", "/dev/null"])?;
        let commit = self.git(&["commit-tree", &tree, "-m", "start over"])?;
        let branch = self.current_branch()?;
        let to = format!("{commit}:refs/heads/{branch}");
        self.git(&["push", "--quiet", "--force", "origin", &to])?;
        Ok(commit)
    }

    /// Puts a new repository, without a commit or a branch, in its place. The
    /// working clone keeps everything: `push_again` brings it back.
    pub fn replace_with_empty_repository(&self) -> Result<()> {
        fs::remove_dir_all(&self.bare)?;
        self.init_bare()
    }

    /// Pushes the current branch by force. Returns its commit.
    pub fn push_again(&self) -> Result<String> {
        self.push(true)
    }

    /// Runs any git command in the working clone.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        git(&self.work, args)
    }

    fn push(&self, force: bool) -> Result<String> {
        let branch = self.current_branch()?;
        let mut args = vec!["push", "--quiet"];
        if force {
            args.push("--force");
        }
        args.extend(["origin", &branch]);
        self.git(&args)?;
        self.head()
    }

    fn current_branch(&self) -> Result<String> {
        self.git(&["symbolic-ref", "--short", "HEAD"])
    }

    fn init_bare(&self) -> Result<()> {
        fs::create_dir_all(&self.bare)?;
        let args = ["init", "--quiet", "--bare", "--initial-branch", MAIN];
        git(&self.bare, &args)?;
        for (key, value) in SERVER_CONFIG {
            git(&self.bare, &["config", key, value])?;
        }
        Ok(())
    }
}
