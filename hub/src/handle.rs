//! The one way to the running hub: a shared view to read and actions to ask
//! for. The tasks own the other end; the API and the sessions hold this one.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rimward_proto::{ClusterName, Digest};
use tokio::sync::{mpsc, oneshot, watch};

use crate::core::explain::{Located, Wanted};
use crate::core::model::SourceId;
use crate::core::preview::{Limits, Preview};
use crate::core::world::World;

/// Actions that may wait at once: more than this many people and tools asking in the same instant wait their turn.
pub const ACTIONS: usize = 256;

/// Why an action was not carried out; each maps to one HTTP status and one exit code.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// No such thing.
    #[error("{0} not found")]
    NotFound(String),
    /// The thing is there but not in the state asked for: another digest, already enrolled.
    #[error("{0}")]
    Conflict(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Stopping,
}

/// An action and where its answer goes.
#[derive(Debug)]
pub enum Action {
    /// Fetch these sources now (all if none are named) and plan; answers when what was found is published.
    Reconcile {
        /// Which; empty = all.
        sources: Vec<SourceId>,
        /// The answer.
        reply: oneshot::Sender<Result<(), ActionError>>,
    },
    /// Have a connected cluster's spoke look again at everything; answers when it is being told.
    LookAgain {
        /// Which.
        cluster: ClusterName,
        /// The answer; a cluster that is not connected is a conflict.
        reply: oneshot::Sender<Result<(), ActionError>>,
    },
    /// Whether a commit of a source has another in its history; none if that is not known.
    Contains {
        /// The source.
        source: SourceId,
        /// The commit looked for, or its beginning, hexadecimal.
        commit: String,
        /// The commit in whose history, itself included, it is looked for.
        within: String,
        /// The answer.
        reply: oneshot::Sender<Result<Option<bool>, ActionError>>,
    },
    /// Say what a ref of a source's repository would change if the source were at it. It is fetched beside what is in use,
    /// and nothing is published or kept.
    Preview {
        /// The source.
        source: SourceId,
        /// A branch, a whole ref, or a commit.
        reference: String,
        /// How much to say.
        limits: Limits,
        /// The answer; whoever drops the other end has given up on it.
        reply: oneshot::Sender<Result<Box<Preview>, ActionError>>,
    },
    /// Find which Apps bring an object, and where it is written.
    Locate {
        /// On which cluster it is looked for.
        cluster: ClusterName,
        /// The object.
        wanted: Wanted,
        /// The answer: every App that has it.
        reply: oneshot::Sender<Result<Vec<Located>, ActionError>>,
    },
    /// Make a single-use enrolment token.
    IssueToken {
        /// For this cluster.
        cluster: ClusterName,
        /// How long it is good; none = the configured lifetime.
        ttl: Option<Duration>,
        /// Replace an existing enrolment.
        replace: bool,
        /// The token's text, shown once.
        reply: oneshot::Sender<Result<String, ActionError>>,
    },
    /// Approve a hold, the hub's or a spoke's, by its digest.
    Approve {
        /// The digest.
        digest: Digest,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
        /// The answer.
        reply: oneshot::Sender<Result<(), ActionError>>,
    },
}

/// A handle to the running hub; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    /// What the hub knows. Lock briefly; never across an await.
    pub world: Arc<RwLock<World>>,
    /// Counts changes of `world`; wait on it instead of polling.
    pub changed: watch::Receiver<u64>,
    /// Where actions go.
    pub actions: mpsc::Sender<Action>,
}

impl Hub {
    /// Asks for an action and waits for its answer.
    pub async fn ask<T>(
        &self,
        action: impl FnOnce(oneshot::Sender<Result<T, ActionError>>) -> Action,
    ) -> Result<T, ActionError> {
        let (reply, answer) = oneshot::channel();
        self.actions.send(action(reply)).await.map_err(|_| ActionError::Stopping)?;
        answer.await.map_err(|_| ActionError::Stopping)?
    }
}
