//! Patches, applied to objects: JSON patch (RFC 6902) and JSON merge patch
//! (RFC 7386). A patch changes what an object says, never which object it is,
//! and what it makes is bounded. Messages name paths and never values, which may
//! be a Secret's.

use json_patch::PatchOperation;
use rimward_proto::limits;
use rimward_proto::object::group_kind;
use serde_json::Value as Json;

use super::RenderedObject;
use crate::core::changes::{Edit, LabelRule, Target};
use crate::core::scope::built_in;
use crate::core::yaml::DEPTH;

/// Lists of mappings that Kubernetes merges by a key, in its own kinds, and that key.
const MERGED: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort or port"),
    ("resourceClaims", "name"),
    ("secrets", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeClaimTemplates", "metadata.name"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
    ("webhooks", "name"),
];

/// True if a target picks an object, which looks like `json` now.
pub fn picks(target: &Target, object: &RenderedObject, json: &Json) -> bool {
    let Target { group, version, kind, name, namespace, labels } = target;
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    let key = &object.key;
    is(group, &key.group)
        && is(version, &object.version)
        && is(kind, &key.kind)
        && is(name, &key.name)
        && is(namespace, &key.namespace)
        && labels.iter().all(|rule| holds(rule, json))
}

fn holds(rule: &LabelRule, json: &Json) -> bool {
    let labels = json.get("metadata").and_then(|metadata| metadata.get("labels"));
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Json::as_str);
    match rule {
        LabelRule::Is(key, value) => label(key) == Some(value),
        LabelRule::IsNot(key, value) => label(key) != Some(value),
        LabelRule::Has(key) => label(key).is_some(),
        LabelRule::HasNot(key) => label(key).is_none(),
    }
}

/// Applies a patch; says why it cannot be.
pub fn apply(edit: &Edit, object: &RenderedObject, json: &mut Json) -> Result<(), String> {
    match edit {
        Edit::Operations(operations) => {
            for (number, operation) in operations.iter().enumerate() {
                one(operation, json).map_err(|why| {
                    format!("operation {}, {} {}: {why}", number + 1, verb(operation), operation.path())
                })?;
            }
            Ok(())
        }
        Edit::Merge(patch) => {
            if built_in(&object.key.group, &object.key.kind).is_some()
                && let Some((path, by)) = replaced_list(patch, json, String::new())
            {
                let kind = group_kind(&object.key.group, &object.key.kind);
                return Err(format!(
                    "{path} of a {kind} is a list that Kubernetes merges by {by}, and a merge patch would replace all of \
                     it; strategic merge is not built yet: write operations (JSON 6902)"
                ));
            }
            json_patch::merge(json, patch);
            bounded(json)
        }
    }
}

fn verb(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn one(operation: &PatchOperation, json: &mut Json) -> Result<(), String> {
    json_patch::patch_unsafe(json, std::slice::from_ref(operation))
        .map_err(|error| error.kind.to_string())?;
    match operation {
        PatchOperation::Remove(_) | PatchOperation::Test(_) => Ok(()),
        // Copies of copies double with each operation.
        _ => bounded(json),
    }
}

/// Checks that an object did not grow beyond what it may be, in depth and in length.
fn bounded(json: &Json) -> Result<(), String> {
    let most = usize::try_from(limits::OBJECT_BYTES).unwrap_or(usize::MAX);
    match measure(json, 1) {
        None => Err(format!("it makes the object deeper than {DEPTH}")),
        Some(length) if length > most => Err(format!("it makes the object longer than {most} bytes")),
        Some(_) => Ok(()),
    }
}

/// Bytes of a value, about; none if it is too deep.
fn measure(json: &Json, depth: usize) -> Option<usize> {
    if depth > DEPTH {
        return None;
    }
    match json {
        Json::String(text) => Some(text.len() + 2),
        Json::Array(items) => {
            items.iter().try_fold(2, |sum: usize, item| Some(sum + 1 + measure(item, depth + 1)?))
        }
        Json::Object(map) => map
            .iter()
            .try_fold(2, |sum: usize, (key, value)| Some(sum + key.len() + 4 + measure(value, depth + 1)?)),
        _ => Some(4),
    }
}

/// A list that a merge patch would replace although Kubernetes would merge it, and by which key.
fn replaced_list(patch: &Json, json: &Json, path: String) -> Option<(String, &'static str)> {
    let (Json::Object(patch), Json::Object(json)) = (patch, json) else { return None };
    patch.iter().find_map(|(key, value)| {
        let (found, path) = (json.get(key)?, format!("{path}/{key}"));
        if let (Json::Array(new), Json::Array(old)) = (value, found) {
            let (_, by) = MERGED.iter().find(|(list, _)| list == key)?;
            let mappings = new.iter().any(Json::is_object) && !old.is_empty();
            return mappings.then_some((path, *by));
        }
        replaced_list(value, found, path)
    })
}
