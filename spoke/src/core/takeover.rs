//! Objects that are there already and not ours (apply rules 4 and 5): left
//! alone, weighed, or taken over, as the App says. Whose they were stays in the
//! ledger; what taking them would change is reported before anything is taken.

use jiff::Timestamp;
use rimward_proto::object::{APP_LABEL, TENANT_LABEL};
use rimward_proto::plan::Takeover;
use rimward_proto::report::FieldDrift;
use rimward_proto::{Digest, ObjectKey};

use super::drift;
use super::errors::{ApiError, ErrorKind};
use super::event::Live;
use super::flight::{SLOW_FIRST, SLOW_MAX, backoff};
use super::fold;
use super::ignore;
use super::managed::{Foreign, Must, Problem};
use super::observed::other_managers;
use super::state::State;

impl State {
    /// There is something else under this key.
    pub(crate) fn foreign(&mut self, key: &ObjectKey, live: Box<Live>, now: Timestamp) {
        self.set_uid(key, None);
        let Some(managed) = self.objects.get_mut(key) else { return };
        (managed.base, managed.case, managed.taking, managed.left) = (None, None, None, false);
        let Some(mode) = managed.want.as_ref().map(|want| want.bundle.plan.takeover) else { return };
        let never = if live.observed.is_marked_ours() {
            Some("it belongs to another tenant of Rimward")
        } else if live.observed.controlled {
            Some("a controller owns it")
        } else {
            None
        };
        match (never, mode) {
            (Some(why), _) => self.leave_foreign(key, &live, why, Vec::new(), now),
            (None, Takeover::Always) => self.take_over(key, &live),
            (None, Takeover::Refuse | Takeover::IfIdentical) => managed.must = Must::Weigh(live),
        }
    }

    /// What a dry-run of taking it over says.
    pub(crate) fn weighed(
        &mut self,
        key: &ObjectKey,
        digest: Digest,
        live: &Live,
        result: Result<Box<Live>, ApiError>,
        now: Timestamp,
    ) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        managed.must = Must::Look;
        let Some(want) = managed.want.as_ref().filter(|want| want.digest == digest) else { return };
        let mode = want.bundle.plan.takeover;
        match result {
            Ok(dry) => {
                let mut fields = drift::fields(key, &live.body, &dry.body);
                fields.retain(|field| !is_owner_label(field));
                if mode == Takeover::IfIdentical && fields.is_empty() {
                    return self.take_over(key, live);
                }
                self.leave_foreign(key, live, "", fields, now);
            }
            Err(error) if error.kind == ErrorKind::Transient => self.failed(key, error, now),
            Err(error) if matches!(error.kind, ErrorKind::Replaced | ErrorKind::Exists) => {}
            Err(error) => {
                let why = format!("what a takeover would change cannot be told: {}", error.kind);
                self.leave_foreign(key, live, &why, Vec::new(), now);
            }
        }
    }

    /// Takes it: old managers first, so that a crash in between leaves it as foreign as it was.
    fn take_over(&mut self, key: &ObjectKey, live: &Live) {
        let managers = other_managers(&live.body);
        if let Some(entry) = self.ledger.entries.get_mut(key)
            && !managers.is_empty()
            && entry.taken_from != managers
        {
            entry.taken_from = managers;
            self.ledger_writer.change();
        }
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Some(want) = &managed.want else { return };
        managed.taking = Some(live.observed.uid.clone());
        (managed.problem, managed.foreign, managed.fails) = (None, None, 0);
        let paths = ignore::paths(&want.bundle.plan.drift, key);
        managed.must = match fold::patch(&live.body) {
            Some(patch) => Must::Fold(Box::new(patch)),
            None => Must::Write(ignore::overlay(&paths, &live.body, &live.observed.resource_version)),
        };
    }

    /// Leaves it, and says whose it is and what taking it would change.
    fn leave_foreign(
        &mut self,
        key: &ObjectKey,
        live: &Live,
        why: &str,
        fields: Vec<FieldDrift>,
        now: Timestamp,
    ) {
        let managers = other_managers(&live.body);
        let mut message = "exists and is not ours".to_owned();
        if !managers.is_empty() {
            message = format!("{message}; managed by {}", managers.join(", "));
        }
        if !why.is_empty() {
            message = format!("{message}; {why}");
        } else if !fields.is_empty() {
            message = format!("{message}; a takeover would change {} fields", fields.len());
        }
        let Some(managed) = self.objects.get_mut(key) else { return };
        (managed.must, managed.seen) = (Must::Look, true);
        managed.fails += 1;
        managed.problem = Some(Problem::error(ErrorKind::Conflict, message));
        managed.foreign = Some(Box::new(Foreign { managers, fields }));
        let until = now + backoff(SLOW_FIRST, SLOW_MAX, managed.fails);
        self.wait(key, until);
    }

    /// The managers were folded, or not: what is there now is looked at either way.
    pub(crate) fn folded(&mut self, key: &ObjectKey, result: Result<Box<Live>, ApiError>, now: Timestamp) {
        if let Some(managed) = self.objects.get_mut(key) {
            managed.must = Must::Look;
        }
        if let Err(error) = result {
            self.not_written(key, error, now);
        }
    }
}

fn is_owner_label(field: &FieldDrift) -> bool {
    let path = field.path.strip_prefix("/metadata/labels/").unwrap_or_default();
    let label = path.replace("~1", "/");
    label == TENANT_LABEL || label == APP_LABEL
}
