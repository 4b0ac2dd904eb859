//! Standings → plans: one build for each group of clusters that had the same
//! plan and want the same Apps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::plan::{Plan, PlanBundle, Removed};
use rimward_proto::{AppId, ClusterName, Digest, limits};

use super::PlanInputs;
use super::before::{Before, like_in};
use super::entry::{deletion, narrowed};
use super::resolve::Form;
use super::standing::{Standing, Wanted};
use crate::core::codes;
use crate::core::model::SourceId;
use crate::core::note::{Note, Position};
use crate::core::select::{ClusterIndex, ClusterSet};

/// The parts plans are built from.
pub(super) struct Build<'a> {
    pub inputs: &'a PlanInputs<'a>,
    pub index: &'a ClusterIndex,
    pub before: &'a Before,
    pub standings: &'a BTreeMap<AppId, Standing>,
    /// Approved removals of unaccounted Apps.
    pub unaccounted: &'a BTreeMap<AppId, ClusterSet>,
}

/// A wanted App, and by bundle the first entry in force that says the same, whose commit it shares.
type Candidate<'a> = (&'a Wanted, BTreeMap<Digest, &'a PlanBundle>);

/// An App that a cluster shall have: its number among the candidates, and that of its form; none if the cluster waits.
type Part = (usize, Option<usize>);

/// What tells the plans of two clusters apart.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Recipe {
    group: usize,
    wanted: Vec<Part>,
    cleared: Vec<AppId>,
    unaccounted: Vec<AppId>,
}

impl Build<'_> {
    /// The plan of every cluster that has one.
    pub fn plans(&self, notes: &mut Vec<(SourceId, Note)>) -> BTreeMap<ClusterName, Arc<Plan>> {
        let wanted: Vec<Candidate<'_>> = self
            .standings
            .values()
            .filter_map(|standing| match standing {
                Standing::Wanted(wanted) => Some((wanted.as_ref(), self.before.like(&wanted.entry))),
                _ => None,
            })
            .collect();
        let mut by_recipe: BTreeMap<Recipe, Vec<usize>> = BTreeMap::new();
        for (position, wanted) in self.wanted_by_cluster(&wanted).into_iter().enumerate() {
            let Some(group) = self.before.group_of[position] else { continue };
            let recipe = self.recipe(position, group, wanted);
            by_recipe.entry(recipe).or_default().push(position);
        }
        let mut plans = self.before.frozen.clone();
        let mut shared = self.before.plans.clone();
        for (recipe, positions) in by_recipe {
            let Some(plan) = self.build(&recipe, &wanted, &mut shared, notes) else { continue };
            for position in positions {
                plans.insert(self.index.names()[position].clone(), plan.clone());
            }
        }
        plans
    }

    fn wanted_by_cluster(&self, wanted: &[Candidate<'_>]) -> Vec<Vec<Part>> {
        let mut by_cluster = vec![Vec::new(); self.index.names().len()];
        for (number, (app, _)) in wanted.iter().enumerate() {
            for (form, Form { clusters, .. }) in app.resolved.forms.iter().enumerate() {
                let ready = clusters.iter().filter(|position| !app.waiting.contains(*position));
                ready.for_each(|position| by_cluster[position].push((number, Some(form))));
            }
            app.waiting.iter().for_each(|position| by_cluster[position].push((number, None)));
        }
        by_cluster
    }

    fn recipe(&self, position: usize, group: usize, wanted: Vec<Part>) -> Recipe {
        let name = &self.index.names()[position];
        let removed = self.before.groups[group].plan.iter().flat_map(|plan| &plan.removed);
        let cleared = match self.inputs.cleared.get(name) {
            Some(cleared) => removed.map(Removed::id).filter(|id| cleared.contains(id)).collect(),
            None => Vec::new(),
        };
        let unaccounted = self.unaccounted.iter().filter(|(_, clusters)| clusters.contains(position));
        let unaccounted = unaccounted.map(|(id, _)| id.clone()).collect();
        Recipe { group, wanted, cleared, unaccounted }
    }

    fn build(
        &self,
        recipe: &Recipe,
        wanted: &[Candidate<'_>],
        shared: &mut BTreeMap<Digest, Arc<Plan>>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> Option<Arc<Plan>> {
        let before = self.before.groups[recipe.group].plan.as_ref();
        let plan = self.contents(recipe, wanted, before.map(Arc::as_ref));
        if let Some(before) = before.filter(|before| ***before == plan) {
            return Some(before.clone());
        }
        let bytes = plan.to_bytes();
        if bytes.len() as u64 > limits::PLAN_BYTES {
            let clusters = &self.before.groups[recipe.group].clusters;
            let name = clusters.iter().next().map(|position| self.index.names()[position].to_string());
            let message = format!(
                "the plan of {} has {} bytes, a plan may have {}: what is there stays",
                name.unwrap_or_default(),
                bytes.len(),
                limits::PLAN_BYTES
            );
            let note = Note::error(codes::PLAN_TOO_LARGE, Position::default(), message);
            notes.push((SourceId::Fleet, note.help("spread the Apps over more clusters")));
            return before.cloned();
        }
        Some(shared.entry(Digest::of(&bytes)).or_insert_with(|| Arc::new(plan)).clone())
    }

    fn contents(&self, recipe: &Recipe, wanted: &[Candidate<'_>], before: Option<&Plan>) -> Plan {
        let mut bundles: BTreeMap<AppId, PlanBundle> = BTreeMap::new();
        let mut removed: BTreeMap<AppId, Removed> = BTreeMap::new();
        let mut waiting: BTreeSet<AppId> = BTreeSet::new();
        for (number, form) in &recipe.wanted {
            let (wanted, first) = &wanted[*number];
            let Some(form) = form else {
                waiting.insert(wanted.entry.id());
                continue;
            };
            let mut entry = wanted.entry_of(&wanted.resolved.forms[*form]);
            if let Some(first) = like_in(before, &entry).or(first.get(&entry.digest).copied()) {
                entry.commit.clone_from(&first.commit);
            }
            bundles.insert(entry.id(), entry);
        }
        for entry in before.iter().flat_map(|plan| &plan.bundles) {
            let id = entry.id();
            if bundles.contains_key(&id) {
                continue;
            }
            if waiting.contains(&id) {
                bundles.insert(id, entry.clone());
                continue;
            }
            match self.standings.get(&id) {
                Some(Standing::Wanted(wanted)) => {
                    let commit = wanted.entry.commit.clone();
                    removed.insert(id, self.tombstone(entry, commit));
                }
                Some(Standing::Removed { commit }) => {
                    removed.insert(id, self.tombstone(entry, commit.clone()));
                }
                Some(Standing::Kept(_)) | None => drop(bundles.insert(id, entry.clone())),
            }
        }
        for tombstone in before.iter().flat_map(|plan| &plan.removed) {
            let id = tombstone.id();
            if !recipe.cleared.contains(&id) && !bundles.contains_key(&id) {
                removed.insert(id, tombstone.clone());
            }
        }
        for id in &recipe.unaccounted {
            if !bundles.contains_key(id) {
                let tenant = self.inputs.policy.tenants.get(&id.tenant);
                let deletion = deletion(self.inputs.policy, tenant, None);
                let (tenant, app) = (id.tenant.clone(), id.app.clone());
                removed.entry(id.clone()).or_insert(Removed { tenant, app, commit: String::new(), deletion });
            }
        }
        Plan {
            bundles: bundles.into_values().collect(),
            removed: removed.into_values().collect(),
            critical: Vec::new(),
        }
    }

    /// The budget is what App or tenant have now, and no wider than what the App had here: an App that lets itself be
    /// deleted slowly does not go at once because its file went.
    fn tombstone(&self, entry: &PlanBundle, commit: String) -> Removed {
        let tenant = self.inputs.policy.tenants.get(&entry.tenant);
        let now = match self.standings.get(&entry.id()) {
            Some(Standing::Wanted(wanted)) => Some(wanted.entry.deletion.clone()),
            _ => tenant.map(|tenant| deletion(self.inputs.policy, Some(tenant), None)),
        };
        let deletion = now.map_or_else(|| entry.deletion.clone(), |now| narrowed(&now, &entry.deletion));
        Removed { tenant: entry.tenant.clone(), app: entry.app.clone(), commit, deletion }
    }
}

/// Digests of all bundles in these plans, each plan looked at once.
pub(super) fn bundles_of(plans: &BTreeMap<ClusterName, Arc<Plan>>) -> (BTreeSet<Digest>, BTreeSet<AppId>) {
    let mut seen: BTreeSet<*const Plan> = BTreeSet::new();
    let (mut digests, mut apps) = (BTreeSet::new(), BTreeSet::new());
    for plan in plans.values().filter(|plan| seen.insert(Arc::as_ptr(plan))) {
        for bundle in &plan.bundles {
            digests.insert(bundle.digest);
            apps.insert(bundle.id());
        }
    }
    (digests, apps)
}
