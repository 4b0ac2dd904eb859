//! All that is in a namespace, whatever its kind: an object too many is as wrong
//! as one that is missing.

use std::collections::BTreeSet;

use anyhow::Result;
use rimward_e2e::control_plane::name_of;
use rimward_e2e::rig::Rig;
use serde_json::Value;

/// All objects of `namespace`, as `Kind.group/name`, apart from those that a controller made for another object there.
pub fn everything(rig: &mut Rig, namespace: &str) -> Result<BTreeSet<String>> {
    let names = list(rig, &["-n", namespace])?;
    Ok(names.into_iter().map(|name| name.replace(&format!("/{namespace}/"), "/")).collect())
}

/// All objects, wherever they are, that say that they are of this App.
pub fn of_app(rig: &mut Rig, tenant: &str, app: &str) -> Result<BTreeSet<String>> {
    list(rig, &["-A", "-l", &format!("rimward.dev/tenant={tenant},rimward.dev/app={app}")])
}

fn list(rig: &mut Rig, which: &[&str]) -> Result<BTreeSet<String>> {
    let found = rig.sites[0].plane().everything(which)?;
    found.iter().filter(|object| !is_controlled(object)).map(name_of).collect()
}

fn is_controlled(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
}
