//! Planning without a hub: what the fleet repo and some of its sources would
//! come to on a fleet that has nothing yet and of which every cluster is there.
//! The same loaders, renders and rules as the hub's, in the same order; only what
//! the hub remembers is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::{ClusterName, ClusterUid};

use super::model::{Policy, SourceId, SourceTree};
use super::plan::{PlanInputs, PlanOutput, RenderCache, plan};

/// Plans these sources under this policy. A source that is not given is unknown: nothing is said of its Apps.
pub fn evaluate(policy: &Policy, sources: &BTreeMap<SourceId, Arc<SourceTree>>) -> PlanOutput {
    // Two clusters never have one UID, and names are as good as UIDs when no cluster was replaced.
    let uid =
        |name: &ClusterName| ClusterUid::new(name.as_str()).expect("a cluster's name is made of the same");
    let enrolled = policy.clusters.keys().map(|name| (name.clone(), uid(name))).collect();
    let inputs = PlanInputs {
        policy,
        trees: sources,
        looks: &BTreeMap::new(),
        enrolled: &enrolled,
        previous: &BTreeMap::new(),
        origins: &BTreeMap::new(),
        cleared: &BTreeMap::new(),
        approvals: &BTreeSet::new(),
        unaccounted: &BTreeMap::new(),
        indexes: &BTreeMap::new(),
    };
    plan(&inputs, &mut RenderCache::default())
}
