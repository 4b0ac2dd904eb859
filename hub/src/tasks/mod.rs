//! The reconcilers that drive the flow: load → plan → publish, and what people
//! ask for. Each looks at the state there is, not at the event that woke it, so
//! a lost or repeated wake-up changes nothing.

mod actions;
mod collect;
mod heal;
mod load;
mod locate;
mod memory;
mod plan;
mod preview;
mod publish;
mod slots;
mod turns;
mod vet;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handle::{ACTIONS, Action, ActionError, Hub};
use crate::source::Mirrors;
use crate::state::State;
use crate::store::StoreError;
use crate::store::content::ContentError;

pub use memory::Loaded;

/// Requests to plan that may wait: each is someone who waits for an answer.
const REQUESTS: usize = ACTIONS;

/// Why the hub cannot go on from what it kept.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Content files.
    #[error("content cannot be used")]
    Content(#[from] ContentError),
    /// Content that a record names is gone.
    #[error("content {0} is missing or damaged, so the publication in force is not known")]
    Missing(rimward_proto::Digest),
    /// Content that a publication which is kept needs is gone.
    #[error(
        "content {0} is missing or damaged, and a publication that is kept names it: nothing is removed meanwhile"
    )]
    Lost(rimward_proto::Digest),
    /// The head key.
    #[error("the head cannot be signed")]
    Sign(#[from] crate::sign::SignError),
}

/// Someone who wants to know when everything loaded so far is published.
pub(crate) struct Request {
    /// What went wrong before planning, if something did.
    trouble: Option<String>,
    reply: oneshot::Sender<Result<(), ActionError>>,
}

/// Reads what was kept, publishes it as it was, and starts the tasks. They end with `stop`.
pub fn start(
    state: &Arc<State>,
    mirrors: Mirrors,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Hub, TaskError> {
    let mirrors = Arc::new(mirrors);
    let (memory, loaded, slots) = memory::recall(state, &mirrors)?;
    let loaded = Arc::new(Mutex::new(loaded));
    let (actions, wanted) = mpsc::channel::<Action>(ACTIONS);
    let (plans, requests) = mpsc::channel(REQUESTS);
    let (looks, reconciles) = mpsc::channel(REQUESTS);
    let planner = plan::Planner::new(state.clone(), mirrors.clone(), loaded.clone(), memory);
    let loader = load::Loader::new(state.clone(), mirrors.clone(), loaded.clone(), slots, plans.clone());
    vital(tracker, stop, planner.run(requests, stop.clone()));
    vital(tracker, stop, loader.run(reconciles, stop.clone()));
    vital(tracker, stop, actions::run(state.clone(), mirrors, loaded, wanted, (looks, plans), stop.clone()));
    state.plan_needed.notify_one();
    Ok(Hub { world: state.world.clone(), changed: state.changed.subscribe(), actions })
}

/// Runs a task without which the hub would only look alive: when it ends, for whatever reason, the hub stops.
fn vital(tracker: &TaskTracker, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone().drop_guard();
    tracker.spawn(async move {
        let _stop = stop;
        task.await;
    });
}

/// Locks what the loader and the planner share.
fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
