//! Paths that an App leaves to others (`drift.ignore`, apply rule 6). At create
//! Git's value is sent. Afterwards the live value is: leaving the field out
//! would delete it where only we own it, and sending Git's value would reset
//! whoever it is left to. And what others decide is no news: these paths are not
//! part of the fingerprint (apply rule 7).

use rimward_proto::ObjectKey;
use rimward_proto::plan::Drift;
use serde_json::Value;

use super::effect::Overlay;
use super::glob;

/// The JSON pointers that are left to others in an object of this key.
pub fn paths<'a>(drift: &'a Drift, key: &ObjectKey) -> Vec<&'a str> {
    paths_of(drift, &key.group, &key.kind)
}

/// The JSON pointers that are left to others in objects of this kind.
pub fn paths_of<'a>(drift: &'a Drift, group: &str, kind: &str) -> Vec<&'a str> {
    let meant = |kinds: &[String]| {
        kinds.is_empty() || kinds.iter().any(|pattern| glob::is_kind(pattern, group, kind))
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
    let field = unescape(field);
    if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.remove(&field);
    }
}

/// The fields that an App leaves to others, as managedFields name them.
///
/// A pointer's parts are names of fields there (`f:replicas`), with all that is below. A list's items have their keys for
/// names (`k:{"name":"web"}`) or their values (`v:"a"`), which no index says, and the metadata alone, which is all that
/// most watches show, do not tell which item an index is. So a path that goes through a list takes nothing out: its
/// changes cost a read, and none is missed. Nor does one that ends below what is owned as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left(Vec<Vec<String>>);

impl Left {
    /// The fields that these pointers name.
    pub fn new(pointers: &[&str]) -> Self {
        let parts = |pointer: &&str| -> Vec<String> {
            pointer.split('/').skip(1).map(|part| format!("f:{}", unescape(part))).collect()
        };
        Self(pointers.iter().map(parts).filter(|path| !path.is_empty()).collect())
    }

    /// True if it names none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them out of a set of fields (`fieldsV1`); true if nothing is left of it that was there.
    pub fn take_from(&self, set: &mut Value) -> bool {
        let taken = self.0.iter().fold(false, |taken, path| take(set, path) | taken);
        taken && is_empty(set)
    }
}

/// Takes a field, and what it leaves empty: a set names a map by what is in it.
fn take(set: &mut Value, path: &[String]) -> bool {
    let (Some(map), Some((field, rest))) = (set.as_object_mut(), path.split_first()) else { return false };
    if rest.is_empty() {
        return map.remove(field).is_some();
    }
    let taken = map.get_mut(field).is_some_and(|below| take(below, rest));
    if taken && map.get(field).is_some_and(is_empty) {
        map.remove(field);
    }
    taken
}

fn is_empty(set: &Value) -> bool {
    set.as_object().is_some_and(serde_json::Map::is_empty)
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
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

    #[test]
    fn fields_are_taken_with_all_below_and_nothing_beside() {
        let set = json!({
            "f:metadata": {"f:annotations": {".": {}, "f:a/b": {}, "f:c": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}}
        });
        let left = |pointers: &[&str]| {
            let mut set = set.clone();
            let none = Left::new(pointers).take_from(&mut set);
            (set, none)
        };
        let (rest, none) = left(&["/spec/replicas", "/metadata/annotations/a~1b", "/spec/paused"]);
        assert!(!none);
        assert_eq!(rest["f:metadata"], json!({"f:annotations": {".": {}, "f:c": {}}}));
        assert_eq!(rest["f:spec"], json!({"f:template": set["f:spec"]["f:template"]}));
        let (rest, _) = left(&["/spec/template/spec/containers"]);
        assert_eq!(rest["f:spec"], json!({"f:replicas": {}}), "with all items, and no empty maps above");
        assert_eq!(left(&["/spec"]).0, json!({"f:metadata": set["f:metadata"]}));
    }

    #[test]
    fn a_path_that_no_set_names_exactly_takes_nothing() {
        let item = "k:{\"name\":\"web\"}";
        let set = json!({"f:spec": {"f:containers": {item: {".": {}, "f:image": {}}}, "f:selector": {},
            "f:finalizers": {"v:\"a\"": {}}}});
        for path in
            ["/spec/containers/0/image", "/spec/containers/0", "/spec/finalizers/0", "/spec/selector/app", ""]
        {
            let mut same = set.clone();
            assert!(!Left::new(&[path]).take_from(&mut same), "{path}");
            assert_eq!(same, set, "{path}");
        }
    }

    #[test]
    fn a_set_of_nothing_else_is_nothing() {
        let mut set = json!({"f:spec": {"f:replicas": {}}});
        assert!(Left::new(&["/spec/replicas"]).take_from(&mut set));
        let mut empty = json!({});
        assert!(!Left::new(&["/spec/replicas"]).take_from(&mut empty), "it was empty before");
    }
}
