//! Drift: whether a live object still is what was applied, which fields are
//! not, who changed them, and the report of a repair (apply rule 7). Values of
//! Secrets never leave this file.

use jiff::Timestamp;
use rimward_proto::limits::REPORT_EXCEPTIONS;
use rimward_proto::object::FIELD_MANAGER;
use rimward_proto::report::{DriftAction, DriftReport, DriftType, FieldDrift};
use rimward_proto::{ObjectKey, canonical};
use serde_json::Value;

use super::event::Live;
use super::managed::Case;
use super::observed::{Fingerprint, Observed, other_managers};
use super::state::State;

/// Longest value shown in a report: enough to recognise it.
const VALUE_CHARS: usize = 256;

/// True if a live object holds all of `wanted` and our Apply entry is as our last apply left it. Another client's
/// fields beside ours are no drift. A value written differently but meaning the same (`1000m`, `1`) says false: then
/// the server is asked.
pub fn is_unchanged(base: &Fingerprint, live: &Fingerprint, body: &Value, wanted: &Value) -> bool {
    base.ours.is_some() && base.ours == live.ours && holds(body, wanted)
}

/// True if a dry-run would change nothing; where values were sent back as they are (`shares`), who owns them may change.
pub fn is_no_op(before: &Observed, live: &Value, dry: &Live, shares: bool) -> bool {
    let strip = |object: &Value| {
        let mut object = object.clone();
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["managedFields", "resourceVersion"] {
                meta.remove(field);
            }
        }
        object
    };
    (shares || before.fingerprint == dry.observed.fingerprint) && strip(live) == strip(&dry.body)
}

fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| match live.get(field) {
                Some(live) => holds(live, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| holds(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// A server leaves out what is empty.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The fields that a repair changed.
pub fn fields(key: &ObjectKey, before: &Value, after: &Value) -> Vec<FieldDrift> {
    let mut found = Vec::new();
    let (mut before, mut after) = (before.clone(), after.clone());
    for object in [&mut before, &mut after] {
        if let Some(map) = object.as_object_mut() {
            map.remove("status");
        }
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|field, _| {
                ["labels", "annotations", "finalizers", "ownerReferences"].contains(&field.as_str())
            });
        }
    }
    diff("", Some(&before), Some(&after), &mut found);
    if key.is_secret() {
        found.iter_mut().for_each(redact);
        found.dedup();
    }
    found.truncate(REPORT_EXCEPTIONS);
    found
}

/// Of a Secret only the name of the field is told, and of its annotations, which may hold a whole copy, not even that.
fn redact(field: &mut FieldDrift) {
    (field.wanted, field.found, field.redacted) = (String::new(), String::new(), true);
    if field.path.starts_with("/metadata/annotations") {
        field.path = "/metadata/annotations".to_owned();
    }
}

fn diff(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldDrift>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let fields = before.keys().chain(after.keys().filter(|field| !before.contains_key(*field)));
            for field in fields {
                diff(&format!("{path}/{}", escape(field)), before.get(field), after.get(field), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                diff(&format!("{path}/{i}"), Some(before), Some(after), found);
            }
        }
        // One side lacks a whole map: its fields, each by its path, say more than the map.
        (None, Some(Value::Object(after))) if !after.is_empty() => {
            for (field, value) in after {
                diff(&format!("{path}/{}", escape(field)), None, Some(value), found);
            }
        }
        (Some(Value::Object(before)), None) if !before.is_empty() => {
            for (field, value) in before {
                diff(&format!("{path}/{}", escape(field)), Some(value), None, found);
            }
        }
        (before, after) => {
            let text = |value: Option<&Value>| value.map(show).unwrap_or_default();
            found.push(FieldDrift {
                path: path.to_owned(),
                wanted: text(after),
                found: text(before),
                redacted: false,
            });
        }
    }
}

fn escape(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

fn show(value: &Value) -> String {
    let text = String::from_utf8_lossy(&canonical::value_to_bytes(value)).into_owned();
    if text.chars().count() <= VALUE_CHARS {
        text
    } else {
        text.chars().take(VALUE_CHARS).collect::<String>() + "…"
    }
}

/// Who changed these fields: the manager that owns the most of the first path in the object as it was found; when
/// nobody owns it (a field was removed), whoever wrote last.
pub fn manager(before: &Value, fields: &[FieldDrift]) -> String {
    let entries = before.pointer("/metadata/managedFields").and_then(Value::as_array);
    let path = fields.first().map(|field| field.path.as_str()).unwrap_or_default();
    let mut best: Option<((usize, &str), &str)> = None;
    for entry in entries.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let depth = entry.get("fieldsV1").map_or(0, |set| owned_depth(set, path));
        let rank = (depth, text("time"));
        let other = text("manager") != FIELD_MANAGER && text("subresource") != "status";
        if other && depth > 0 && best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, text("manager")));
        }
    }
    let parts = path.split('/').skip(1).count();
    let owner = best.filter(|((depth, _), _)| *depth >= parts.min(2)).map(|(_, name)| name.to_owned());
    owner.or_else(|| other_managers(before).into_iter().next()).unwrap_or_default()
}

/// How many parts of a JSON pointer a fieldsV1 set names; list items are named by keys there, so that indexes match any.
fn owned_depth(set: &Value, path: &str) -> usize {
    let mut set = set;
    let mut depth = 0;
    for part in path.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let item = part.parse::<usize>().is_ok();
        let by_index =
            || set.as_object()?.iter().find(|(field, _)| item && !field.starts_with("f:") && *field != ".");
        let next = set.get(format!("f:{part}")).or_else(|| by_index().map(|(_, next)| next));
        let Some(next) = next else { break };
        (set, depth) = (next, depth + 1);
    }
    depth
}

impl State {
    /// A drift was repaired. Nothing differs after all: then it was a false alarm, and nobody's news.
    pub(crate) fn report_drift(&mut self, key: &ObjectKey, case: &Case, after: &Value, now: Timestamp) {
        let changed = case.kind == DriftType::Changed;
        let fields = if changed { fields(key, &case.before, after) } else { Vec::new() };
        if changed && fields.is_empty() {
            return;
        }
        let manager = if changed { manager(&case.before, &fields) } else { String::new() };
        let millis = now.duration_since(case.detected).as_millis();
        let report = self.drift_report(key, case, manager, fields);
        if let Some(mut report) = report {
            report.restored_millis = Some(u64::try_from(millis).unwrap_or(0));
            self.outbox.drift(report);
        }
    }

    /// Repairs are slowed down because somebody fights back.
    pub(crate) fn report_contended(&mut self, key: &ObjectKey, case: &Case) {
        let manager = other_managers(&case.before).into_iter().next().unwrap_or_default();
        let report = self.drift_report(key, case, manager, Vec::new());
        if let Some(mut report) = report {
            (report.kind, report.action) = (DriftType::Contended, DriftAction::Reported);
            self.outbox.drift(report);
        }
    }

    pub(crate) fn drift_report(
        &mut self,
        key: &ObjectKey,
        case: &Case,
        manager: String,
        fields: Vec<FieldDrift>,
    ) -> Option<DriftReport> {
        let entry = self.ledger.entries.get(key)?;
        Some(DriftReport {
            id: self.outbox.next_id(),
            app: entry.app.clone(),
            key: key.clone(),
            version: entry.version.clone(),
            kind: case.kind,
            detected: case.detected,
            manager,
            action: DriftAction::Reverted,
            restored_millis: None,
            approximate: false,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::new("", kind, "a", "a")
    }

    #[test]
    fn the_fields_and_who_changed_them() {
        let before = json!({
            "metadata": {"resourceVersion": "2", "managedFields": [
                {"manager": "rimward", "operation": "Apply", "time": "3", "fieldsV1": {"f:spec": {"f:image": {}}}},
                {"manager": "helm", "operation": "Update", "time": "2", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                {"manager": "kubectl-scale", "operation": "Update", "time": "1", "subresource": "scale",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": 5, "image": "a"}
        });
        let after = json!({"metadata": {"resourceVersion": "3"}, "spec": {"replicas": 3, "image": "a"}});
        let found = fields(&key("Thing"), &before, &after);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].path.as_str(), found[0].wanted.as_str(), found[0].found.as_str()),
            ("/spec/replicas", "3", "5")
        );
        assert_eq!(manager(&before, &found), "kubectl-scale");
        let removed = [FieldDrift { path: "/metadata/labels/a".into(), ..found[0].clone() }];
        assert_eq!(manager(&before, &removed), "helm");
    }

    #[test]
    fn a_secret_shows_names_and_nothing_else() {
        let before = json!({"metadata": {"annotations": {"x": "canary"}}, "data": {"password": "Y2FuYXJ5"}});
        let after = json!({"data": {"password": "b2s=", "extra": "Y2FuYXJ5"}});
        let found = fields(&key("Secret"), &before, &after);
        let paths: Vec<_> = found.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["/data/password", "/data/extra", "/metadata/annotations"]);
        let text = format!("{found:?}");
        assert!(
            found.iter().all(|field| field.redacted) && !text.contains("canary") && !text.contains("Y2Fu")
        );
    }

    #[test]
    fn unchanged_means_ours_is_as_it_was_and_all_of_it_is_there() {
        let print = |ours: &[u8]| Fingerprint {
            ours: Some(rimward_proto::Digest::of(ours)),
            others: rimward_proto::Digest::of(b"x"),
            deleting: false,
        };
        let wanted = json!({"data": {"a": "1"}, "subjects": []});
        let live = json!({"data": {"a": "1", "b": "2"}});
        assert!(is_unchanged(&print(b"1"), &print(b"1"), &live, &wanted));
        assert!(!is_unchanged(&print(b"1"), &print(b"2"), &live, &wanted));
        assert!(!is_unchanged(&print(b"1"), &print(b"1"), &json!({"data": {"a": "2"}}), &wanted));
    }
}
