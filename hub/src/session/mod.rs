//! The spokes' side of the hub: enrolment, the mTLS listener, one stream a
//! spoke that is told what to hold, and the content it may fetch. Newest wins
//! everywhere: one session a cluster, one pending offer a session.

mod assigned;
mod enrolment;
mod fetch;
mod ingest;
mod listener;
mod offer;
mod open;
mod registry;
mod sent;
mod service;

pub use assigned::Assigned;
pub use enrolment::{EnrolError, Enrolments};
pub(crate) use ingest::enrolled;
pub use listener::{Listener, ListenerError};
pub use registry::Registry;
pub use sent::{Kind, Sent};
