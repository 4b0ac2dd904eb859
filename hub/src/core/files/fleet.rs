//! The documents of the fleet repo: `Fleet` and `Cluster`.

use rimward_proto::ClusterName;
use rimward_proto::plan::{Drift, DriftMode, Health, Takeover};

use super::changes::values;
use super::check::{Check, Shape};
use super::kinds::kinds;
use super::{DOCUMENT, NAMED, options};
use crate::core::codes;
use crate::core::model::{Cluster, Defaults, DeletionPolicy, Fleet};
use crate::core::yaml::Node;

const NAMED_AND_LABELLED: Shape = Shape { known: &["name", "labels"], later: &[] };
const CLUSTER_SPEC: Shape = Shape { known: &["variables"], later: &[] };
const FLEET_SPEC: Shape = Shape { known: &["defaults", "deletion"], later: &[] };
const DEFAULTS: Shape = Shape { known: &["drift", "takeover", "rollout", "health"], later: &[] };
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
        defaults: Defaults {
            drift: Drift { mode: DriftMode::Revert, ignore: Vec::new() },
            takeover: Takeover::Refuse,
            health: Health { timeout_seconds: DEFAULT_HEALTH_TIMEOUT, cel: Vec::new() },
        },
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
    let spec = node.get("spec").and_then(|spec| check.mapping(spec, "a Cluster's spec", &CLUSTER_SPEC));
    let written = spec.and_then(|spec| spec.get("variables"));
    let variables = written.map(|node| values(check, node)).unwrap_or_default();
    Some(Cluster { name: id?, labels, variables, at: check.at(node.at) })
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

fn defaults(check: &mut Check<'_>, node: &Node, fleet: &mut Fleet) -> Option<()> {
    let node = check.mapping(node, "defaults", &DEFAULTS)?;
    let Defaults { drift, takeover, health } = &mut fleet.defaults;
    let written = options::drift(check, node);
    drift.mode = written.mode.map_or(drift.mode, |(mode, _)| mode);
    drift.ignore = written.ignore.unwrap_or_default();
    *takeover = options::takeover(check, node).map_or(*takeover, |(takeover, _)| takeover);
    let written = options::health(check, node);
    health.timeout_seconds = written.timeout_seconds.unwrap_or(health.timeout_seconds);
    health.cel = written.cel.unwrap_or_default();
    // A default that would do nothing is never written in good faith.
    if let Some((found, at)) = check.optional_text(node, "rollout")
        && found != "immediate"
    {
        check.error(codes::NOT_BUILT, at, format!("rollout `{found}` is not built yet")).help =
            "leave it out, or write `immediate`".to_owned();
    }
    Some(())
}

/// Reads a `deletion` block.
pub(super) fn deletion(check: &mut Check<'_>, node: &Node) -> DeletionPolicy {
    let Some(node) = check.mapping(node, "deletion", &DELETION) else { return DeletionPolicy::default() };
    let protect = node.get("protect").map(|_| kinds(check, node, "protect"));
    DeletionPolicy { max_per_plan: check.count(node, "maxPerPlan"), protect }
}
