//! The way to the hub: who we are, whom we trust, and the one stream between.
//! What comes through it is not trusted here; the core verifies it.

pub mod backoff;
pub mod dial;
#[cfg(test)]
mod double;
pub mod enrol;
pub mod fetch;
pub mod identity;
pub mod link;
pub mod proxy;
pub mod renew;
#[cfg(test)]
mod tests;
pub mod tls;
