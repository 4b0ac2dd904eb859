//! Two sets of objects field by field, apart from what the server gives each
//! object, managers and our labels.

use std::collections::BTreeMap;

use rimward_e2e::rig::live::{manager, uid};
use serde_json::{Value, json};

use super::known::without_known;

/// What the server gives each object, whoever applied it.
const SERVERS_OWN: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"];
/// Addresses and ports that the server hands out.
const HANDED_OUT: [&str; 4] =
    ["/spec/clusterIP", "/spec/clusterIPs", "/spec/healthCheckNodePort", "/spec/volumeName"];

/// What differs between the objects of the same name, one line a field.
pub fn differences(found: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) -> Vec<String> {
    let mut all = Vec::new();
    for (key, wanted) in wanted {
        match found.get(key) {
            None => all.push(format!("{key} is missing")),
            Some(found) => {
                match without_known(key, wanted) {
                    Ok(known) => compare(key, &comparable(found), &comparable(&known), &mut all),
                    Err(error) => all.push(error),
                }
                owned(key, found, wanted, &mut all);
            }
        }
    }
    all
}

/// An object without what the server gives it and without our labels; its own UID, which Jobs repeat, made equal.
fn comparable(object: &Value) -> Value {
    let text = object.to_string().replace(&uid(object), "UID");
    let mut object: Value = serde_json::from_str(&text).unwrap_or_default();
    for path in HANDED_OUT {
        if let Some(value) = object.pointer_mut(path) {
            // `None` is a wish of the manifest's, not an address.
            if *value != json!("None") && *value != json!(["None"]) {
                *value = json!("handed out");
            }
        }
    }
    for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
        port.as_object_mut().map(|port| port.remove("nodePort"));
    }
    let Some(whole) = object.as_object_mut() else { return object };
    whole.remove("status");
    if let Some(meta) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|field, _| !SERVERS_OWN.contains(&field.as_str()));
        if let Some(labels) = meta.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|label, _| !label.starts_with("rimward.dev/"));
        }
        meta.retain(|_, value| *value != json!({}));
    }
    object
}

fn compare(path: &str, found: &Value, wanted: &Value, all: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for field in found.keys().chain(wanted.keys().filter(|field| !found.contains_key(*field))) {
                let none = Value::Null;
                let (found, wanted) = (found.get(field).unwrap_or(&none), wanted.get(field).unwrap_or(&none));
                compare(&format!("{path}/{field}"), found, wanted, all);
            }
        }
        (found, wanted) if found == wanted => {}
        (found, wanted) => all.push(format!("{path}: {found} instead of {wanted}")),
    }
}

/// Both applied the same set of fields. Not so for Secrets, whose stringData becomes data before it leaves the hub.
fn owned(key: &str, found: &Value, wanted: &Value, all: &mut Vec<String>) {
    if found["kind"] == "Secret" {
        return;
    }
    let fields = |object: &Value, name: &str| manager(object, name).map(|entry| entry["fieldsV1"].clone());
    let Some(mut ours) = fields(found, "rimward") else {
        return all.push(format!("{key}: not applied by Rimward"));
    };
    // Of an object with nothing in it there is nothing to own.
    let theirs = fields(wanted, "kubectl").unwrap_or_else(|| json!({}));
    if let Some(labels) = ours.pointer_mut("/f:metadata/f:labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| !label.starts_with("f:rimward.dev/"));
        // kubectl has no entry for labels it does not send.
        if theirs.pointer("/f:metadata/f:labels").is_none() && labels.is_empty() {
            ours["f:metadata"].as_object_mut().map(|meta| meta.remove("f:labels"));
        }
    }
    if ours["f:metadata"] == json!({}) && theirs.get("f:metadata").is_none() {
        ours.as_object_mut().map(|fields| fields.remove("f:metadata"));
    }
    compare(&format!("{key} owned"), &ours, &theirs, all);
}
