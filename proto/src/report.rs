//! What a spoke observed. A report is a statement of state, not an event stream:
//! each names the plan it speaks of, so that a gate never passes on news of an
//! older one, and a lost report is made good by the next full one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AppId, Digest};
use crate::object::ObjectKey;

/// The one enum of states, of clusters, Apps and everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Applied and observed healthy, as of a digest.
    Ready,
    /// On its way.
    Progressing,
    /// Waiting for something that has a typed reason.
    Waiting,
    /// Stopped until someone approves.
    Held,
    /// Will not get better by itself.
    Failed,
    /// Stopped by someone.
    Paused,
    /// Connected, but the head held has expired.
    Stale,
    /// No stream.
    Offline,
    /// Not enrolled, or never reported.
    Pending,
    /// The cluster's identity was revoked.
    Revoked,
    /// Selects no cluster.
    NoClusters,
}

impl State {
    /// All states, in the order above.
    pub const ALL: [State; 11] = [
        State::Ready,
        State::Progressing,
        State::Waiting,
        State::Held,
        State::Failed,
        State::Paused,
        State::Stale,
        State::Offline,
        State::Pending,
        State::Revoked,
        State::NoClusters,
    ];

    /// The state's name as in output and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ready => "Ready",
            State::Progressing => "Progressing",
            State::Waiting => "Waiting",
            State::Held => "Held",
            State::Failed => "Failed",
            State::Paused => "Paused",
            State::Stale => "Stale",
            State::Offline => "Offline",
            State::Pending => "Pending",
            State::Revoked => "Revoked",
            State::NoClusters => "NoClusters",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<State> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One report of a spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Random at each start of the spoke.
    pub boot_id: String,
    /// 1, 2, 3 … within a boot: a gap shows a lost report.
    pub counter: u64,
    /// When this was true.
    pub as_of: Timestamp,
    /// The plan enforced, none before the first.
    pub plan: Option<Digest>,
    /// True when `apps` is everything, not only what changed.
    pub full: bool,
    /// State of each App of the plan and of the ledger.
    pub apps: Vec<AppReport>,
    /// Tombstones of `plan` whose App has no ledger entry left; complete in every report.
    pub cleared: Vec<AppId>,
    /// Apps in the ledger that the plan neither wants nor removes (trust row 22); complete in every report.
    pub unaccounted: Vec<AppId>,
    /// Deletions held; complete in every report.
    pub holds: Vec<HoldReport>,
    /// Drift since the last acknowledged report.
    pub drift: Vec<DriftReport>,
    /// Refusals and other things worth keeping, since the last acknowledged report.
    pub events: Vec<EventReport>,
    /// What is looked at by list, because there is more than may be watched; none if all of it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<Box<ListsReport>>,
}

/// Places (a ServiceAccount, a kind, a namespace) beyond the number of watches, which are listed from time to time: what
/// changes there shows that late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListsReport {
    /// How many.
    pub places: u64,
    /// From one look at each to the next, at most, in seconds.
    pub interval_seconds: u64,
    /// When the one looked at longest ago was looked at; none while one was not looked at yet.
    pub as_of: Option<Timestamp>,
}

/// State of one App on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppReport {
    /// Which App.
    pub id: AppId,
    /// The bundle it speaks of; none while it is being removed.
    pub bundle: Option<Digest>,
    /// Its state.
    pub state: State,
    /// CamelCase; empty when Ready.
    pub reason: String,
    /// For people; empty when Ready.
    pub message: String,
    /// Objects in the bundle.
    pub objects: u64,
    /// Of those, applied and healthy.
    pub ready: u64,
    /// At most [`crate::limits::REPORT_EXCEPTIONS`] of the rest.
    pub exceptions: Vec<ObjectReport>,
    /// At most [`crate::limits::REPORT_EXCEPTIONS`] of the objects that were there before and were taken over.
    #[serde(default)]
    pub taken: Vec<TakenReport>,
}

/// An object that existed before it was ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenReport {
    /// Which object.
    pub key: ObjectKey,
    /// The field managers it was taken from, the latest writer first.
    pub managers: Vec<String>,
}

/// One object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// Which object.
    pub key: ObjectKey,
    /// A reason of the closed error table, or a health reason.
    pub reason: String,
    /// For people; never of a Secret.
    pub message: String,
    /// Of an object that is there and not ours: its field managers, the latest writer first.
    #[serde(default)]
    pub managers: Vec<String>,
    /// Of an object that is there and not ours: what taking it over would change.
    #[serde(default)]
    pub fields: Vec<FieldDrift>,
    /// How it is looked at if by list; none if it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
}

/// How old news of an object may be that is looked at by list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// From one look to the next, at most, in seconds.
    pub interval_seconds: u64,
    /// When it was looked at last; none if it was not yet.
    pub as_of: Option<Timestamp>,
}

/// Deletions that wait for an approval bound to `digest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldReport {
    /// sha256 of the canonical sorted list of {key, uid}.
    pub digest: Digest,
    /// The App the objects belong to.
    pub id: AppId,
    /// `OverBudget`, `Protected`, `LedgerLost`, `Stale`, `CeilingProtected` or `CeilingDeletesPerDay`.
    pub reason: String,
    /// Exactly what would be deleted.
    pub objects: Vec<HeldObject>,
}

/// One object whose deletion is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldObject {
    /// Which object.
    pub key: ObjectKey,
    /// Its UID: a re-created namesake is not covered by the approval.
    pub uid: String,
}

/// The digest an approval of these deletions must name: sha256 of the canonical list sorted by (key, uid).
pub fn hold_digest(objects: &[HeldObject]) -> Digest {
    let mut sorted = objects.to_vec();
    sorted.sort();
    let bytes = crate::canonical::to_bytes(&sorted).expect("held objects are strings");
    Digest::of(&bytes)
}

/// What kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftType {
    /// Fields differ.
    Changed,
    /// The object is gone.
    Deleted,
    /// Another controller keeps changing it back.
    Contended,
}

/// What was done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftAction {
    /// Put back.
    Reverted,
    /// Only reported.
    Reported,
}

/// One drift, with who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// Unique; a repeated one is the same drift.
    pub id: String,
    /// The App.
    pub app: AppId,
    /// The object.
    pub key: ObjectKey,
    /// Its API version, without the group.
    pub version: String,
    /// What kind.
    pub kind: DriftType,
    /// When the spoke saw it.
    pub detected: Timestamp,
    /// Field manager of the change; empty if unknown.
    pub manager: String,
    /// What was done.
    pub action: DriftAction,
    /// From seen to restored, if restored.
    pub restored_millis: Option<u64>,
    /// The server could not be asked what it would make of the wanted object: the fields are guessed from the manifest.
    #[serde(default)]
    pub approximate: bool,
    /// At most [`crate::limits::REPORT_EXCEPTIONS`].
    pub fields: Vec<FieldDrift>,
}

/// One field that drifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDrift {
    /// JSON pointer.
    pub path: String,
    /// JSON of the wanted value; empty if redacted or absent.
    pub wanted: String,
    /// JSON of the found value; empty if redacted or absent.
    pub found: String,
    /// True for Secrets, whose values never leave the cluster.
    pub redacted: bool,
}

/// Something worth keeping: a refusal by the verdict table, a repair that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventReport {
    /// Unique; a repeated one is the same event.
    pub id: String,
    /// When.
    pub time: Timestamp,
    /// `Equivocation`, `Rollback`, `CrossDelivery`, `Stale` …
    pub kind: String,
    /// For people.
    pub message: String,
    /// The App, if it is about one.
    pub app: Option<AppId>,
    /// The object, if it is about one.
    pub key: Option<ObjectKey>,
}
