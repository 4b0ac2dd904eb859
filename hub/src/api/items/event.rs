//! Events and drift as the API shows them.

use jiff::Timestamp;
use rimward_proto::ClusterName;
use rimward_proto::report::{DriftAction, DriftReport, DriftType};
use serde::Serialize;

use super::object::{Field, ObjectRef};
use crate::core::world::Event;

/// Kinds of events that are good news; everything else is worth a look.
const GOOD: [&str; 5] = ["Enrolled", "TokenIssued", "Approved", "Kept", "Replaced"];
/// Kinds of events that may be an attack, or a broken hub.
const BAD: [&str; 14] = [
    "Equivocation",
    "Rollback",
    "CrossDelivery",
    "BadProof",
    "BadSignature",
    "RootSignature",
    "WrongType",
    "WrongDomain",
    "EpochUnauthorised",
    "Ahead",
    "BadHead",
    "ClusterUid",
    "ForeignContent",
    "Locked",
];

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventItem {
    id: String,
    time: Timestamp,
    r#type: String,
    severity: &'static str,
    code: Option<String>,
    tenant: Option<String>,
    app: Option<String>,
    cluster: Option<String>,
    source: Option<String>,
    object: Option<ObjectRef>,
    message: String,
    actor: String,
    count: u64,
}

impl EventItem {
    /// The item of one event.
    pub fn new(event: &Event) -> Self {
        let what = &event.what;
        let severity = match what.kind.as_str() {
            kind if BAD.contains(&kind) => "error",
            kind if GOOD.contains(&kind) => "info",
            _ => "warning",
        };
        Self {
            id: what.id.clone(),
            time: event.time,
            r#type: what.kind.clone(),
            severity,
            code: None,
            tenant: what.app.as_ref().map(|id| id.tenant.to_string()),
            app: what.app.as_ref().map(|id| id.app.to_string()),
            cluster: event.cluster.as_ref().map(ToString::to_string),
            source: None,
            object: what.key.as_ref().map(|key| ObjectRef::new(key, None)),
            message: what.message.clone(),
            actor: event.actor.clone(),
            count: 1,
        }
    }
}

/// One drift.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftItem {
    id: String,
    cluster: String,
    tenant: String,
    app: String,
    object: ObjectRef,
    r#type: DriftType,
    detected: Timestamp,
    as_of: Timestamp,
    manager: String,
    action: DriftAction,
    restored_millis: Option<u64>,
    fields: Vec<Field>,
}

impl DriftItem {
    /// The item of one drift, on a cluster that last reported at `as_of`.
    pub fn new(cluster: &ClusterName, drift: &DriftReport, as_of: Timestamp) -> Self {
        Self {
            id: drift.id.clone(),
            cluster: cluster.to_string(),
            tenant: drift.app.tenant.to_string(),
            app: drift.app.app.to_string(),
            object: ObjectRef::new(&drift.key, Some(&drift.version)),
            r#type: drift.kind,
            detected: drift.detected,
            as_of,
            manager: drift.manager.clone(),
            action: drift.action,
            restored_millis: drift.restored_millis,
            fields: Field::all(&drift.key, &drift.fields),
        }
    }
}
