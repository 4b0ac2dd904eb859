//! What the spoke remembers of a live object: a few words and two digests, not
//! its body. The fingerprint (apply rule 7) says cheaply that something may
//! have changed; it never says what.

use rimward_proto::object::{APP_LABEL, FIELD_MANAGER, PRUNE_ANNOTATION, TENANT_LABEL, annotation};
use rimward_proto::{AppId, AppName, Digest, ObjectKey, TenantName, canonical};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::health::{Health, Judge, Judged};
use super::ignore::Left;

/// Who manages which fields of an object, as digests. What its App leaves to others is not part of it ([`Left`]), so that
/// an autoscaler at work costs nothing.
///
/// The time of our entry is, because it is all that shows a write by others in our name. It stays when somebody takes a
/// field of ours over: an entry gets another time when its own manager changes what it has, not when it loses a field.
/// Times of other entries are not, as they change with every write: that a manager writes again what it has already is
/// seen by what it took from us, or by the audit. So leaving out the fields that a manager may have hides none of the
/// others: to change one of those it has to own it, and then its entry says so.
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
            fingerprint: fingerprint(meta, owner.as_ref().and_then(|app| judge.left_by(app))),
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

fn fingerprint(meta: &Value, left: Option<&Left>) -> Fingerprint {
    let entries = meta.get("managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let digest = |value: &Value| Digest::of(&canonical::value_to_bytes(value));
    let mut others: Vec<Digest> = entries
        .iter()
        .filter(|entry| !is_ours(entry) && !is_status(entry))
        .filter_map(|entry| {
            let part = |field: &str| entry.get(field).cloned().unwrap_or(Value::Null);
            let mut fields = ["manager", "operation", "apiVersion", "subresource", "fieldsV1"].map(part);
            // Who has nothing but what is left to others is not there.
            let nothing = left.is_some_and(|left| left.take_from(&mut fields[4]));
            (!nothing).then(|| digest(&Value::from(fields.to_vec())))
        })
        .collect();
    others.sort();
    let ours = |entry: &Value| match left {
        Some(left) => {
            let mut entry = entry.clone();
            entry.get_mut("fieldsV1").map(|set| left.take_from(set));
            digest(&entry)
        }
        None => digest(entry),
    };
    Fingerprint {
        ours: entries.iter().find(|entry| is_ours(entry)).map(ours),
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

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "00000001";

    fn meta(ours: Value, others: &[(&str, Value)]) -> Value {
        let entry = |manager: &str, operation: &str, time: &str, fields: &Value| {
            json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": time,
                   "fieldsV1": fields})
        };
        let mut entries = vec![entry(FIELD_MANAGER, "Apply", OURS, &ours)];
        let times = ["00000002", "00000003"].iter().cycle();
        entries.extend(others.iter().zip(times).map(|((name, set), time)| entry(name, "Update", time, set)));
        json!({"name": "web", "managedFields": entries})
    }

    fn left() -> Left {
        Left::new(&["/spec/replicas"])
    }

    #[test]
    fn what_is_left_to_others_changes_nothing() {
        let image = json!({"f:spec": {"f:image": {}}});
        let both = json!({"f:spec": {"f:image": {}, "f:replicas": {}}});
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let begun = meta(both.clone(), &[]);
        let scaled = meta(image.clone(), &[("autoscaler", replicas)]);
        assert_eq!(fingerprint(&begun, Some(&left())), fingerprint(&scaled, Some(&left())));
        assert_ne!(fingerprint(&begun, None), fingerprint(&scaled, None));
        let more = meta(json!({"f:spec": {}}), &[("autoscaler", both)]);
        assert_ne!(fingerprint(&scaled, Some(&left())), fingerprint(&more, Some(&left())), "the image too");
        let plain = meta(image, &[]);
        assert_eq!(fingerprint(&plain, Some(&left())), fingerprint(&plain, None), "where nothing is left");
    }

    #[test]
    fn our_entry_counts_with_its_time_also_when_nothing_of_it_is_left() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let mut meta = meta(replicas, &[]);
        let before = fingerprint(&meta, Some(&left()));
        assert!(before.ours.is_some());
        meta["managedFields"][0]["time"] = json!("00000009");
        assert_ne!(fingerprint(&meta, Some(&left())), before, "somebody wrote in our name");
        meta["managedFields"] = json!([]);
        assert_eq!(fingerprint(&meta, Some(&left())).ours, None);
    }
}
