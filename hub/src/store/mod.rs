//! What the hub must not forget, in two parts: small records in an embedded
//! database ([`db`]) and content by its digest ([`content`]).
//!
//! # Why what is acknowledged survives a power cut
//! 1. Content first: it is durable ([`rimward_content`] says how) before any
//!    record names its digest. A cut in between leaves content that nothing
//!    names; it is collected.
//! 2. One commit = one sled batch on one tree, which sled's log applies whole
//!    or not at all. Values stay far below the size at which sled moves them
//!    into blob files, which it never syncs.
//! 3. sled's `flush` pushes the log to the kernel (`sync_file_range`), which is
//!    not durable; so after it the database file itself is fsynced, and only
//!    then is the commit acknowledged. New files' names are made durable by an
//!    fsync of the folder after each open (sled writes snapshots only then).
//! 4. sled can lose its newest records silently when the file is damaged. Each
//!    commit therefore carries a generation, which is written and fsynced to a
//!    file of its own *after* the database: at open, a database older than that
//!    file has lost something, and a record whose checksum is wrong is damaged.
//!    Either way the store is put aside and the hub refuses to start, because
//!    a hub that forgot its seq would sign one number twice. A store that only
//!    cannot be opened now is left where it is.

pub mod content;
mod db;
pub mod records;

pub use db::{Batch, Store, StoreError};
