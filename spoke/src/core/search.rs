//! A ledger that was lost (apply rule 2): what its objects were is found again
//! by their labels, asked for as the tenants' accounts. What the plan wants is
//! adopted, the rest is remembered as found, reported, and never pruned without
//! an approval by name and UID. That something is gone is said only of a tenant
//! whose every list was answered: unknown never means empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::{AppId, Digest, TenantName};

use super::effect::{ListWork, Work};
use super::errors::{ApiError, ErrorKind};
use super::flight::{FAST_FIRST, Flight, SLOW_FIRST, SLOW_MAX, backoff};
use super::glob;
use super::ledger::{Latch, LedgerEntry};
use super::lost::{Labelled, Scope};
use super::managed::ActiveBundle;
use super::state::State;

/// Lists in flight at once: behind everything else, as an audit is.
const LISTS_AT_ONCE: usize = 4;
/// Lists of one search: some hundred namespaces with all the kinds of a large cluster. What is beyond stays unknown.
const MAX_LISTS: usize = 20_000;
/// Kinds that nobody applies, of which every namespace has thousands.
const NOT_LISTED: [(&str, &str); 2] = [("", "Event"), ("events.k8s.io", "Event")];
/// Rounds that are begun again at once: an account that is being set up is known to the server after some seconds.
const FAST_ROUNDS: u32 = 6;
/// Tenants named when something stays unknown; each App's own status names its reason.
const TOLD: usize = 5;

/// What came of one list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Listed,
    /// The account may not list the kind there.
    Forbidden,
    /// Why, for people.
    Failed(String),
}

/// The search, as far as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// The namespaces there are; none if they could not be listed.
    namespaces: Option<BTreeSet<String>>,
    /// Namespaces were asked for: in flight, and answered.
    asking: bool,
    asked: bool,
    /// What is to be listed has to be worked out anew.
    pub stale: bool,
    /// More than [`MAX_LISTS`].
    beyond: bool,
    todo: BTreeSet<ListWork>,
    flying: BTreeSet<ListWork>,
    answers: BTreeMap<ListWork, Answer>,
    /// The answers were weighed, and nothing has changed since.
    weighed: bool,
    /// When what could not be listed is asked for again.
    again: Option<Timestamp>,
    rounds: u32,
    /// Why it is not known what a tenant has left.
    unknown: BTreeMap<TenantName, String>,
    /// Tenants of which everything is known.
    proved: BTreeSet<TenantName>,
}

impl Search {
    pub fn wake(&self) -> Option<Timestamp> {
        self.again
    }

    /// True while something is left to be asked.
    pub fn is_busy(&self) -> bool {
        !self.todo.is_empty()
    }
}

impl State {
    /// The hub said in this run that this is the plan.
    pub(crate) fn say_meant(&mut self, plan: Digest) {
        self.meant = Some(plan);
        if self.active.as_ref().is_none_or(|active| active.digest != plan) {
            return;
        }
        let mut proved = false;
        for (key, entry) in self.ledger.entries.iter_mut().filter(|(_, entry)| entry.found) {
            let want = self.objects.get(key).and_then(|managed| managed.want.as_ref());
            if want.is_some_and(|want| !want.bundle.carried) {
                (entry.found, proved) = (false, true);
            }
        }
        if proved {
            self.ledger_writer.change();
            self.settle = true;
        }
        self.search.weighed = false;
    }

    /// True if a plan is the hub's word of this run, and not only what was in force before it.
    pub(crate) fn is_meant(&self, plan: Digest) -> bool {
        self.meant == Some(plan)
    }

    /// A plan comes into force: where it may have objects is looked at too.
    pub(crate) fn widen_search(&mut self, bundles: &BTreeMap<AppId, Arc<ActiveBundle>>) {
        let Some(lost) = &mut self.ledger.lost else { return };
        let mut wider = false;
        for bundle in bundles.values().map(|bundle| &bundle.plan) {
            wider |= lost.scopes.insert(Scope {
                tenant: bundle.tenant.clone(),
                service_account: bundle.service_account.clone(),
                namespaces: bundle.namespaces.clone(),
                allow: bundle.allow.clone(),
            });
        }
        if wider {
            self.ledger_writer.change();
        }
        (self.search.stale, self.search.weighed) = (true, false);
    }

    /// True if it is known what a tenant has in the cluster.
    pub(crate) fn is_known_whole(&self, tenant: &TenantName) -> bool {
        self.ledger.lost.is_none() || self.search.proved.contains(tenant)
    }

    /// Why it is not known what a tenant has left.
    pub(crate) fn why_unknown(&self, tenant: &TenantName) -> &str {
        self.search.unknown.get(tenant).map_or("it is being looked for", String::as_str)
    }

    /// Moves the search on.
    pub(crate) fn advance_search(&mut self, now: Timestamp) {
        if self.ledger.lost.is_none() || self.active.is_none() || !self.kinds.is_known() {
            return;
        }
        if !self.search.asked {
            if !std::mem::replace(&mut self.search.asking, true) {
                self.start_work(Flight::Namespaces, Work::ListNamespaces);
            }
            return;
        }
        if std::mem::take(&mut self.search.stale) {
            self.plan_search();
        }
        if self.search.again.is_some_and(|at| at <= now) {
            // Namespaces may have come, or the right to list them.
            (self.search.again, self.search.asked, self.search.stale) = (None, false, true);
            return self.advance_search(now);
        }
        while self.search.flying.len() < LISTS_AT_ONCE && self.paused_until.is_none() {
            let usable = |work: &&ListWork| self.tenants.is_usable(&work.service_account);
            let Some(work) = self.search.todo.iter().find(usable).cloned() else { break };
            self.search.todo.remove(&work);
            self.search.flying.insert(work.clone());
            self.start_work(Flight::Labelled(Box::new(work.clone())), Work::ListLabelled(Box::new(work)));
        }
        if self.search.todo.is_empty() && self.search.flying.is_empty() && !self.search.weighed {
            self.weigh_search(now);
        }
    }

    /// Which namespaces there are; not knowing that leaves those that are named.
    pub(crate) fn namespaces_listed(&mut self, result: Result<BTreeSet<String>, ApiError>) {
        let search = &mut self.search;
        (search.asking, search.asked, search.stale, search.weighed) = (false, true, true, false);
        search.namespaces = result.ok();
    }

    /// Namespaces in which a scope may have objects: those it names, and those there are that its globs match.
    fn namespaces_of(&self, scope: &Scope) -> BTreeSet<String> {
        let there = self.search.namespaces.as_ref();
        let named = scope.namespaces.iter().filter(|name| !name.contains('*'));
        let named = named.filter(|name| there.is_none_or(|there| there.contains(*name)));
        let matched = there.into_iter().flatten().filter(|name| glob::any_matches(&scope.namespaces, name));
        let all = named.chain(matched);
        all.filter(|name| glob::any_matches(&self.settings.namespaces, name)).cloned().collect()
    }

    /// Every kind that is served, in every place of every scope, but for what was answered already.
    fn plan_search(&mut self) {
        let (Some(lost), Some(discovery)) = (&self.ledger.lost, self.kinds.discovery()) else { return };
        let mut wanted = BTreeSet::new();
        for scope in &lost.scopes {
            let namespaces = self.namespaces_of(scope);
            for ((group, kind), served) in &discovery.kinds {
                let Some(version) = served.versions.first() else { continue };
                if NOT_LISTED.contains(&(group.as_str(), kind.as_str())) {
                    continue;
                }
                let list = |namespace: &str| ListWork {
                    tenant: scope.tenant.clone(),
                    service_account: scope.service_account.clone(),
                    group: group.clone(),
                    version: version.clone(),
                    kind: kind.clone(),
                    namespace: namespace.to_owned(),
                };
                let allowed = || scope.allow.iter().any(|pattern| glob::is_kind(pattern, group, kind));
                if served.namespaced {
                    wanted.extend(namespaces.iter().map(|namespace| list(namespace)));
                } else if allowed() {
                    wanted.insert(list(""));
                }
            }
        }
        let search = &mut self.search;
        search.beyond = wanted.len() > MAX_LISTS;
        search.answers.retain(|work, answer| wanted.contains(work) && *answer == Answer::Listed);
        let new = wanted.into_iter().take(MAX_LISTS);
        let new = new.filter(|work| !search.answers.contains_key(work) && !search.flying.contains(work));
        search.todo = new.collect();
        search.weighed = false;
    }

    /// A list was answered.
    pub(crate) fn labelled(
        &mut self,
        work: &ListWork,
        result: Result<Vec<Labelled>, ApiError>,
        now: Timestamp,
    ) {
        self.search.flying.remove(work);
        if self.ledger.lost.is_none() {
            return;
        }
        self.search.weighed = false;
        let answer = match result {
            Ok(objects) => {
                objects.into_iter().for_each(|object| self.found_by_label(work, &object, now));
                Answer::Listed
            }
            // Right after a setup the server may not know its own binding yet.
            Err(error) if error.kind == ErrorKind::Forbidden => {
                match self.tenants.is_settling(&work.service_account, now) {
                    true => Answer::Failed("the account is being set up".to_owned()),
                    false => Answer::Forbidden,
                }
            }
            Err(error) => {
                if error.kind == ErrorKind::UnknownKind {
                    self.kinds.want();
                }
                Answer::Failed(error.kind.to_string())
            }
        };
        self.search.answers.insert(work.clone(), answer);
    }

    /// An object carries our labels: it is in the ledger from now on, whoever wants it.
    fn found_by_label(&mut self, work: &ListWork, object: &Labelled, now: Timestamp) {
        let Some(app) = object.owner().filter(|app| app.tenant == work.tenant) else { return };
        let Labelled { observed, .. } = object;
        let key = &observed.key;
        match self.ledger.entries.get_mut(key) {
            Some(entry)
                if entry.uid.is_none() && observed.is_marked_ours() && entry.app.tenant == app.tenant =>
            {
                entry.uid = Some(observed.uid.clone());
            }
            Some(_) => return,
            None => {
                let entry = LedgerEntry {
                    key: key.clone(),
                    version: work.version.clone(),
                    uid: Some(observed.uid.clone()),
                    app,
                    service_account: work.service_account.clone(),
                    taken_from: Vec::new(),
                    latch: Latch::Open,
                    finished: None,
                    keep: observed.kept_by_us,
                    found: true,
                    counted: None,
                };
                self.ledger.entries.insert(key.clone(), entry);
                self.objects.entry(key.clone()).or_default();
                (self.watches.stale, self.settle) = (true, true);
            }
        }
        self.ledger_writer.change();
        self.mark(key);
        self.kick(key, now);
    }

    /// All lists are answered: what is known now, and what has to be asked again.
    fn weigh_search(&mut self, now: Timestamp) {
        self.search.weighed = true;
        let Some(lost) = &self.ledger.lost else { return };
        let mut unknown = BTreeMap::new();
        for scope in &lost.scopes {
            if let Some(why) = self.why_not_whole(scope) {
                unknown.entry(scope.tenant.clone()).or_insert(why);
            }
        }
        let tenants: BTreeSet<TenantName> = lost.scopes.iter().map(|scope| scope.tenant.clone()).collect();
        let Some(active) = &self.active else { return };
        for removed in active.plan.removed.iter().filter(|removed| !tenants.contains(&removed.tenant)) {
            let why = "no App of the tenant says which account and namespaces it had".to_owned();
            unknown.entry(removed.tenant.clone()).or_insert(why);
        }
        let proved: BTreeSet<TenantName> =
            tenants.into_iter().filter(|tenant| !unknown.contains_key(tenant)).collect();
        // Not by what was in force before alone: what has come since may say where more is.
        let whole = unknown.is_empty() && !proved.is_empty() && self.is_meant(active.digest);
        let removed: Vec<AppId> = active.plan.removed.iter().map(|removed| removed.id()).collect();
        if (&proved, &unknown) != (&self.search.proved, &self.search.unknown) || whole {
            removed.iter().for_each(|app| self.outbox.mark(app));
            self.outbox.news = true;
        }
        if !unknown.is_empty() {
            self.search.rounds += 1;
            if self.search.rounds == FAST_ROUNDS {
                let told = unknown.iter().take(TOLD).map(|(tenant, why)| format!("{tenant}: {why}"));
                let told: Vec<String> = told.collect();
                let message =
                    format!("what is left of {} tenants is not known: {}", unknown.len(), told.join("; "));
                self.outbox.event("LedgerUnknown", message, None, None, now);
            }
            let rounds = self.search.rounds;
            let wait = match rounds.checked_sub(FAST_ROUNDS) {
                None | Some(0) => backoff(FAST_FIRST, SLOW_MAX, rounds),
                Some(more) => backoff(SLOW_FIRST, SLOW_MAX, more),
            };
            self.search.again = Some(now + wait);
        }
        (self.search.proved, self.search.unknown) = (proved, unknown);
        if whole {
            self.search = Search::default();
            self.ledger.lost = None;
            self.ledger_writer.change();
            let all = self.ledger.entries.len();
            let left = self.ledger.entries.values().filter(|entry| entry.found).count();
            let message = format!("the ledger is rebuilt: {all} objects, of which {left} are left over");
            self.outbox.event("LedgerRebuilt", message, None, None, now);
        }
    }

    /// Why it is not known what is left in a scope. What an account may not list, and nobody says that it had, it did not
    /// make by the rights that it has; where it may list nothing at all it is not known.
    fn why_not_whole(&self, scope: &Scope) -> Option<String> {
        let search = &self.search;
        if search.beyond {
            return Some(format!("there is more to list than {MAX_LISTS} places"));
        }
        if search.namespaces.is_none() && scope.namespaces.iter().any(|name| name.contains('*')) {
            return Some("the spoke may not list namespaces".to_owned());
        }
        let failed = self.kinds.discovery().and_then(|discovery| discovery.failed.first());
        if let Some(group) = failed {
            return Some(format!("discovery of group {group} fails"));
        }
        let theirs =
            |work: &ListWork| work.tenant == scope.tenant && work.service_account == scope.service_account;
        let answers = || search.answers.iter().filter(|(work, _)| theirs(work));
        let listed: BTreeSet<&String> = answers()
            .filter(|(_, answer)| **answer == Answer::Listed)
            .map(|(work, _)| &work.namespace)
            .collect();
        let entries = || {
            let entries = self.ledger.entries.values();
            entries.filter(|entry| entry.app.tenant == scope.tenant).map(|entry| &entry.key)
        };
        let kinds: BTreeSet<(&str, &str)> =
            entries().map(|key| (key.group.as_str(), key.kind.as_str())).collect();
        let used: BTreeSet<&String> = entries().map(|key| &key.namespace).collect();
        answers().find_map(|(work, answer)| {
            let ListWork { kind, namespace, .. } = work;
            let place = if namespace.is_empty() { "the cluster" } else { namespace };
            match answer {
                Answer::Listed => None,
                Answer::Failed(why) => Some(format!("{kind} in {place} cannot be listed: {why}")),
                Answer::Forbidden => {
                    let had = kinds.contains(&(work.group.as_str(), kind.as_str()));
                    let named = scope.namespaces.contains(namespace) || used.contains(namespace);
                    let blind = !listed.contains(namespace) && (named || namespace.is_empty());
                    let why = || format!("{} may not list {kind} in {place}", work.service_account);
                    (had || blind).then(why)
                }
            }
        })
    }
}
