//! Drift that stands: of all that spokes reported, what is not known to be put
//! right. Of a cluster that cannot be seen the answer is "unknown", never zero.

use std::collections::{BTreeMap, HashSet};

use rimward_proto::{AppId, ClusterName};

use super::cluster::ClusterView;
use super::overview::Overview;
use crate::core::world::World;

/// Objects that drifted and are not restored, by cluster and App; looked up once for a whole listing.
#[derive(Debug, Default)]
pub struct Standing {
    objects: BTreeMap<ClusterName, BTreeMap<AppId, u64>>,
}

impl Standing {
    /// Counts what stands in `world`: the newest report of each object decides.
    pub fn of(world: &World) -> Self {
        let mut decided = HashSet::new();
        let mut objects: BTreeMap<ClusterName, BTreeMap<AppId, u64>> = BTreeMap::new();
        for (cluster, report) in world.drift.iter().rev() {
            let newest = decided.insert((cluster, &report.app, &report.key));
            if newest && report.restored_millis.is_none() {
                *objects.entry(cluster.clone()).or_default().entry(report.app.clone()).or_default() += 1;
            }
        }
        Self { objects }
    }

    /// Objects drifted on a cluster, in Apps it shall still run; none if that is not known.
    pub fn on(&self, view: &ClusterView<'_>) -> Option<u64> {
        let (_, plan) = view.wanted.filter(|_| view.seen())?;
        let apps = self.objects.get(view.name);
        let of = |id: AppId| apps.and_then(|apps| apps.get(&id)).copied().unwrap_or(0);
        Some(plan.bundles.iter().map(|bundle| of(bundle.id())).sum())
    }

    /// Objects of one App drifted on these clusters; none if that is not known of all of them.
    pub fn of_app<'a>(
        &self,
        overview: &Overview<'_>,
        id: &AppId,
        clusters: impl IntoIterator<Item = &'a ClusterName>,
    ) -> Option<u64> {
        let mut sum = 0;
        for name in clusters {
            overview.cluster(name).filter(|view| view.seen())?;
            sum += self.objects.get(name).and_then(|apps| apps.get(id)).copied().unwrap_or(0);
        }
        Some(sum)
    }
}
