//! The ledger: every object the spoke has put, or is about to put, into its
//! cluster. Written ahead, so that a crash can never leave something of ours
//! behind that nobody remembers; an entry leaves only when its object is
//! confirmed gone or handed over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rimward_proto::{AppId, Digest, ObjectKey};
use serde::{Deserialize, Serialize};

use super::lost::Lost;

/// One object of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// Which object.
    pub key: ObjectKey,
    /// The API version it was applied in, without the group.
    pub version: String,
    /// Its UID; none between the write-ahead and the end of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The App it belongs to.
    pub app: AppId,
    /// `namespace/name` of the identity it was applied as, and is deleted as.
    pub service_account: String,
    /// The field managers it was taken over from, the latest writer first; empty for what we created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_from: Vec<String>,
    /// Whether its deletion is held or was approved.
    #[serde(default, skip_serializing_if = "Latch::is_open")]
    pub latch: Latch,
    /// Of a Job that removes itself: the body that was seen done, under this UID or the last one it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Digest>,
    /// What was last applied says `rimward.dev/prune: "false"`: it is let go, not deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// Found again after the ledger was lost, and wanted by no plan that came since: reported, and never pruned without an
    /// approval by name and UID.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
    /// The hour in which its deletion was counted for the day: one that a crash cut short is not counted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<i64>,
}

/// What was decided about the deletion of one object. Latched, so that neither a restart nor an unrelated plan
/// turns a held deletion into one that fits the budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Latch {
    /// Nothing yet.
    #[default]
    Open,
    /// Inside the budget: may go.
    Budgeted,
    /// Over the budget: waits for an approval.
    OverBudget,
    /// Approved by name and UID: may go.
    Approved,
}

impl Latch {
    fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

/// All entries, and what was deleted lately.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// By key.
    #[serde(with = "entries")]
    pub entries: BTreeMap<ObjectKey, LedgerEntry>,
    /// Deletions counted against the budget of this plan.
    pub spent: Spent,
    /// Deletions by hour, for the local ceiling.
    #[serde(default)]
    pub hours: BTreeMap<i64, u64>,
    /// The API server's version when all objects were last compared, or begun to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// It was lost, and what it had is still being looked for; see [`Lost`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// Deletions of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The plan.
    pub plan: Option<Digest>,
    /// How many of its deletions were let through within the budget.
    pub deletes: u64,
}

/// Hours of history the daily ceiling looks back.
const DAY_HOURS: i64 = 24;

impl Ledger {
    /// The Apps it has objects of.
    pub fn apps(&self) -> BTreeSet<&AppId> {
        let (mut apps, mut last) = (BTreeSet::new(), None);
        for entry in self.entries.values() {
            // Neighbours are mostly of one App.
            if last != Some(&entry.app) {
                last = Some(&entry.app);
                apps.insert(&entry.app);
            }
        }
        apps
    }

    /// Counts deletions that may be made from now on in the hour of `now`, and forgets what is older than a day.
    pub fn count_deletions(&mut self, count: u64, now: Timestamp) {
        let hour = hour_of(now);
        self.hours.retain(|&at, _| at > hour - DAY_HOURS && at <= hour);
        if count > 0 {
            *self.hours.entry(hour).or_default() += count;
        }
    }

    /// True if the deletion of this object is among those of the last 24 hours, whatever became of it.
    pub fn is_counted(&self, key: &ObjectKey, now: Timestamp) -> bool {
        let hour = hour_of(now);
        let counted = self.entries.get(key).and_then(|entry| entry.counted);
        counted.is_some_and(|at| at > hour - DAY_HOURS && at <= hour)
    }

    /// Counts the deletions of these objects, each once.
    pub fn count_deletions_of(&mut self, keys: &[ObjectKey], now: Timestamp) {
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.counted = Some(hour_of(now));
            }
        }
        self.count_deletions(keys.len() as u64, now);
    }

    /// Deletions in the last 24 hours, to the hour.
    pub fn deleted_in_a_day(&self, now: Timestamp) -> u64 {
        let hour = hour_of(now);
        self.hours.range(hour - DAY_HOURS + 1..).map(|(_, count)| count).sum()
    }

    /// When the oldest counted hour leaves the window.
    pub fn next_hour(&self, now: Timestamp) -> Timestamp {
        let hour = hour_of(now);
        Timestamp::from_second((hour + 1) * 3600).unwrap_or(now + SignedDuration::from_hours(1))
    }
}

fn hour_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(3600)
}

/// A map by key as a list, since JSON has only text for keys.
mod entries {
    use super::{BTreeMap, Deserialize, LedgerEntry, ObjectKey};

    pub fn serialize<S: serde::Serializer>(
        map: &BTreeMap<ObjectKey, LedgerEntry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.values())
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ObjectKey, LedgerEntry>, D::Error> {
        let list = Vec::<LedgerEntry>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|entry| (entry.key.clone(), entry)).collect())
    }
}
