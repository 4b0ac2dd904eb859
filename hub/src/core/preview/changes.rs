//! Two plans of a cluster → what its spoke would do. Clusters with the same two
//! plans are looked at once, and equal changes of an App are one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::bundle::BundleIndex;
use rimward_proto::object::{PRUNE_ANNOTATION, annotation, is_kind};
use rimward_proto::plan::{Deletion, Plan, PlanBundle};
use rimward_proto::{AppId, ClusterName, Digest, ObjectKey};

use super::{Action, Content, Summary};

/// All changes, with where each is.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// In the order they are told: those that delete first.
    pub groups: Vec<(Change, Vec<ClusterName>)>,
    /// Clusters on which anything changes.
    clusters: usize,
    /// Objects that stay as they are, counted on every cluster.
    unchanged: u64,
}

/// One change of one App.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub id: AppId,
    pub action: Action,
    pub from: Option<AppId>,
    /// How it is run, before and after, if that differs.
    pub settings: Option<(Vec<u8>, Vec<u8>)>,
    /// A bundle that is not at hand.
    pub unknown: Option<Digest>,
    /// The most dangerous first.
    pub objects: Vec<Object>,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub action: Action,
    pub key: ObjectKey,
    pub protected: bool,
    pub held: &'static str,
    pub from: Option<AppId>,
    pub before: Option<Digest>,
    pub after: Option<Digest>,
}

impl Change {
    /// True if it takes an object away.
    fn deletes(&self) -> bool {
        self.objects.iter().any(|object| object.action == Action::Delete)
    }
}

impl Changes {
    /// What goes from `base` to `head`.
    pub fn between(
        base: &BTreeMap<ClusterName, Arc<Plan>>,
        head: &BTreeMap<ClusterName, Arc<Plan>>,
        content: &Content<'_>,
    ) -> Self {
        let nothing = Arc::new(Plan::default());
        // By pointer: equal plans are one `Arc`, and work follows the number of different pairs.
        let mut pairs: BTreeMap<(usize, usize), (&Plan, &Plan, Vec<ClusterName>)> = BTreeMap::new();
        for (cluster, after) in head {
            let before = base.get(cluster).unwrap_or(&nothing);
            let key = (Arc::as_ptr(before).addr(), Arc::as_ptr(after).addr());
            pairs.entry(key).or_insert((before, after, Vec::new())).2.push(cluster.clone());
        }
        let look = Look { content, indexes: RefCell::default(), kept: RefCell::default() };
        let mut changes = Self::default();
        let mut groups: BTreeMap<Change, Vec<ClusterName>> = BTreeMap::new();
        for (before, after, clusters) in pairs.into_values() {
            let mut pair = Pair::new(before, after, &look);
            let found = pair.changes();
            changes.unchanged += pair.unchanged * clusters.len() as u64;
            changes.clusters += if found.is_empty() { 0 } else { clusters.len() };
            for change in found {
                groups.entry(change).or_default().extend(clusters.iter().cloned());
            }
        }
        groups.values_mut().for_each(|clusters| clusters.sort());
        changes.groups = groups.into_iter().collect();
        changes
            .groups
            .sort_by(|(a, on), (b, also)| (!a.deletes(), &a.id, on, a).cmp(&(!b.deletes(), &b.id, also, b)));
        changes
    }

    /// The whole in numbers.
    pub fn summary(&self) -> Summary {
        let clusters = self.clusters as u64;
        let mut summary = Summary { clusters, unchanged: self.unchanged, ..Summary::default() };
        for (change, clusters) in &self.groups {
            for object in &change.objects {
                let count = match object.action {
                    Action::Create => &mut summary.create,
                    Action::Change => &mut summary.change,
                    Action::Delete => &mut summary.delete,
                    Action::Move => &mut summary.moved,
                    Action::Keep => &mut summary.keep,
                };
                *count += clusters.len() as u64;
            }
        }
        summary
    }
}

/// What is read of content, once each.
struct Look<'a> {
    content: &'a Content<'a>,
    indexes: RefCell<BTreeMap<Digest, Option<Arc<BundleIndex>>>>,
    kept: RefCell<BTreeMap<Digest, bool>>,
}

impl Look<'_> {
    fn index(&self, digest: &Digest) -> Option<Arc<BundleIndex>> {
        let read = || (self.content)(digest).and_then(|bytes| BundleIndex::parse(&bytes).ok()).map(Arc::new);
        self.indexes.borrow_mut().entry(*digest).or_insert_with(read).clone()
    }

    /// True if the object says that it is not to be pruned.
    fn kept(&self, digest: &Digest) -> bool {
        let read = || {
            let object = (self.content)(digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            object.is_some_and(|object| annotation(&object, PRUNE_ANNOTATION) == Some("false"))
        };
        *self.kept.borrow_mut().entry(*digest).or_insert_with(read)
    }
}

/// An object in the Apps of a plan that differ from the other plan's.
type Owned = BTreeMap<ObjectKey, (AppId, Digest)>;

/// The plans of a cluster before and after.
struct Pair<'a> {
    before: BTreeMap<AppId, &'a PlanBundle>,
    after: BTreeMap<AppId, &'a PlanBundle>,
    removed: BTreeMap<AppId, &'a Deletion>,
    look: &'a Look<'a>,
    unknown: BTreeMap<AppId, Digest>,
    unchanged: u64,
}

impl<'a> Pair<'a> {
    fn new(before: &'a Plan, after: &'a Plan, look: &'a Look<'a>) -> Self {
        let by_id = |plan: &'a Plan| plan.bundles.iter().map(|bundle| (bundle.id(), bundle)).collect();
        Self {
            before: by_id(before),
            after: by_id(after),
            removed: after.removed.iter().map(|removed| (removed.id(), &removed.deletion)).collect(),
            look,
            unknown: BTreeMap::new(),
            unchanged: 0,
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        // Whose objects are the same owns nothing that anyone else has: two Apps with one object are never planned.
        let same = |id: &AppId, bundle: &PlanBundle, other: &BTreeMap<AppId, &PlanBundle>| {
            other.get(id).is_some_and(|other| other.digest == bundle.digest)
        };
        let new: Vec<_> = self.after.iter().filter(|(id, b)| !same(id, b, &self.before)).collect();
        let old: Vec<_> = self.before.iter().filter(|(id, b)| !same(id, b, &self.after)).collect();
        let (new, old): (Vec<AppId>, Vec<AppId>) = (
            new.into_iter().map(|(id, _)| id.clone()).collect(),
            old.into_iter().map(|(id, _)| id.clone()).collect(),
        );
        let there = self.after.values().map(|bundle| bundle.objects).sum::<u64>();
        let fresh: u64 = new.iter().map(|id| self.after[id].objects).sum();
        self.unchanged = there - fresh;
        let wanted = self.owned(&new, true);
        let had = self.owned(&old, false);
        let mut objects: BTreeMap<AppId, Vec<Object>> = BTreeMap::new();
        for (key, (id, after)) in &wanted {
            match self.one(key, id, after, had.get(key)) {
                Some(object) => objects.entry(id.clone()).or_default().push(object),
                None => self.unchanged += 1,
            }
        }
        for (key, (id, before)) in had.iter().filter(|(key, _)| !wanted.contains_key(key)) {
            objects.entry(id.clone()).or_default().extend(self.unwanted(key, id, before));
        }
        self.over_budget(&mut objects);
        let ids: BTreeSet<AppId> = self.before.keys().chain(self.after.keys()).cloned().collect();
        ids.into_iter().filter_map(|id| self.of_app(id, &mut objects)).collect()
    }

    /// The objects of these Apps, by key.
    fn owned(&mut self, ids: &[AppId], after: bool) -> Owned {
        let mut owned = Owned::new();
        for id in ids {
            let bundle = if after { self.after[id] } else { self.before[id] };
            match self.look.index(&bundle.digest) {
                Some(index) => {
                    let entries = index.entries().iter();
                    owned.extend(entries.map(|entry| (entry.key.clone(), (id.clone(), entry.sha256))));
                }
                None => drop(self.unknown.insert(id.clone(), bundle.digest)),
            }
        }
        owned
    }

    /// What becomes of an object that is wanted; none if it stays as it is.
    fn one(
        &self,
        key: &ObjectKey,
        id: &AppId,
        after: &Digest,
        had: Option<&(AppId, Digest)>,
    ) -> Option<Object> {
        let (action, from, before) = match had {
            None => (Action::Create, None, None),
            Some((owner, before)) if owner != id => (Action::Move, Some(owner.clone()), Some(*before)),
            Some((_, before)) if before == after => return None,
            Some((_, before)) => (Action::Change, None, Some(*before)),
        };
        let protected = is_protected(key, &self.after[id].deletion);
        Some(Object { action, key: key.clone(), protected, held: "", from, before, after: Some(*after) })
    }

    /// What becomes of an object that nobody wants any more; none if nothing does.
    fn unwanted(&self, key: &ObjectKey, id: &AppId, before: &Digest) -> Option<Object> {
        // An App that the plan neither wants nor removes loses nothing.
        let deletion = self.after.get(id).map(|bundle| &bundle.deletion).or(self.removed.get(id).copied())?;
        let protected = is_protected(key, deletion);
        let kept = self.look.kept(before);
        let action = if kept { Action::Keep } else { Action::Delete };
        let held = if protected && !kept { "Protected" } else { "" };
        Some(Object {
            action,
            key: key.clone(),
            protected,
            held,
            from: None,
            before: Some(*before),
            after: None,
        })
    }

    /// Marks what goes beyond the budget, as a spoke does that has deleted nothing yet for this plan: all deletions that
    /// are not protected count together, and an App whose budget is smaller holds all of its own.
    fn over_budget(&self, objects: &mut BTreeMap<AppId, Vec<Object>>) {
        let counts = |object: &&Object| object.action == Action::Delete && !object.protected;
        let total = objects.values().flatten().filter(counts).count() as u64;
        for (id, objects) in objects.iter_mut() {
            let deletion =
                self.after.get(id).map(|bundle| &bundle.deletion).or(self.removed.get(id).copied());
            if deletion.is_some_and(|deletion| total > deletion.max_per_plan) {
                let over = objects.iter_mut().filter(|object| counts(&&**object));
                over.for_each(|object| object.held = "OverBudget");
            }
        }
    }

    fn of_app(&self, id: AppId, objects: &mut BTreeMap<AppId, Vec<Object>>) -> Option<Change> {
        let mut objects = objects.remove(&id).unwrap_or_default();
        objects.sort();
        let (before, after) = (self.before.get(&id), self.after.get(&id));
        let (action, from) = match (before, after) {
            (Some(_), Some(_)) => (Action::Change, None),
            (None, Some(bundle)) => match self.former(bundle) {
                Some(former) => (Action::Move, Some(former)),
                None => (Action::Create, None),
            },
            (Some(_), None) if self.removed.contains_key(&id) => {
                let heir = self.after.values().find(|bundle| self.former(bundle).as_ref() == Some(&id));
                // Told with its new name; here is only what does not go on.
                if heir.is_some() && objects.is_empty() && !self.unknown.contains_key(&id) {
                    return None;
                }
                (Action::Delete, heir.map(|bundle| bundle.id()))
            }
            _ => return None,
        };
        let settings = before.zip(after).map(|(before, after)| (settings(before), settings(after)));
        let settings = settings.filter(|(before, after)| before != after);
        let unknown = self.unknown.get(&id).copied();
        let nothing =
            action == Action::Change && settings.is_none() && unknown.is_none() && objects.is_empty();
        (!nothing).then_some(Change { id, action, from, settings, unknown, objects })
    }

    /// The App that a new one was called before, if that goes.
    fn former(&self, bundle: &PlanBundle) -> Option<AppId> {
        let mut names =
            bundle.formerly.iter().map(|app| AppId { tenant: bundle.tenant.clone(), app: app.clone() });
        names.find(|id| self.before.contains_key(id) && self.removed.contains_key(id))
    }
}

/// As a spoke decides it, but for the ceilings of its own configuration, which only it knows.
fn is_protected(key: &ObjectKey, deletion: &Deletion) -> bool {
    // A namespace takes everything in it along.
    let namespace = key.group.is_empty() && key.kind == "Namespace";
    namespace || deletion.protect.iter().any(|pattern| is_kind(pattern, &key.group, &key.kind))
}

/// What a plan says of how an App is run: all but its objects and the commit, which are told otherwise.
fn settings(bundle: &PlanBundle) -> Vec<u8> {
    let mut value = serde_json::to_value(bundle).expect("a plan is strings, integers and lists of them");
    if let Some(fields) = value.as_object_mut() {
        for told in ["tenant", "app", "digest", "bytes", "objects", "commit"] {
            fields.remove(told);
        }
    }
    rimward_proto::canonical::value_to_bytes(&value)
}
