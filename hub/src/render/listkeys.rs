//! Lists that the API server merges by a key: with one key twice it refuses the
//! whole object, with an error that names neither file nor line. Found here
//! instead.

use std::collections::BTreeSet;

use crate::core::yaml::{Node, Value};

/// Paths to the pod templates of Kubernetes' own kinds.
const POD_SPECS: &[(&str, &[&str])] = &[
    ("Pod", &["spec"]),
    ("PodTemplate", &["template", "spec"]),
    ("ReplicationController", &["spec", "template", "spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
];

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
const OF_POD: &[(&str, &[&str])] =
    &[("volumes", &["name"]), ("imagePullSecrets", &["name"]), ("hostAliases", &["ip"])];
const OF_CONTAINER: &[(&str, &[&str])] = &[
    ("env", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
];

/// Each duplicate in a list with keys, with the list's name; `group` and `kind` are the object's.
pub(super) fn duplicates<'n>(group: &str, kind: &str, object: &'n Node) -> Vec<(&'n Node, &'static str)> {
    let mut found = Vec::new();
    if (group, kind) == ("", "Service") {
        let spec = object.get("spec");
        found.extend(spec.into_iter().flat_map(|spec| twice(spec, "ports", &["port", "protocol"])));
    }
    if !matches!(group, "" | "apps" | "batch") {
        return found;
    }
    let path = POD_SPECS.iter().find(|(name, _)| *name == kind).map(|(_, path)| *path);
    let pod = path.and_then(|path| path.iter().try_fold(object, |node, key| node.get(key)));
    let Some(pod) = pod else { return found };
    for (list, keys) in OF_POD {
        found.extend(twice(pod, list, keys));
    }
    for list in CONTAINER_LISTS {
        found.extend(twice(pod, list, &["name"]));
        for container in items(pod, list) {
            for (list, keys) in OF_CONTAINER {
                found.extend(twice(container, list, keys));
            }
        }
    }
    found
}

fn items<'n>(node: &'n Node, list: &str) -> &'n [Node] {
    match node.get(list).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn twice<'n>(node: &'n Node, list: &'static str, keys: &[&str]) -> Vec<(&'n Node, &'static str)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for item in items(node, list) {
        let part = |key: &&str| match item.get(key) {
            Some(node) => node.to_json().to_string(),
            // The one default among these keys.
            None if *key == "protocol" => "\"TCP\"".to_owned(),
            None => String::new(),
        };
        let key: Vec<String> = keys.iter().map(part).collect();
        // An item without its key is the API server's to refuse; two of them are not the same item.
        if !key[0].is_empty() && !seen.insert(key) {
            found.push((item, list));
        }
    }
    found
}
