//! What an App is made of on one cluster: the App itself, the cluster's values,
//! and every override that is for the cluster, nearest last.

use super::{Override, misses};
use crate::core::changes::{Edits, Values};
use crate::core::model::{App, Cluster};

/// The chain of an App on a cluster; empty if its manifests go there as they are. It names what is set, and never a value.
pub fn chain(app: &App, cluster: &Cluster) -> Vec<Override> {
    let changes = &app.changes;
    if changes.is_empty() {
        return Vec::new();
    }
    let declared = changes.variables.iter().flatten();
    let mut own: Vec<String> = declared
        .clone()
        .filter(|(_, variable)| variable.value.is_some())
        .map(|(name, _)| variable(name))
        .collect();
    own.extend(edits(&changes.edits));
    let given = declared
        .map(|(name, _)| name)
        .filter(|name| cluster.variables.get(*name).is_some_and(Option::is_some));
    let given: Vec<String> = given.map(|name| variable(name)).collect();
    let mut chain = vec![
        Override { at: app.at.clone(), fleet: false, applies: !own.is_empty(), sets: own },
        Override { at: cluster.at.clone(), fleet: true, applies: !given.is_empty(), sets: given },
    ];
    for one in &changes.overrides {
        let mut sets = values(&one.variables);
        sets.extend(edits(&one.edits));
        let applies = misses(&one.clusters, cluster).is_none();
        chain.push(Override { at: one.at.clone(), fleet: false, applies, sets });
    }
    chain
}

fn variable(name: &str) -> String {
    format!("variable {name}")
}

fn values(values: &Values) -> Vec<String> {
    values.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| variable(name)).collect()
}

/// Images field by field, as they are laid over each other; patches by their place, for all of them are applied.
fn edits(edits: &Edits) -> Vec<String> {
    let mut sets = Vec::new();
    for image in &edits.images {
        sets.extend(image.new_name.iter().map(|_| format!("name of image {}", image.name)));
        let tag = image.new_tag.is_some() || image.digest.is_some();
        sets.extend(tag.then(|| format!("tag of image {}", image.name)));
    }
    sets.extend(edits.patches.iter().map(|patch| format!("patch {}", patch.at)));
    sets
}
