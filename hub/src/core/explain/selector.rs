//! Which parts of a selector a cluster does not meet, in words.

use std::collections::BTreeMap;

use crate::core::model::{Cluster, Operator, Requirement, Selector};
use crate::core::select::ClusterIndex;
use crate::core::status::name_some;

/// Why `selector` does not pick the cluster: `env=prod, us-1 has env=dev`. None if it does.
pub fn misses(selector: &Selector, cluster: &Cluster) -> Option<String> {
    // The rule itself decides; what is said of it only explains.
    let alone = ClusterIndex::new(&BTreeMap::from([(cluster.name.clone(), cluster.clone())]));
    if !alone.select(selector).is_empty() {
        return None;
    }
    let has = |key: &str| match cluster.labels.get(key) {
        Some(value) => format!("{} has {key}={value}", cluster.name),
        None => format!("{} has no {key}", cluster.name),
    };
    let mut parts = Vec::new();
    if let Some(names) = selector.names.as_ref().filter(|names| !names.contains(&cluster.name)) {
        let names = if names.is_empty() { "none".to_owned() } else { name_some(names) };
        parts.push(format!("names {names}, this is {}", cluster.name));
    }
    for (key, value) in &selector.match_labels {
        if cluster.labels.get(key) != Some(value) {
            parts.push(format!("{key}={value}, {}", has(key)));
        }
    }
    for requirement in selector.match_expressions.iter().filter(|requirement| !meets(requirement, cluster)) {
        parts.push(format!("{}, {}", written(requirement), has(&requirement.key)));
    }
    if parts.is_empty() {
        parts.push(format!("its expression does not hold for {}", cluster.name));
    }
    Some(parts.join("; "))
}

fn meets(requirement: &Requirement, cluster: &Cluster) -> bool {
    let value = cluster.labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator {
        Operator::In => listed,
        Operator::NotIn => !listed,
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

fn written(requirement: &Requirement) -> String {
    let (key, values) = (&requirement.key, name_some(&requirement.values));
    match requirement.operator {
        Operator::In => format!("{key} In ({values})"),
        Operator::NotIn => format!("{key} NotIn ({values})"),
        Operator::Exists => format!("{key} Exists"),
        Operator::DoesNotExist => format!("{key} DoesNotExist"),
    }
}
