//! Paths that an App leaves to others (`drift.ignore`, apply rule 6). At create
//! Git's value is sent. Afterwards the live value is: leaving the field out
//! would delete it where only we own it, and sending Git's value would reset
//! whoever it is left to.

use rimward_proto::ObjectKey;
use rimward_proto::plan::Drift;
use serde_json::Value;

use super::effect::Overlay;
use super::glob;

/// The JSON pointers that are left to others in an object of this key.
pub fn paths<'a>(drift: &'a Drift, key: &ObjectKey) -> Vec<&'a str> {
    let meant = |kinds: &[String]| {
        kinds.is_empty() || kinds.iter().any(|kind| glob::is_kind(kind, &key.group, &key.kind))
    };
    let found = drift.ignore.iter().filter(|ignore| meant(&ignore.kinds));
    found.flat_map(|ignore| ignore.paths.iter().map(String::as_str)).collect()
}

/// What an apply shall send in place of Git's values, as the object is now; none if nothing is ignored.
pub fn overlay(paths: &[&str], live: &Value, resource_version: &str) -> Option<Box<Overlay>> {
    if paths.is_empty() {
        return None;
    }
    let values = paths.iter().map(|path| ((*path).to_owned(), live.pointer(path).cloned())).collect();
    Some(Box::new(Overlay { resource_version: resource_version.to_owned(), values }))
}

/// `wanted` with the values of the overlay where it has any, and its resourceVersion as a lock: what was read must
/// still be so.
pub fn lay(mut wanted: Value, overlay: &Overlay) -> Value {
    for (path, value) in &overlay.values {
        match value {
            Some(value) => {
                if let Some(place) = wanted.pointer_mut(path) {
                    place.clone_from(value);
                }
            }
            None => remove(&mut wanted, path),
        }
    }
    if let Some(meta) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("resourceVersion".into(), overlay.resource_version.as_str().into());
    }
    wanted
}

fn remove(object: &mut Value, path: &str) {
    let Some((parent, field)) = path.rsplit_once('/') else { return };
    let field = field.replace("~1", "/").replace("~0", "~");
    if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.remove(&field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rimward_proto::plan::{DriftMode, Ignore};
    use serde_json::json;

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::new("apps", kind, "a", "a")
    }

    #[test]
    fn kinds_choose_the_paths() {
        let ignore = Ignore { kinds: vec!["Deployment.apps".into()], paths: vec!["/spec/replicas".into()] };
        let drift = Drift { mode: DriftMode::Revert, ignore: vec![ignore] };
        assert_eq!(paths(&drift, &key("Deployment")), ["/spec/replicas"]);
        assert!(paths(&drift, &key("StatefulSet")).is_empty());
    }

    #[test]
    fn the_live_value_is_sent_and_what_git_does_not_say_is_not() {
        let wanted = json!({"metadata": {"name": "a"}, "spec": {"replicas": 5, "a/b": 1}});
        let live = json!({"spec": {"replicas": 9, "paused": true}});
        let overlay = overlay(&["/spec/replicas", "/spec/paused", "/spec/a~1b"], &live, "7").unwrap();
        assert_eq!(
            lay(wanted, &overlay),
            json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"replicas": 9}})
        );
        assert!(super::overlay(&[], &live, "7").is_none());
    }
}
