//! Garbage collection of content and mirrors: what the last publications reach
//! stays, and everything stays for a day.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rimward_proto::Digest;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::head::Assignment;
use rimward_proto::plan::Plan;

use super::plan::Planner;
use super::{TaskError, lock};
use crate::core::model::GitSpec;
use crate::core::world::Task;
use crate::state::{State, causes};
use crate::store::records::{self, Publication, SourceRecord};

/// How long content stays that nothing reaches: a spoke may be in the middle of fetching it.
const AGE: Duration = Duration::from_secs(24 * 3600);

/// Removes what nothing reaches. A failure is logged: the next collection tries again.
pub fn collect(planner: &mut Planner) {
    let result = content(planner).and_then(|()| mirrors(planner));
    if let Err(error) = &result {
        tracing::error!(error = causes(error), "collection failed");
    }
    planner.went(Task::Collection, result.err().map(|error| causes(&error)));
}

fn content(planner: &mut Planner) -> Result<(), TaskError> {
    let state = planner.state.clone();
    let mut reach = Reach { state: &state, all: HashSet::new() };
    let newest = state.published.borrow().as_ref().map_or(0, |published| published.head.seq);
    for seq in newest.saturating_sub(records::KEPT - 1)..=newest {
        if let Some(record) = state.store.read::<Publication>(&records::publication(seq))? {
            reach.publication(&record)?;
        }
    }
    let planning = &planner.memory.planning;
    for document in [planning.plans, planning.origins, planning.good].into_iter().flatten() {
        reach.all.insert(document);
    }
    reach.all.extend(lock(&planner.loaded).good.values().map(|bytes| Digest::of(bytes)));
    for plan in planner.memory.plans.values() {
        reach.plan(Digest::of(&plan.to_bytes()))?;
    }
    let removed = state.content.collect(&reach.all, AGE)?;
    // What was removed must be written again if it is ever wanted again.
    planner.stored.clear();
    tracing::info!(removed, kept = reach.all.len(), "content collected");
    Ok(())
}

fn mirrors(planner: &Planner) -> Result<(), TaskError> {
    let records: BTreeMap<String, SourceRecord> = planner.state.store.read_all("source/")?;
    let fleet = planner.state.config.load().fleet_git();
    let policy = lock(&planner.loaded).policy.clone();
    // Without a policy it is not known which sources there are.
    let Some(policy) = policy else { return Ok(()) };
    let specs: Vec<GitSpec> = policy.sources().map(|(_, spec)| spec.git.clone()).collect();
    let used = records.values().map(|record| &record.git).chain(&specs).chain([&fleet]);
    if let Err(error) = planner.mirrors.keep_only(used) {
        tracing::warn!(%error, "unused mirrors cannot be removed");
    }
    Ok(())
}

struct Reach<'a> {
    state: &'a State,
    all: HashSet<Digest>,
}

impl Reach<'_> {
    fn publication(&mut self, record: &Publication) -> Result<(), TaskError> {
        self.all.insert(record.assignments);
        let bytes = self.state.content.get(&record.assignments)?.unwrap_or_default();
        let list: Vec<Assignment> = serde_json::from_slice(&bytes).unwrap_or_default();
        list.iter().try_for_each(|assignment| self.plan(assignment.plan))
    }

    fn plan(&mut self, digest: Digest) -> Result<(), TaskError> {
        if !self.all.insert(digest) {
            return Ok(());
        }
        let Some(plan) = self.state.content.get(&digest)?.and_then(|bytes| Plan::parse(&bytes).ok()) else {
            return Ok(());
        };
        for bundle in &plan.bundles {
            if self.all.insert(bundle.digest)
                && let Some(index) =
                    self.state.content.get(&bundle.digest)?.and_then(|b| BundleIndex::parse(&b).ok())
            {
                self.all.extend(index.entries().iter().map(|entry| entry.sha256));
            }
        }
        Ok(())
    }
}
