//! What a comparison says (apply rules 7 and 12): a forced dry-run of what an
//! object shall be, against what was read. Where none is to be had, because a
//! webhook takes no dry-runs or a policy refuses the request, what the server
//! would make of it is guessed from the manifest, and what is told of it says so.

use jiff::Timestamp;
use rimward_proto::plan::DriftMode;
use rimward_proto::{Digest, ObjectKey};
use serde_json::Value;

use super::drift;
use super::effect::Overlay;
use super::errors::{ApiError, ErrorKind};
use super::event::Live;
use super::ignore;
use super::managed::{Must, Seen};
use super::observed::Observed;
use super::state::State;

/// True of an error that refuses the question, and says nothing about the object.
pub(crate) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::NoDryRun)
}

impl State {
    /// A dry-run was answered.
    pub(crate) fn verified(
        &mut self,
        key: &ObjectKey,
        digest: Digest,
        seen: Seen,
        result: Result<Box<Live>, ApiError>,
        now: Timestamp,
    ) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let dry = match result {
            Ok(dry) => dry,
            Err(error) if managed.audit => return self.not_audited(key, error, now),
            Err(error) if is_refusal(error.kind) => {
                (managed.must, managed.guess) = (Must::Look, true);
                return;
            }
            Err(error) => {
                managed.must = Must::Look;
                return self.not_written(key, error, now);
            }
        };
        let before = Observed::from_object(&managed.judge, &key.group, &key.kind, &seen.body);
        if before.as_ref().is_some_and(|before| before.resource_version != dry.observed.resource_version) {
            // Somebody wrote between the two: what differs is not known to be a drift.
            return self.compared_in_vain(key, now);
        }
        match before {
            Some(before) => self.compared(key, digest, (before, seen), &dry, false, now),
            None => managed.must = Must::Write(seen.overlay),
        }
    }

    /// The same without a dry-run: what is there with what is wanted laid over it.
    pub(crate) fn guessed(
        &mut self,
        key: &ObjectKey,
        live: Live,
        wanted: &Value,
        overlay: Option<Box<Overlay>>,
        digest: Digest,
        now: Timestamp,
    ) {
        let wanted = match &overlay {
            Some(overlay) => ignore::lay(wanted.clone(), overlay),
            None => wanted.clone(),
        };
        let Live { observed, body } = live;
        let after = Live { observed: observed.clone(), body: laid_over(&body, &wanted) };
        self.compared(key, digest, (observed, Seen { body, overlay }), &after, true, now);
    }

    fn compared(
        &mut self,
        key: &ObjectKey,
        digest: Digest,
        (before, seen): (Observed, Seen),
        after: &Live,
        approximate: bool,
        now: Timestamp,
    ) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Some(want) = managed.want.as_ref().filter(|want| want.digest == digest) else {
            managed.must = Must::Look;
            return;
        };
        let mode = want.bundle.plan.drift.mode;
        let Seen { body, overlay } = seen;
        if drift::is_no_op(&before, &body, after, overlay.is_some()) {
            self.settled(key, &before, digest, now);
            self.note_kept(key, &before);
        } else if managed.base.as_ref().is_none_or(|base| base.uid != before.uid) {
            managed.must = Must::Write(overlay);
        } else if mode == DriftMode::Revert {
            // It was as it shall be, and somebody changed it.
            self.repair(key, body, overlay, now);
        } else {
            self.settled_as_found(key, &before, (&body, &after.body), approximate, digest, now);
        }
    }
}

/// `live` with everything that `wanted` says. Lists of one length are taken to be the same list, as they are when the
/// server has only added its defaults.
fn laid_over(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut map = live.clone();
            for (field, wanted) in wanted {
                match live.get(field) {
                    Some(live) => _ = map.insert(field.clone(), laid_over(live, wanted)),
                    None if drift::is_empty(wanted) => {}
                    None => _ = map.insert(field.clone(), wanted.clone()),
                }
            }
            Value::Object(map)
        }
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            live.iter().zip(wanted).map(|(live, wanted)| laid_over(live, wanted)).collect()
        }
        (_, wanted) => wanted.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_stay_and_what_is_wanted_wins() {
        let live = json!({"spec": {"a": 1, "list": [{"name": "x", "default": true}], "other": [1, 2]}, "status": {}});
        let wanted = json!({"spec": {"a": 2, "list": [{"name": "x"}], "other": [1], "none": [], "new": "n"}});
        let expected = json!({"spec": {"a": 2, "list": [{"name": "x", "default": true}], "other": [1], "new": "n"},
            "status": {}});
        assert_eq!(laid_over(&live, &wanted), expected);
        assert_eq!(laid_over(&live, &json!({"spec": {"a": 1}})), live);
    }
}
