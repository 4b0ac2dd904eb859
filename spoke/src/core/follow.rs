//! What is followed, and how (apply rule 9): which places are watched, one by one
//! or all of an account's namespaces together, which are beyond the number of
//! watches and looked at by list, and of which nothing is known now.
//!
//! A watch that runs is kept: what comes later gets what is free, and is listed
//! if nothing is. So a new namespace begins nothing anew elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::ObjectKey;

use super::effect::{Effect, WatchSpec};
use super::event::{Following, Unlisted};
use super::health::Judge;
use super::ledger::LedgerEntry;
use super::lists::Lists;
use super::state::State;

/// Watches at once (apply rule 9): each is a connection's worth of the API server's memory. What is beyond is listed, page
/// by page, from time to time.
pub const MAX_WATCHES: usize = 512;

/// Namespaces of one kind from which an account's watch is tried on the whole cluster: below it nothing is saved.
const WIDE_FROM: usize = 2;

/// Who watches which kind.
type AccountKind = (String, String, String);

/// How far an account sees a kind of which it has objects in several namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Everywhere, if the server lets it.
    Tried,
    /// Everywhere: it was listed.
    Everywhere,
    /// Each namespace by itself, because the server refused more.
    Namespaces,
}

/// All watches and lists.
#[derive(Debug, Clone)]
pub(crate) struct Watches {
    limit: usize,
    running: BTreeSet<WatchSpec>,
    /// Places that are listed.
    pub lists: Lists,
    failed: BTreeMap<WatchSpec, String>,
    reach: BTreeMap<AccountKind, Reach>,
    /// The set may have to change.
    pub stale: bool,
    /// Entries left the ledger: the set may shrink, when there is time.
    pub shrunk: bool,
}

/// What of `map` shows an object of this key to this account, in its own namespace or everywhere.
pub(super) fn covering<'a, T>(
    map: &'a BTreeMap<WatchSpec, T>,
    service_account: &str,
    key: &ObjectKey,
) -> Option<(&'a WatchSpec, &'a T)> {
    if map.is_empty() {
        return None;
    }
    [key.namespace.as_str(), ""].into_iter().find_map(|namespace| {
        let first = first_of(service_account, key, namespace);
        map.range(&first..).next().filter(|(spec, _)| first.is_same_place(spec))
    })
}

/// What stands before all others of its place.
fn first_of(service_account: &str, key: &ObjectKey, namespace: &str) -> WatchSpec {
    WatchSpec {
        service_account: service_account.to_owned(),
        group: key.group.clone(),
        kind: key.kind.clone(),
        namespace: namespace.to_owned(),
        version: String::new(),
        judge: Judge::default(),
    }
}

impl Watches {
    /// None yet. Lists come at times made of `seed`.
    pub fn new(following: Following, seed: String) -> Self {
        Self {
            limit: following.max_watches,
            running: BTreeSet::new(),
            lists: Lists::new(following.list_every, seed),
            failed: BTreeMap::new(),
            reach: BTreeMap::new(),
            stale: false,
            shrunk: false,
        }
    }

    /// True if what covers this object cannot be listed.
    pub fn has_failed(&self, service_account: &str, key: &ObjectKey) -> bool {
        covering(&self.failed, service_account, key).is_some()
    }

    pub(super) fn is_running(&self, spec: &WatchSpec) -> bool {
        self.running.contains(spec)
    }

    /// True if what is said of this place is listened to.
    pub(super) fn is_followed(&self, spec: &WatchSpec) -> bool {
        self.is_running(spec) || self.lists.has(spec)
    }

    /// True if something that is followed shows objects where this key is.
    fn shows(&self, service_account: &str, key: &ObjectKey) -> bool {
        let runs = |namespace| {
            let first = first_of(service_account, key, namespace);
            self.running.range(&first..).next().is_some_and(|spec| first.is_same_place(spec))
        };
        runs(&key.namespace) || runs("") || self.lists.of(service_account, key).is_some()
    }

    /// A place was listed; true if that failed before.
    pub(super) fn recovered(&mut self, spec: &WatchSpec) -> bool {
        if let Some(reach) = self.reach_of(spec).filter(|reach| **reach == Reach::Tried) {
            *reach = Reach::Everywhere;
        }
        self.failed.remove(spec).is_some()
    }

    /// Asks again who may see the whole cluster: rights may have been given.
    pub fn reach_again(&mut self) {
        let before = self.reach.len();
        self.reach.retain(|_, reach| *reach != Reach::Namespaces);
        self.stale |= before != self.reach.len();
    }

    /// How far a watch that is not of one namespace is known to reach; none if its kind has no namespaces.
    fn reach_of(&mut self, spec: &WatchSpec) -> Option<&mut Reach> {
        let (account, group, kind) = spec.account_kind();
        let reach = self.reach.get_mut(&(account.clone(), group.clone(), kind.clone()))?;
        spec.namespace.is_empty().then_some(reach)
    }

    /// Puts the namespaces of one account and kind together where that is not known to be refused. An account that the
    /// spoke binds itself has its rights namespace by namespace, and is not tried.
    fn widen(
        &mut self,
        places: BTreeSet<WatchSpec>,
        manages_itself: impl Fn(&str) -> bool,
    ) -> BTreeSet<WatchSpec> {
        let owned = |spec: &WatchSpec| {
            let (account, group, kind) = spec.account_kind();
            (account.clone(), group.clone(), kind.clone())
        };
        let mut namespaces: BTreeMap<AccountKind, BTreeSet<&str>> = BTreeMap::new();
        for spec in places.iter().filter(|spec| !spec.namespace.is_empty()) {
            namespaces.entry(owned(spec)).or_default().insert(&spec.namespace);
        }
        let itself = |(account, ..): &AccountKind| manages_itself(account);
        // What reaches everywhere goes on to, also when one namespace is left.
        self.reach.retain(|of, _| namespaces.contains_key(of) && itself(of));
        for (of, _) in namespaces.into_iter().filter(|(of, all)| all.len() >= WIDE_FROM && itself(of)) {
            self.reach.entry(of).or_insert(Reach::Tried);
        }
        let mut wide = BTreeSet::new();
        for mut spec in places {
            if self.reach.get(&owned(&spec)).is_some_and(|reach| *reach != Reach::Namespaces) {
                spec.namespace.clear();
            }
            wide.insert(spec);
        }
        wide
    }

    /// The places that are watched, and the others. Those that are keep their watch; of new ones those come first whose
    /// objects change by themselves, because health that comes late holds up what waits for it.
    fn share_out(&self, wanted: BTreeSet<WatchSpec>) -> (BTreeSet<WatchSpec>, BTreeSet<WatchSpec>) {
        if wanted.len() <= self.limit {
            return (wanted, BTreeSet::new());
        }
        let place = |spec: &'_ WatchSpec| {
            let WatchSpec { service_account, group, kind, namespace, .. } = spec.clone();
            (service_account, group, kind, namespace)
        };
        let before: BTreeSet<_> = self.running.iter().map(place).collect();
        let mut order: Vec<WatchSpec> = wanted.into_iter().collect();
        order.sort_by_cached_key(|spec| (!before.contains(&place(spec)), !spec.judge.is_whole()));
        let beyond = order.split_off(self.limit);
        (order.into_iter().collect(), beyond.into_iter().collect())
    }
}

fn is_same_place(one: &LedgerEntry, other: &LedgerEntry) -> bool {
    let (a, b) = (&one.key, &other.key);
    (&a.namespace, &a.kind, &a.group) == (&b.namespace, &b.kind, &b.group)
        && (&one.version, &one.service_account) == (&other.version, &other.service_account)
}

impl State {
    /// Asks for the watches that the ledger needs, if they changed.
    pub(crate) fn advance_watches(&mut self, now: Timestamp) {
        if !std::mem::take(&mut self.watches.stale) {
            return;
        }
        let (places, unserved) = self.places();
        let tenants = &self.tenants;
        let wanted = self.watches.widen(places, |account| tenants.manages_itself(account));
        let gone = self.not_served(unserved, &wanted);
        let (specs, beyond) = self.watches.share_out(wanted.clone());
        let watches = &mut self.watches;
        // A watch that is made anew, to judge by other conditions or to see more or less, knows no more than the one
        // before until it lists.
        let new: Vec<&WatchSpec> = wanted.iter().filter(|spec| !watches.is_followed(spec)).collect();
        let left: Vec<_> = watches.failed.iter().filter(|(spec, _)| !wanted.contains(spec)).collect();
        let inherited: Vec<(WatchSpec, String)> = left
            .iter()
            .flat_map(|(failed, why)| {
                new.iter().filter(|new| new.overlaps(failed)).map(move |new| (new, why))
            })
            .map(|(new, why)| ((*new).clone(), (*why).clone()))
            .collect();
        watches.failed.extend(inherited);
        watches.failed.retain(|spec, _| gone.contains(spec) || wanted.contains(spec));
        self.outbox.news |= watches.lists.set(beyond, now);
        if watches.running != specs {
            watches.running.clone_from(&specs);
            self.out.push(Effect::SetWatches(specs));
        }
    }

    /// Where objects of the ledger are, each namespace by itself; and of these the places whose kind is not served.
    fn places(&self) -> (BTreeSet<WatchSpec>, BTreeSet<WatchSpec>) {
        let (mut specs, mut unserved) = (BTreeSet::new(), BTreeSet::new());
        let mut last: Option<&LedgerEntry> = None;
        for entry in self.ledger.entries.values() {
            // Neighbours are mostly in one place.
            if last.replace(entry).is_some_and(|last| is_same_place(last, entry)) {
                continue;
            }
            let kind = self.kinds.kind(&entry.key);
            let served = kind.is_some_and(|kind| {
                kind.versions.contains(&entry.version) && kind.namespaced != entry.key.namespace.is_empty()
            });
            let account = &entry.service_account;
            // What is followed already goes on while the account gets a namespace more.
            let goes_on = || self.tenants.is_being_made(account) && self.watches.shows(account, &entry.key);
            if self.tenants.is_usable(account) || goes_on() {
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
        (specs, unserved)
    }

    /// What an API server has stopped to serve cannot be followed, and fails like a watch that cannot be listed: until it
    /// is served and listed again.
    fn not_served(
        &mut self,
        unserved: BTreeSet<WatchSpec>,
        served: &BTreeSet<WatchSpec>,
    ) -> BTreeSet<WatchSpec> {
        let is_followed = |spec: &WatchSpec| served.iter().any(|other| other.overlaps(spec));
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
    pub(super) fn covered(&self, watch: &WatchSpec) -> Vec<ObjectKey> {
        let from = ObjectKey::new(&watch.group, &watch.kind, &watch.namespace, "");
        let range = self.ledger.entries.range(from..).take_while(|(key, _)| watch.covers(key));
        let theirs = range.filter(|(_, entry)| entry.service_account == watch.service_account);
        theirs.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn watch_failed(&mut self, watch: &WatchSpec, why: &Unlisted, now: Timestamp) {
        if !self.watches.is_followed(watch) {
            return;
        }
        let reach = self.watches.reach_of(watch).filter(|_| why.forbidden);
        if let Some(before) = reach.map(|reach| std::mem::replace(reach, Reach::Namespaces)) {
            // It may not see the whole cluster, or not any more: then nothing is known until its namespaces are listed.
            self.watches.stale = true;
            if before == Reach::Everywhere {
                self.fail_watch(watch, &why.message);
            }
            return;
        }
        // Right after a setup the server may not know its own binding yet; a lasting failure is told again.
        if !self.tenants.is_settling(&watch.service_account, now) {
            self.fail_watch(watch, &why.message);
        }
    }
}
