//! What the spoke remembers of each object it manages: what is wanted, what it
//! looked like after our last apply, what is being done about it. No bodies,
//! except of an object that is being repaired right now.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::PlanBundle;
use rimward_proto::report::{DriftReport, DriftType, FieldDrift};
use rimward_proto::{AppId, Digest};
use serde_json::Value;

use super::effect::Overlay;
use super::errors::ErrorKind;
use super::event::Live;
use super::health::{Health, Judge, Told};
use super::lanes::Place;
use super::observed::{Fingerprint, Observed};
use super::replace::Stuck;

/// Repairs of one object allowed at once: an operator's session of edits passes, a controller that fights back burns
/// through it in seconds.
pub const REPAIR_BURST: u32 = 60;
/// Seconds until one more repair is allowed: what a fight costs in the long run, a write in ten seconds.
pub const REPAIR_SECONDS: i64 = 10;

/// How long later waves of a prune wait for one object to be gone: longer than an operator needs to undo what it made
/// (a load balancer, a volume), and not for ever, because one that never ends would keep everybody else's rest.
pub const PRUNE_PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// One App of the plan in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveBundle {
    /// Which App.
    pub id: AppId,
    /// Its entry in the plan.
    pub plan: PlanBundle,
    /// Its objects; none if the index was lost and is fetched again.
    pub index: Option<Arc<BundleIndex>>,
    /// Not in the plan, carried on from an earlier one (trust row 22).
    pub carried: bool,
}

/// What an object shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Digest of its body together with whose it is: an object that moves to another App is applied again, for its
    /// labels.
    pub digest: Digest,
    /// Digest of its body.
    pub body: Digest,
    /// The API version of its body.
    pub version: String,
    /// The App that wants it.
    pub bundle: Arc<ActiveBundle>,
}

impl Want {
    /// What `bundle` wants an object to be.
    pub fn new(body: Digest, version: String, bundle: Arc<ActiveBundle>) -> Self {
        let digest = Digest::of(format!("{body} {}", bundle.id).as_bytes());
        Self { digest, body, version, bundle }
    }
}

/// What it was right after our last apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its UID.
    pub uid: String,
    /// [`Want::digest`] of what was applied.
    pub digest: Digest,
    /// The server's answer.
    pub fingerprint: Fingerprint,
}

/// What the last look at an object asks for next.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Must {
    /// Nothing beyond what follows from want and base.
    #[default]
    Nothing,
    /// Something may have changed: read it.
    Look,
    /// Ours, but not known to be as applied: ask what an apply would change in it.
    Verify(Box<Seen>),
    /// Not ours: ask what taking it over would change in it.
    Weigh(Box<Live>),
    /// Make the fields of legacy managers ours, by this JSON patch.
    Fold(Box<Value>),
    /// It cannot be changed and may be replaced: delete it, at this resourceVersion.
    Replace(String),
    /// It differs: apply, with what others decide as it is now.
    Write(Option<Box<Overlay>>),
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its body.
    pub body: Value,
    /// What an apply would send back of it.
    pub overlay: Option<Box<Overlay>>,
}

/// An object that is there and not ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foreign {
    /// Who manages it, the latest writer first.
    pub managers: Vec<String>,
    /// What taking it over would change.
    pub fields: Vec<FieldDrift>,
}

/// A request in flight.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A read of a wanted object.
    Look,
    /// An apply of the body of this digest.
    Write(Digest),
    /// A dry-run of the body of this digest, against this live body.
    Verify(Digest, Box<Seen>),
    /// The same against an object that is not ours.
    Weigh(Digest, Box<Live>),
    /// A patch of its managers.
    Fold,
    /// A deletion of a wanted object, to be made again.
    Replace,
    /// A read of an object to be pruned.
    Probe,
    /// Its deletion.
    Delete,
    /// A read to see that it is gone.
    Confirm,
}

/// Where an object stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Task {
    /// Nothing to do.
    #[default]
    Idle,
    /// In the queue at this place.
    Queued(Place),
    /// A request is in flight.
    Flying(Step),
    /// Waits until then, or for news.
    Waiting(Timestamp),
}

/// Where the pruning of an object stands; for objects that nothing wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Prune {
    /// Not to be pruned, or not yet.
    #[default]
    Keep,
    /// To be looked at.
    Probe,
    /// There, ours, with this resourceVersion: waits for budget and freshness.
    Found(String),
    /// There, ours, but owned by a controller: never pruned.
    Controlled,
    /// May be deleted, with this resourceVersion.
    Delete(String),
    /// Deletion was taken, or was found under way; to be confirmed.
    Confirm,
}

/// Why an object is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// CamelCase: an error of the table or a state of its own (`Terminating`, `Unknown`, `Contended`).
    pub reason: &'static str,
    /// For people; empty for Secrets.
    pub message: String,
    /// Expected to pass by itself.
    pub passing: bool,
}

impl Problem {
    /// A problem of the table.
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Self {
        let passing = matches!(kind, ErrorKind::Transient | ErrorKind::Incomplete);
        Self { reason: kind.as_str(), message: message.into(), passing }
    }

    /// A state that is expected to pass.
    pub fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), passing: true }
    }
}

/// A drift that is being repaired.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Changed or deleted.
    pub kind: DriftType,
    /// When it was seen.
    pub detected: Timestamp,
    /// The body found; null if deleted.
    pub before: Value,
}

/// News of an object that came while a request about it was in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What the watch saw; none if the object left it.
    pub observed: Option<Observed>,
    /// When it came.
    pub at: Timestamp,
}

/// Tokens for repairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    used: u32,
    since: Option<Timestamp>,
}

impl Bucket {
    /// Takes a token if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let since = *self.since.get_or_insert(now);
        let back =
            u32::try_from((now.as_second() - since.as_second()).max(0) / REPAIR_SECONDS).unwrap_or(u32::MAX);
        if back > 0 {
            self.used = self.used.saturating_sub(back);
            self.since = Some(now);
        }
        let free = self.used < REPAIR_BURST;
        if free {
            self.used += 1;
        }
        free
    }
}

/// One object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managed {
    /// What it shall be; none if nothing wants it.
    pub want: Option<Want>,
    /// What it was after our last apply; none if we do not remember one.
    pub base: Option<Base>,
    /// The newest resourceVersion seen of it.
    pub resource_version: String,
    /// True once it was seen, applied or read in this run.
    pub seen: bool,
    /// How its health is judged.
    pub judge: Judge,
    /// Its health as last seen.
    pub health: Health,
    /// By which conditions of its App it was judged.
    pub judged: u64,
    /// Since when it is not healthy.
    pub unhealthy: Option<Timestamp>,
    /// What Kubernetes said about that.
    pub told: Option<Box<Told>>,
    /// A Job that is done and gone, and is not missed.
    pub over: bool,
    /// See [`Must`].
    pub must: Must,
    /// See [`Task`].
    pub task: Task,
    /// See [`Prune`].
    pub prune: Prune,
    /// Since when it is on its way out, as far as nothing holds it.
    pub leaving: Option<Timestamp>,
    /// Why it is not as it should be.
    pub problem: Option<Problem>,
    /// Failures in a row.
    pub fails: u32,
    /// When what has to be looked at was first noticed.
    pub noticed: Option<Timestamp>,
    /// The drift being repaired.
    pub case: Option<Box<Case>>,
    /// Repairs left.
    pub repairs: Bucket,
    /// What came while in flight.
    pub news: Option<Box<News>>,
    /// UID of the object that is being taken over: not ours until the apply that takes it has succeeded.
    pub taking: Option<String>,
    /// What is there in its place, not ours, and why it was not taken.
    pub foreign: Option<Box<Foreign>>,
    /// It was deleted by somebody, and the App says to leave it so.
    pub left: bool,
    /// A field of it is immutable, and it shall be another.
    pub stuck: Option<Box<Stuck>>,
    /// Its comparison was refused: at the next look it is guessed.
    pub guess: bool,
    /// It is being compared with what it shall be, without anything saying that it differs.
    pub audit: bool,
    /// A drift that was reported and is left as it is.
    pub standing: Option<Box<DriftReport>>,
}

impl Managed {
    /// Until when what is pruned later waits for this to be gone: what ends an object may be what is pruned next, such as
    /// the operator that takes a custom resource's finalizer away.
    pub fn awaited_until(&self) -> Option<Timestamp> {
        let going = matches!(self.prune, Prune::Probe | Prune::Delete(_) | Prune::Confirm);
        self.leaving.filter(|_| going).map(|since| since + PRUNE_PATIENCE)
    }

    /// True if it was applied as it shall be and nothing says otherwise.
    pub fn is_applied(&self) -> bool {
        let as_wanted = match (&self.want, &self.base) {
            (Some(want), Some(base)) => want.digest == base.digest,
            _ => false,
        };
        let there = as_wanted && self.seen || self.over && self.want.is_some();
        let compared = self.audit && matches!(self.must, Must::Verify(_));
        there && (self.must == Must::Nothing || compared) && self.problem.is_none()
    }

    /// True if the object of this UID is as it shall be and nothing is to be done or said about it: only news of it, of its
    /// account or of its App can change that.
    pub fn is_at_rest(&self, uid: Option<&str>) -> bool {
        let as_wanted = match (&self.want, &self.base) {
            (Some(want), Some(base)) => want.digest == base.digest && uid == Some(base.uid.as_str()),
            _ => false,
        };
        as_wanted && self.must == Must::Nothing && self.task == Task::Idle && self.problem.is_none()
    }

    /// True while a request is queued or in flight.
    pub fn is_moving(&self) -> bool {
        matches!(self.task, Task::Queued(_) | Task::Flying(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_run_out_and_come_back() {
        let now = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::default();
        assert_eq!((0..100).filter(|_| bucket.take(now)).count(), REPAIR_BURST as usize);
        let later = now + SignedDuration::from_secs(REPAIR_SECONDS);
        assert!(bucket.take(later));
        assert!(!bucket.take(later));
    }
}
