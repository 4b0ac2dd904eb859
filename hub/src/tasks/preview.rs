//! What a ref of a source would change: it is fetched beside what is in use, and
//! the fleet is planned twice with what is remembered, as it is and with the ref
//! in the source's place. The store is read, and written by nobody for it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rimward_proto::{ClusterName, ClusterUid, Digest};

use super::actions::git_of;
use super::memory::{Loaded, Memory, memory};
use super::plan::{Planner, Said};
use super::{TaskError, lock};
use crate::core::files::load_fleet;
use crate::core::model::SourceId;
use crate::core::note::Note;
use crate::core::plan::{Looks, PlanInputs, PlanOutput, RenderCache, plan};
use crate::core::preview::{Limits, Outcome, Preview, preview};
use crate::handle::ActionError;
use crate::source::{Mirrors, Snapshot, SourceError};
use crate::state::{State, causes};

/// A preview that someone asked for.
pub struct Previewing {
    state: Arc<State>,
    mirrors: Arc<Mirrors>,
    loaded: Arc<Mutex<Loaded>>,
    source: SourceId,
    reference: String,
    limits: Limits,
}

/// What planning goes by besides what is loaded, as it is kept.
pub(super) struct Remembered {
    memory: Memory,
    enrolled: BTreeMap<ClusterName, ClusterUid>,
    approvals: BTreeSet<Digest>,
    said: Said,
}

impl Remembered {
    /// Reads it; writes nothing.
    pub fn read(state: &State) -> Result<Self, TaskError> {
        let approvals =
            Planner::approvals(state)?.into_iter().filter(|(_, approval)| approval.cluster.is_none());
        let enrolled =
            state.enrolments.all().into_iter().map(|(cluster, enrolment)| (cluster, enrolment.uid));
        Ok(Self {
            memory: memory(state)?,
            enrolled: enrolled.collect(),
            approvals: approvals.map(|(digest, _)| digest).collect(),
            said: Planner::said(state),
        })
    }
}

impl Previewing {
    /// What `reference` of a source would change, said up to these limits.
    pub fn new(
        state: &Arc<State>,
        mirrors: &Arc<Mirrors>,
        loaded: &Arc<Mutex<Loaded>>,
        source: SourceId,
        reference: String,
        limits: Limits,
    ) -> Self {
        let (state, mirrors, loaded) = (state.clone(), mirrors.clone(), loaded.clone());
        Self { state, mirrors, loaded, source, reference, limits }
    }

    /// Makes it. Blocks; gives up between its steps once nobody waits any more.
    pub fn run(self, gone: impl Fn() -> bool) -> Result<Preview, ActionError> {
        let given_up = || match gone() {
            true => Err(ActionError::Conflict("nobody waits for this preview any more".to_owned())),
            false => Ok(()),
        };
        given_up()?;
        let span = tracing::info_span!("preview", source = %self.source, reference = self.reference);
        let _in_span = span.enter();
        let git = git_of(&self.state, &self.source);
        let git = git.ok_or_else(|| ActionError::NotFound(format!("source/{}", self.source)))?;
        let snapshot = self.mirrors.aside(&git, &self.reference).map_err(|error| refused(&error))?;
        given_up()?;
        let remembered =
            Remembered::read(&self.state).map_err(|error| ActionError::Failed(causes(&error)))?;
        let base = lock(&self.loaded).clone();
        let (head, notes) = self.with(&base, &snapshot);
        let mut cache = RenderCache::default();
        let mut base_output = planned(&base, &remembered, &mut cache)?;
        given_up()?;
        let mut head_output = planned(&head, &remembered, &mut cache)?;
        let known =
            self.state.look(|world| world.sources.get(&self.source).map(|source| source.notes.clone()));
        let of = |note: Note| (self.source.clone(), note);
        base_output.decided.notes.extend(known.unwrap_or_default().into_iter().map(of));
        head_output.decided.notes.extend(notes.into_iter().map(of));
        let content = |digest: &Digest| {
            let rendered = head_output.content.get(digest).or_else(|| base_output.content.get(digest));
            // What cannot be read is not at hand, and the preview says so.
            rendered.cloned().or_else(|| self.state.content.get(digest).ok().flatten().map(Arc::from))
        };
        let (was, would) = (commits(&base), commits(&head));
        let (was, would) = (Outcome::new(&base_output, &was), Outcome::new(&head_output, &would));
        Ok(preview(was, would, &content, self.limits))
    }

    /// What would be loaded with the snapshot in the source's place, and what is said of its files.
    fn with(&self, base: &Loaded, snapshot: &Snapshot) -> (Loaded, Vec<Note>) {
        let (mut head, mut notes) = (base.clone(), snapshot.notes.clone());
        if self.source == SourceId::Fleet {
            let load = load_fleet(&snapshot.tree, &head.good);
            let ids: BTreeSet<SourceId> = load.policy.sources().map(|(id, _)| id).collect();
            head.trees.retain(|id, _| ids.contains(id));
            head.looks.retain(|id, _| ids.contains(id));
            notes.extend(load.notes);
            head.policy = Some(Arc::new(load.policy));
        } else {
            head.trees.insert(self.source.clone(), snapshot.tree.clone());
            // The others are looked at again once a source has changed: all that can be, which were looked at before.
            let last = head.looks.values().map(|looks| looks.last).max().unwrap_or(0) + 1;
            head.looks.insert(self.source.clone(), Looks { last, changed: 0 });
        }
        (head, notes)
    }
}

fn refused(error: &SourceError) -> ActionError {
    let why = causes(error);
    match error {
        SourceError::NoRef { .. } | SourceError::NoPath { .. } => ActionError::NotFound(why),
        _ => ActionError::Failed(why),
    }
}

pub(super) fn planned(
    loaded: &Loaded,
    remembered: &Remembered,
    cache: &mut RenderCache,
) -> Result<PlanOutput, ActionError> {
    let Some(policy) = &loaded.policy else {
        return Err(ActionError::Conflict("the fleet repo has not been read yet".to_owned()));
    };
    let inputs = PlanInputs {
        policy,
        trees: &loaded.trees,
        looks: &loaded.looks,
        enrolled: &remembered.enrolled,
        previous: &remembered.memory.plans,
        origins: &remembered.memory.origins,
        cleared: &remembered.said.cleared,
        approvals: &remembered.approvals,
        unaccounted: &remembered.said.unaccounted,
        indexes: &remembered.memory.indexes,
    };
    catch_unwind(AssertUnwindSafe(|| plan(&inputs, cache)))
        .map_err(|_| ActionError::Failed("planning failed badly; this is a bug".to_owned()))
}

fn commits(loaded: &Loaded) -> BTreeMap<SourceId, String> {
    let tenants = loaded.trees.iter().map(|(id, tree)| (id.clone(), tree.commit.clone()));
    let fleet = loaded.policy.iter().map(|policy| (SourceId::Fleet, policy.commit.clone()));
    tenants.chain(fleet).collect()
}
