//! What cannot be changed into what it shall be, because a field is immutable,
//! and whose manifest says `rimward.dev/replace: "true"`: it is deleted and made
//! again (apply rule 14). That is a deletion like any other: only of what the
//! ledger has as ours, with its UID and resourceVersion as preconditions, inside
//! the delete budget, which is spent durably before anything is asked for, and
//! never of a kind that takes other things along or holds data.

use jiff::Timestamp;
use rimward_proto::ObjectKey;
use rimward_proto::object::{REPLACE_ANNOTATION, annotation};
use serde_json::Value;

use super::depends;
use super::effect::Overlay;
use super::errors::{ApiError, ErrorKind};
use super::lanes::Place;
use super::managed::{Managed, Must, Problem, Step, Task, Want};
use super::observed::Observed;
use super::order::apply_rank;
use super::prune::Fate;
use super::state::State;
use super::work::Next;

/// Kinds, by group, that are never replaced, whatever is written and whoever approves: with a namespace goes all that is
/// in it, with a definition all objects of its kind, with a volume or a claim the data.
const NEVER: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// An object whose apply was refused because a field is immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct Stuck {
    /// When the apply is tried again, if it is not replaced.
    pub until: Timestamp,
    /// Whether it is replaced is to be decided at the next look.
    pub undecided: bool,
    /// Its deletion was counted against the budget.
    pub granted: bool,
    /// Its deletion was taken.
    pub deleted: bool,
}

impl State {
    /// An apply would have to change what is immutable: what is there is looked at, and what Git says of that.
    pub(crate) fn stuck(&mut self, key: &ObjectKey, error: ApiError, now: Timestamp) {
        self.failed(key, error, now);
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Task::Waiting(until) = managed.task else { return };
        let (granted, deleted) =
            managed.stuck.as_ref().map_or((false, false), |stuck| (stuck.granted, stuck.deleted));
        managed.stuck = Some(Box::new(Stuck { until, undecided: true, granted, deleted }));
        managed.must = Must::Look;
        self.kick(key, now);
    }

    /// What is there and ours cannot be changed: replaced, or tried again later.
    pub(crate) fn decide_stuck(
        &mut self,
        key: &ObjectKey,
        live: &Observed,
        wanted: &Value,
        overlay: Option<Box<Overlay>>,
        now: Timestamp,
    ) {
        let asked = annotation(wanted, REPLACE_ANNOTATION) == Some("true");
        let why_not = if asked { self.grant(key, live, now).err() } else { None };
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Some(stuck) = managed.stuck.as_mut() else { return };
        stuck.undecided = false;
        if asked && why_not.is_none() {
            managed.must = Must::Replace(live.resource_version.clone());
            managed.problem = Some(replacing());
            return;
        }
        let until = stuck.until;
        managed.must = Must::Write(overlay);
        if let (Some(problem), Some(why)) = (&mut managed.problem, why_not)
            && !key.is_secret()
        {
            problem.message = format!("{}; it is not replaced: {why}", problem.message);
        }
        self.wait(key, until);
    }

    /// Spends the budget for a replacement, or says why it may not be.
    fn grant(&mut self, key: &ObjectKey, live: &Observed, now: Timestamp) -> Result<(), &'static str> {
        let entry = self.ledger.entries.get(key).ok_or("it is not ours")?;
        if entry.uid.as_ref() != Some(&live.uid) {
            return Err("it is not ours");
        }
        if live.controlled {
            return Err("a controller owns it");
        }
        if live.kept || entry.keep {
            return Err("rimward.dev/prune is false");
        }
        if NEVER.contains(&(key.group.as_str(), key.kind.as_str())) {
            return Err("its kind is never replaced");
        }
        let active = self.active.as_ref().ok_or("there is no plan")?;
        let Fate::Trimmed(deletion) = active.fate(&entry.app) else {
            return Err("the plan does not have all of its App");
        };
        if self.is_protected(key, deletion) {
            return Err("its kind is protected");
        }
        if !self.trust.is_fresh(now) {
            return Err("the hub's last word has expired");
        }
        if self.is_newer_on_its_way() {
            return Err("a newer plan is on its way");
        }
        let granted = |managed: &Managed| managed.stuck.as_ref().is_some_and(|stuck| stuck.granted);
        if self.objects.get(key).is_some_and(|managed| granted(managed)) {
            return Ok(());
        }
        if self.ledger.spent.deletes >= deletion.max_per_plan {
            return Err("the delete budget of the plan is used up");
        }
        if self.ledger.deleted_in_a_day(now) >= self.settings.deletes_per_day {
            return Err("ceilings.deletesPerDay is reached");
        }
        self.ledger.spent.deletes += 1;
        self.ledger.count_deletions(1, now);
        self.ledger_writer.change();
        let written_first = self.ledger_writer.wanted;
        if let Some(active) = &mut self.active {
            active.ledger = written_first;
        }
        if let Some(stuck) = self.objects.get_mut(key).and_then(|managed| managed.stuck.as_mut()) {
            stuck.granted = true;
        }
        Ok(())
    }

    /// The deletion that makes room, once its budget is written down.
    pub(super) fn next_replace(&self, key: &ObjectKey, want: &Want) -> Next {
        if let Some(app) = self.needs.unmet(&want.bundle) {
            return Next::Refused(depends::waiting(app));
        }
        if self.watches.has_failed(&want.bundle.plan.service_account, key) {
            return Next::Refused(Problem::passing(
                "Unknown",
                "its watch fails; nothing is replaced blindly",
            ));
        }
        if !self.is_ahead() {
            return Next::Blocked;
        }
        Next::Go(Step::Replace, Place { app: Some(want.bundle.id.clone()), rank: apply_rank(key) })
    }

    /// The deletion was answered: what is there now is looked at either way.
    pub(crate) fn replaced(&mut self, key: &ObjectKey, result: Result<(), ApiError>, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.want.is_none() {
            // A plan that does not want it any more sees to what is left of it.
            managed.seen = false;
            return;
        }
        managed.must = Must::Look;
        if let Err(error) = result {
            // Somebody wrote between our read and our delete: read again.
            let kind = if error.kind == ErrorKind::Conflict { ErrorKind::Transient } else { error.kind };
            return self.failed(key, ApiError { kind, ..error }, now);
        }
        (managed.base, managed.problem, managed.fails) = (None, Some(replacing()), 0);
        if let Some(stuck) = &mut managed.stuck {
            (stuck.granted, stuck.deleted) = (false, true);
        }
        self.set_uid(key, None);
        let app = self.ledger.entries.get(key).map(|entry| entry.app.clone());
        let message = format!("{key} was deleted to be made again: a field that differs is immutable");
        self.outbox.event("Replaced", message, app, Some(key.clone()), now);
    }
}

fn replacing() -> Problem {
    Problem::passing("Replacing", "a field is immutable; it is deleted and made again")
}
