//! The calls to the API server, thin: which request, as whom, and what the
//! answer means. Nothing is decided here.

pub mod calls;
pub mod client;
#[cfg(test)]
mod client_tests;
pub mod discovery;
pub mod ensure;
pub mod errors;
pub mod explain;
pub mod list;
#[cfg(test)]
mod list_tests;
pub mod paths;
pub mod patience;
pub mod search;
pub mod watch;
#[cfg(test)]
mod watch_tests;

pub use client::{Connection, Identity};
