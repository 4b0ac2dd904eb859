//! What a spoke keeps. On disk: content by digest, and the last good plan, so
//! that it works alone. In the cluster: what must agree with the objects, beside
//! the objects (identity, floor, ledger).

pub mod content;
pub mod dir;
pub mod held;
pub mod ledger;
pub mod object;
mod pack;
pub mod secret;
