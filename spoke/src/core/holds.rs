//! How much may be deleted: the budget of the plan, protected kinds, the local
//! ceilings, freshness. What may not go is held and named; everything else goes
//! on. A decision is latched in the ledger, so that neither a restart nor an
//! unrelated plan makes a held deletion fit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::plan::Deletion;
use rimward_proto::report::{HeldObject, HoldReport, hold_digest};
use rimward_proto::{AppId, Digest, ObjectKey};

use super::glob;
use super::ledger::Latch;
use super::managed::{Managed, Prune, Task};
use super::order::prune_rank;
use super::prune::Fate;
use super::state::State;

/// Objects in one hold: with the longest names there are, half of a report. A longer list is several holds, each
/// approved by its own digest.
pub const HOLD_OBJECTS: usize = 250;

/// Why a deletion is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// More deletions than the plan may make.
    OverBudget,
    /// Of a protected kind.
    Protected,
    /// Found by its labels after the ledger was lost: whether it was ours only a person can say.
    LedgerLost,
    /// The head has expired; resumes by itself.
    Stale,
    /// `ceilings.protect`: no approval reaches it.
    CeilingProtected,
    /// `ceilings.deletesPerDay`: resumes by itself.
    CeilingDeletesPerDay,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OverBudget => "OverBudget",
            Self::Protected => "Protected",
            Self::LedgerLost => "LedgerLost",
            Self::Stale => "Stale",
            Self::CeilingProtected => "CeilingProtected",
            Self::CeilingDeletesPerDay => "CeilingDeletesPerDay",
        }
    }

    fn is_approvable(self) -> bool {
        matches!(self, Self::OverBudget | Self::Protected | Self::LedgerLost)
    }
}

/// Objects held, by App and reason.
pub(crate) type Holds = BTreeMap<(AppId, Reason), BTreeSet<ObjectKey>>;

impl State {
    /// Lets go what may be deleted, holds the rest. True if something was queued.
    pub(crate) fn release(&mut self, prunable: &BTreeMap<AppId, Vec<ObjectKey>>, now: Timestamp) -> bool {
        let mut holds = Holds::new();
        let mut free: Vec<ObjectKey> = Vec::new();
        self.spend_budget();
        let fresh = self.trust.is_fresh(now);
        for (app, keys) in prunable {
            for key in keys.iter().filter(|key| self.is_found(key)) {
                match self.reason_to_hold(app, key) {
                    Some(reason) => _ = holds.entry((app.clone(), reason)).or_default().insert(key.clone()),
                    None => free.push(key.clone()),
                }
            }
        }
        free.extend(self.approve(&mut holds));
        if !fresh {
            self.hold_all(&mut holds, std::mem::take(&mut free), Reason::Stale);
        }
        let free = self.first_wave(free, now);
        let queued = self.let_go(free, &mut holds, now);
        for key in holds.values().flatten() {
            if let Some(managed) = self.objects.get_mut(key) {
                managed.leaving = None;
            }
        }
        if self.outbox.set_holds(self.hold_reports(&holds)) {
            prunable.keys().for_each(|app| self.outbox.mark(app));
        }
        queued
    }

    fn is_found(&self, key: &ObjectKey) -> bool {
        self.objects.get(key).is_some_and(|managed| matches!(managed.prune, Prune::Found(_)))
    }

    /// Counts new deletions against the plan's budget: all candidates of the plan together, whichever App they are of
    /// and whether or not their turn has come, so that the order of events decides nothing. What is on its way out already
    /// is no deletion that this plan would make.
    fn spend_budget(&mut self) {
        let Some(active) = &self.active else { return };
        let mut open: BTreeMap<&AppId, (u64, Vec<ObjectKey>)> = BTreeMap::new();
        for (key, entry) in &self.ledger.entries {
            let stays = |managed: &Managed| managed.want.is_none() && managed.prune != Prune::Confirm;
            let counts = entry.latch == Latch::Open && !entry.keep && !entry.found;
            if !counts || !self.objects.get(key).is_some_and(|managed| stays(managed)) {
                continue;
            }
            let deletion = match active.fate(&entry.app) {
                Fate::Trimmed(deletion) | Fate::Removed(deletion) => deletion,
                Fate::Kept => continue,
            };
            if !self.is_protected(key, deletion) {
                open.entry(&entry.app).or_insert((deletion.max_per_plan, Vec::new())).1.push(key.clone());
            }
        }
        let total = self.ledger.spent.deletes + open.values().map(|(_, keys)| keys.len() as u64).sum::<u64>();
        let decided: Vec<(ObjectKey, Latch)> = open
            .into_values()
            .flat_map(|(max, keys)| {
                let latch = if total <= max { Latch::Budgeted } else { Latch::OverBudget };
                keys.into_iter().map(move |key| (key, latch))
            })
            .collect();
        for (key, latch) in decided {
            if let Some(entry) = self.ledger.entries.get_mut(&key) {
                entry.latch = latch;
                self.ledger.spent.deletes += u64::from(latch == Latch::Budgeted);
                self.ledger_writer.change();
            }
        }
    }

    pub(crate) fn is_protected(&self, key: &ObjectKey, deletion: &Deletion) -> bool {
        let protects =
            |list: &[String]| list.iter().any(|pattern| glob::is_kind(pattern, &key.group, &key.kind));
        // A namespace takes everything in it along, ours or not.
        let namespace = key.group.is_empty() && key.kind == "Namespace";
        namespace || protects(&deletion.protect) || protects(&self.settings.protect)
    }

    fn reason_to_hold(&self, app: &AppId, key: &ObjectKey) -> Option<Reason> {
        let ceiling =
            self.settings.protect.iter().any(|pattern| glob::is_kind(pattern, &key.group, &key.kind));
        if ceiling {
            return Some(Reason::CeilingProtected);
        }
        let entry = self.ledger.entries.get(key);
        let latch = entry.map(|entry| entry.latch);
        if latch == Some(Latch::Approved) {
            return None;
        }
        if entry.is_some_and(|entry| entry.found) {
            return Some(Reason::LedgerLost);
        }
        let deletion = match self.active.as_ref().map(|active| active.fate(app)) {
            Some(Fate::Trimmed(deletion) | Fate::Removed(deletion)) => deletion,
            _ => return Some(Reason::Protected),
        };
        if self.is_protected(key, deletion) {
            return Some(Reason::Protected);
        }
        (latch != Some(Latch::Budgeted)).then_some(Reason::OverBudget)
    }

    /// Takes out of the holds what the assignment approves: exactly the lists whose digests it names.
    fn approve(&mut self, holds: &mut Holds) -> Vec<ObjectKey> {
        let approved: BTreeSet<Digest> =
            self.active.iter().flat_map(|active| &active.assignment.deletes).copied().collect();
        let mut free = Vec::new();
        for (_, keys) in holds.iter_mut().filter(|((_, reason), _)| reason.is_approvable()) {
            for chunk in self.chunks(keys) {
                if approved.contains(&hold_digest(&chunk)) {
                    free.extend(chunk.into_iter().map(|object| object.key));
                }
            }
            free.iter().for_each(|key| _ = keys.remove(key));
        }
        holds.retain(|_, keys| !keys.is_empty());
        for key in &free {
            if let Some(entry) = self.ledger.entries.get_mut(key) {
                entry.latch = Latch::Approved;
                self.ledger_writer.change();
            }
        }
        free
    }

    fn hold_all(&self, holds: &mut Holds, keys: Vec<ObjectKey>, reason: Reason) {
        for key in keys {
            if let Some(entry) = self.ledger.entries.get(&key) {
                holds.entry((entry.app.clone(), reason)).or_default().insert(key);
            }
        }
    }

    /// Those whose turn it is: of the first wave among them and what is on its way out. The rest waits until that is gone.
    fn first_wave(&mut self, mut free: Vec<ObjectKey>, now: Timestamp) -> Vec<ObjectKey> {
        let awaited = self.objects.iter().filter_map(|(key, managed)| Some((key, managed.awaited_until()?)));
        let awaited: Vec<_> = awaited.filter(|(_, until)| *until > now).collect();
        let first = awaited.iter().map(|(key, _)| *key).chain(&free).map(prune_rank).min();
        let lapses =
            awaited.iter().filter(|(key, _)| Some(prune_rank(key)) == first).map(|(_, until)| *until);
        let lapses = lapses.max();
        let all = free.len();
        free.retain(|key| Some(prune_rank(key)) == first);
        // Those that come after do not wait for ever.
        self.wave_over_at = lapses.filter(|_| free.len() < all);
        free
    }

    /// Queues deletions as far as the day's ceiling goes. What was decided and counted is durable before the first is made.
    fn let_go(&mut self, free: Vec<ObjectKey>, holds: &mut Holds, now: Timestamp) -> bool {
        let counted = |key: &ObjectKey| self.ledger.is_counted(key, now);
        let (mut going, mut new): (Vec<_>, Vec<_>) = free.into_iter().partition(counted);
        let spent = self.ledger.deleted_in_a_day(now);
        let left = usize::try_from(self.settings.deletes_per_day.saturating_sub(spent)).unwrap_or(usize::MAX);
        new.sort();
        let over = new.split_off(left.min(new.len()));
        self.day_full_until = (!over.is_empty()).then(|| self.ledger.next_hour(now));
        self.hold_all(holds, over, Reason::CeilingDeletesPerDay);
        self.ledger.count_deletions_of(&new, now);
        going.extend(new);
        if going.is_empty() {
            return false;
        }
        self.ledger_writer.change();
        if let Some(active) = &mut self.active {
            active.ledger = self.ledger_writer.wanted;
        }
        for key in &going {
            if let Some(managed) = self.objects.get_mut(key)
                && let Prune::Found(resource_version) = std::mem::take(&mut managed.prune)
            {
                managed.prune = Prune::Delete(resource_version);
                managed.leaving.get_or_insert(now);
                if matches!(managed.task, Task::Waiting(_)) {
                    managed.task = Task::Idle;
                }
            }
            self.touch(key, now);
        }
        true
    }

    fn chunks(&self, keys: &BTreeSet<ObjectKey>) -> Vec<Vec<HeldObject>> {
        let held = |key: &ObjectKey| {
            let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.clone()).unwrap_or_default();
            HeldObject { key: key.clone(), uid }
        };
        let objects: Vec<HeldObject> = keys.iter().map(held).collect();
        objects.chunks(HOLD_OBJECTS).map(<[HeldObject]>::to_vec).collect()
    }

    fn hold_reports(&self, holds: &Holds) -> Vec<HoldReport> {
        let reports = holds.iter().flat_map(|((app, reason), keys)| {
            self.chunks(keys).into_iter().map(|objects| HoldReport {
                digest: hold_digest(&objects),
                id: app.clone(),
                reason: reason.as_str().to_owned(),
                objects,
            })
        });
        reports.collect()
    }
}
