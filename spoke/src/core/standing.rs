//! Drift that is left as it is (`drift.mode: report` and `none`): told once,
//! with an end when it is over, and never put back. New content from Git is
//! applied all the same.

use jiff::Timestamp;
use rimward_proto::plan::DriftMode;
use rimward_proto::report::{DriftAction, DriftReport, DriftType};
use rimward_proto::{Digest, ObjectKey};
use serde_json::Value;

use super::drift;
use super::managed::{Case, Must, Problem};
use super::observed::Observed;
use super::state::State;

impl State {
    /// Changed by somebody, and left so: what it is now is what the next change is told from.
    pub(crate) fn settled_as_found(
        &mut self,
        key: &ObjectKey,
        before: &Observed,
        (live, after): (&Value, &Value),
        approximate: bool,
        digest: Digest,
        now: Timestamp,
    ) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let detected = managed.noticed.unwrap_or(now);
        let standing = managed.standing.take();
        let fields = drift::fields(key, live, after);
        self.settled(key, before, digest, now);
        if fields.is_empty() {
            if let Some(standing) = standing {
                self.end_drift(*standing, now);
            }
            return;
        }
        let same = standing.as_ref().is_some_and(|standing| standing.fields == fields);
        let standing = if same {
            standing
        } else {
            if let Some(old) = standing {
                self.end_drift(*old, now);
            }
            let manager = drift::manager(live, &fields);
            let case = Case { kind: DriftType::Changed, detected, before: Value::Null };
            self.begin_drift(key, &case, manager, fields, approximate)
        };
        if let Some(managed) = self.objects.get_mut(key) {
            managed.standing = standing;
        }
    }

    /// Deleted by somebody: true if the App says to leave it so, unless Git has something new for it.
    pub(crate) fn leaves_gone(&mut self, key: &ObjectKey, now: Timestamp) -> bool {
        let Some(managed) = self.objects.get_mut(key) else { return false };
        let Some(want) = &managed.want else { return false };
        let mode = want.bundle.plan.drift.mode;
        let as_wanted = managed.base.as_ref().is_some_and(|base| base.digest == want.digest);
        if mode == DriftMode::Revert || !as_wanted {
            return false;
        }
        let known = std::mem::replace(&mut managed.left, true);
        let detected = managed.noticed.take().unwrap_or(now);
        (managed.must, managed.seen) = (Must::Nothing, true);
        let message = "deleted by somebody; drift.mode says not to make it again";
        managed.problem = Some(Problem { reason: "Deleted", message: message.to_owned(), passing: false });
        if !known && mode == DriftMode::Report {
            let old = managed.standing.take();
            if let Some(old) = old {
                self.end_drift(*old, now);
            }
            let case = Case { kind: DriftType::Deleted, detected, before: Value::Null };
            let standing = self.begin_drift(key, &case, String::new(), Vec::new(), false);
            if let Some(managed) = self.objects.get_mut(key) {
                managed.standing = standing;
            }
        }
        true
    }

    /// It is as it shall be: a drift that stood is over.
    pub(crate) fn drift_over(&mut self, key: &ObjectKey, now: Timestamp) {
        if let Some(standing) = self.objects.get_mut(key).and_then(|managed| managed.standing.take()) {
            self.end_drift(*standing, now);
        }
    }

    /// To a new stream: what stands, in case the hub has forgotten it.
    pub(crate) fn tell_standing(&mut self) {
        let standing = self.objects.values().filter_map(|managed| managed.standing.as_deref().cloned());
        let standing: Vec<DriftReport> = standing.collect();
        standing.into_iter().for_each(|report| self.outbox.drift_again(report));
    }

    fn begin_drift(
        &mut self,
        key: &ObjectKey,
        case: &Case,
        manager: String,
        fields: Vec<rimward_proto::report::FieldDrift>,
        approximate: bool,
    ) -> Option<Box<DriftReport>> {
        let mut report = self.drift_report(key, case, manager, fields)?;
        (report.action, report.approximate) = (DriftAction::Reported, approximate);
        self.outbox.drift(report.clone());
        Some(Box::new(report))
    }

    fn end_drift(&mut self, mut report: DriftReport, now: Timestamp) {
        let millis = now.duration_since(report.detected).as_millis();
        report.restored_millis = Some(u64::try_from(millis).unwrap_or(0));
        self.outbox.drift_again(report);
    }
}
