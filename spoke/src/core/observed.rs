//! What the spoke remembers of a live object: a few words and two digests, not
//! its body. The fingerprint (apply rule 7) says cheaply that something may
//! have changed; it never says what.

use rimward_proto::object::{APP_LABEL, FIELD_MANAGER, PRUNE_ANNOTATION, TENANT_LABEL, annotation};
use rimward_proto::{AppId, AppName, Digest, ObjectKey, TenantName, canonical};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::health::{Health, Judge, Judged};

/// Who manages which fields of an object, as digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Our Apply entry with its time; none if there is none.
    pub ours: Option<Digest>,
    /// The fields of every other entry that is not of the status subresource.
    pub others: Digest,
    /// Being deleted.
    pub deleting: bool,
}

/// A live object's metadata, as far as the core needs them, and its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which object.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Label `rimward.dev/tenant`.
    pub tenant: Option<String>,
    /// Label `rimward.dev/app`.
    pub app: Option<String>,
    /// A controller owns it.
    pub controlled: bool,
    /// See [`Fingerprint`].
    pub fingerprint: Fingerprint,
    /// `rimward.dev/prune` says that it is not to be pruned.
    pub kept: bool,
    /// And that is what our last apply said.
    pub kept_by_us: bool,
    /// The server keeps fields alive for whoever was there before our first apply (apply rule 5).
    pub unfolded: bool,
    /// Whether it does what it is for.
    pub health: Health,
    /// By which conditions of its App that was found; 0 for none.
    pub judged: u64,
    /// A Job that is done and removes itself.
    pub finished: bool,
}

impl Observed {
    /// From an object, or from its `metadata` alone where that is enough for `judge`. `None` without name or UID.
    pub fn from_object(judge: &Judge, group: &str, kind: &str, object: &Value) -> Option<Self> {
        let meta = object.get("metadata")?;
        let text = |field: &str| meta.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let label = |name: &str| meta.get("labels")?.get(name)?.as_str().map(str::to_owned);
        let key = ObjectKey::new(group, kind, text("namespace"), text("name"));
        let uid = text("uid");
        if key.name.is_empty() || uid.is_empty() {
            return None;
        }
        let (tenant, app) = (label(TENANT_LABEL), label(APP_LABEL));
        let owner = tenant.clone().zip(app.clone()).and_then(|(tenant, app)| {
            Some(AppId { tenant: TenantName::new(tenant).ok()?, app: AppName::new(app).ok()? })
        });
        let kept = annotation(object, PRUNE_ANNOTATION) == Some("false");
        let Judged { health, by, finished } = judge.judge(group, kind, owner.as_ref(), object);
        Some(Self {
            uid,
            resource_version: text("resourceVersion"),
            tenant,
            app,
            controlled: is_controlled(meta),
            kept,
            kept_by_us: kept && sets_annotation(meta, PRUNE_ANNOTATION),
            fingerprint: fingerprint(meta),
            unfolded: super::fold::has_first(meta),
            health,
            judged: by,
            finished,
            key,
        })
    }

    /// True if the object carries our Apply entry and our label: ours even when the ledger lost its UID.
    pub fn is_marked_ours(&self) -> bool {
        self.fingerprint.ours.is_some() && self.tenant.is_some()
    }

    /// True if this is certainly older than `other` of the same object.
    pub fn older_than(&self, other: &str) -> bool {
        match (self.resource_version.parse::<u64>(), other.parse::<u64>()) {
            (Ok(mine), Ok(theirs)) => mine < theirs,
            _ => false,
        }
    }
}

fn is_controlled(meta: &Value) -> bool {
    let owners = meta.get("ownerReferences").and_then(Value::as_array);
    owners
        .is_some_and(|owners| owners.iter().any(|owner| owner.get("controller") == Some(&Value::Bool(true))))
}

/// True if our last apply set this annotation.
fn sets_annotation(meta: &Value, name: &str) -> bool {
    let entries = meta.get("managedFields").and_then(Value::as_array);
    let ours = entries.and_then(|entries| entries.iter().find(|entry| is_ours(entry)));
    let set = ours.and_then(|entry| entry.pointer("/fieldsV1/f:metadata/f:annotations"));
    set.is_some_and(|set| set.get(format!("f:{name}")).is_some())
}

/// True of our Apply entry among an object's managedFields.
pub fn is_ours(entry: &Value) -> bool {
    let is = |field: &str, text: &str| entry.get(field).and_then(Value::as_str) == Some(text);
    is("manager", FIELD_MANAGER) && is("operation", "Apply") && entry.get("subresource").is_none()
}

fn is_status(entry: &Value) -> bool {
    entry.get("subresource").and_then(Value::as_str) == Some("status")
}

fn fingerprint(meta: &Value) -> Fingerprint {
    let entries = meta.get("managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let digest = |value: &Value| Digest::of(&canonical::value_to_bytes(value));
    let mut others: Vec<Digest> = entries
        .iter()
        .filter(|entry| !is_ours(entry) && !is_status(entry))
        .map(|entry| {
            let part = |field: &str| entry.get(field).cloned().unwrap_or(Value::Null);
            let fields = ["manager", "operation", "apiVersion", "subresource", "fieldsV1"].map(part);
            digest(&Value::from(fields.to_vec()))
        })
        .collect();
    others.sort();
    Fingerprint {
        ours: entries.iter().find(|entry| is_ours(entry)).map(digest),
        others: digest(&json!(others)),
        deleting: meta.get("deletionTimestamp").is_some_and(|time| !time.is_null()),
    }
}

/// The managers of a live object other than us, the latest writer first.
pub fn other_managers(object: &Value) -> Vec<String> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut found: Vec<(&str, &str)> = entries
        .into_iter()
        .flatten()
        .filter(|entry| !is_ours(entry) && !is_status(entry))
        .filter_map(|entry| {
            let time = entry.get("time").and_then(Value::as_str).unwrap_or_default();
            Some((time, entry.get("manager")?.as_str()?))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    let mut names: Vec<String> = Vec::new();
    for (_, name) in found {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}
