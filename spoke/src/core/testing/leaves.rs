//! Objects as values by their paths: how the model of an API server keeps them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// From the object down to a value.
pub type Path = Vec<String>;

/// All but a body's metadata.
pub fn content(body: &Value) -> BTreeMap<Path, Value> {
    let mut fields = leaves(body);
    fields.retain(|path, _| path[0] != "metadata");
    fields
}

/// The paths of a fieldsV1 set.
pub fn owned(set: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    let fields = set.as_object().filter(|fields| !fields.is_empty());
    let Some(fields) = fields else {
        found.insert(path.clone());
        return;
    };
    for (field, below) in fields {
        path.push(field.trim_start_matches("f:").to_owned());
        owned(below, path, found);
        path.pop();
    }
}

/// The values of an object by their paths, without what says which object it is.
pub fn leaves(body: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    walk(body, &mut Vec::new(), &mut found);
    let identity = |path: &Path| {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        matches!(
            parts.as_slice(),
            ["apiVersion" | "kind"] | ["metadata", "name" | "namespace" | "uid" | "resourceVersion"]
        )
    };
    found.retain(|path, _| !identity(path));
    found
}

fn walk(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                path.push(field.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        value => _ = found.insert(path.clone(), value.clone()),
    }
}

/// Puts a value at a path.
pub fn insert(object: &mut Value, path: &[String], value: Value) {
    match path {
        [] => *object = value,
        [first, rest @ ..] => {
            if !object.is_object() {
                *object = Value::Object(Map::new());
            }
            insert(&mut object[first.as_str()], rest, value);
        }
    }
}
