//! What the hub kept, read once at start: the last publication, what planning
//! remembers, and the last good snapshot of each source. No network, so a hub
//! whose Git server is down starts as it stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::head::{Assignment, Head};
use rimward_proto::merkle::{Tree, leaf_hash};
use rimward_proto::plan::Plan;
use rimward_proto::{AppId, ClusterName, Digest};
use serde::de::DeserializeOwned;

use super::TaskError;
use super::slots::{Slot, Slots};
use crate::core::files::load_fleet;
use crate::core::model::{Policy, SourceId, SourceTree};
use crate::core::note::Note;
use crate::core::plan::{Looks, Origin};
use crate::core::world::{Published, SourceStatus};
use crate::session::enrolled;
use crate::source::Mirrors;
use crate::state::State;
use crate::store::records::{self, Planning, Publication, SourceRecord};

/// What loading gives to planning.
#[derive(Debug, Default, Clone)]
pub struct Loaded {
    /// The policy; none until the fleet repo was read once.
    pub policy: Option<Arc<Policy>>,
    /// The fleet repo's files when they were last right.
    pub good: BTreeMap<String, Arc<[u8]>>,
    /// Last good snapshot of each tenant source.
    pub trees: BTreeMap<SourceId, Arc<SourceTree>>,
    /// How recent they are: nothing before the first look since the start.
    pub looks: BTreeMap<SourceId, Looks>,
}

/// What planning remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// The plans in force, by cluster; equal plans are one `Arc`.
    pub plans: BTreeMap<ClusterName, Arc<Plan>>,
    /// Where each App was last seen.
    pub origins: BTreeMap<AppId, Origin>,
    /// Indexes of the bundles in `plans`.
    pub indexes: BTreeMap<Digest, Arc<BundleIndex>>,
    /// The record as it is in the store.
    pub planning: Planning,
    /// The bytes of the record of the publication in force, as the next batch expects them.
    pub current: Option<Vec<u8>>,
    /// The bytes that the last batch was to put there, until it is known whether it did.
    pub tried: Option<Vec<u8>>,
}

impl Memory {
    /// Takes what the store has now, if it is what was tried.
    pub fn settle(&mut self, stored: Option<Vec<u8>>) {
        if self.tried.take() == stored {
            self.current = stored;
        }
    }
}

/// Reads everything back.
pub fn recall(state: &Arc<State>, mirrors: &Mirrors) -> Result<(Memory, Loaded, Slots), TaskError> {
    let memory = memory(state)?;
    // A spoke has seen more than this store knows: not even the last publication may be signed again.
    if !state.recall_ahead()? {
        publication(state)?;
    }
    let good = files(state, memory.planning.good)?;
    let mut slots = Slots::default();
    let records: BTreeMap<String, SourceRecord> = state.store.read_all("source/")?;
    let config = state.config.load();
    let fleet = Slot::new(config.fleet_git(), config.fleet.interval);
    slots.slots.insert(SourceId::Fleet, fleet);
    recall_source(state, mirrors, &SourceId::Fleet, &mut slots, &records);
    let mut loaded = Loaded { good, ..Loaded::default() };
    if let Some(snapshot) =
        slots.slots[&SourceId::Fleet].held.as_ref().map(|(_, snapshot)| snapshot.tree.clone())
    {
        let notes = policy(&mut loaded, &mut slots, &snapshot);
        let ids: Vec<SourceId> = slots.slots.keys().filter(|id| **id != SourceId::Fleet).cloned().collect();
        for id in ids {
            recall_source(state, mirrors, &id, &mut slots, &records);
            if let Some((_, snapshot)) = &slots.slots[&id].held {
                loaded.trees.insert(id, snapshot.tree.clone());
            }
        }
        state.update(|world| {
            if let Some(status) = world.sources.get_mut(&SourceId::Fleet) {
                status.notes.extend(notes);
            }
        });
    }
    let enrolments = state.enrolments.all();
    state.update(|world| {
        for (cluster, enrolment) in &enrolments {
            enrolled(world, cluster, enrolment);
        }
    });
    Ok((memory, loaded, slots))
}

/// Reads the policy from the fleet repo's files, and makes the slots follow it.
pub fn policy(loaded: &mut Loaded, slots: &mut Slots, tree: &SourceTree) -> Vec<Note> {
    let load = load_fleet(tree, &loaded.good);
    for moved in slots.follow(&load.policy) {
        loaded.looks.remove(&moved);
    }
    loaded.looks.retain(|id, _| slots.slots.contains_key(id));
    loaded.trees.retain(|id, _| slots.slots.contains_key(id));
    loaded.good = load.good;
    loaded.policy = Some(Arc::new(load.policy));
    load.notes
}

fn recall_source(
    state: &State,
    mirrors: &Mirrors,
    id: &SourceId,
    slots: &mut Slots,
    records: &BTreeMap<String, SourceRecord>,
) {
    let Some(slot) = slots.slots.get_mut(id) else { return };
    let record = records.get(&id.to_string());
    let mut status = SourceStatus {
        url: slot.git.url.clone(),
        reference: super::load::reference(&slot.git),
        ..SourceStatus::default()
    };
    if let Some(record) = record {
        match mirrors.recall(&record.git, &record.commit) {
            Some(snapshot) => {
                status.commit.clone_from(&record.commit);
                status.fetched = Some(record.fetched);
                status.notes.clone_from(&snapshot.notes);
                slot.held = Some((record.git.clone(), snapshot));
            }
            None => {
                tracing::warn!(source = %id, commit = record.commit, "its snapshot is gone; unknown until fetched again")
            }
        }
    }
    state.update(|world| world.sources.insert(id.clone(), status));
}

/// What planning remembers, as it is in the store.
pub(super) fn memory(state: &State) -> Result<Memory, TaskError> {
    let planning: Planning = state.store.read(records::PLANNING)?.unwrap_or_default();
    let by_cluster: BTreeMap<ClusterName, Digest> = document(state, planning.plans)?;
    let mut unique = BTreeMap::new();
    for digest in by_cluster.values().copied().collect::<BTreeSet<_>>() {
        unique.insert(digest, plan(state, digest)?);
    }
    let plans = by_cluster.into_iter().map(|(cluster, digest)| (cluster, unique[&digest].clone())).collect();
    let mut indexes = BTreeMap::new();
    for bundle in unique.values().flat_map(|plan| &plan.bundles) {
        let bytes = state.content.get(&bundle.digest)?;
        // One that is gone is only not at hand: the App is rendered again.
        if let Some(index) = bytes.and_then(|bytes| BundleIndex::parse(&bytes).ok()) {
            indexes.insert(bundle.digest, Arc::new(index));
        }
    }
    // Pairs, because an App's id is not a string and so no key in JSON.
    let origins: Vec<(AppId, Origin)> = document(state, planning.origins)?;
    let origins = origins.into_iter().collect();
    let current = state.store.get(records::CURRENT)?;
    Ok(Memory { plans, origins, indexes, planning, current, tried: None })
}

fn plan(state: &State, digest: Digest) -> Result<Arc<Plan>, TaskError> {
    let bytes = state.content.get(&digest)?.ok_or(TaskError::Missing(digest))?;
    Plan::parse(&bytes).map(Arc::new).map_err(|_| TaskError::Missing(digest))
}

fn document<T: DeserializeOwned + Default>(state: &State, digest: Option<Digest>) -> Result<T, TaskError> {
    let Some(digest) = digest else { return Ok(T::default()) };
    let bytes = state.content.get(&digest)?.ok_or(TaskError::Missing(digest))?;
    serde_json::from_slice(&bytes).map_err(|_| TaskError::Missing(digest))
}

fn files(state: &State, digest: Option<Digest>) -> Result<BTreeMap<String, Arc<[u8]>>, TaskError> {
    let by_path: BTreeMap<String, Digest> = document(state, digest)?;
    by_path
        .into_iter()
        .map(|(path, digest)| {
            let bytes = state.content.get(&digest)?.ok_or(TaskError::Missing(digest))?;
            Ok((path, bytes.into()))
        })
        .collect()
}

/// Remembers what was assigned by the publications before `seq` that are kept. What is not there any more nobody asks for.
fn assigned(state: &State, seq: u64) {
    for seq in seq.saturating_sub(records::KEPT - 1)..seq {
        let list = state.store.read::<Publication>(&records::publication(seq)).ok().flatten();
        let list = list.and_then(|record| document::<Vec<Assignment>>(state, Some(record.assignments)).ok());
        state.assigned.remember(list.iter().flatten());
    }
}

/// Offers the last publication again, with a fresh head: the same seq and tree, so spokes see what they hold.
fn publication(state: &State) -> Result<(), TaskError> {
    let Some(record) = state.store.read::<Publication>(records::CURRENT)? else { return Ok(()) };
    let list: Vec<Assignment> = document(state, Some(record.assignments))?;
    assigned(state, record.seq);
    let leaves = list.iter().map(|assignment| leaf_hash(&assignment.to_bytes())).collect();
    let tree = Tree::new(leaves);
    if tree.hash() != record.tree.hash {
        return Err(TaskError::Missing(record.assignments));
    }
    let mut plans = BTreeMap::new();
    for digest in list.iter().map(|assignment| assignment.plan).collect::<BTreeSet<_>>() {
        plans.insert(digest, plan(state, digest)?);
    }
    let root = state.signer.root();
    let now = Timestamp::now();
    let head = Head {
        trust_domain: root.trust_domain.clone(),
        epoch: record.epoch,
        seq: record.seq,
        root_version: root.version,
        tree: record.tree,
        issued: now,
        expires: now + state.config.load().lifetimes.head,
        critical: Vec::new(),
    };
    let envelope = state.signer.sign(&head)?;
    let assignments = (0_u64..).zip(list).map(|(index, a)| (a.cluster.clone(), (index, a))).collect();
    let roots = state.signer.roots().clone();
    let published = Arc::new(Published { head, envelope, roots, assignments, tree, plans });
    state.update(|world| world.published = Some(published.clone()));
    state.offer(published);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_failed_and_came_in_all_the_same_is_found() {
        let record = |text: &str| Some(text.as_bytes().to_vec());
        let after = |stored| {
            let mut memory = Memory { current: record("one"), tried: record("two"), ..Memory::default() };
            memory.settle(stored);
            assert_eq!(memory.tried, None);
            memory.current
        };
        assert_eq!(after(record("one")), record("one"));
        assert_eq!(after(record("two")), record("two"));
        assert_eq!(after(record("of another hub")), record("one"), "which the next batch will not find");
    }
}
