//! What a spoke keeps. On disk: the last good plan, beside its content
//! ([`rimward_content`]), so that it works alone. In the cluster: what must agree with the objects, beside
//! the objects (identity, floor, ledger).

pub mod dir;
pub mod held;
pub mod ledger;
pub mod object;
mod pack;
pub mod secret;
