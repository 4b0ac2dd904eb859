//! The heart of the spoke: which publications it accepts and what it does to
//! its cluster because of them. Pure and synchronous: `step` takes what
//! happened and says what to do; time and randomness come in as values, so that
//! every interleaving, crash and fault can be played in a test.
//!
//! It is level-triggered. The state holds what is wanted, what is known and
//! what is in flight; whatever an event says, `step` looks at the difference
//! and asks for the next things to do. Losing an event costs a retry, never a
//! wrong result.

pub mod accept;
mod activate;
mod apply;
mod ascending;
mod audit;
mod compare;
mod content;
pub mod decorate;
mod depends;
pub mod discovery;
pub mod drift;
pub mod effect;
pub mod errors;
pub mod event;
pub mod flight;
mod fold;
pub mod follow;
pub mod glob;
pub mod health;
mod holds;
pub mod ignore;
mod lanes;
pub mod ledger;
pub mod lists;
pub mod lost;
mod managed;
pub mod observed;
mod offer;
pub mod order;
mod outbox;
mod prune;
mod replace;
mod report;
mod scope;
mod search;
mod settle;
mod standing;
pub mod state;
mod takeover;
mod tenants;
#[cfg(test)]
mod testing;
pub mod trust;
mod watch;
mod work;

pub use decorate::{apply_body, decorate};
pub use discovery::Discovery;
pub use effect::{Effect, EffectId, Work};
pub use errors::{ApiError, ErrorKind};
pub use event::{Event, Outcome, Settings, Started};
pub use ledger::{Ledger, LedgerEntry};
pub use observed::Observed;
pub use state::{HelloFacts, State, step};
