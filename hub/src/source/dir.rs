//! A folder of this machine as a source: what people have before they commit it.
//! It is read by the rules that a commit is read by, so that what is checked here
//! is what the hub will read. For the command; the hub reads commits alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::bstr::ByteSlice;

use super::error::left_out;
use super::tree::{is_manifest, name, parts};
use super::{BLOB_BYTES, LINK_BYTES, LINKS, TREE_BYTES, TREE_DEPTH, TREE_ENTRIES, TREE_NOTES};
use crate::core::model::{LeftOut, SourceTree};
use crate::core::note::Note;

/// The commit of what is in none: Git's own word for it.
pub const UNCOMMITTED: &str = "0000000000000000000000000000000000000000";
/// Git's own folder, or the file that says where it is; a commit never has one.
const GIT: &str = ".git";

/// A folder's content.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// Its files, as a commit of it would have them.
    pub tree: Arc<SourceTree>,
    /// What was left out.
    pub notes: Vec<Note>,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// There is no such folder.
    #[error("there is no folder {0:?}")]
    NotThere(PathBuf),
    /// Something in it cannot be read. Half a tree would look like deletions, so it is none.
    #[error("cannot read {path:?}")]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too much: the hub would refuse it (RW2008).
    #[error("{what} of {dir:?} is over the limit of {limit}")]
    Limit {
        /// The folder.
        dir: PathBuf,
        /// What is too large.
        what: String,
        /// The limit.
        limit: String,
    },
}

/// Reads the files below `dir`, whatever Git knows of them: those it ignores too.
pub fn read_dir(dir: &Path) -> Result<Folder, DirError> {
    let top = match fs::canonicalize(dir) {
        Ok(top) if top.is_dir() => top,
        Ok(_) => return Err(DirError::NotThere(dir.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DirError::NotThere(dir.to_owned()));
        }
        Err(source) => return Err(DirError::Read { path: dir.to_owned(), source }),
    };
    let root = repository(&top);
    let below = top.strip_prefix(&root).unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let mut walk = Walk {
        dir,
        root: &root,
        below: parts(&below),
        files: BTreeMap::new(),
        left_out: BTreeMap::new(),
        notes: Vec::new(),
        entries: 0,
        links: 0,
        bytes: 0,
    };
    walk.folder(&top, "", 0)?;
    let tree = SourceTree { commit: UNCOMMITTED.to_owned(), files: walk.files, left_out: walk.left_out };
    Ok(Folder { tree: Arc::new(tree), notes: walk.notes })
}

/// The repository that a folder is in; the folder itself if it is in none.
pub fn repository(dir: &Path) -> PathBuf {
    dir.ancestors().find(|folder| is_repository(folder)).unwrap_or(dir).to_owned()
}

fn is_repository(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(GIT)).is_ok()
}

struct Walk<'a> {
    dir: &'a Path,
    root: &'a Path,
    /// Where `dir` is below `root`.
    below: Vec<&'a str>,
    files: BTreeMap<String, Arc<[u8]>>,
    left_out: BTreeMap<String, LeftOut>,
    notes: Vec<Note>,
    entries: usize,
    links: usize,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), DirError> {
        if depth > TREE_DEPTH {
            return Err(self.over("a folder's depth", TREE_DEPTH.to_string()));
        }
        let failed = |source| DirError::Read { path: folder.to_owned(), source };
        let mut entries =
            fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| entry.file_name() != GIT) {
            self.entries += 1;
            if self.entries > TREE_ENTRIES {
                return Err(self.over("the number of files", TREE_ENTRIES.to_string()));
            }
            let (path, own) = (entry.path(), entry.file_name());
            let kind = entry.file_type().map_err(|source| DirError::Read { path: path.clone(), source })?;
            let Some(own) = name(own.as_bytes().as_bstr()).map(|name| format!("{prefix}{name}")) else {
                let what = if kind.is_dir() { LeftOut::OddFolder } else { LeftOut::OddFile };
                self.leave_out(format!("{prefix}{}", own.as_bytes().escape_ascii()), what);
                continue;
            };
            if kind.is_symlink() {
                let what = self.link(&path, prefix);
                self.leave_out(own, what);
            } else if kind.is_dir() && is_repository(&path) {
                self.leave_out(own, LeftOut::Submodule);
            } else if kind.is_dir() {
                self.folder(&path, &format!("{own}/"), depth + 1)?;
            } else if kind.is_file() && is_manifest(&own) {
                self.file(&path, own)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, own: String) -> Result<(), DirError> {
        let mut bytes = Vec::new();
        // One byte more than there may be, whatever the file grows to meanwhile.
        let read = File::open(path).and_then(|file| file.take(BLOB_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|source| DirError::Read { path: path.to_owned(), source })?;
        if bytes.len() as u64 > BLOB_BYTES {
            return Err(self.over(&format!("the file {own}"), format!("{} MiB", BLOB_BYTES >> 20)));
        }
        self.bytes += bytes.len() as u64;
        if self.bytes > TREE_BYTES {
            return Err(self.over("the size of all files", format!("{} MiB", TREE_BYTES >> 20)));
        }
        self.files.insert(own, bytes.into());
        Ok(())
    }

    fn leave_out(&mut self, path: String, what: LeftOut) {
        if self.notes.len() < TREE_NOTES {
            self.notes.push(left_out(&path, what));
        }
        self.left_out.insert(path, what);
    }

    /// What a link in the folder `prefix` leads to, by its text alone. What cannot be told is [`LeftOut::Link`].
    fn link(&mut self, path: &Path, prefix: &str) -> LeftOut {
        self.links += 1;
        if self.links > LINKS {
            return LeftOut::Link;
        }
        self.target(path, prefix).unwrap_or(LeftOut::Link)
    }

    fn target(&self, path: &Path, prefix: &str) -> Option<LeftOut> {
        let text = fs::read_link(path).ok()?;
        let text = text.to_str().filter(|text| text.len() as u64 <= LINK_BYTES && !text.starts_with('/'))?;
        let mut path = self.below.clone();
        path.extend(parts(prefix));
        for part in parts(text) {
            match part {
                ".." => drop(path.pop()?),
                part => path.push(name(part.as_bytes().as_bstr()).filter(|name| *name != GIT)?),
            }
        }
        // A commit knows no way through a link, or into another repository.
        let mut found = self.root.to_owned();
        let mut is_file = false;
        for part in &path {
            found.push(part);
            let meta = fs::symlink_metadata(&found).ok()?;
            is_file = meta.is_file();
            if !is_file && (!meta.is_dir() || is_repository(&found)) {
                return None;
            }
        }
        match is_file {
            true => Some(LeftOut::LinkToFile),
            false => path.starts_with(&self.below).then_some(LeftOut::LinkToFolder),
        }
    }

    fn over(&self, what: &str, limit: String) -> DirError {
        DirError::Limit { dir: self.dir.to_owned(), what: what.to_owned(), limit }
    }
}

/// URLs of the remotes of the repository that a folder is in.
pub fn remotes(dir: &Path) -> Vec<String> {
    let Ok(repo) = dir.canonicalize().map_err(drop).and_then(|dir| gix::open(repository(&dir)).map_err(drop))
    else {
        return Vec::new();
    };
    let names = repo.remote_names();
    let remotes = names.iter().filter_map(|name| repo.find_remote(name.as_bstr()).ok());
    let urls = remotes.filter_map(|remote| Some(remote.url(gix::remote::Direction::Fetch)?.to_bstring()));
    urls.map(|url| url.to_string()).collect()
}
