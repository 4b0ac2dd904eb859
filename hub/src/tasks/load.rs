//! Sources → snapshots. One task owns the slots; each look runs on a blocking
//! thread and makes what it found durable before it says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::memory::{self, Loaded};
use super::slots::Slots;
use super::turns::Turns;
use super::{Request, lock};
use crate::core::model::{GitRef, GitSpec, SourceId, SourceTree};
use crate::core::note::{Note, Position};
use crate::handle::ActionError;
use crate::source::{Found, Look, Mirrors, Snapshot, SourceError};
use crate::state::{State, causes};
use crate::store::StoreError;
use crate::store::records::{self, SourceRecord};

/// Someone who wants some sources looked at now.
pub struct Reconcile {
    /// Which; empty = all.
    pub sources: Vec<SourceId>,
    /// Answered once what was found is published.
    pub reply: oneshot::Sender<Result<(), ActionError>>,
}

/// Drives the slots.
pub struct Loader {
    state: Arc<State>,
    mirrors: Arc<Mirrors>,
    loaded: Arc<Mutex<Loaded>>,
    slots: Slots,
    plans: mpsc::Sender<Request>,
    looks: JoinSet<Looked>,
    turns: Turns,
    number: u64,
    waiting: Vec<Waiting>,
}

/// Someone who waits for looks that began after they asked.
struct Waiting {
    since: u64,
    all: bool,
    pending: BTreeSet<SourceId>,
    trouble: Vec<String>,
    reply: oneshot::Sender<Result<(), ActionError>>,
}

struct Looked {
    id: SourceId,
    number: u64,
    git: GitSpec,
    result: Result<Found, LookError>,
}

enum LookError {
    Source(SourceError),
    Store(StoreError),
}

impl Loader {
    /// A loader over what was recalled.
    pub fn new(
        state: Arc<State>,
        mirrors: Arc<Mirrors>,
        loaded: Arc<Mutex<Loaded>>,
        slots: Slots,
        plans: mpsc::Sender<Request>,
    ) -> Self {
        let (looks, turns, waiting) = (JoinSet::new(), Turns::default(), Vec::new());
        Self { state, mirrors, loaded, slots, plans, looks, turns, number: 0, waiting }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, mut reconciles: mpsc::Receiver<Reconcile>, stop: CancellationToken) {
        loop {
            for id in self.slots.due(Instant::now()) {
                self.look(&id);
            }
            let due = self.slots.next_due();
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(reconcile) = reconciles.recv() => self.reconcile(reconcile),
                Some(looked) = self.looks.join_next() => match looked {
                    Ok(looked) => self.looked(looked).await,
                    Err(error) => self.lost(&error),
                },
                () = sleep => {}
            }
        }
    }

    fn look(&mut self, id: &SourceId) {
        let Some(slot) = self.slots.slots.get_mut(id) else { return };
        self.number += 1;
        slot.running = Some(self.number);
        let (git, held, number, id) = (slot.git.clone(), slot.current().cloned(), self.number, id.clone());
        let (state, mirrors) = (self.state.clone(), self.mirrors.clone());
        let queue = self.turns.queue(&id, &git, self.slots.failing(&git));
        let span = tracing::info_span!("fetch", source = %id);
        let work = async move {
            let turn = queue.turn().await;
            let (git, id) = (git.clone(), id.clone());
            let current = tracing::Span::current();
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let result = current.in_scope(|| look(&state, &mirrors, &id, &git, held.as_ref()));
                Looked { id, number, git, result }
            });
            work.await.expect("a panic in a look is passed on")
        };
        self.looks.spawn(work.instrument(span));
    }

    /// A look panicked: which one is not known, so all that run are looked at again.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "a look at a source failed badly");
        let running: Vec<SourceId> = self
            .slots
            .slots
            .iter()
            .filter(|(_, slot)| slot.running.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        let error = SourceError::Unreachable { server: String::new(), why: "internal error".to_owned() };
        running.iter().for_each(|id| self.slots.ended(id, Some(&error)));
    }

    fn reconcile(&mut self, reconcile: Reconcile) {
        let Reconcile { sources, reply } = reconcile;
        if let Some(unknown) = sources.iter().find(|id| !self.slots.slots.contains_key(id)) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(ActionError::NotFound(format!("source/{unknown}"))));
            return;
        }
        let all = sources.is_empty();
        let pending: BTreeSet<SourceId> =
            if all { self.slots.slots.keys().cloned().collect() } else { sources.into_iter().collect() };
        self.waiting.push(Waiting {
            since: self.number,
            all,
            pending: pending.clone(),
            trouble: Vec::new(),
            reply,
        });
        for id in pending {
            match self.slots.slots.get_mut(&id) {
                // It may have asked the server before the commit that is waited for.
                Some(slot) if slot.running.is_some() => slot.again = true,
                _ => self.look(&id),
            }
        }
    }

    async fn looked(&mut self, looked: Looked) {
        let Looked { id, number, git, result } = looked;
        let stale =
            self.slots.slots.get(&id).is_none_or(|slot| slot.git != git || slot.running != Some(number));
        let error = match &result {
            Err(LookError::Source(error)) => Some(error),
            _ => None,
        };
        self.slots.ended(&id, error);
        if stale {
            // Nothing is taken from it, but whoever waits for a source that is gone waits no longer.
            self.settle(&id, 0, None).await;
            return;
        }
        self.count(&id, number, &result);
        let trouble = self.take(&id, git, result).await;
        self.settle(&id, number, trouble).await;
    }

    /// Remembers how recent the source is now. What went from a source may have come to another one of its tenant, and
    /// nothing is removed before those were looked at, too; so that is soon.
    fn count(&mut self, id: &SourceId, number: u64, result: &Result<Found, LookError>) {
        let Ok(found) = result else { return };
        let siblings = self.slots.siblings(id);
        let mut loaded = lock(&self.loaded);
        let known = |id: &SourceId| loaded.looks.get(id).copied().unwrap_or_default();
        let before = known(id).last;
        let awaited = siblings.iter().any(|id| (before..number).contains(&known(id).changed));
        let looks = loaded.looks.entry(id.clone()).or_default();
        looks.last = number;
        if matches!(found, Found::New(_)) {
            looks.changed = self.number;
            drop(loaded);
            self.slots.hurry(&siblings);
        } else if awaited {
            self.state.plan_needed.notify_one();
        }
    }

    /// Puts what was found to use. Returns what went wrong.
    async fn take(
        &mut self,
        id: &SourceId,
        git: GitSpec,
        result: Result<Found, LookError>,
    ) -> Option<String> {
        match result {
            Ok(Found::Same) => {
                self.status(id, |status| {
                    status.fetched = Some(Timestamp::now());
                    cleared(status);
                });
                None
            }
            Ok(Found::New(snapshot)) => {
                self.new_snapshot(id, git, snapshot);
                None
            }
            Err(LookError::Source(error)) => {
                let note = error.note();
                tracing::warn!(source = %id, code = note.code, help = note.help, "{}", note.message);
                self.status(id, |status| failed(status, note));
                Some(format!("{id}: {error}"))
            }
            Err(LookError::Store(error)) => {
                tracing::error!(source = %id, error = causes(&error), "the snapshot cannot be kept");
                let message = format!("what was fetched cannot be kept: {error}");
                let note = Note::error("RW2009", Position::default(), message)
                    .help("look at the disk of the hub's data directory; it is tried again at the next look");
                self.status(id, |status| failed(status, note));
                Some(format!("{id}: the store failed"))
            }
        }
    }

    fn new_snapshot(&mut self, id: &SourceId, git: GitSpec, snapshot: Snapshot) {
        let (tree, mut notes) = (snapshot.tree.clone(), snapshot.notes.clone());
        tracing::info!(source = %id, commit = tree.commit, files = tree.files.len(), "new snapshot");
        if let Some(slot) = self.slots.slots.get_mut(id) {
            slot.held = Some((git.clone(), snapshot));
        }
        if *id == SourceId::Fleet {
            notes.extend(self.new_fleet(&tree));
        } else {
            lock(&self.loaded).trees.insert(id.clone(), tree.clone());
        }
        self.status(id, |status| {
            status.url.clone_from(&git.url);
            status.reference = reference(&git);
            status.commit.clone_from(&tree.commit);
            status.fetched = Some(Timestamp::now());
            status.notes = notes;
            cleared(status);
        });
        self.state.plan_needed.notify_one();
    }

    fn new_fleet(&mut self, tree: &SourceTree) -> Vec<Note> {
        let before: BTreeSet<SourceId> = self.slots.slots.keys().cloned().collect();
        let mut loaded = lock(&self.loaded).clone();
        let notes = memory::policy(&mut loaded, &mut self.slots, tree);
        *lock(&self.loaded) = loaded;
        let slots = &self.slots.slots;
        self.state.update(|world| {
            world.sources.retain(|id, _| slots.contains_key(id));
            for (id, slot) in slots {
                let status = world.sources.entry(id.clone()).or_default();
                status.url.clone_from(&slot.git.url);
                status.reference = reference(&slot.git);
            }
        });
        let new = self.slots.slots.keys().filter(|id| !before.contains(id));
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.all) {
            waiting.pending.extend(new.clone().cloned());
        }
        notes
    }

    /// Tells those who waited for this look, and passes on those who wait for nothing more.
    async fn settle(&mut self, id: &SourceId, number: u64, trouble: Option<String>) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.since < number) {
            if waiting.pending.remove(id) {
                waiting.trouble.extend(trouble.clone());
            }
        }
        // A source that is gone from the policy will never be looked at.
        let slots = &self.slots.slots;
        self.waiting.iter_mut().for_each(|waiting| waiting.pending.retain(|id| slots.contains_key(id)));
        for done in self.waiting.extract_if(.., |waiting| waiting.pending.is_empty()).collect::<Vec<_>>() {
            let trouble = (!done.trouble.is_empty()).then(|| done.trouble.join("; "));
            // The planner only ends with the hub; then the reply is dropped, which says so.
            let _ = self.plans.send(Request { trouble, reply: done.reply }).await;
        }
    }

    fn status(&self, id: &SourceId, change: impl FnOnce(&mut crate::core::world::SourceStatus)) {
        self.state.update(|world| change(world.sources.entry(id.clone()).or_default()));
    }
}

/// One look, on a blocking thread: what it found is in the store before it returns.
fn look(
    state: &State,
    mirrors: &Mirrors,
    id: &SourceId,
    git: &GitSpec,
    held: Option<&Snapshot>,
) -> Result<Found, LookError> {
    let found = mirrors.look(Look { id, git, held }).map_err(LookError::Source)?;
    if let Found::New(snapshot) = &found {
        let commit = snapshot.tree.commit.clone();
        let record = SourceRecord { git: git.clone(), commit, fetched: Timestamp::now() };
        state.store.write(&records::source(id), &record).map_err(LookError::Store)?;
    }
    Ok(found)
}

fn cleared(status: &mut crate::core::world::SourceStatus) {
    if status.error.take().is_some() || status.since.is_none() {
        status.since = Some(Timestamp::now());
    }
}

fn failed(status: &mut crate::core::world::SourceStatus, note: Note) {
    if status.error.is_none() {
        status.since = Some(Timestamp::now());
    }
    status.error = Some(note);
}

/// A ref as people write it.
pub fn reference(git: &GitSpec) -> String {
    match &git.reference {
        GitRef::Head => "HEAD".to_owned(),
        GitRef::Branch(name) => format!("branch {name}"),
        GitRef::Tag(name) => format!("tag {name}"),
        GitRef::Commit(id) => format!("commit {id}"),
    }
}
