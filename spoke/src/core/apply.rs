//! What an answer about a wanted object means (apply rules 4, 7, 8, 12): whose
//! it is, whether it is as it shall be, and what has to be done next.

use jiff::{SignedDuration, Timestamp};
use rimward_proto::plan::DriftMode;
use rimward_proto::report::DriftType;
use rimward_proto::{Digest, ObjectKey};
use serde_json::Value;

use super::drift;
use super::effect::Overlay;
use super::errors::{ApiError, ErrorKind};
use super::event::{Live, Outcome};
use super::flight::{FAST_FIRST, FAST_MAX, backoff};
use super::fold;
use super::ignore;
use super::managed::{Base, Case, Must, News, Problem, REPAIR_SECONDS, Seen, Step, Task};
use super::observed::{Observed, other_managers};
use super::state::State;

impl State {
    /// A request about an object ended.
    pub(crate) fn object_done(&mut self, key: &ObjectKey, outcome: Outcome, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Task::Flying(step) = std::mem::take(&mut managed.task) else { return };
        let audited = managed.audit.then(|| managed.health.clone());
        let wanted_still = managed.want.is_some();
        match (step, outcome) {
            (Step::Look, Outcome::Got { live, wanted }) if wanted_still => {
                self.looked(key, live, wanted, now)
            }
            (Step::Write(digest), Outcome::Applied(result)) => self.written(key, digest, result, now),
            (Step::Verify(digest, seen), Outcome::Applied(result)) if wanted_still => {
                self.verified(key, digest, *seen, result, now);
            }
            (Step::Weigh(digest, live), Outcome::Applied(result)) if wanted_still => {
                self.weighed(key, digest, &live, result, now);
            }
            (Step::Replace, Outcome::Deleted(result)) => self.replaced(key, result, now),
            (Step::Fold, Outcome::Applied(result)) if wanted_still => self.folded(key, result, now),
            (Step::Probe, Outcome::Got { live, .. }) if !wanted_still => self.probed(key, live, now),
            (Step::Confirm, Outcome::Got { live, .. }) if !wanted_still => self.confirmed(key, live, now),
            (Step::Delete, Outcome::Deleted(result)) => self.deleted(key, result, now),
            // A new plan has changed what this object is; what it needs now is decided afresh.
            _ => {}
        }
        let news = self.objects.get_mut(key).and_then(|managed| managed.news.take());
        if let Some(news) = news {
            let News { observed, at } = *news;
            match observed {
                Some(observed) => self.watch_upsert(observed, at),
                None => self.left_in_flight(key, at),
            }
        }
        let health = |state: &Self| state.objects.get(key).map(|managed| managed.health.clone());
        let same = audited.is_some_and(|before| self.audited(key) && health(self) == Some(before));
        if !same {
            self.settle = true;
            self.mark(key);
        }
        self.touch(key, now);
        let known = self.ledger.entries.contains_key(key);
        if !known && self.objects.get(key).is_some_and(|managed| managed.want.is_none()) {
            self.objects.remove(key);
        }
    }

    /// The object left its watch while a request was in flight: the answer may be older or newer than that.
    fn left_in_flight(&mut self, key: &ObjectKey, at: Timestamp) {
        let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.as_ref()).is_some();
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.want.is_some() && uid && managed.must == Must::Nothing {
            managed.noticed.get_or_insert(at);
            managed.must = Must::Look;
        }
        self.kick(key, at);
    }

    fn looked(
        &mut self,
        key: &ObjectKey,
        live: Result<Option<Box<Live>>, ApiError>,
        wanted: Option<Value>,
        now: Timestamp,
    ) {
        match live {
            Err(error) if self.is_audit(key) => self.not_audited(key, error, now),
            Err(error) => self.failed(key, error, now),
            Ok(None) => self.absent(key, now),
            Ok(Some(live)) if live.observed.fingerprint.deleting => self.terminating(key, now),
            Ok(Some(live)) if !self.is_ours(key, &live.observed) => match wanted {
                Some(_) => self.foreign(key, live, now),
                None => self.incomplete(key, now),
            },
            Ok(Some(live)) => match wanted {
                Some(wanted) => self.judge(key, *live, &wanted, now),
                None => self.incomplete(key, now),
            },
        }
    }

    fn incomplete(&mut self, key: &ObjectKey, now: Timestamp) {
        self.failed(key, ApiError::new(ErrorKind::Incomplete, "its content is being fetched"), now);
    }

    /// Ours: the UID in the ledger, or our Apply entry plus our label.
    fn is_ours(&self, key: &ObjectKey, live: &Observed) -> bool {
        let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.as_deref());
        let want = self.objects.get(key).and_then(|managed| managed.want.as_ref());
        let tenant = want.map(|want| want.bundle.id.tenant.as_str());
        uid == Some(live.uid.as_str()) || (live.is_marked_ours() && live.tenant.as_deref() == tenant)
    }

    pub(crate) fn set_uid(&mut self, key: &ObjectKey, uid: Option<&str>) {
        if let Some(entry) = self.ledger.entries.get_mut(key)
            && entry.uid.as_deref() != uid
        {
            entry.uid = uid.map(str::to_owned);
            self.ledger_writer.change();
            if uid.is_none() {
                // What comes in its place gets another UID: should a crash come first, the ledger must not hold the old one
                // against it.
                self.ahead_of.insert(key.clone(), self.ledger_writer.wanted);
            }
        }
    }

    /// What was just applied says whether it may be pruned one day.
    pub(crate) fn note_kept(&mut self, key: &ObjectKey, applied: &Observed) {
        if let Some(entry) = self.ledger.entries.get_mut(key)
            && entry.keep != applied.kept_by_us
        {
            entry.keep = applied.kept_by_us;
            self.ledger_writer.change();
        }
    }

    fn absent(&mut self, key: &ObjectKey, now: Timestamp) {
        if self.is_gone_for_good(key) {
            return;
        }
        let was_there = self.ledger.entries.get(key).is_some_and(|entry| entry.uid.is_some());
        if was_there && self.leaves_gone(key, now) {
            return;
        }
        self.set_uid(key, None);
        let Some(managed) = self.objects.get_mut(key) else { return };
        if was_there {
            let detected = managed.noticed.unwrap_or(now);
            managed.case = Some(Box::new(Case { kind: DriftType::Deleted, detected, before: Value::Null }));
        }
        (managed.base, managed.must, managed.problem) = (None, Must::Write(None), None);
        (managed.taking, managed.foreign, managed.left) = (None, None, false);
        managed.resource_version.clear();
        self.spend_repair(key, now);
    }

    fn terminating(&mut self, key: &ObjectKey, now: Timestamp) {
        if self.is_gone_for_good(key) {
            return;
        }
        let Some(managed) = self.objects.get_mut(key) else { return };
        managed.fails += 1;
        (managed.must, managed.seen) = (Must::Look, true);
        let message = if managed.stuck.as_ref().is_some_and(|stuck| stuck.deleted) {
            "deleted to be made again; its finalizers are not done"
        } else {
            "somebody deletes it; it is made again once it is gone"
        };
        managed.problem = Some(Problem::passing("Terminating", message));
        let until = now + backoff(FAST_FIRST, FAST_MAX, managed.fails);
        self.wait(key, until);
    }

    /// Ours and there: is it as it shall be?
    fn judge(&mut self, key: &ObjectKey, live: Live, wanted: &Value, now: Timestamp) {
        let Live { observed, body } = live;
        self.set_uid(key, Some(&observed.uid));
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Some(want) = &managed.want else { return };
        let (digest, policy) = (want.digest, &want.bundle.plan.drift);
        (managed.taking, managed.left) = (None, false);
        managed.resource_version.clone_from(&observed.resource_version);
        let paths = ignore::paths(policy, key);
        let overlay = ignore::overlay(&paths, &body, &observed.resource_version);
        if managed.stuck.as_ref().is_some_and(|stuck| stuck.undecided) {
            return self.decide_stuck(key, &observed, wanted, overlay, now);
        }
        if (observed.unfolded || observed.fingerprint.ours.is_none())
            && let Some(patch) = fold::patch(&body)
        {
            // Our entry has vanished, or the server holds fields for whoever was there before it.
            managed.must = Must::Fold(Box::new(patch));
            return;
        }
        if std::mem::take(&mut managed.guess) {
            return self.guessed(key, Live { observed, body }, wanted, overlay, digest, now);
        }
        let base = managed.base.clone().filter(|base| base.uid == observed.uid);
        let Some(base) = base else {
            (managed.base, managed.must) = (None, Must::Verify(Box::new(Seen { body, overlay })));
            return;
        };
        if base.digest != digest {
            managed.must = Must::Write(overlay);
            return;
        }
        let as_applied = drift::is_unchanged(&base.fingerprint, &observed.fingerprint, &body, wanted);
        if as_applied && !managed.audit || policy.mode == DriftMode::None {
            return self.settled(key, &observed, digest, now);
        }
        // Whose change it is decides, and where others may change a part, only the server can tell.
        if managed.audit || policy.mode == DriftMode::Report || !paths.is_empty() {
            managed.must = Must::Verify(Box::new(Seen { body, overlay }));
            return;
        }
        self.repair(key, body, overlay, now);
    }

    /// Puts a drifted object back.
    pub(crate) fn repair(
        &mut self,
        key: &ObjectKey,
        body: Value,
        overlay: Option<Box<Overlay>>,
        now: Timestamp,
    ) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let detected = managed.noticed.unwrap_or(now);
        managed.case = Some(Box::new(Case { kind: DriftType::Changed, detected, before: body }));
        (managed.must, managed.problem) = (Must::Write(overlay), None);
        self.spend_repair(key, now);
    }

    /// Takes a repair from the object's bucket; an empty one means that somebody fights back.
    fn spend_repair(&mut self, key: &ObjectKey, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.case.is_none() || managed.repairs.take(now) {
            return;
        }
        let managers =
            managed.case.as_ref().map(|case| other_managers(&case.before).join(", ")).unwrap_or_default();
        let said = managed.problem.as_ref().is_some_and(|problem| problem.reason == "Contended");
        let message = format!("changed back again and again by {managers}; repairs are slowed down");
        managed.problem = Some(Problem { reason: "Contended", message, passing: false });
        let case = managed.case.take();
        managed.must = Must::Look;
        self.wait(key, now + SignedDuration::from_secs(REPAIR_SECONDS));
        if let Some(case) = case.filter(|_| !said) {
            self.report_contended(key, &case);
        }
    }

    /// It is as it shall be.
    pub(crate) fn settled(&mut self, key: &ObjectKey, observed: &Observed, digest: Digest, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let base = Base { uid: observed.uid.clone(), digest, fingerprint: observed.fingerprint };
        if managed.base.as_ref().is_none_or(|before| before.digest != digest || before.uid != base.uid) {
            managed.restart_clock();
        }
        if managed.base.as_ref() != Some(&base) {
            managed.base = Some(base);
            self.baselines.change();
        }
        managed.resource_version.clone_from(&observed.resource_version);
        (managed.must, managed.problem, managed.noticed) = (Must::Nothing, None, None);
        (managed.fails, managed.seen) = (0, true);
        (managed.taking, managed.foreign, managed.left, managed.over) = (None, None, false, false);
        managed.stuck = None;
        if observed.unfolded {
            managed.must = Must::Look;
        }
        managed.set_health(observed, now);
        self.drift_over(key, now);
        self.health_alarm(key, now);
        self.set_uid(key, Some(&observed.uid));
        self.note_finished(key, observed, digest);
    }

    fn written(
        &mut self,
        key: &ObjectKey,
        digest: Digest,
        result: Result<Box<Live>, ApiError>,
        now: Timestamp,
    ) {
        let live = match result {
            Ok(live) => live,
            Err(error) => return self.not_written(key, error, now),
        };
        let case = self.objects.get_mut(key).and_then(|managed| managed.case.take());
        self.settled(key, &live.observed, digest, now);
        self.note_kept(key, &live.observed);
        if let Some(case) = case {
            self.report_drift(key, &case, &live.body, now);
        }
        let wanted = self.objects.get_mut(key).is_some_and(|managed| {
            if managed.want.is_none() {
                // Written for a plan that is gone: it is there, and prune has to see it.
                managed.seen = false;
            }
            managed.want.is_some()
        });
        if wanted && key.group.is_empty() && key.kind == "Namespace" {
            self.tenants.namespace_made(&key.name);
            self.kick_problems(&["NamespaceMissing"], now);
        }
        if wanted && key.kind == "CustomResourceDefinition" {
            self.kinds.defined();
        }
    }

    pub(crate) fn not_written(&mut self, key: &ObjectKey, error: ApiError, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        match error.kind {
            // What is there has to be seen before anything is said or done about it.
            ErrorKind::Exists | ErrorKind::Replaced => {
                managed.must = Must::Look;
                managed.noticed.get_or_insert(now);
                managed.fails += 1;
                if managed.fails > 1 {
                    let until = now + backoff(FAST_FIRST, FAST_MAX, managed.fails - 1);
                    self.wait(key, until);
                }
            }
            ErrorKind::Immutable => self.stuck(key, error, now),
            // A forced apply conflicts only when somebody writes at the same moment.
            ErrorKind::Conflict => {
                // What was to be sent back may be what they changed.
                managed.must = Must::Look;
                let error = ApiError { kind: ErrorKind::Transient, ..error };
                self.failed(key, error, now);
            }
            _ => self.failed(key, error, now),
        }
    }
}
