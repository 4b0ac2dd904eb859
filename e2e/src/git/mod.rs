//! Git repositories served by the real smart HTTP: `git http-backend` behind
//! a small web server on loopback.
//!
//! The server has threads of its own, so a test may block in `git` while a
//! client of the same test fetches.

mod cgi;
mod command;
mod repo;
mod server;

pub use command::isolated;
pub use repo::GitRepo;
pub use server::{Access, GitRequest, GitServer, Kind, Scheme};
