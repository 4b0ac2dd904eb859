//! Content by its digest, durably on disk: what the hub publishes and what its
//! spokes hold is kept by one piece of code, because both promise that what
//! they acknowledged survives a power cut.
//!
//! What is stored together lies in one file, a *batch* ([`batch`]): making a
//! thousand small files durable costs a thousand times the directory and
//! journal work of one, and that work is what a large change waited for.
//!
//! # Why what is acknowledged survives a power cut
//! 1. A batch is written under a temporary name, fsynced, renamed, and its
//!    folder fsynced, before [`Store::put`] returns.
//! 2. Its name is the sha256 of its header, which lists digests and lengths:
//!    a header that is not whole is noticed when the store is opened.
//! 3. Each item is checked against its own digest whenever it is read. What a
//!    disk changed counts as not there, and is put aside as evidence.

pub mod batch;
mod collect;
mod index;
mod store;

pub use store::{ContentError, Store, Ticket};
