//! All clusters and what is published for them, looked up once: a list of Apps
//! then costs what its Apps run on, and not every App times every cluster.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::plan::Plan;
use rimward_proto::{AppId, ClusterName, Digest};

use super::cluster::ClusterView;
use crate::core::world::World;

/// The clusters of a world at a time.
#[derive(Debug)]
pub struct Overview<'a> {
    /// The world.
    pub world: &'a World,
    /// The time to judge by.
    pub now: Timestamp,
    clusters: BTreeMap<&'a ClusterName, ClusterView<'a>>,
    /// The plans published, with the clusters that have them.
    plans: BTreeMap<Digest, (&'a Plan, Vec<&'a ClusterName>)>,
    looked: Cell<u64>,
}

impl<'a> Overview<'a> {
    /// Looks at each cluster once.
    pub fn new(world: &'a World, now: Timestamp) -> Self {
        let views = world.clusters.keys().filter_map(|name| ClusterView::new(world, name, now));
        let clusters: BTreeMap<_, _> = views.map(|view| (view.name, view)).collect();
        let mut plans: BTreeMap<Digest, (&'a Plan, Vec<&'a ClusterName>)> = BTreeMap::new();
        for view in clusters.values() {
            if let Some((digest, plan)) = view.wanted {
                plans.entry(digest).or_insert((plan, Vec::new())).1.push(view.name);
            }
        }
        Self { world, now, clusters, plans, looked: Cell::new(0) }
    }

    /// Every cluster that is known.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterView<'a>> {
        self.clusters.values()
    }

    /// One cluster.
    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterView<'a>> {
        self.looked.set(self.looked.get() + 1);
        self.clusters.get(name)
    }

    /// Single clusters looked at so far: what a listing costs.
    pub fn looked(&self) -> u64 {
        self.looked.get()
    }

    /// The clusters whose plan has the App.
    pub fn planned(&self, id: &AppId) -> impl Iterator<Item = &'a ClusterName> {
        let key = (&id.tenant, &id.app);
        let has = |plan: &Plan| plan.bundles.binary_search_by(|b| (&b.tenant, &b.app).cmp(&key)).is_ok();
        let plans: Vec<_> = self.plans.values().filter(|(plan, _)| has(plan)).collect();
        plans.into_iter().flat_map(|(_, clusters)| clusters.iter().copied())
    }

    /// The clusters whose plan removes the App and that have not said that it is gone.
    pub fn removing(&self, id: &AppId) -> BTreeSet<ClusterName> {
        let removes = |plan: &Plan| plan.removed.iter().any(|removed| removed.id() == *id);
        let plans = self.plans.values().filter(|(plan, _)| removes(plan));
        let clusters = plans.flat_map(|(_, clusters)| clusters.iter().copied());
        clusters.filter(|name| !self.cleared(name).contains(id)).cloned().collect()
    }

    /// The Apps that some cluster still has to remove.
    pub fn all_removing(&self) -> BTreeSet<AppId> {
        let mut ids = BTreeSet::new();
        for (plan, clusters) in self.plans.values() {
            for id in plan.removed.iter().map(|removed| removed.id()) {
                if clusters.iter().any(|name| !self.cleared(name).contains(&id)) {
                    ids.insert(id);
                }
            }
        }
        ids
    }

    fn cleared(&self, name: &ClusterName) -> &'a [AppId] {
        self.world.clusters.get(name).map(|known| known.cleared.as_slice()).unwrap_or_default()
    }
}
