//! All that is in a namespace, whatever its kind: an object too many is as wrong
//! as one that is missing.

use std::collections::BTreeSet;

use anyhow::Result;
use rimward_e2e::rig::Rig;
use serde_json::Value;

/// What the cluster itself says about what goes on; not the same twice, whoever applies.
const TALK: &str = "Event";

/// All objects of `namespace`, as `Kind.group/name`, apart from those that a controller made for another object there.
pub fn everything(rig: &mut Rig, namespace: &str) -> Result<BTreeSet<String>> {
    list(rig, &["-n", namespace])
}

/// All objects, wherever they are, that say that they are of this App.
pub fn of_app(rig: &mut Rig, tenant: &str, app: &str) -> Result<BTreeSet<String>> {
    list(rig, &["-A", "-l", &format!("rimward.dev/tenant={tenant},rimward.dev/app={app}")])
}

fn list(rig: &mut Rig, which: &[&str]) -> Result<BTreeSet<String>> {
    let plane = rig.sites[0].plane();
    let kinds = plane.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"])?;
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let arguments: Vec<&str> =
        ["get", &kinds, "-o", "json"].into_iter().chain(which.iter().copied()).collect();
    let found: Value = serde_json::from_str(&plane.kubectl(&arguments)?)?;
    let items = found["items"].as_array().into_iter().flatten();
    Ok(items.filter(|object| object["kind"] != TALK && !is_controlled(object)).map(name).collect())
}

fn is_controlled(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
}

fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    format!("{}{group}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}
