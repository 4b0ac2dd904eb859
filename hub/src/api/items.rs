//! What the API says of each kind: the JSON shapes that people's scripts read.
//! Fields are only ever added; lists are never null; what is not known is null.

pub mod app;
pub mod cluster;
pub mod event;
pub mod hold;
pub mod source;
pub mod tenant;

use jiff::Timestamp;
use rimward_proto::ObjectKey;
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
    notes: Vec<crate::core::note::Note>,
    events: Vec<event::EventItem>,
    objects: Vec<ObjectItem>,
}

impl<T> Described<T> {
    /// An item with what is said about it.
    pub fn new(
        kind: &'static str,
        item: T,
        notes: Vec<crate::core::note::Note>,
        events: Vec<event::EventItem>,
        objects: Vec<ObjectItem>,
    ) -> Self {
        Self { api_version: API_VERSION, kind, item, notes, events, objects }
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    group: String,
    version: Option<String>,
    kind: String,
    namespace: String,
    name: String,
}

impl ObjectRef {
    /// The object of this key, at a version if that is known.
    pub fn new(key: &ObjectKey, version: Option<&str>) -> Self {
        let ObjectKey { group, kind, namespace, name } = key.clone();
        Self { group, version: version.map(str::to_owned), kind, namespace, name }
    }
}

/// An object that is not as it should be, by the last report of its cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectItem {
    cluster: String,
    tenant: String,
    app: String,
    object: ObjectRef,
    reason: String,
    message: String,
    as_of: Timestamp,
}

impl ObjectItem {
    /// Everything a cluster reports of one App's objects that are not as they should be.
    pub fn of(
        cluster: &rimward_proto::ClusterName,
        report: &rimward_proto::report::AppReport,
        as_of: Timestamp,
    ) -> Vec<Self> {
        let item = |exception: &rimward_proto::report::ObjectReport| Self {
            cluster: cluster.to_string(),
            tenant: report.id.tenant.to_string(),
            app: report.id.app.to_string(),
            object: ObjectRef::new(&exception.key, None),
            reason: exception.reason.clone(),
            message: exception.message.clone(),
            as_of,
        };
        report.exceptions.iter().map(item).collect()
    }

    /// Where it stands in a list.
    pub fn key(&self) -> String {
        let ObjectRef { group, kind, namespace, name, .. } = &self.object;
        super::query::key(&[&self.cluster, &self.tenant, &self.app, group, kind, namespace, name])
    }
}
