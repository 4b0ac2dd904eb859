//! What the API says of each kind: the JSON shapes that people's scripts read.
//! Fields are only ever added; lists are never null; what is not known is null.

pub mod app;
pub mod cluster;
pub mod event;
pub mod hold;
pub mod object;
pub mod source;
pub mod tenant;

use jiff::Timestamp;
use serde::Serialize;

use crate::core::status::Status;

/// `apiVersion` of everything.
pub const API_VERSION: &str = "rimward.dev/v1alpha1";

/// The fields every item begins with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Core {
    name: String,
    state: &'static str,
    reason: String,
    message: String,
    as_of: Timestamp,
    since: Option<Timestamp>,
}

impl Core {
    /// The fields for a thing of this name and status.
    pub fn new(name: impl ToString, status: Status) -> Self {
        let Status { state, reason, message, as_of, since } = status;
        Self { name: name.to_string(), state: state.as_str(), reason, message, as_of, since }
    }
}

/// A list of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    api_version: &'static str,
    kind: String,
    as_of: Timestamp,
    items: Vec<T>,
    r#continue: String,
}

impl<T> List<T> {
    /// One page of a list of `kind`.
    pub fn new(kind: &str, page: super::query::Page<T>, as_of: Timestamp) -> Self {
        let kind = format!("{kind}List");
        Self { api_version: API_VERSION, kind, as_of, items: page.items, r#continue: page.next }
    }
}

/// One thing, with everything that is known of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described<T> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    item: T,
    #[serde(flatten)]
    about: About,
}

/// What is said about a thing, besides its fields.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// What is wrong with its files.
    pub notes: Vec<crate::core::note::Note>,
    /// What happened to it.
    pub events: Vec<event::EventItem>,
    /// Of `objects`, the one to look at first.
    pub first_not_ready: Option<object::ObjectItem>,
    /// Its objects that are not as they should be.
    pub objects: Vec<object::ObjectItem>,
    /// Its objects that were there before and were taken over.
    pub taken: Vec<object::TakenItem>,
}

impl<T> Described<T> {
    /// An item with what is said about it.
    pub fn new(kind: &'static str, item: T, about: About) -> Self {
        Self { api_version: API_VERSION, kind, item, about }
    }
}
