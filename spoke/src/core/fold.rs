//! Old managers keep fields alive (apply rule 5): what a client-side apply, an
//! edit or a chart's installer once set stays owned by it when Git drops the
//! field. On takeover, and where our own entry has vanished, their fields become
//! ours; the apply that follows then drops what Git does not want.

use rimward_proto::object::FIELD_MANAGER;
use serde_json::{Map, Value, json};

use super::observed::is_ours;

/// Managers whose fields are folded into ours. The server invents the last one for an object that was applied to
/// without any entry, in the name of whoever was there before.
const LEGACY: [&str; 4] = ["kubectl-client-side-apply", "kubectl-edit", "helm", FIRST];
/// See [`LEGACY`].
const FIRST: &str = "before-first-apply";

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn entries(object: &Value) -> &[Value] {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.map(Vec::as_slice).unwrap_or_default()
}

fn is_legacy(entry: &Value) -> bool {
    LEGACY.contains(&text(entry, "manager")) && text(entry, "subresource").is_empty()
}

/// True if the server keeps fields alive for whoever was there before our first apply.
pub fn has_first(meta: &Value) -> bool {
    let entries = meta.get("managedFields").and_then(Value::as_array).into_iter().flatten();
    entries.into_iter().any(|entry| text(entry, "manager") == FIRST)
}

/// The JSON patch (RFC 6902) that makes the fields of legacy managers ours, or none if there are none. It names the
/// resourceVersion it was made for, so that it cannot undo somebody else's write. Fields of another API version than
/// ours have other paths: those entries are dropped, as client-go's `csaupgrade` does.
pub fn patch(object: &Value) -> Option<Value> {
    let entries = entries(object);
    let latest = entries.iter().filter(|entry| is_legacy(entry)).map(|entry| text(entry, "time")).max()?;
    let ours = entries.iter().find(|entry| is_ours(entry)).cloned();
    let mut ours = ours.unwrap_or_else(|| {
        json!({"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": text(object, "apiVersion"),
            "time": latest, "fieldsType": "FieldsV1", "fieldsV1": {}})
    });
    let version = text(&ours, "apiVersion").to_owned();
    let mut fields = ours.get("fieldsV1").cloned().unwrap_or_else(|| json!({}));
    for entry in entries.iter().filter(|entry| is_legacy(entry) && text(entry, "apiVersion") == version) {
        unite(&mut fields, entry.get("fieldsV1").unwrap_or(&Value::Null));
    }
    ours["fieldsV1"] = fields;
    let others = entries.iter().filter(|entry| !is_legacy(entry) && !is_ours(entry)).cloned();
    let managed: Vec<Value> = others.chain([ours]).collect();
    let resource_version = object.pointer("/metadata/resourceVersion")?;
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
    ]))
}

/// A fieldsV1 set is a tree of maps; the union of two has the nodes of both.
fn unite(into: &mut Value, from: &Value) {
    let Value::Object(from) = from else { return };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (field, below) in from {
        unite(&mut into[field.as_str()], below);
        if into[field.as_str()].is_null() {
            into[field.as_str()] = json!({});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "1",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn object(entries: Vec<Value>) -> Value {
        json!({"apiVersion": "apps/v1", "metadata": {"resourceVersion": "9", "managedFields": entries}})
    }

    #[test]
    fn fields_of_legacy_managers_become_ours() {
        let status = json!({"manager": "kubectl-edit", "operation": "Update", "subresource": "status"});
        let live = object(vec![
            entry("kubectl-client-side-apply", "Update", json!({"f:spec": {"f:a": {}, "f:b": {}}})),
            entry("helm", "Apply", json!({"f:spec": {"f:c": {}}})),
            entry("kube-controller-manager", "Update", json!({"f:spec": {"f:d": {}}})),
            status.clone(),
        ]);
        let patch = patch(&live).unwrap();
        let managed = patch[0]["value"].as_array().unwrap();
        assert_eq!(managed.len(), 3);
        assert!(managed.contains(&status));
        assert_eq!(managed[2]["manager"], FIELD_MANAGER);
        assert_eq!(managed[2]["fieldsV1"], json!({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}}}));
        assert_eq!(patch[1]["value"], "9");
    }

    #[test]
    fn nothing_to_fold_is_no_patch() {
        assert_eq!(patch(&object(vec![entry(FIELD_MANAGER, "Apply", json!({}))])), None);
        assert_eq!(patch(&object(vec![])), None);
    }

    #[test]
    fn fields_of_another_version_are_not_mixed_in() {
        let mut old = entry("kubectl-edit", "Update", json!({"f:spec": {"f:old": {}}}));
        old["apiVersion"] = json!("apps/v1beta1");
        let live = object(vec![entry(FIELD_MANAGER, "Apply", json!({"f:spec": {"f:a": {}}})), old]);
        let patch = patch(&live).unwrap();
        assert_eq!(patch[0]["value"], json!([entry(FIELD_MANAGER, "Apply", json!({"f:spec": {"f:a": {}}}))]));
    }
}
