//! Objects as the API shows them: which they are, what is wrong with them, whose
//! they are if not ours, and from whom they were taken. Values of Secrets are
//! not shown, even if a spoke sent them.

use jiff::Timestamp;
use rimward_proto::report::{AppReport, FieldDrift, Listed, ObjectReport, TakenReport};
use rimward_proto::{ClusterName, KeyParts, ObjectKey};
use serde::Serialize;
use serde_json::Value;

use crate::core::status::first::NotReady;
use crate::core::world::ClusterStatus;

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
        let KeyParts { group, kind, namespace, name } = (**key).clone();
        Self { group, version: version.map(str::to_owned), kind, namespace, name }
    }
}

/// A field that differs.
#[derive(Debug, Serialize)]
pub struct Field {
    path: String,
    wanted: Value,
    found: Value,
    redacted: bool,
}

impl Field {
    /// The fields of one object.
    pub fn all(key: &ObjectKey, fields: &[FieldDrift]) -> Vec<Self> {
        fields.iter().map(|field| Self::new(field, key.is_secret() || field.redacted)).collect()
    }

    fn new(field: &FieldDrift, redacted: bool) -> Self {
        let value = |json: &str| match json {
            "" => Value::Null,
            _ if redacted => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned())),
        };
        Self { path: field.path.clone(), wanted: value(&field.wanted), found: value(&field.found), redacted }
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
    /// Of an object that is not ours: who manages it, the latest writer first.
    managers: Vec<String>,
    /// Of an object that is not ours: what a takeover would change.
    fields: Vec<Field>,
    /// How often it is looked at, and when last, if by list; null if it is watched.
    listed: Option<Listed>,
}

impl ObjectItem {
    fn new(cluster: &ClusterName, report: &AppReport, object: &ObjectReport, as_of: Timestamp) -> Self {
        Self {
            cluster: cluster.to_string(),
            tenant: report.id.tenant.to_string(),
            app: report.id.app.to_string(),
            object: ObjectRef::new(&object.key, None),
            reason: object.reason.clone(),
            message: object.message.clone(),
            as_of,
            managers: object.managers.clone(),
            fields: Field::all(&object.key, &object.fields),
            listed: object.listed,
        }
    }

    /// Everything a cluster reports of one App's objects that are not as they should be.
    pub fn of(cluster: &ClusterName, report: &AppReport, as_of: Timestamp) -> Vec<Self> {
        report.exceptions.iter().map(|object| Self::new(cluster, report, object, as_of)).collect()
    }

    /// The one to look at first.
    pub fn first(found: &NotReady<'_>, as_of: Timestamp) -> Self {
        Self::new(found.cluster, found.report, found.object, as_of)
    }

    /// Where it stands in a list.
    pub fn key(&self) -> String {
        let ObjectRef { group, kind, namespace, name, .. } = &self.object;
        crate::api::query::key(&[&self.cluster, &self.tenant, &self.app, group, kind, namespace, name])
    }
}

/// An object that was there before it was ours.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenItem {
    cluster: String,
    tenant: String,
    app: String,
    object: ObjectRef,
    /// Whom it was taken from, the latest writer first.
    managers: Vec<String>,
    as_of: Timestamp,
}

impl TakenItem {
    /// Everything that one App took over on a cluster.
    pub fn of(cluster: &ClusterName, report: &AppReport, as_of: Timestamp) -> Vec<Self> {
        let item = |taken: &TakenReport| Self {
            cluster: cluster.to_string(),
            tenant: report.id.tenant.to_string(),
            app: report.id.app.to_string(),
            object: ObjectRef::new(&taken.key, None),
            managers: taken.managers.clone(),
            as_of,
        };
        report.taken.iter().map(item).collect()
    }
}

/// When what a cluster last reported was true.
pub fn as_of(known: &ClusterStatus, now: Timestamp) -> Timestamp {
    known.reported.unwrap_or(now)
}
