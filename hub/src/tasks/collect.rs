//! Garbage collection of content and mirrors: what the last publications reach
//! stays, and everything stays for a day. What a document reaches that cannot be
//! read is not known, so then nothing goes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rimward_proto::Digest;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::head::Assignment;
use rimward_proto::plan::Plan;

use super::plan::Planner;
use super::{TaskError, heal, lock};
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
    let mut reach = Reach { state: &state, known: heal::known(planner), all: HashSet::new() };
    let newest = state.published.borrow().as_ref().map_or(0, |published| published.head.seq);
    for seq in newest.saturating_sub(records::KEPT - 1)..=newest {
        if let Some(record) = state.store.read::<Publication>(&records::publication(seq))? {
            reach.publication(&record)?;
        }
    }
    let planning = &planner.memory.planning;
    for document in [planning.plans, planning.origins, planning.good].into_iter().flatten() {
        // Read only to be sure that it is there.
        reach.read(document)?;
    }
    reach.all.extend(lock(&planner.loaded).good.values().map(|bytes| Digest::of(bytes)));
    for plan in planner.memory.plans.values() {
        reach.plan(Digest::of(&plan.to_bytes()))?;
    }
    // What is removed, also by a collection that fails half way, must be written again if it is ever wanted again.
    planner.stored.clear();
    let removed = state.content.collect(&reach.all, AGE)?;
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
    /// Documents that are in memory too.
    known: BTreeMap<Digest, Arc<[u8]>>,
    all: HashSet<Digest>,
}

impl Reach<'_> {
    fn publication(&mut self, record: &Publication) -> Result<(), TaskError> {
        let bytes = self.read(record.assignments)?;
        let list: Vec<Assignment> =
            serde_json::from_slice(&bytes).map_err(|_| TaskError::Lost(record.assignments))?;
        list.iter().try_for_each(|assignment| self.plan(assignment.plan))
    }

    fn plan(&mut self, digest: Digest) -> Result<(), TaskError> {
        if self.all.contains(&digest) {
            return Ok(());
        }
        let plan = Plan::parse(&self.read(digest)?).map_err(|_| TaskError::Lost(digest))?;
        for bundle in &plan.bundles {
            if self.all.contains(&bundle.digest) {
                continue;
            }
            let index = BundleIndex::parse(&self.read(bundle.digest)?);
            let index = index.map_err(|_| TaskError::Lost(bundle.digest))?;
            self.all.extend(index.entries().iter().map(|entry| entry.sha256));
        }
        Ok(())
    }

    /// A document that something reaches, written again if only memory has it.
    fn read(&mut self, digest: Digest) -> Result<Vec<u8>, TaskError> {
        self.all.insert(digest);
        if let Some(bytes) = self.state.content.get(&digest)? {
            return Ok(bytes);
        }
        let bytes = self.known.get(&digest).cloned().ok_or(TaskError::Lost(digest))?;
        tracing::warn!(%digest, "content was lost and is written again");
        self.state.content.put(&BTreeMap::from([(digest, bytes.clone())]))?;
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests;
