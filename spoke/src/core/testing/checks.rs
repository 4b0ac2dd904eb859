//! What must never happen, checked at every single effect of every test.

use jiff::SignedDuration;
use rimward_proto::ObjectKey;
use rimward_proto::object::{REPLACE_ANNOTATION, annotation};

use super::world::World;
use crate::core::effect::{ApplyWork, DeleteWork};

/// Counting is to the hour, so a whole day would be counted short by one.
const HALF_A_DAY: SignedDuration = SignedDuration::from_hours(12);

impl World {
    /// What must hold of every apply.
    pub fn check_apply(&self, apply: &ApplyWork) {
        let key = &apply.target.key;
        let app = &apply.body.app;
        let ns = if key.kind == "Namespace" { &key.name } else { &key.namespace };
        let inside = *ns == *app.tenant.as_str() || ns.starts_with(&format!("{}-", app.tenant));
        assert!(inside || key.namespace.is_empty(), "{key} is outside of {}", app.tenant);
        assert_eq!(apply.target.service_account, format!("rimward-tenants/{}", app.tenant));
        if !apply.dry_run {
            let ledger = self.ledger.as_ref().expect("applied without a durable ledger");
            assert!(ledger.entries.contains_key(key), "{key} was applied before the ledger had it");
        }
    }

    /// What must hold of the deletion of something that is to be made again.
    fn check_replace(&self, delete: &DeleteWork) {
        let key = &delete.target.key;
        let want =
            self.state.objects.get(key).and_then(|managed| managed.want.as_ref()).expect("it is wanted");
        let body: serde_json::Value = serde_json::from_slice(&self.store[&want.body]).unwrap();
        let asked = annotation(&body, REPLACE_ANNOTATION);
        assert_eq!(asked, Some("true"), "deleted {key}, which the plan in force wants");
        assert!(!["Namespace", "CustomResourceDefinition"].contains(&key.kind.as_str()), "replaced {key}");
        let active = self.state.active.as_ref().map(|active| active.digest);
        let durable = self.ledger.as_ref().map(|ledger| &ledger.spent).expect("a durable ledger");
        assert_eq!(durable.plan, active);
        let others = self.deletions.iter().filter(|((digest, _), _)| Some(*digest) == active);
        let others: usize =
            others.map(|(_, uids)| uids.iter().filter(|uid| **uid != delete.uid).count()).sum();
        assert!(
            durable.deletes as usize > others,
            "replaced {key} before the budget for it was written down"
        );
    }

    /// True if the plan in force wants it.
    pub fn is_wanted(&self, key: &ObjectKey) -> bool {
        self.state.objects.get(key).is_some_and(|managed| managed.want.is_some())
    }

    /// Every deletion made was counted durably before, so that a crash does not make the day's ceiling larger.
    pub fn check_counted(&mut self) {
        self.deleted.push(self.now);
        let lately = self.deleted.iter().filter(|at| self.now.duration_since(**at) < HALF_A_DAY).count();
        let counted = self.ledger.as_ref().map_or(0, |ledger| ledger.deleted_in_a_day(self.now));
        assert!(counted >= lately as u64, "{lately} deletions, and {counted} counted");
    }

    /// What must hold of every delete, at the moment it is asked for.
    pub fn check_delete(&mut self, delete: &DeleteWork) {
        let key = &delete.target.key;
        let entry =
            self.state.ledger.entries.get(key).expect("deleted something that the ledger does not have");
        assert_eq!(entry.uid.as_ref(), Some(&delete.uid), "deleted another object than the ledger has");
        self.check_proved(delete);
        if self.is_wanted(key) {
            self.check_replace(delete);
        }
        assert!(self.state.trust.is_fresh(self.now), "deleted under a stale head");
        let active = self.state.active.as_ref().expect("deleted without a plan");
        if entry.latch != crate::core::ledger::Latch::Approved {
            self.deletions.entry((active.digest, active.seq)).or_default().insert(delete.uid.clone());
        }
    }
}
