//! The Rimward hub: reads the fleet repo and the tenants' repos, decides what
//! runs on which cluster, signs it and serves it to the spokes.
//!
//! The folders are the data flow: `source` → `render` → `core` → `sign` →
//! `store` → `session`, driven by `tasks`, looked at through `api` and `cli`.
//! `core` is pure and decides everything; the rest does I/O and decides nothing.

pub mod api;
pub mod args;
pub mod check;
pub mod config;
pub mod core;
pub mod datadir;
pub mod failure;
pub mod handle;
pub mod init;
pub mod pki;
pub mod probes;
pub mod render;
pub mod run;
pub mod schema;
pub mod session;
pub mod sign;
pub mod source;
pub mod state;
pub mod store;
pub mod tasks;
pub mod telemetry;
