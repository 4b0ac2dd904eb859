//! What people ask for, through the API. Each is made durable before it is
//! answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rimward_proto::{ClusterName, Digest};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Request;
use super::load::Reconcile;
use super::locate::Locating;
use super::memory::Loaded;
use super::preview::Previewing;
use crate::core::model::{GitSpec, SourceId};
use crate::handle::{Action, ActionError};
use crate::session::EnrolError;
use crate::source::Mirrors;
use crate::state::{State, causes};
use crate::store::records::{self, Approval};

/// Histories gone through at once: each reads up to thousands of commits.
const WALKS: usize = 2;

/// Previews made at once: each plans the whole fleet, and holds what it rendered meanwhile.
const PREVIEWS: usize = 1;
/// Searches for an object at once, likewise; they wait for no server, as a preview may.
const SEARCHES: usize = 1;

/// Answers actions until `stop`.
pub async fn run(
    state: Arc<State>,
    mirrors: Arc<Mirrors>,
    loaded: Arc<Mutex<Loaded>>,
    mut actions: mpsc::Receiver<Action>,
    (looks, plans): (mpsc::Sender<Reconcile>, mpsc::Sender<Request>),
    stop: CancellationToken,
) {
    let walks = Arc::new(Semaphore::new(WALKS));
    let (previews, searches) = (Arc::new(Semaphore::new(PREVIEWS)), Arc::new(Semaphore::new(SEARCHES)));
    loop {
        let action = tokio::select! {
            () = stop.cancelled() => return,
            action = actions.recv() => action,
        };
        // A reply that nobody waits for any more is dropped: what was done stays done.
        match action {
            None => return,
            Some(Action::Reconcile { sources, reply }) => {
                let _ = looks.send(Reconcile { sources, reply }).await;
            }
            Some(Action::LookAgain { cluster, reply }) => {
                let _ = reply.send(look_again(&state, &cluster));
            }
            Some(Action::Contains { source, commit, within, reply }) => {
                let (state, mirrors, walks) = (state.clone(), mirrors.clone(), walks.clone());
                tokio::spawn(async move {
                    let turn = walks.acquire_owned().await;
                    tokio::task::spawn_blocking(move || {
                        let _turn = turn;
                        let git = git_of(&state, &source);
                        let git = git.ok_or_else(|| ActionError::NotFound(format!("source/{source}")));
                        let _ = reply.send(git.map(|git| mirrors.contains(&git, &within, &commit)));
                    });
                });
            }
            Some(Action::Preview { source, reference, limits, reply }) => {
                let work = Previewing::new(&state, &mirrors, &loaded, source, reference, limits);
                aside(&previews, move || {
                    let made = work.run(|| reply.is_closed());
                    let _ = reply.send(made.map(Box::new));
                });
            }
            Some(Action::Locate { cluster, wanted, reply }) => {
                let work = Locating::new(&state, &loaded);
                aside(&searches, move || drop(reply.send(work.run(&cluster, &wanted))));
            }
            Some(Action::IssueToken { cluster, ttl, replace, reply }) => {
                let state = state.clone();
                tokio::task::spawn_blocking(move || {
                    let _ = reply.send(issue(&state, &cluster, ttl, replace));
                });
            }
            Some(Action::Approve { digest, actor, reason, reply }) => {
                let (state, plans) = (state.clone(), plans.clone());
                tokio::spawn(approve(state, plans, digest, actor, reason, reply));
            }
        }
    }
}

/// Does work that plans the fleet, in its turn and on a thread of its own.
fn aside(turns: &Arc<Semaphore>, work: impl FnOnce() + Send + 'static) {
    let turns = turns.clone();
    tokio::spawn(async move {
        let turn = turns.acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work();
        });
    });
}

/// A hint is worth nothing later: a spoke that comes back looks at everything anyway.
fn look_again(state: &State, cluster: &ClusterName) -> Result<(), ActionError> {
    if state.sessions.look_again(cluster) {
        return Ok(());
    }
    let message = format!("cluster/{cluster} is not connected; nothing was asked of it");
    Err(ActionError::Conflict(message))
}

/// Where a source is fetched from.
pub(super) fn git_of(state: &State, source: &SourceId) -> Option<GitSpec> {
    if *source == SourceId::Fleet {
        return Some(state.config.load().fleet_git());
    }
    let policy = state.look(|world| world.policy.clone())?;
    policy.sources().find(|(id, _)| id == source).map(|(_, spec)| spec.git.clone())
}

fn issue(
    state: &State,
    cluster: &ClusterName,
    ttl: Option<Duration>,
    replace: bool,
) -> Result<String, ActionError> {
    let failed = |error: &dyn std::error::Error| {
        tracing::error!(error = causes(error), %cluster, "no token could be made");
        ActionError::Failed(error.to_string())
    };
    let ttl = ttl.unwrap_or_else(|| state.config.load().lifetimes.token);
    let root = state.signer.pin().map_err(|error| failed(&error))?;
    let pins = (state.authority.pin(), root);
    match state.enrolments.issue_token(cluster, replace, ttl, pins, Timestamp::now()) {
        Ok(token) => {
            state.event("TokenIssued", Some(cluster), format!("enrolment token {} issued", token.id), "");
            Ok(token.reveal())
        }
        Err(error @ EnrolError::Enrolled(_)) => Err(ActionError::Conflict(error.to_string())),
        Err(error) => Err(failed(&error)),
    }
}

async fn approve(
    state: Arc<State>,
    plans: mpsc::Sender<Request>,
    digest: Digest,
    actor: String,
    reason: String,
    reply: oneshot::Sender<Result<(), ActionError>>,
) {
    let writing = state.clone();
    let written = tokio::task::spawn_blocking(move || record(&writing, &digest, &actor, &reason)).await;
    match written.unwrap_or_else(|_| Err(ActionError::Failed("internal error".to_owned()))) {
        // Answered when it is published.
        Ok(()) => drop(plans.send(Request { trouble: None, reply }).await),
        Err(error) => drop(reply.send(Err(error))),
    }
}

fn record(state: &State, digest: &Digest, actor: &str, reason: &str) -> Result<(), ActionError> {
    let holder = state.look(|world| {
        if world.decided.holds.iter().any(|hold| hold.digest == *digest) {
            return Some(None);
        }
        let holds =
            |status: &crate::core::world::ClusterStatus| status.holds.iter().any(|h| h.digest == *digest);
        world.clusters.iter().find(|(_, status)| holds(status)).map(|(cluster, _)| Some(cluster.clone()))
    });
    let cluster = holder.ok_or_else(|| ActionError::NotFound(format!("hold {digest}")))?;
    let approval = Approval {
        actor: actor.to_owned(),
        reason: reason.to_owned(),
        time: Timestamp::now(),
        cluster: cluster.clone(),
    };
    state.store.write(&records::approval(digest), &approval).map_err(|error| {
        tracing::error!(error = causes(&error), "the approval cannot be kept");
        ActionError::Failed(error.to_string())
    })?;
    state.event("Approved", cluster.as_ref(), format!("approved {digest}: {reason}"), actor);
    Ok(())
}
