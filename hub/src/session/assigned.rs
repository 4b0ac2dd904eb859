//! Which plans each cluster was assigned lately: what it says it holds is only
//! believed if it was. Content goes out for what a cluster holds, so a claim that
//! nobody checks would be a way to another cluster's content.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rimward_proto::head::Assignment;
use rimward_proto::{ClusterName, ClusterUid, Digest};

/// Plans remembered of one cluster: more than a spoke can be behind and still find content of.
const PLANS: usize = 10;

/// What was assigned, newest last.
#[derive(Debug, Default)]
pub struct Assigned(Mutex<HashMap<ClusterName, VecDeque<(ClusterUid, Digest)>>>);

impl Assigned {
    /// Writes down the assignments of a publication; the older ones first.
    pub fn remember<'a>(&self, assignments: impl IntoIterator<Item = &'a Assignment>) {
        let mut all = self.lock();
        for assignment in assignments {
            let plans = all.entry(assignment.cluster.clone()).or_default();
            let said = |(uid, plan): &(ClusterUid, Digest)| {
                *uid == assignment.cluster_uid && *plan == assignment.plan
            };
            if plans.back().is_some_and(said) {
                continue;
            }
            plans.retain(|plan| !said(plan));
            plans.push_back((assignment.cluster_uid.clone(), assignment.plan));
            if plans.len() > PLANS {
                plans.pop_front();
            }
        }
    }

    /// True if the cluster of that uid was assigned this plan.
    pub fn was(&self, cluster: &ClusterName, uid: &ClusterUid, plan: &Digest) -> bool {
        let all = self.lock();
        all.get(cluster).is_some_and(|plans| plans.iter().any(|(of, was)| of == uid && was == plan))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterName, VecDeque<(ClusterUid, Digest)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_assigned_to_the_same_cluster_and_a_number_of_them() {
        let assigned = Assigned::default();
        let uid = |text: &str| ClusterUid::new(text).unwrap();
        let eu = ClusterName::new("eu-1").unwrap();
        let plan = |n: usize| Digest::of(&n.to_be_bytes());
        let assignment =
            |n| Assignment { cluster: eu.clone(), cluster_uid: uid("u"), plan: plan(n), deletes: vec![] };
        for n in 0..PLANS {
            assigned.remember(&[assignment(n)]);
        }
        assigned.remember(&[assignment(0)]);
        assigned.remember(&[assignment(PLANS)]);
        assert!(assigned.was(&eu, &uid("u"), &plan(0)), "it was assigned again meanwhile");
        assert!(!assigned.was(&eu, &uid("u"), &plan(1)), "the oldest is forgotten");
        assert!(!assigned.was(&eu, &uid("another"), &plan(0)));
        assert!(!assigned.was(&ClusterName::new("us-1").unwrap(), &uid("u"), &plan(0)));
    }
}
