//! Removing what nothing wants any more: the last phase of a plan, in reverse
//! order, only what the ledger has as ours, only with its UID and
//! resourceVersion as preconditions, and pending until a read confirms that it
//! is gone (apply rules 1 and 2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use rimward_proto::plan::{Deletion, Removed};
use rimward_proto::{AppId, ObjectKey};

use super::errors::{ApiError, ErrorKind};
use super::event::Live;
use super::flight::{FAST_FIRST, FAST_MAX, backoff};
use super::managed::{Problem, Prune, Task};
use super::state::{Active, State};

/// What the plan in force says about pruning an App.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate<'a> {
    /// It is wanted, whole, and in the plan: what it no longer has may go.
    Trimmed(&'a Deletion),
    /// A tombstone: all of it may go.
    Removed(&'a Deletion),
    /// Neither: unaccounted for, or not whole. Nothing goes.
    Kept,
}

impl Active {
    /// See [`Fate`].
    pub(crate) fn fate(&self, app: &AppId) -> Fate<'_> {
        let removed = |removed: &&Removed| removed.tenant == app.tenant && removed.app == app.app;
        if let Some(removed) = self.plan.removed.iter().find(removed) {
            return Fate::Removed(&removed.deletion);
        }
        match self.bundles.get(app) {
            Some(bundle) if !bundle.carried && bundle.index.is_some() => Fate::Trimmed(&bundle.plan.deletion),
            _ => Fate::Kept,
        }
    }

    /// Apps of the ledger that the plan neither wants nor removes.
    pub(crate) fn is_unaccounted(&self, app: &AppId) -> bool {
        let wanted = self.bundles.get(app).is_some_and(|bundle| !bundle.carried);
        let removed = |removed: &Removed| removed.tenant == app.tenant && removed.app == app.app;
        !wanted && !self.plan.removed.iter().any(removed)
    }
}

impl State {
    /// Objects that may be pruned by the plan in force, by App. Apps whose applies have not all succeeded are left out.
    pub(crate) fn prunable(&self) -> BTreeMap<AppId, Vec<ObjectKey>> {
        let mut by_app: BTreeMap<AppId, Vec<ObjectKey>> = BTreeMap::new();
        let Some(active) = &self.active else { return by_app };
        // While one App's index is lost, nobody knows which objects it wants (trust row 18).
        if active.bundles.values().any(|bundle| bundle.index.is_none()) {
            return by_app;
        }
        for (key, _) in self.objects.iter().filter(|(_, managed)| managed.want.is_none()) {
            if let Some(entry) = self.ledger.entries.get(key) {
                by_app.entry(entry.app.clone()).or_default().push(key.clone());
            }
        }
        by_app.retain(|app, _| match active.fate(app) {
            Fate::Removed(_) => true,
            Fate::Trimmed(_) => self.is_app_applied(active, app),
            Fate::Kept => false,
        });
        by_app
    }

    /// True if every object of an App was applied, none of it failing.
    pub(crate) fn is_app_applied(&self, active: &Active, app: &AppId) -> bool {
        let Some(index) = active.bundles.get(app).and_then(|bundle| bundle.index.as_ref()) else {
            return false;
        };
        let clashes = active.clashes.contains_key(app);
        !clashes
            && index
                .entries()
                .iter()
                .all(|entry| self.objects.get(&entry.key).is_some_and(|managed| managed.is_applied()))
    }

    /// Has every prunable object looked at. True if something was queued for it.
    pub(crate) fn probe_prunable(
        &mut self,
        prunable: &BTreeMap<AppId, Vec<ObjectKey>>,
        now: Timestamp,
    ) -> bool {
        let mut queued = false;
        for key in prunable.values().flatten() {
            if let Some(managed) = self.objects.get_mut(key)
                && managed.prune == Prune::Keep
            {
                (managed.prune, managed.leaving) = (Prune::Probe, Some(now));
                self.kick(key, now);
                queued = true;
            }
        }
        queued
    }

    /// A newer plan was accepted: what the one before let go and is not in flight yet is decided anew, by the newer.
    pub(crate) fn recall_deletes(&mut self, now: Timestamp) {
        let mut recalled = Vec::new();
        for (key, managed) in &mut self.objects {
            if let Prune::Delete(resource_version) = &managed.prune
                && !matches!(managed.task, Task::Flying(_))
            {
                managed.prune = Prune::Found(resource_version.clone());
                recalled.push(key.clone());
            }
        }
        recalled.iter().for_each(|key| self.touch(key, now));
        self.settle |= !recalled.is_empty();
    }

    /// What is there now, of an object that nothing wants.
    pub(crate) fn probed(
        &mut self,
        key: &ObjectKey,
        live: Result<Option<Box<Live>>, ApiError>,
        now: Timestamp,
    ) {
        let live = match live {
            Ok(Some(live)) => live.observed,
            Ok(None) => return self.gone(key),
            Err(error) => return self.failed(key, error, now),
        };
        let Some(entry) = self.ledger.entries.get_mut(key) else { return };
        let marked = entry.uid.is_none() && live.is_marked_ours();
        if marked && live.tenant.as_deref() == Some(entry.app.tenant.as_str()) {
            // Ours, but a crash came between its creation and the end of its plan.
            entry.uid = Some(live.uid.clone());
            self.ledger_writer.change();
        }
        let entry = self.ledger.entries.get(key);
        let ours = entry.is_some_and(|entry| entry.uid.as_ref() == Some(&live.uid));
        // Of what was found by its labels nothing but these says that it was ours.
        let disowned = entry.is_some_and(|entry| entry.found) && live.tenant.is_none();
        if !ours || disowned {
            return self.gone(key);
        }
        let keep = self.ledger.entries.get(key).is_some_and(|entry| entry.keep);
        if (live.kept || keep) && !live.fingerprint.deleting {
            return self.let_stay(key, now);
        }
        let Some(managed) = self.objects.get_mut(key) else { return };
        (managed.problem, managed.fails, managed.seen) = (None, 0, true);
        managed.resource_version.clone_from(&live.resource_version);
        managed.prune = if live.controlled {
            let message = "a controller owns it; it is not pruned";
            managed.problem =
                Some(Problem { reason: "ControllerOwned", message: message.into(), passing: false });
            Prune::Controlled
        } else if live.fingerprint.deleting {
            Prune::Confirm
        } else {
            Prune::Found(live.resource_version)
        };
        if managed.prune == Prune::Confirm {
            self.still_there(key, now);
        }
    }

    /// A delete was answered.
    pub(crate) fn deleted(&mut self, key: &ObjectKey, result: Result<(), ApiError>, now: Timestamp) {
        let kind = result.as_ref().err().map(|error| error.kind);
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.want.is_some() {
            return;
        }
        match result {
            Ok(()) => (managed.prune, managed.problem, managed.fails) = (Prune::Confirm, None, 0),
            Err(error) => {
                // Somebody wrote between our read and our delete: read again.
                managed.prune = Prune::Probe;
                let kind = if kind == Some(ErrorKind::Conflict) { ErrorKind::Transient } else { error.kind };
                self.failed(key, ApiError { kind, ..error }, now);
            }
        }
    }

    /// A read after a delete.
    pub(crate) fn confirmed(
        &mut self,
        key: &ObjectKey,
        live: Result<Option<Box<Live>>, ApiError>,
        now: Timestamp,
    ) {
        let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.clone());
        match live {
            Ok(Some(live)) if uid.as_deref() == Some(live.observed.uid.as_str()) => {
                if live.observed.fingerprint.deleting {
                    self.still_there(key, now);
                } else if let Some(managed) = self.objects.get_mut(key) {
                    // The delete was taken and yet nothing is being deleted: begin again.
                    managed.prune = Prune::Probe;
                }
            }
            // Gone, or a namesake that is not ours in its place.
            Ok(_) => self.gone(key),
            Err(error) => self.failed(key, error, now),
        }
    }

    fn still_there(&mut self, key: &ObjectKey, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        managed.fails += 1;
        managed.problem = Some(Problem::passing("Terminating", "deleted; its finalizers are not done"));
        let until = now + backoff(FAST_FIRST, FAST_MAX, managed.fails);
        self.wait(key, until);
    }

    /// `rimward.dev/prune` says that it stays: it is nobody's any more, as it is. Its labels tell whose it was, and an App
    /// of that tenant that wants it again has it back.
    fn let_stay(&mut self, key: &ObjectKey, now: Timestamp) {
        let app = self.ledger.entries.get(key).map(|entry| entry.app.clone());
        let message =
            format!("{key} is not pruned, because rimward.dev/prune is false; nobody keeps it any more");
        self.outbox.event("Kept", message, app, Some(key.clone()), now);
        self.gone(key);
    }

    /// Absence is confirmed: the entry leaves the ledger.
    fn gone(&mut self, key: &ObjectKey) {
        self.mark(key);
        if self.ledger.entries.remove(key).is_some() {
            self.ledger_writer.change();
            self.baselines.change();
        }
        self.objects.remove(key);
        self.watches.shrunk = true;
    }
}
