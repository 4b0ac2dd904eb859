//! The world as the hub knows it: policy, sources, the publication in force and
//! what each spoke last said. Plain values: the tasks write them, the API and
//! the status rules read them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::head::{Assignment, Head};
use rimward_proto::merkle::{InclusionProof, Tree};
use rimward_proto::plan::Plan;
use rimward_proto::report::{AppReport, DriftReport, EventReport, HoldReport, ListsReport, State};
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest};
use serde::{Deserialize, Serialize};

use super::model::{App, Policy, SourceId};
use super::note::Note;

/// Drifts and events kept in memory, fleet-wide: what `get drift` and `get events` can show; older ones go first.
pub const RECENT: usize = 10_000;

/// Everything the hub knows now.
#[derive(Debug, Default)]
pub struct World {
    /// The fleet's policy; none until the fleet repo was read once.
    pub policy: Option<Arc<Policy>>,
    /// Apps of all loaded sources.
    pub apps: BTreeMap<AppId, Arc<App>>,
    /// Every source, the fleet repo included.
    pub sources: BTreeMap<SourceId, SourceStatus>,
    /// What the last planning decided and said.
    pub decided: Arc<Decided>,
    /// The publication in force; none before the first.
    pub published: Option<Arc<Published>>,
    /// Every cluster that has a document, an enrolment or a frozen plan.
    pub clusters: BTreeMap<ClusterName, ClusterStatus>,
    /// Newest last.
    pub drift: VecDeque<(ClusterName, DriftReport)>,
    /// Newest last.
    pub events: VecDeque<Event>,
    /// When the fleet was last planned.
    pub planned: Option<Timestamp>,
    /// What the hub itself fails at, and tries again.
    pub troubles: BTreeMap<Task, Trouble>,
}

/// Something the hub does by itself, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// To sign: stopped while a spoke holds a head that the store does not know.
    Signing,
    /// To plan what was read, and publish it.
    Planning,
    /// To keep the head fresh.
    Renewal,
    /// To remove content that nothing needs.
    Collection,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Signing, Self::Planning, Self::Renewal, Self::Collection];
}

/// Why a task fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Why it failed last.
    pub message: String,
}

impl World {
    /// Writes down how a task went.
    pub fn went(&mut self, task: Task, failure: Option<String>, now: Timestamp) {
        match failure {
            None => drop(self.troubles.remove(&task)),
            Some(message) => {
                let since = self.troubles.get(&task).map_or(now, |trouble| trouble.since);
                self.troubles.insert(task, Trouble { since, message });
            }
        }
    }
}

/// What is known of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// URL.
    pub url: String,
    /// The ref as people write it: `branch main`, `tag v1`, `HEAD` …
    pub reference: String,
    /// The commit of the snapshot in use; empty if there never was one.
    pub commit: String,
    /// The commit that was last planned with; empty if none was since the start.
    pub planned: String,
    /// When `commit` was last confirmed by the server.
    pub fetched: Option<Timestamp>,
    /// What went wrong at the last look; none if it went well.
    pub error: Option<Note>,
    /// Notes on its files.
    pub notes: Vec<Note>,
    /// When `error` appeared or went away.
    pub since: Option<Timestamp>,
}

/// The outcome of planning, apart from the plans themselves.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What each App wants.
    pub apps: BTreeMap<AppId, AppDecision>,
    /// Changes that wait for an approval.
    pub holds: Vec<HubHold>,
    /// Notes on policy, Apps and guardrails.
    pub notes: Vec<(SourceId, Note)>,
}

/// What an App wants and why it does not get it, if so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDecision {
    /// The source it is in.
    pub source: SourceId,
    /// Commit of that source.
    pub commit: String,
    /// Folder of the App.
    pub path: String,
    /// Clusters it selects within its bounds.
    pub clusters: Vec<ClusterName>,
    /// The bundle it renders to on all its clusters; none if it has several, or cannot be rendered.
    pub bundle: Option<Digest>,
    /// The bundle of each cluster, if it has several.
    pub bundles: BTreeMap<ClusterName, Digest>,
    /// Clusters that keep what they have of it, and why.
    pub waits: Vec<AppWait>,
    /// Why its newest revision is not in the plan; none if it is.
    pub blocked: Option<Note>,
}

/// Clusters for which there is no new form of an App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppWait {
    /// CamelCase: `VariableUnset`, `VariantRefused`, `Guardrail`, `Quota`.
    pub reason: String,
    /// Why.
    pub note: Note,
    /// Which, in order.
    pub clusters: Vec<ClusterName>,
}

impl AppDecision {
    /// The bundle that a cluster shall have of it; none if it waits there, or cannot be rendered.
    pub fn bundle_on(&self, cluster: &ClusterName) -> Option<Digest> {
        let one = || self.bundle.filter(|_| self.wait_on(cluster).is_none());
        self.bundles.get(cluster).copied().or_else(one)
    }

    /// Why a cluster keeps what it has of it, if it does.
    pub fn wait_on(&self, cluster: &ClusterName) -> Option<&AppWait> {
        self.waits.iter().find(|wait| wait.clusters.binary_search(cluster).is_ok())
    }

    /// True if it is rendered for any cluster.
    pub fn is_rendered(&self) -> bool {
        self.bundle.is_some() || !self.bundles.is_empty()
    }
}

/// A change the hub holds until someone approves its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubHold {
    /// sha256 of the canonical JSON of the proposed change.
    pub digest: Digest,
    /// `LastCluster`, `LastApp`, `LastObject`, `TenantRemoved`, `SourceRemoved`, `Unaccounted`.
    pub reason: String,
    /// Which Apps would go.
    pub apps: Vec<AppId>,
    /// From which clusters.
    pub clusters: Vec<ClusterName>,
    /// For people.
    pub message: String,
}

/// A signed publication, ready to be offered.
#[derive(Debug)]
pub struct Published {
    /// The head as signed.
    pub head: Head,
    /// Its envelope's exact bytes.
    pub envelope: Vec<u8>,
    /// All root envelopes, ascending from version 1.
    pub roots: Arc<Vec<Vec<u8>>>,
    /// The leaves in order: assignments by cluster.
    pub assignments: BTreeMap<ClusterName, (u64, Assignment)>,
    /// The tree over them.
    pub tree: Tree,
    /// The plans assigned, by digest.
    pub plans: BTreeMap<Digest, Arc<Plan>>,
}

impl Published {
    /// A cluster's assignment, its exact bytes and its proof.
    pub fn assignment(&self, cluster: &ClusterName) -> Option<(&Assignment, Vec<u8>, InclusionProof)> {
        let (index, assignment) = self.assignments.get(cluster)?;
        Some((assignment, assignment.to_bytes(), self.tree.prove(*index)?))
    }

    /// The plan a cluster shall run.
    pub fn plan(&self, cluster: &ClusterName) -> Option<&Arc<Plan>> {
        self.plans.get(&self.assignments.get(cluster)?.1.plan)
    }
}

/// What is known of a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterStatus {
    /// UID it was enrolled with; none if it was not.
    pub uid: Option<ClusterUid>,
    /// When its certificate expires.
    pub certificate_expires: Option<Timestamp>,
    /// Why its identity is locked; none if it is not.
    pub locked: Option<String>,
    /// True while a stream is open.
    pub connected: bool,
    /// Last message of any kind.
    pub last_seen: Option<Timestamp>,
    /// From its Hello.
    pub spoke_version: String,
    /// From its Hello.
    pub kubernetes_version: String,
    /// The plan it enforces, by its last report.
    pub plan: Option<Digest>,
    /// Head (epoch, seq) it last acknowledged as held.
    pub held: Option<(u64, u64)>,
    /// The plan it last said is durably held.
    pub held_plan: Option<Digest>,
    /// The plan it last said is fully applied.
    pub applied_plan: Option<Digest>,
    /// Why it refused the newest offer; none if it did not.
    pub refused: Option<(String, String)>,
    /// When its last report was true.
    pub reported: Option<Timestamp>,
    /// Last known state of each of its Apps and since when.
    pub apps: BTreeMap<AppId, (AppReport, Timestamp)>,
    /// Apps its ledger has that the plan does not account for.
    pub unaccounted: Vec<AppId>,
    /// Tombstones of `plan` that are done.
    pub cleared: Vec<AppId>,
    /// Deletions it holds.
    pub holds: Vec<HoldReport>,
    /// What it looks at by list; none if it watches everything.
    pub lists: Option<ListsReport>,
    /// The run of the spoke that the last report is of.
    pub boot: String,
    /// Of the holds that this run reported, those that were approved by then.
    pub approved: BTreeSet<Digest>,
    /// When its state last changed.
    pub since: Option<(State, Timestamp)>,
}

/// Something that happened, for `get events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, where it happened.
    pub time: Timestamp,
    /// The cluster it happened on; none for the hub's own.
    pub cluster: Option<ClusterName>,
    /// What.
    #[serde(flatten)]
    pub what: EventReport,
    /// Who caused it, if a person did.
    pub actor: String,
}
