//! Git in: a [`mirror`] for each repository, fetched incrementally over http(s),
//! and [`tree`]s read from its object database. No work tree, so no symlink or
//! path can escape; no prompt; credentials go only to the origin they name.
//! Everything here blocks: call it from a blocking thread.

mod aside;
mod compact;
mod credentials;
mod dir;
mod error;
mod history;
mod mirror;
mod revision;
mod stale;
mod tls;
mod track;
mod tree;
mod watch;

pub use credentials::{Credentials, check_url};
pub use dir::{DirError, Folder, UNCOMMITTED, read_dir, remotes, repository};
pub use error::SourceError;
pub use mirror::{Found, Look, Mirrors, Patience, mirror_name};
pub use revision::{RevisionError, read_revision};
pub use tree::{Snapshot, read as read_tree};

use std::time::Duration;

/// Time one fetch may take. Initial clones of large repositories over slow lines fit; a server that trickles does not.
pub const FETCH_TIME: Duration = Duration::from_secs(300);
/// Bytes one fetch may bring: manifests are small, and a repository beyond this is not one of manifests.
pub const FETCH_BYTES: u64 = 2 << 30;
/// Time to connect, TLS included: a server that is there answers in a second.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Time a server may say nothing: one that gathers a pack says every five seconds that it does.
pub const IDLE_TIME: Duration = Duration::from_secs(30);
/// Entries of one tree, folders included.
pub const TREE_ENTRIES: usize = 200_000;
/// One file.
pub const BLOB_BYTES: u64 = 10 << 20;
/// All YAML and JSON files of one tree, because they are kept in memory.
pub const TREE_BYTES: u64 = 256 << 20;
/// Folders within folders: deeper than any repository of people, and the walk stays on the stack.
pub const TREE_DEPTH: usize = 64;
/// Symbolic links of one tree whose target is looked up, each of which costs reading some folders; what further ones lead
/// to counts as not known.
pub const LINKS: usize = 1_000;
/// The text of a symbolic link: no system follows a longer one.
pub const LINK_BYTES: u64 = 4096;
/// Notes on what was left out, a tree: enough to see the pattern.
pub const TREE_NOTES: usize = 50;
