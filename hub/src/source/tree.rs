//! A commit's files as a value, read from the object database. Only regular
//! files that could be manifests; what is left out is told apart from what is
//! absent, what is too large fails the whole source: half a tree would look like
//! deletions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gix::bstr::ByteSlice;
use gix::object::Kind;
use gix::objs::tree::EntryKind;
use gix::{ObjectId, Repository};

use super::error::left_out;
use super::{BLOB_BYTES, LINK_BYTES, LINKS, SourceError, TREE_BYTES, TREE_DEPTH, TREE_ENTRIES, TREE_NOTES};
use crate::core::model::{GitSpec, LeftOut, SourceTree};
use crate::core::note::Note;

/// A source at a commit.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Its files.
    pub tree: Arc<SourceTree>,
    /// What was left out.
    pub notes: Vec<Note>,
    /// The blobs, so that the next snapshot shares what did not change.
    blobs: HashMap<ObjectId, Arc<[u8]>>,
}

/// Reads the files below the path of `git` at `commit`. Blobs that `previous` has are shared, not read.
pub fn read(
    repo: &Repository,
    git: &GitSpec,
    commit: ObjectId,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, SourceError> {
    let failed = |error: gix::Error| SourceError::Mirror { url: git.url.clone(), why: error.to_string() };
    let root = repo.find_commit(commit).and_then(|commit| commit.tree()).map_err(failed)?;
    let folder = folder(&root, git)?;
    let mut walk = Walk {
        repo,
        root: &root,
        git,
        previous,
        files: BTreeMap::new(),
        left_out: BTreeMap::new(),
        snapshot: Snapshot::default(),
        entries: 0,
        links: 0,
        bytes: 0,
    };
    walk.folder(folder, "", 0)?;
    let tree = SourceTree { commit: commit.to_string(), files: walk.files, left_out: walk.left_out };
    Ok(Snapshot { tree: Arc::new(tree), ..walk.snapshot })
}

/// The parts of a path of ours, without those that say nothing.
pub(super) fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect()
}

fn folder(root: &gix::Tree<'_>, git: &GitSpec) -> Result<ObjectId, SourceError> {
    let parts = parts(&git.path);
    let missing = || SourceError::NoPath {
        url: git.url.clone(),
        reference: reference_text(git),
        path: git.path.clone(),
    };
    if parts.contains(&"..") {
        return Err(missing());
    }
    if parts.is_empty() {
        return Ok(root.id);
    }
    let entry =
        root.lookup_entry(parts.iter().map(|part| part.as_bytes())).ok().flatten().ok_or_else(missing)?;
    if entry.mode().is_tree() { Ok(entry.object_id()) } else { Err(missing()) }
}

/// A ref as people write it.
pub(super) fn reference_text(git: &GitSpec) -> String {
    use crate::core::model::GitRef;
    match &git.reference {
        GitRef::Head => "HEAD".to_owned(),
        GitRef::Branch(name) => format!("branch {name}"),
        GitRef::Tag(name) => format!("tag {name}"),
        GitRef::Commit(id) => format!("commit {id}"),
    }
}

struct Walk<'a> {
    repo: &'a Repository,
    root: &'a gix::Tree<'a>,
    git: &'a GitSpec,
    previous: Option<&'a Snapshot>,
    files: BTreeMap<String, Arc<[u8]>>,
    left_out: BTreeMap<String, LeftOut>,
    snapshot: Snapshot,
    entries: usize,
    links: usize,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, id: ObjectId, prefix: &str, depth: usize) -> Result<(), SourceError> {
        if depth > TREE_DEPTH {
            return Err(self.over("a folder's depth", TREE_DEPTH.to_string()));
        }
        let tree = self.repo.find_tree(id).map_err(|error| self.failed(&error))?;
        let tree = tree.decode().map_err(|error| self.failed(&error))?;
        for entry in &tree.entries {
            self.entries += 1;
            if self.entries > TREE_ENTRIES {
                return Err(self.over("the number of files", TREE_ENTRIES.to_string()));
            }
            let id = entry.oid.to_owned();
            let Some(path) = name(entry.filename).map(|name| format!("{prefix}{name}")) else {
                let what = if is_file(entry.mode.kind()) { LeftOut::OddFile } else { LeftOut::OddFolder };
                self.leave_out(format!("{prefix}{}", entry.filename.escape_ascii()), what);
                continue;
            };
            match entry.mode.kind() {
                EntryKind::Tree => self.folder(id, &format!("{path}/"), depth + 1)?,
                EntryKind::Blob | EntryKind::BlobExecutable => self.file(id, path)?,
                EntryKind::Link => {
                    let what = self.link(id, prefix);
                    self.leave_out(path, what);
                }
                EntryKind::Commit => self.leave_out(path, LeftOut::Submodule),
            }
        }
        Ok(())
    }

    fn file(&mut self, id: ObjectId, path: String) -> Result<(), SourceError> {
        if !is_manifest(&path) {
            return Ok(());
        }
        let known = self.snapshot.blobs.get(&id).or_else(|| self.previous?.blobs.get(&id)).cloned();
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.blob(id, &path)?,
        };
        self.bytes += bytes.len() as u64;
        if self.bytes > TREE_BYTES {
            return Err(self.over("the size of all files", format!("{} MiB", TREE_BYTES >> 20)));
        }
        self.snapshot.blobs.insert(id, Arc::clone(&bytes));
        self.files.insert(path, bytes);
        Ok(())
    }

    fn blob(&self, id: ObjectId, path: &str) -> Result<Arc<[u8]>, SourceError> {
        let header = self.repo.find_header(id).map_err(|error| self.failed(&error))?;
        if header.kind() != Kind::Blob || header.size() > BLOB_BYTES {
            return Err(self.over(&format!("the file {path}"), format!("{} MiB", BLOB_BYTES >> 20)));
        }
        let object = self.repo.find_object(id).map_err(|error| self.failed(&error))?;
        Ok(object.data.as_slice().into())
    }

    fn leave_out(&mut self, path: String, what: LeftOut) {
        if self.snapshot.notes.len() < TREE_NOTES {
            self.snapshot.notes.push(left_out(&path, what));
        }
        self.left_out.insert(path, what);
    }

    /// What a link in the folder `prefix` leads to, by its text alone. What cannot be told is [`LeftOut::Link`].
    fn link(&mut self, id: ObjectId, prefix: &str) -> LeftOut {
        self.links += 1;
        if self.links > LINKS {
            return LeftOut::Link;
        }
        self.target(id, prefix).unwrap_or(LeftOut::Link)
    }

    fn target(&self, id: ObjectId, prefix: &str) -> Option<LeftOut> {
        if self.repo.find_header(id).ok()?.size() > LINK_BYTES {
            return None;
        }
        let object = self.repo.find_object(id).ok()?;
        let text = object.data.to_str().ok().filter(|text| !text.starts_with('/'))?;
        let (top, mut path) = (parts(&self.git.path), parts(&self.git.path));
        path.extend(parts(prefix));
        for part in parts(text) {
            match part {
                ".." => drop(path.pop()?),
                part => path.push(name(part.as_bytes().as_bstr())?),
            }
        }
        if path.is_empty() {
            return top.is_empty().then_some(LeftOut::LinkToFolder);
        }
        let found = self.root.lookup_entry(path.iter().map(|part| part.as_bytes())).ok().flatten()?;
        match found.mode().kind() {
            kind if is_file(kind) => Some(LeftOut::LinkToFile),
            EntryKind::Tree if path.starts_with(&top) => Some(LeftOut::LinkToFolder),
            _ => None,
        }
    }

    fn failed(&self, error: &gix::Error) -> SourceError {
        SourceError::Mirror { url: self.git.url.clone(), why: error.to_string() }
    }

    fn over(&self, what: &str, limit: String) -> SourceError {
        SourceError::Limit { url: self.git.url.clone(), what: what.to_owned(), limit }
    }
}

fn is_file(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable)
}

/// True of the files that could matter.
pub(super) fn is_manifest(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
}

/// A name that is text and cannot leave its folder.
pub(super) fn name(raw: &gix::bstr::BStr) -> Option<&str> {
    let name = raw.to_str().ok()?;
    let bad = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0', '\n']);
    (!bad).then_some(name)
}
