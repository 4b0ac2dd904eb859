//! The documents of the fleet repo: `Fleet` and `Cluster`.

use rimward_proto::ClusterName;

use super::check::{Check, Shape};
use super::{DOCUMENT, NAMED};
use crate::core::codes;
use crate::core::model::{Cluster, DeletionPolicy, Fleet};
use crate::core::yaml::Node;

const NAMED_AND_LABELLED: Shape = Shape { known: &["name", "labels"], later: &[] };
const CLUSTER_SPEC: Shape = Shape { known: &[], later: &["variables"] };
const FLEET_SPEC: Shape = Shape { known: &["defaults", "deletion"], later: &[] };
const DEFAULTS: Shape = Shape { known: &["drift", "takeover", "rollout", "health"], later: &[] };
const DEFAULT_DRIFT: Shape = Shape { known: &["mode"], later: &["ignore"] };
const DEFAULT_HEALTH: Shape = Shape { known: &["timeout"], later: &["cel"] };
const DELETION: Shape = Shape { known: &["maxPerPlan", "protect"], later: &["maxPerHour"] };

/// Deletions per plan and cluster that need no approval when the fleet does not say.
pub const DEFAULT_MAX_PER_PLAN: u64 = 20;
/// Kinds whose deletion is always held when the fleet does not say: what they take along cannot be brought back.
pub const DEFAULT_PROTECT: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];
/// Seconds until something not ready counts as failed when the fleet does not say.
pub const DEFAULT_HEALTH_TIMEOUT: u64 = 300;

/// What holds without a `Fleet` document.
pub(super) fn default_fleet() -> Fleet {
    Fleet {
        name: String::new(),
        deletion: DeletionPolicy {
            max_per_plan: Some(DEFAULT_MAX_PER_PLAN),
            protect: Some(DEFAULT_PROTECT.map(str::to_owned).to_vec()),
        },
        health_timeout_seconds: DEFAULT_HEALTH_TIMEOUT,
    }
}

/// Reads a `Cluster` document.
pub(super) fn cluster(check: &mut Check<'_>, node: &Node) -> Option<Cluster> {
    let node = check.mapping(node, "a Cluster", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "a Cluster")?;
    let metadata = check.mapping(metadata, "metadata", &NAMED_AND_LABELLED)?;
    let name = check.required(metadata, "name", "metadata")?;
    let text = check.text(name, "`name`")?;
    let id = check.id(name.at, ClusterName::new(text));
    let labels = metadata.get("labels").map(|labels| super::labels(check, labels)).unwrap_or_default();
    if let Some(spec) = node.get("spec") {
        check.mapping(spec, "a Cluster's spec", &CLUSTER_SPEC);
    }
    Some(Cluster { name: id?, labels, at: check.at(node.at) })
}

/// Reads the `Fleet` document.
pub(super) fn fleet(check: &mut Check<'_>, node: &Node) -> Option<Fleet> {
    let mut fleet = default_fleet();
    let node = check.mapping(node, "a Fleet", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "a Fleet")?;
    let metadata = check.mapping(metadata, "metadata", &NAMED)?;
    if let Some((name, _)) = check.optional_text(metadata, "name") {
        name.clone_into(&mut fleet.name);
    }
    let Some(spec) = node.get("spec") else { return Some(fleet) };
    let spec = check.mapping(spec, "a Fleet's spec", &FLEET_SPEC)?;
    if let Some(written) = spec.get("deletion") {
        let policy = deletion(check, written);
        fleet.deletion.max_per_plan = policy.max_per_plan.or(fleet.deletion.max_per_plan);
        fleet.deletion.protect = policy.protect.or(fleet.deletion.protect);
    }
    if let Some(written) = spec.get("defaults") {
        defaults(check, written, &mut fleet);
    }
    Some(fleet)
}

/// Accepts exactly what is the built behaviour, so that a default that would do nothing is never written in good faith.
fn defaults(check: &mut Check<'_>, node: &Node, fleet: &mut Fleet) -> Option<()> {
    let node = check.mapping(node, "defaults", &DEFAULTS)?;
    if let Some(drift) = node.get("drift").and_then(|drift| check.mapping(drift, "drift", &DEFAULT_DRIFT)) {
        only(check, drift, "mode", "revert");
    }
    only(check, node, "takeover", "refuse");
    only(check, node, "rollout", "immediate");
    if let Some(health) = node.get("health")
        && let Some(health) = check.mapping(health, "health", &DEFAULT_HEALTH)
        && let Some(seconds) = check.seconds(health, "timeout")
    {
        fleet.health_timeout_seconds = seconds;
    }
    Some(())
}

fn only(check: &mut Check<'_>, node: &Node, key: &str, built: &str) {
    if let Some((found, at)) = check.optional_text(node, key)
        && found != built
    {
        check.error(codes::NOT_BUILT, at, format!("{key} `{found}` is not built yet")).help =
            format!("leave it out, or write `{built}`");
    }
}

/// Reads a `deletion` block.
pub(super) fn deletion(check: &mut Check<'_>, node: &Node) -> DeletionPolicy {
    let Some(node) = check.mapping(node, "deletion", &DELETION) else { return DeletionPolicy::default() };
    let protect = node.get("protect").map(|_| {
        let kinds = check.texts(node, "protect");
        kinds.into_iter().map(|(kind, _)| kind).collect()
    });
    DeletionPolicy { max_per_plan: check.count(node, "maxPerPlan"), protect }
}
