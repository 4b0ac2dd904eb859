//! What watches say, and what it means: news is a reason to look, never proof
//! (apply rules 7 and 8).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::ObjectKey;
use rimward_proto::plan::DriftMode;

use super::effect::{Effect, WatchSpec};
use super::managed::{Must, News, Prune, Task};
use super::observed::Observed;
use super::state::State;

/// Watches at once (apply rule 9): each is a connection's worth of the API server's memory. Beyond it, objects are
/// reported as Unknown rather than left unwatched in silence.
pub const MAX_WATCHES: usize = 512;

/// All watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watches {
    running: BTreeSet<WatchSpec>,
    failed: BTreeMap<WatchSpec, String>,
    /// The set may have to change.
    pub stale: bool,
    /// Entries left the ledger: the set may shrink, when there is time.
    pub shrunk: bool,
}

impl Watches {
    /// True if what covers this object cannot be listed.
    pub fn has_failed(&self, service_account: &str, key: &ObjectKey) -> bool {
        let covers = |spec: &WatchSpec| spec.covers(key) && spec.service_account == service_account;
        !self.failed.is_empty() && self.failed.keys().any(covers)
    }
}

impl State {
    /// Asks for the watches that the ledger needs, if they changed.
    pub(crate) fn advance_watches(&mut self) {
        if !std::mem::take(&mut self.watches.stale) {
            return;
        }
        let (mut specs, mut unserved) = (BTreeSet::new(), BTreeSet::new());
        for entry in self.ledger.entries.values() {
            let kind = self.kinds.kind(&entry.key);
            let served = kind.is_some_and(|kind| {
                kind.versions.contains(&entry.version) && kind.namespaced != entry.key.namespace.is_empty()
            });
            if self.tenants.is_usable(&entry.service_account) {
                let judge = self.objects.get(&entry.key).map(|managed| managed.judge.clone());
                let specs = if served { &mut specs } else { &mut unserved };
                specs.insert(WatchSpec {
                    service_account: entry.service_account.clone(),
                    group: entry.key.group.clone(),
                    version: entry.version.clone(),
                    kind: entry.key.kind.clone(),
                    namespace: entry.key.namespace.clone(),
                    judge: judge.unwrap_or_default(),
                });
            }
        }
        let beyond: Vec<WatchSpec> = specs.iter().skip(MAX_WATCHES).cloned().collect();
        for spec in beyond {
            specs.remove(&spec);
            self.watches.failed.insert(spec, format!("more than {MAX_WATCHES} watches"));
        }
        let gone = self.not_served(unserved, &specs);
        let over = |why: &String| why.starts_with("more than");
        let watches = &mut self.watches;
        // A watch that is made anew, to judge by other conditions, knows no more than the one before until it lists.
        for (failed, why) in watches.failed.clone().into_iter().filter(|(_, why)| !over(why)) {
            let anew = specs.iter().find(|spec| spec.is_same_place(&failed) && **spec != failed);
            if let Some(anew) = anew.filter(|_| !specs.contains(&failed)) {
                watches.failed.insert(anew.clone(), why);
            }
        }
        watches.failed.retain(|spec, why| gone.contains(spec) || specs.contains(spec) != over(why));
        if watches.running != specs {
            watches.running.clone_from(&specs);
            self.out.push(Effect::SetWatches(specs));
        }
    }

    /// What an API server has stopped to serve cannot be followed, and fails like a watch that cannot be listed: until it
    /// is served and listed again.
    fn not_served(
        &mut self,
        unserved: BTreeSet<WatchSpec>,
        served: &BTreeSet<WatchSpec>,
    ) -> BTreeSet<WatchSpec> {
        let is_followed = |spec: &WatchSpec| served.iter().any(|other| other.is_same_place(spec));
        let gone = unserved.into_iter().filter(|spec| self.kinds.is_known() && !is_followed(spec));
        let gone: BTreeSet<WatchSpec> = gone.collect();
        for spec in &gone {
            self.fail_watch(spec, "its kind is not served now");
        }
        gone
    }

    fn fail_watch(&mut self, watch: &WatchSpec, message: &str) {
        if self.watches.failed.insert(watch.clone(), message.to_owned()).is_some() {
            return;
        }
        for key in self.covered(watch) {
            self.mark(&key);
            if let Some(managed) = self.objects.get_mut(&key) {
                managed.seen = false;
            }
        }
    }

    /// Keys of the ledger that would show in this watch.
    fn covered(&self, watch: &WatchSpec) -> Vec<ObjectKey> {
        let from = ObjectKey {
            group: watch.group.clone(),
            kind: watch.kind.clone(),
            namespace: watch.namespace.clone(),
            name: String::new(),
        };
        let range = self.ledger.entries.range(from..).take_while(|(key, _)| watch.covers(key));
        let theirs = range.filter(|(_, entry)| entry.service_account == watch.service_account);
        theirs.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn watch_synced(&mut self, watch: &WatchSpec, objects: Vec<Observed>, now: Timestamp) {
        if !self.watches.running.contains(watch) {
            return;
        }
        let recovered = self.watches.failed.remove(watch).is_some();
        let mut absent: BTreeSet<ObjectKey> = self.covered(watch).into_iter().collect();
        for observed in objects {
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
        self.settle = true;
    }

    pub(crate) fn watch_failed(&mut self, watch: &WatchSpec, message: &str, now: Timestamp) {
        // Right after a setup the server may not know its own binding yet; a lasting failure is told again.
        let lag = self.tenants.is_settling(&watch.service_account, now);
        if lag || !self.watches.running.contains(watch) {
            return;
        }
        self.fail_watch(watch, message);
    }

    /// A watch shows an object. One that was replaced by another is not listened to any more: it judges by conditions
    /// that are gone.
    pub(crate) fn watch_told(&mut self, watch: &WatchSpec, observed: Observed, now: Timestamp) {
        if self.watches.running.contains(watch) {
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

    pub(crate) fn watch_deleted(&mut self, key: &ObjectKey, uid: &str, now: Timestamp) {
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
