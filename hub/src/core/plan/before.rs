//! The plans in force, looked at by App: who has it, and as what. Clusters with
//! one plan are one group, so that the work follows the number of different
//! plans and not of clusters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest, ObjectKey};

use super::cache::RenderCache;
use super::places::{Places, short};
use crate::core::select::{ClusterIndex, ClusterSet};

/// Clusters that have a document and run one plan.
pub(super) struct Group {
    /// None for clusters that have no plan yet.
    pub plan: Option<Arc<Plan>>,
    pub clusters: Places,
}

/// The plans in force.
pub(super) struct Before {
    /// In the order of their first cluster.
    pub groups: Vec<Group>,
    /// The plans of the groups by digest.
    pub plans: BTreeMap<Digest, Arc<Plan>>,
    /// Group of each cluster, by position; none for clusters that get no plan.
    pub group_of: Vec<Option<usize>>,
    /// Clusters that have a plan but no document: whatever happens, they keep it.
    pub frozen: BTreeMap<ClusterName, Arc<Plan>>,
    holders: BTreeMap<AppId, Vec<Holder>>,
}

/// Objects of an App in force, with the clusters that have them.
pub(super) struct Owned {
    /// None if it is not known which they are.
    pub keys: Option<Arc<[ObjectKey]>>,
    pub clusters: ClusterSet,
}

/// One form in which an App is in force.
pub(super) struct Holder {
    pub group: usize,
    pub bundle: usize,
}

impl Before {
    pub fn new(
        index: &ClusterIndex,
        enrolled: &BTreeMap<ClusterName, ClusterUid>,
        previous: &BTreeMap<ClusterName, Arc<Plan>>,
        cache: &mut RenderCache,
    ) -> Self {
        let mut before = Self {
            groups: Vec::new(),
            plans: BTreeMap::new(),
            group_of: vec![None; index.names().len()],
            frozen: BTreeMap::new(),
            holders: BTreeMap::new(),
        };
        let mut by_plan: BTreeMap<Option<Digest>, usize> = BTreeMap::new();
        let mut by_pointer: BTreeMap<Option<*const Plan>, usize> = BTreeMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (position, name) in index.names().iter().enumerate() {
            let plan = previous.get(name);
            if plan.is_none() && !enrolled.contains_key(name) {
                continue;
            }
            // By pointer first, which is cheap; then by content, so that the result does not depend on sharing.
            let (groups, plans) = (&mut before.groups, &mut before.plans);
            let group = *by_pointer.entry(plan.map(Arc::as_ptr)).or_insert_with(|| {
                let digest = plan.map(|plan| cache.plan_digest(plan));
                plans.extend(digest.into_iter().zip(plan.cloned()));
                *by_plan.entry(digest).or_insert_with(|| {
                    groups.push(Group { plan: plan.cloned(), clusters: Places::Few(Box::default()) });
                    members.push(Vec::new());
                    groups.len() - 1
                })
            });
            members[group].push(short(position));
            before.group_of[position] = Some(group);
        }
        for (group, members) in before.groups.iter_mut().zip(members) {
            group.clusters = Places::of(members, index);
        }
        for (name, plan) in previous.iter().filter(|(name, _)| index.position(name).is_none()) {
            before.frozen.insert(name.clone(), plan.clone());
        }
        before.index_holders();
        before
    }

    fn index_holders(&mut self) {
        for (group, Group { plan, .. }) in self.groups.iter().enumerate() {
            let bundles = plan.iter().flat_map(|plan| &plan.bundles);
            for (bundle, entry) in bundles.enumerate() {
                self.holders.entry(entry.id()).or_default().push(Holder { group, bundle });
            }
        }
    }

    /// Apps that are on any cluster that has a document.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        self.holders.keys()
    }

    /// The entries of an App with the clusters that run them.
    pub fn entries(&self, id: &AppId) -> impl Iterator<Item = (&PlanBundle, &Places)> {
        self.holders.get(id).into_iter().flatten().filter_map(|holder| {
            let group = &self.groups[holder.group];
            Some((&group.plan.as_ref()?.bundles[holder.bundle], &group.clusters))
        })
    }

    /// The clusters that run an App.
    pub fn holders(&self, id: &AppId, index: &ClusterIndex) -> ClusterSet {
        let mut set = index.none();
        self.entries(id).for_each(|(_, clusters)| clusters.add_to(&mut set));
        set
    }

    /// What an App owns, and where: by the names of its objects, which all its forms may have in common.
    pub fn owned(
        &self,
        id: &AppId,
        index: &ClusterIndex,
        cache: &mut RenderCache,
        indexes: &BTreeMap<Digest, Arc<BundleIndex>>,
    ) -> Vec<Owned> {
        let mut owned: Vec<Owned> = Vec::new();
        // The cache gives equal names as one, so that they are compared by where they are.
        let mut by_names: HashMap<Option<*const ObjectKey>, usize> = HashMap::new();
        for (entry, clusters) in self.entries(id) {
            let keys = cache.keys(&entry.digest, indexes);
            let at = *by_names.entry(keys.as_ref().map(|keys| keys.as_ptr())).or_insert(owned.len());
            if at == owned.len() {
                owned.push(Owned { keys, clusters: index.none() });
            }
            clusters.add_to(&mut owned[at].clusters);
        }
        owned
    }

    /// By bundle: the first entry of that App, in the order of clusters, that says the same as `wanted` but for bundle
    /// and commit.
    pub fn like(&self, wanted: &PlanBundle) -> BTreeMap<Digest, &PlanBundle> {
        let mut like = BTreeMap::new();
        for (entry, _) in self.entries(&wanted.id()).filter(|(entry, _)| same_rules(entry, wanted)) {
            like.entry(entry.digest).or_insert(entry);
        }
        like
    }

    /// Digests of all bundles in force, frozen clusters included.
    pub fn bundles(&self) -> impl Iterator<Item = Digest> {
        let plans = self.groups.iter().filter_map(|group| group.plan.as_ref()).chain(self.frozen.values());
        plans.flat_map(|plan| plan.bundles.iter().map(|bundle| bundle.digest))
    }
}

/// The entry of a plan that says the same as `wanted` but for the commit.
pub(super) fn like_in<'p>(plan: Option<&'p Plan>, wanted: &PlanBundle) -> Option<&'p PlanBundle> {
    let key = (&wanted.tenant, &wanted.app);
    let bundles = &plan?.bundles;
    let at = bundles.binary_search_by(|entry| (&entry.tenant, &entry.app).cmp(&key)).ok()?;
    Some(&bundles[at]).filter(|entry| entry.digest == wanted.digest && same_rules(entry, wanted))
}

/// True if both say the same but for the bundle and the commit.
fn same_rules(a: &PlanBundle, b: &PlanBundle) -> bool {
    // Taken apart, so that a new field cannot be forgotten here.
    let PlanBundle {
        tenant,
        app,
        digest: _,
        bytes: _,
        objects: _,
        commit: _,
        service_account,
        namespaces,
        allow,
        deny,
        role,
        depends_on,
        drift,
        takeover,
        health,
        deletion,
        formerly,
    } = a;
    (tenant, app) == (&b.tenant, &b.app)
        && (service_account, role) == (&b.service_account, &b.role)
        && (namespaces, allow, deny) == (&b.namespaces, &b.allow, &b.deny)
        && (depends_on, drift, takeover) == (&b.depends_on, &b.drift, &b.takeover)
        && (health, deletion, formerly) == (&b.health, &b.deletion, &b.formerly)
}
