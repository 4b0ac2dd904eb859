//! What a change would do, before it is made: two planning outcomes, compared
//! cluster by cluster, and told once for all clusters on which it is the same.
//! It says what spokes do with plans: an object that another App wants is handed
//! over and not deleted, and what may not go without an approval is marked.

mod changes;
mod diff;
mod lines;
mod markdown;
mod redact;
mod render;
mod text;
pub mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use rimward_proto::plan::Plan;
use rimward_proto::{AppName, ClusterName, Digest, TenantName};
use serde::{Deserialize, Serialize};

use super::model::SourceId;
use super::note::Note;
use super::plan::PlanOutput;
use super::world::{Decided, HubHold};

pub use markdown::{COMMENT_BYTES, markdown};
pub use text::text;

/// How much a preview says. What is beyond it is counted and said to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects named, in all groups.
    pub objects: usize,
    /// Bytes of one object's diff.
    pub diff: usize,
    /// Bytes of all diffs.
    pub diffs: usize,
    /// Notes and holds, of each.
    pub notes: usize,
}

impl Limits {
    /// What a person reads in one sitting, and small enough to be kept by the dozen.
    pub const USUAL: Self = Self { objects: 1_000, diff: 16 << 10, diffs: 1 << 20, notes: 100 };
    /// Everything that fits into one answer of the API: ten of the largest Apps, and the diffs of some thousands of objects.
    pub const FULL: Self = Self { objects: 100_000, diff: 2 << 20, diffs: 16 << 20, notes: 10_000 };
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The plan of each cluster.
    pub plans: &'a BTreeMap<ClusterName, Arc<Plan>>,
    /// What was decided and said besides.
    pub decided: &'a Decided,
    /// What it was planned from: the commit of each repository.
    pub commits: &'a BTreeMap<SourceId, String>,
}

impl<'a> Outcome<'a> {
    /// What a planning from these commits brought.
    pub fn new(output: &'a PlanOutput, commits: &'a BTreeMap<SourceId, String>) -> Self {
        Self { plans: &output.plans, decided: &output.decided, commits }
    }
}

/// Content by its digest: bundle indexes and objects, as far as they are at hand.
pub type Content<'a> = dyn Fn(&Digest) -> Option<Arc<[u8]>> + 'a;

/// What a change would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// What is compared with: commits by repository, `fleet` or `tenant/source`; empty if with nothing.
    pub base: BTreeMap<String, String>,
    /// What is previewed, likewise.
    pub head: BTreeMap<String, String>,
    /// The whole in numbers.
    pub summary: Summary,
    /// Equal changes of one App, those that delete first.
    pub groups: Vec<Group>,
    /// What would be said of the files that is not said now.
    pub notes: Vec<SourceNote>,
    /// Changes that the hub would hold and does not hold now.
    pub holds: Vec<HubHold>,
    /// What was left out because of a limit, in words.
    pub cut: Vec<String>,
}

/// Objects by what becomes of them, counted on every cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Clusters on which anything changes.
    pub clusters: u64,
    /// Objects made.
    pub create: u64,
    /// Objects changed where they are.
    pub change: u64,
    /// Objects deleted, those that are held first among them.
    pub delete: u64,
    /// Objects handed over to another App.
    #[serde(rename = "move")]
    pub moved: u64,
    /// Objects that nobody wants any more and that stay, because they say so themselves.
    #[serde(default)]
    pub keep: u64,
    /// Objects that stay as they are.
    pub unchanged: u64,
}

/// What becomes of an App or an object, the most dangerous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It goes.
    Delete,
    /// An object that nobody wants any more, and that says it is not to be pruned: it stays, and is nobody's.
    Keep,
    /// Another App has it from now on.
    Move,
    /// It is another.
    Change,
    /// It is new.
    Create,
}

/// One change of one App, on all clusters where it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The App's tenant.
    pub tenant: TenantName,
    /// The App.
    pub app: AppName,
    /// What becomes of the App.
    pub action: Action,
    /// The App that it was called, or that it goes on as; empty if neither.
    #[serde(default)]
    pub from: String,
    /// Where.
    pub clusters: Vec<ClusterName>,
    /// Stages of its rollout; none until there are rollouts.
    pub stages: Vec<String>,
    /// How it is run, if that changes: a unified diff.
    #[serde(default)]
    pub settings: String,
    /// Why not all of its objects are known; empty if they are.
    #[serde(default)]
    pub unknown: String,
    /// Its objects that change, on each of the clusters.
    pub objects: Vec<ObjectChange>,
}

/// One object that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// `Kind.group/namespace/name`.
    pub key: String,
    /// What becomes of it.
    pub action: Action,
    /// True if its deletion always waits for an approval.
    pub protected: bool,
    /// Why its deletion would be held, `Protected` or `OverBudget`; empty if it would not.
    #[serde(default)]
    pub held: String,
    /// The App that it comes from; empty unless it moves.
    #[serde(default)]
    pub from: String,
    /// A unified diff; empty if it goes or moves as it is. Values of Secrets are not in it.
    pub diff: String,
}

/// A note, and which repository it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceNote {
    /// `fleet` or `tenant/source`.
    pub source: SourceId,
    /// The note.
    #[serde(flatten)]
    pub note: Note,
}

impl Preview {
    /// True if nothing would change and nothing would be held.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.holds.is_empty()
    }
}

/// Compares two outcomes. `head` must have been planned with `base`'s plans, or what both were planned with, as those in
/// force: then nothing is missing from it that was not removed.
pub fn preview(base: Outcome<'_>, head: Outcome<'_>, content: &Content<'_>, limits: Limits) -> Preview {
    let changes = changes::Changes::between(base.plans, head.plans, content);
    let names = |commits: &BTreeMap<SourceId, String>| {
        commits.iter().map(|(id, commit)| (id.to_string(), commit.clone())).collect()
    };
    let mut cut = Vec::new();
    let mut notes = new_notes(&base.decided.notes, &head.decided.notes);
    let mut holds: Vec<HubHold> = head.decided.holds.clone();
    holds.retain(|hold| base.decided.holds.iter().all(|known| known.digest != hold.digest));
    holds.sort_by_key(|hold| hold.digest);
    shorten(&mut notes, limits.notes, "notes", &mut cut);
    shorten(&mut holds, limits.notes, "holds", &mut cut);
    let summary = changes.summary();
    let groups = render::groups(changes, content, limits, &mut cut);
    Preview { base: names(base.commits), head: names(head.commits), summary, groups, notes, holds, cut }
}

fn shorten<T>(list: &mut Vec<T>, limit: usize, what: &str, cut: &mut Vec<String>) {
    if list.len() > limit {
        cut.push(format!("{} more {what}", list.len() - limit));
        list.truncate(limit);
    }
}

/// What `head` says and `base` does not. A note that only moved within its file is the same.
fn new_notes(base: &[(SourceId, Note)], head: &[(SourceId, Note)]) -> Vec<SourceNote> {
    fn what((source, note): &(SourceId, Note)) -> (&SourceId, &str, &str, &str) {
        (source, &note.code, &note.at.file, &note.message)
    }
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    base.iter().for_each(|note| *known.entry(what(note)).or_default() += 1);
    let mut new: Vec<&(SourceId, Note)> = Vec::new();
    for note in head {
        match known.get_mut(&what(note)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => new.push(note),
        }
    }
    new.sort_by(|(a, x), (b, y)| (x.severity, a, x).cmp(&(y.severity, b, y)));
    new.into_iter().map(|(source, note)| SourceNote { source: source.clone(), note: note.clone() }).collect()
}
