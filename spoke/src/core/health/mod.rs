//! Whether a live object does what it is for. Pure: an object goes in, its
//! health comes out. What is built in follows kstatus with stricter gates; an
//! App adds conditions of its own in CEL; both have to hold. The rules and why
//! they are as they are: `docs/concepts/health.md`.

mod ask;
mod cel;
mod clock;
pub mod explain;
mod finished;
mod judge;
#[cfg(test)]
mod judge_tests;
mod kinds;
#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
mod old_tests;
mod status;
mod text;
mod workloads;

use jiff::Timestamp;

pub(crate) use ask::Asking;
pub use clock::STATUS_GRACE;
pub(crate) use clock::{Standing, Told};
pub(crate) use judge::Compiled;
pub use judge::{Judge, Judged};

/// Health of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// Does what it is for, or is of a kind that needs no more than to exist.
    #[default]
    Ready,
    /// A custom resource whose status nobody has written yet, with the time of its creation. Ready once
    /// [`STATUS_GRACE`] is over: some controllers never write one.
    Unwritten(Option<Timestamp>),
    /// Not yet; the text says what is missing.
    Progressing(String),
    /// Will not, without a change; the text says why.
    Failed(String),
}
