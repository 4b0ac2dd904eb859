//! Plans → assignments and the head to sign. A publication is made only when an
//! assignment changed; renewing freshness keeps its seq.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::head::{Assignment, Head, TreeId};
use rimward_proto::merkle::{Tree, leaf_hash};
use rimward_proto::plan::Plan;
use rimward_proto::{ClusterName, ClusterUid, Digest, TrustDomain, limits};

/// The publication in force.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    /// Its head.
    pub head: &'a Head,
    /// Its assignments.
    pub assignments: &'a BTreeMap<ClusterName, (u64, Assignment)>,
}

/// What a publication is made of.
#[derive(Debug, Clone, Copy)]
pub struct Publishing<'a> {
    /// The plan of each cluster.
    pub plans: &'a BTreeMap<ClusterName, Arc<Plan>>,
    /// Clusters with an identity; only these get an assignment.
    pub enrolled: &'a BTreeMap<ClusterName, ClusterUid>,
    /// Approved deletions per cluster.
    pub deletes: &'a BTreeMap<ClusterName, BTreeSet<Digest>>,
    /// The fleet.
    pub trust_domain: &'a TrustDomain,
    /// Epoch of the root in force.
    pub epoch: u64,
    /// Version of the root in force.
    pub root_version: u64,
    /// Now.
    pub now: Timestamp,
    /// How long the head is good.
    pub head_lifetime: Duration,
}

/// A publication that is ready to be signed.
#[derive(Debug, Clone)]
pub struct Unsigned {
    /// The head to sign.
    pub head: Head,
    /// The leaves: index and assignment by cluster.
    pub assignments: BTreeMap<ClusterName, (u64, Assignment)>,
    /// The tree over them.
    pub tree: Tree,
    /// The plans assigned, by digest.
    pub plans: BTreeMap<Digest, Arc<Plan>>,
}

/// The publication that says what `what` says; none if the one in force already does, or if there is nothing to say yet.
pub fn next_publication(previous: Option<Previous<'_>>, what: &Publishing<'_>) -> Option<Unsigned> {
    let mut digests: BTreeMap<*const Plan, Digest> = BTreeMap::new();
    let mut plans = BTreeMap::new();
    let mut assignments = BTreeMap::new();
    for (cluster, cluster_uid) in what.enrolled {
        let Some(shared) = what.plans.get(cluster) else { continue };
        // Plans are shared by pointer, so each is hashed once.
        let plan = *digests.entry(Arc::as_ptr(shared)).or_insert_with(|| Digest::of(&shared.to_bytes()));
        plans.entry(plan).or_insert_with(|| shared.clone());
        let approved = what.deletes.get(cluster).into_iter().flatten();
        let deletes = approved.copied().take(limits::ASSIGNMENT_DELETES).collect();
        let assignment =
            Assignment { cluster: cluster.clone(), cluster_uid: cluster_uid.clone(), plan, deletes };
        assignments.insert(cluster.clone(), (assignments.len() as u64, assignment));
    }
    let seq = match previous {
        None if assignments.is_empty() => return None,
        None => 1,
        Some(previous) => {
            let same_epoch = previous.head.epoch == what.epoch;
            if same_epoch && *previous.assignments == assignments {
                return None;
            }
            // Spokes order by epoch first, so a new one starts over.
            if same_epoch { previous.head.seq + 1 } else { 1 }
        }
    };
    let leaves = assignments.values().map(|(_, assignment)| leaf_hash(&assignment.to_bytes()));
    let tree = Tree::new(leaves.collect());
    let head = Head {
        trust_domain: what.trust_domain.clone(),
        epoch: what.epoch,
        seq,
        root_version: what.root_version,
        tree: TreeId { size: tree.size(), hash: tree.hash() },
        issued: what.now,
        expires: later(what.now, what.head_lifetime),
        critical: Vec::new(),
    };
    Some(Unsigned { head, assignments, tree, plans })
}

/// `head` with renewed freshness: the same statement, so the same seq. A newer root may sign it.
pub fn refresh(head: &Head, root_version: u64, now: Timestamp, head_lifetime: Duration) -> Head {
    Head { root_version, issued: now, expires: later(now, head_lifetime), ..head.clone() }
}

/// Saturates: a lifetime beyond the end of time is configured by nobody in earnest.
fn later(now: Timestamp, lifetime: Duration) -> Timestamp {
    SignedDuration::try_from(lifetime)
        .ok()
        .and_then(|lifetime| now.checked_add(lifetime).ok())
        .unwrap_or(Timestamp::MAX)
}
