//! Plans → a publication: content files first, then one batch of records that
//! expects what was there, then the signature, then the sessions wake. A crash
//! anywhere leaves either the old publication or the new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::plan::Plan;
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest};
use serde::Serialize;

use super::TaskError;
use super::memory::Loaded;
use super::plan::Planner;
use super::vet::vet;
use crate::core::approval::{note, spent};
use crate::core::model::{Policy, SourceId};
use crate::core::plan::{Origin, PlanOutput};
use crate::core::publication::{Previous, Publishing, Unsigned, next_publication, refresh};
use crate::core::world::{Published, World};
use crate::state::State;
use crate::store::Batch;
use crate::store::records::{self, Approval, Planning, Publication, assignments_document, encode};

/// What was planned, and from what.
pub struct Planned {
    /// What was loaded.
    pub loaded: Loaded,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Who was enrolled.
    pub enrolled: BTreeMap<ClusterName, ClusterUid>,
    /// Approvals that were not used up.
    pub approvals: BTreeMap<Digest, Approval>,
    /// The outcome.
    pub output: PlanOutput,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A spoke has seen more than this hub knows.
    #[error("{0}")]
    Ahead(String),
    /// The rest.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Makes what was planned durable, publishes it if it says something new, and tells the world.
pub fn publish(planner: &mut Planner, mut planned: Planned) -> Result<(), PublishError> {
    let span = tracing::info_span!("publish");
    let _in_span = span.enter();
    let state = planner.state.clone();
    vet(planner, &mut planned);
    settle(planner)?;
    let used = used_up(&state, &planned);
    let unsigned = unsigned(&state, &planned, &used);
    if let Some(ahead) = state.ahead().filter(|_| unsigned.is_some()) {
        return Err(PublishError::Ahead(ahead));
    }
    let mut files: BTreeMap<Digest, Arc<[u8]>> = planned.output.content.clone();
    let (output, good) = (&planned.output, &planned.loaded.good);
    let planning = documents(&output.plans, &output.origins, good, &mut files);
    let mut batch = Batch::default();
    let record = unsigned.as_ref().map(|unsigned| publication(unsigned, &mut files));
    if let Some(record) = &record {
        let bytes = encode(record);
        batch.expect(records::CURRENT, planner.memory.current.clone());
        batch.put(records::CURRENT, bytes.clone()).put(records::publication(record.seq), bytes);
        if let Some(forgotten) = record.seq.checked_sub(records::REMEMBERED) {
            batch.delete(records::publication(forgotten));
        }
    }
    let remembered = planning != planner.memory.planning;
    if remembered {
        batch.put(records::PLANNING, encode(&planning));
    }
    for digest in &used {
        batch.delete(records::approval(digest));
    }
    if record.is_some() || remembered || !used.is_empty() {
        planner.memory.tried = record.as_ref().map(encode);
        store(planner, files, batch)?;
    }
    settle(planner)?;
    if let Some(ahead) = state.ahead().filter(|_| unsigned.is_some()) {
        // It came up meanwhile. What the store has now stays unsigned, and so does its seq.
        return Err(PublishError::Ahead(ahead));
    }
    let published = unsigned.map(|unsigned| sign(&state, unsigned)).transpose()?;
    remember(planner, &planned, planning);
    tell(&state, planned, published.clone());
    if let Some(published) = published {
        let (epoch, seq) = (published.head.epoch, published.head.seq);
        tracing::info!(epoch, seq, clusters = published.assignments.len(), "published");
        state.offer(published);
    }
    Ok(())
}

/// Finds out what became of the batch that was tried last: one that failed may have come in all the same, and then the
/// next must expect what it wrote. Anything else in the store is not of this hub, and stops it.
fn settle(planner: &mut Planner) -> Result<(), TaskError> {
    if planner.memory.tried.is_some() {
        let stored = planner.state.store.get(records::CURRENT)?;
        planner.memory.settle(stored);
    }
    Ok(())
}

/// Renews the freshness of the publication in force. False if there is none, or nothing may be signed.
pub fn renew(state: &State) -> Result<bool, TaskError> {
    let current = state.published.borrow().clone();
    let Some(current) = current.filter(|_| state.ahead().is_none()) else { return Ok(false) };
    let life = state.config.load().lifetimes.head;
    let head = refresh(&current.head, state.signer.root().version, Timestamp::now(), life);
    let envelope = state.signer.sign(&head)?;
    let published = Arc::new(Published {
        head,
        envelope,
        roots: state.signer.roots().clone(),
        assignments: current.assignments.clone(),
        tree: current.tree.clone(),
        plans: current.plans.clone(),
    });
    state.update(|world| world.published = Some(published.clone()));
    state.offer(published);
    Ok(true)
}

/// Approvals whose hold is gone: the hub's when planning no longer holds it, a spoke's when it was carried out.
fn used_up(state: &State, planned: &Planned) -> BTreeSet<Digest> {
    let held: BTreeSet<Digest> = planned.output.decided.holds.iter().map(|hold| hold.digest).collect();
    let published = state.published.borrow().clone();
    let now = Timestamp::now();
    state.look(|world| {
        let gone = |digest: &Digest, approval: &Approval| match &approval.cluster {
            None => !held.contains(digest),
            Some(cluster) => world.clusters.get(cluster).is_some_and(|status| {
                let assigned = published.as_ref().and_then(|now| Some(&now.assignments.get(cluster)?.1));
                spent(digest, approval.time, status, assigned, now)
            }),
        };
        planned.approvals.iter().filter(|(d, a)| gone(d, a)).map(|(d, _)| *d).collect()
    })
}

fn unsigned(state: &State, planned: &Planned, used: &BTreeSet<Digest>) -> Option<Unsigned> {
    let mut deletes: BTreeMap<ClusterName, BTreeSet<Digest>> = BTreeMap::new();
    for (digest, approval) in planned.approvals.iter().filter(|(digest, _)| !used.contains(digest)) {
        if let Some(cluster) = &approval.cluster {
            deletes.entry(cluster.clone()).or_default().insert(*digest);
        }
    }
    let current = state.published.borrow().clone();
    let previous = current.as_ref().map(|now| Previous { head: &now.head, assignments: &now.assignments });
    let root = state.signer.root();
    let what = Publishing {
        plans: &planned.output.plans,
        enrolled: &planned.enrolled,
        deletes: &deletes,
        trust_domain: &root.trust_domain,
        epoch: root.epoch,
        root_version: root.version,
        now: Timestamp::now(),
        head_lifetime: state.config.load().lifetimes.head,
    };
    next_publication(previous, &what)
}

/// The record of what planning remembers; its documents go to `files`.
pub(super) fn documents(
    plans: &BTreeMap<ClusterName, Arc<Plan>>,
    origins: &BTreeMap<AppId, Origin>,
    good: &BTreeMap<String, Arc<[u8]>>,
    files: &mut BTreeMap<Digest, Arc<[u8]>>,
) -> Planning {
    let mut digests: HashMap<*const Plan, Digest> = HashMap::new();
    let mut by_cluster: BTreeMap<&ClusterName, Digest> = BTreeMap::new();
    for (cluster, plan) in plans {
        // Equal plans are one Arc: each is written once.
        let digest = digests.entry(Arc::as_ptr(plan)).or_insert_with(|| add(files, plan.to_bytes()));
        by_cluster.insert(cluster, *digest);
    }
    let good: BTreeMap<&String, Digest> =
        good.iter().map(|(path, bytes)| (path, share(files, bytes))).collect();
    Planning {
        plans: Some(document(files, &by_cluster)),
        origins: Some(document(files, &origins.iter().collect::<Vec<_>>())),
        good: Some(document(files, &good)),
    }
}

fn publication(unsigned: &Unsigned, files: &mut BTreeMap<Digest, Arc<[u8]>>) -> Publication {
    let head = &unsigned.head;
    Publication {
        epoch: head.epoch,
        seq: head.seq,
        tree: head.tree,
        assignments: add(files, assignments_document(&unsigned.assignments)),
        made: head.issued,
    }
}

fn document<T: Serialize>(files: &mut BTreeMap<Digest, Arc<[u8]>>, value: &T) -> Digest {
    add(files, encode(value))
}

fn add(files: &mut BTreeMap<Digest, Arc<[u8]>>, bytes: Vec<u8>) -> Digest {
    share(files, &Arc::from(bytes))
}

fn share(files: &mut BTreeMap<Digest, Arc<[u8]>>, bytes: &Arc<[u8]>) -> Digest {
    let digest = Digest::of(bytes);
    files.insert(digest, bytes.clone());
    digest
}

/// Files, then records.
fn store(
    planner: &mut Planner,
    mut files: BTreeMap<Digest, Arc<[u8]>>,
    batch: Batch,
) -> Result<(), TaskError> {
    files.retain(|digest, _| !planner.stored.contains(digest));
    let written = planner.state.content.put(&files)?;
    tracing::debug!(files = files.len(), written, "content stored");
    planner.stored.extend(files.into_keys());
    planner.state.store.commit(batch)?;
    Ok(())
}

fn sign(state: &State, unsigned: Unsigned) -> Result<Arc<Published>, TaskError> {
    let envelope = state.signer.sign(&unsigned.head)?;
    Ok(Arc::new(Published {
        head: unsigned.head,
        envelope,
        roots: state.signer.roots().clone(),
        assignments: unsigned.assignments,
        tree: unsigned.tree,
        plans: unsigned.plans,
    }))
}

fn remember(planner: &mut Planner, planned: &Planned, planning: Planning) {
    let memory = &mut planner.memory;
    memory.planning = planning;
    memory.plans.clone_from(&planned.output.plans);
    memory.origins.clone_from(&planned.output.origins);
    let plans = memory.plans.values().flat_map(|plan| &plan.bundles);
    let used: BTreeSet<Digest> = plans.map(|bundle| bundle.digest).collect();
    memory.indexes.retain(|digest, _| used.contains(digest));
}

fn tell(state: &State, planned: Planned, published: Option<Arc<Published>>) {
    let Planned { loaded, policy, enrolled, output, .. } = planned;
    state.update(|world: &mut World| {
        let fleet = [(&SourceId::Fleet, &policy.commit)].into_iter();
        for (id, commit) in fleet.chain(loaded.trees.iter().map(|(id, tree)| (id, &tree.commit))) {
            if let Some(source) = world.sources.get_mut(id) {
                source.planned.clone_from(commit);
            }
        }
        for cluster in policy.clusters.keys().chain(enrolled.keys()).chain(output.plans.keys()) {
            if !world.clusters.contains_key(cluster) {
                world.clusters.insert(cluster.clone(), Default::default());
            }
        }
        world.policy = Some(policy);
        world.apps = output.apps;
        world.decided = Arc::new(output.decided);
        world.planned = Some(Timestamp::now());
        if let Some(published) = published {
            for (cluster, (_, assignment)) in &published.assignments {
                if let Some(status) = world.clusters.get_mut(cluster) {
                    note(status, &assignment.deletes);
                }
            }
            world.published = Some(published);
        }
    });
}
