//! What watches say, and what it means: news is a reason to look, never proof
//! (apply rules 7 and 8).

use std::collections::BTreeSet;

use jiff::Timestamp;
use rimward_proto::ObjectKey;
use rimward_proto::plan::DriftMode;

use super::effect::WatchSpec;
use super::managed::{Must, News, Prune, Task};
use super::observed::Observed;
use super::state::State;

impl State {
    pub(crate) fn watch_synced(&mut self, watch: &WatchSpec, objects: Vec<Observed>, now: Timestamp) {
        if !self.watches.is_followed(watch) {
            return;
        }
        let recovered = self.watches.recovered(watch);
        let mut absent: BTreeSet<ObjectKey> = self.covered(watch).into_iter().collect();
        for observed in objects {
            if !self.is_theirs(watch, &observed.key) {
                continue;
            }
            absent.remove(&observed.key);
            // A list is the present, also where resourceVersions went back with a restored etcd.
            self.news(observed, now);
        }
        for key in absent {
            self.missed(&key, now);
        }
        if recovered {
            // Perhaps because another API server is in its place.
            self.kinds.want();
            for key in self.covered(watch) {
                self.mark(&key);
                self.kick(&key, now);
            }
        }
        // A list that comes every minute settles nothing unless something of it is new.
        self.settle |= recovered || self.watches.is_running(watch);
    }

    /// True of objects that the watch's own account made: others', with the same label and in the same place, it judges
    /// by conditions that are not theirs.
    fn is_theirs(&self, watch: &WatchSpec, key: &ObjectKey) -> bool {
        let entry = self.ledger.entries.get(key);
        entry.is_some_and(|entry| entry.service_account == watch.service_account)
    }

    /// A watch shows an object. One that was replaced by another is not listened to any more: it judges by conditions
    /// that are gone.
    pub(crate) fn watch_told(&mut self, watch: &WatchSpec, observed: Observed, now: Timestamp) {
        if self.watches.is_running(watch) && self.is_theirs(watch, &observed.key) {
            self.watch_upsert(observed, now);
        }
    }

    pub(crate) fn watch_upsert(&mut self, observed: Observed, now: Timestamp) {
        let Some(managed) = self.objects.get(&observed.key) else { return };
        if !observed.older_than(&managed.resource_version) {
            self.news(observed, now);
        }
    }

    fn news(&mut self, observed: Observed, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(&observed.key) else { return };
        if matches!(managed.task, Task::Flying(_)) {
            managed.news = Some(Box::new(News { observed: Some(observed), at: now }));
            return;
        }
        self.seen(observed, now);
    }

    pub(crate) fn watch_deleted(&mut self, watch: &WatchSpec, key: &ObjectKey, uid: &str, now: Timestamp) {
        if !self.is_theirs(watch, key) {
            return;
        }
        let known = self.ledger.entries.get(key).and_then(|entry| entry.uid.as_deref());
        if known.is_some_and(|known| known != uid) {
            return;
        }
        self.missed(key, now);
    }

    /// An object that a watch should show is not there, or lost our label.
    fn missed(&mut self, key: &ObjectKey, now: Timestamp) {
        let entry = self.ledger.entries.get(key);
        let found = entry.is_some_and(|entry| entry.found);
        let uid = entry.is_some_and(|entry| entry.uid.is_some());
        let Some(managed) = self.objects.get_mut(key) else { return };
        if matches!(managed.task, Task::Flying(_)) {
            managed.news = Some(Box::new(News { observed: None, at: now }));
            return;
        }
        match managed.prune {
            _ if managed.want.is_some() => {
                if uid || managed.base.is_some() {
                    managed.noticed.get_or_insert(now);
                    managed.must = Must::Look;
                }
            }
            Prune::Found(_) | Prune::Controlled => managed.prune = Prune::Probe,
            // Nothing prunes it: it leaves the ledger when somebody else has removed it.
            Prune::Keep if found => managed.prune = Prune::Probe,
            Prune::Keep => {
                // Whoever wants it next has to look for it.
                managed.noticed.get_or_insert(now);
                self.settle = true;
            }
            Prune::Probe | Prune::Delete(_) | Prune::Confirm => {}
        }
        self.mark(key);
        self.kick(key, now);
    }

    /// An object as a watch shows it.
    pub(crate) fn seen(&mut self, observed: Observed, now: Timestamp) {
        let key = observed.key.clone();
        let uid = self.ledger.entries.get(&key).and_then(|entry| entry.uid.clone());
        let Some(managed) = self.objects.get_mut(&key) else { return };
        let looked_at =
            managed.resource_version == observed.resource_version && managed.must != Must::Nothing;
        managed.resource_version.clone_from(&observed.resource_version);
        if managed.want.is_some() && looked_at {
            return self.touch(&key, now);
        }
        if managed.want.is_none() {
            if let Prune::Found(at) = &mut managed.prune {
                let gone_on = observed.controlled || observed.kept || observed.fingerprint.deleting;
                if uid.as_deref() == Some(observed.uid.as_str()) && !gone_on {
                    at.clone_from(&observed.resource_version);
                } else {
                    managed.prune = Prune::Probe;
                }
            } else if managed.prune == Prune::Controlled && !observed.controlled {
                managed.prune = Prune::Probe;
            }
            self.kick(&key, now);
            return;
        }
        let base = managed.base.as_ref();
        let app = managed.want.as_ref().map(|want| &want.bundle.id);
        let labelled = app.is_some_and(|app| {
            observed.tenant.as_deref() == Some(app.tenant.as_str())
                && observed.app.as_deref() == Some(app.app.as_str())
        });
        // While another body is on its way, the labels may still be those of the App it moves from.
        let labelled =
            labelled || base.map(|base| base.digest) != managed.want.as_ref().map(|want| want.digest);
        let as_applied = labelled
            && base.is_some_and(|base| base.uid == observed.uid && base.fingerprint == observed.fingerprint);
        let looks_away = managed.want.as_ref().is_some_and(|want| {
            want.bundle.plan.drift.mode == DriftMode::None
                && base.is_some_and(|base| base.uid == observed.uid && base.digest == want.digest)
        });
        // While a drift stands, its manager may go on changing what it owns already: no entry shows that.
        let as_applied = (as_applied && managed.standing.is_none()) || looks_away;
        if as_applied {
            let first = !std::mem::replace(&mut managed.seen, true);
            let digest = base.map(|base| base.digest);
            let changed = managed.set_health(&observed, now);
            let timeout = managed.unhealthy.is_some() && (changed || first);
            if managed.must == Must::Look && managed.case.is_none() && !observed.unfolded {
                // It was missing and is back as it was: a relist crossed an event.
                (managed.must, managed.noticed) = (Must::Nothing, None);
            }
            if changed && key.kind == "CustomResourceDefinition" {
                self.kinds.defined();
            }
            if let Some(digest) = digest {
                self.note_finished(&key, &observed, digest);
            }
            if timeout {
                self.health_alarm(&key, now);
            }
            if first || changed {
                self.mark(&key);
                self.settle |= first;
            }
            self.touch(&key, now);
        } else {
            managed.noticed.get_or_insert(now);
            managed.must = Must::Look;
            self.kick(&key, now);
        }
    }
}
