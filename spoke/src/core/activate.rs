//! A complete plan takes over: what is wanted is exchanged as a whole, the
//! ledger grows by the new keys, and everything that differs is looked at.
//! What is in flight goes on and finds the new want when it ends (trust row 20).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::plan::PlanBundle;
use rimward_proto::session::AckKind;
use rimward_proto::{AppId, Digest, ObjectKey};

use super::ascending::Ascending;
use super::content::{Index, Pending};
use super::ledger::{Latch, LedgerEntry, Spent};
use super::managed::{ActiveBundle, Managed, Must, Prune, Step, Task, Want};
use super::state::{Active, State};

/// Objects that two Apps want, by the one that does not get them.
type Clashes = BTreeMap<AppId, Vec<(ObjectKey, AppId)>>;

/// What one object shall be, by the indexes of a plan.
struct Wanted<'p> {
    key: &'p ObjectKey,
    version: &'p String,
    body: Digest,
    bundle: &'p Arc<ActiveBundle>,
}

impl Wanted<'_> {
    /// As it was wanted before, if that is the same: a digest less to compute.
    fn want(&self, before: Option<Want>) -> Want {
        match before {
            Some(want) if want.body == self.body && want.bundle.id == self.bundle.id => {
                let same = want.version == *self.version;
                let version = if same { want.version } else { self.version.clone() };
                Want { version, bundle: self.bundle.clone(), ..want }
            }
            _ => Want::new(self.body, self.version.clone(), self.bundle.clone()),
        }
    }
}

impl State {
    /// Puts a complete plan in force.
    pub(crate) fn activate(&mut self, pending: Pending, now: Timestamp) {
        let bundles = bundles(&pending);
        // What the plan before had lost is nobody's need any more, and the hub would refuse to send it.
        self.content.lost.clear();
        for bundle in bundles.values().filter(|bundle| bundle.index.is_none()) {
            self.content.lost.insert(bundle.plan.digest);
        }
        let (wanted, clashes) = wanted(&bundles, &pending);
        let changed = self.changed_terms(&bundles);
        self.recall_deletes(now);
        self.hand_over(&bundles);
        let meant = self.is_meant(pending.digest);
        self.grow_ledger(&wanted, meant);
        self.widen_search(&bundles);
        self.exchange_wants(&wanted);
        if self.ledger.spent.plan != Some(pending.digest) {
            self.ledger.spent = Spent { plan: Some(pending.digest), deletes: 0 };
            self.count_again();
            // What was granted out of the budget before is this plan's to grant.
            let stuck = self.objects.values_mut().filter_map(|managed| managed.stuck.as_mut());
            stuck.for_each(|stuck| stuck.granted = false);
        }
        let (seq, digest, resumed) = (pending.stored.seq, pending.digest, pending.resumed);
        let Pending { stored, assignment, plan, .. } = pending;
        let ledger = self.ledger_writer.wanted;
        let active =
            Active { seq, digest, assignment, stored, plan, bundles, clashes, ledger, applied: false };
        self.outbox.plan_changed(active.bundles.keys().chain(self.ledger.apps()));
        self.active = Some(active);
        if !resumed {
            self.ack(AckKind::Ready, digest, seq, None);
        }
        self.plan_tenants();
        self.plan_needs();
        self.watches.stale = true;
        self.settle = true;
        self.rejudge(now);
        self.touch_restless(&changed, now);
    }

    /// Apps of which the plan says more than another content: what is at rest by the old terms may not be by the new.
    fn changed_terms(&self, bundles: &BTreeMap<AppId, Arc<ActiveBundle>>) -> BTreeSet<AppId> {
        let terms = |bundle: &ActiveBundle| {
            // Everything but the content and where it comes from.
            let (digest, commit) = (Digest::of(b""), String::new());
            let plan = PlanBundle { digest, commit, bytes: 0, objects: 0, ..bundle.plan.clone() };
            (bundle.carried, plan)
        };
        let before = self.active.as_ref().map(|active| &active.bundles);
        let same = |id: &AppId, bundle: &ActiveBundle| {
            before.and_then(|before| before.get(id)).is_some_and(|before| terms(before) == terms(bundle))
        };
        bundles.iter().filter(|(id, bundle)| !same(id, bundle)).map(|(id, _)| id.clone()).collect()
    }

    /// Touches everything that is not at rest, and what is of these Apps.
    pub(crate) fn touch_restless(&mut self, apps: &BTreeSet<AppId>, now: Timestamp) {
        let mut ledger = Ascending::new(&self.ledger.entries);
        let restless = self.objects.iter().filter(|(key, managed)| {
            let uid = ledger.get(key).and_then(|(_, entry)| entry.uid.as_deref());
            let named = || managed.want.as_ref().is_some_and(|want| apps.contains(&want.bundle.id));
            !managed.is_at_rest(uid) || (!apps.is_empty() && named())
        });
        let keys: Vec<ObjectKey> = restless.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.touch(key, now));
    }

    /// A renamed App takes over what its former names left behind (`formerly`), as far as the plan has no App of that
    /// name any more: what it still wants stays as it is, the rest is trimmed in its own budget.
    fn hand_over(&mut self, bundles: &BTreeMap<AppId, Arc<ActiveBundle>>) {
        let mut heirs: BTreeMap<AppId, AppId> = BTreeMap::new();
        for bundle in bundles.values() {
            let (tenant, names) = (&bundle.plan.tenant, &bundle.plan.formerly);
            let former = names.iter().map(|app| AppId { tenant: tenant.clone(), app: app.clone() });
            let former = former.filter(|former| !bundles.contains_key(former));
            heirs.extend(former.map(|former| (former, bundle.id.clone())));
        }
        let mut moved = false;
        for entry in self.ledger.entries.values_mut().filter(|_| !heirs.is_empty()) {
            if let Some(heir) = heirs.get(&entry.app) {
                (entry.app, entry.latch, moved) = (heir.clone(), Latch::Open, true);
            }
        }
        if moved {
            self.ledger_writer.change();
        }
    }

    /// What another plan's budget let go and is not on its way out yet is this plan's to count, and to hold. What was held
    /// stays held: no plan makes it fit.
    fn count_again(&mut self) {
        for entry in self.ledger.entries.values_mut().filter(|entry| entry.latch == Latch::Budgeted) {
            entry.latch = Latch::Open;
            self.ledger_writer.change();
        }
    }

    fn grow_ledger(&mut self, wanted: &[Wanted<'_>], meant: bool) {
        let (mut grew, mut new) = (std::mem::take(&mut self.unwritten), Vec::new());
        let lost = self.ledger.lost.is_some();
        let mut entries = self.ledger.entries.iter_mut().peekable();
        for Wanted { key, version, bundle, .. } in wanted {
            let proved = meant && !bundle.carried;
            let service_account = &bundle.plan.service_account;
            while entries.next_if(|(at, _)| at < key).is_some() {}
            match entries.next_if(|(at, _)| at == key) {
                Some((_, entry)) => {
                    let same = entry.app == bundle.id
                        && entry.version == **version
                        && entry.service_account == *service_account
                        && entry.latch == Latch::Open
                        && entry.counted.is_none()
                        && !(entry.found && proved);
                    if !same {
                        let unwanted = self.objects.get(key).is_none_or(|managed| managed.want.is_none());
                        if entry.found && unwanted {
                            // Labels alone make nothing ours: a read says more.
                            entry.uid = None;
                        }
                        entry.found &= !proved;
                        (entry.app, entry.latch, entry.counted) = (bundle.id.clone(), Latch::Open, None);
                        entry.version.clone_from(version);
                        entry.service_account.clone_from(service_account);
                        grew = true;
                    }
                }
                None => {
                    let entry = LedgerEntry {
                        key: (*key).clone(),
                        version: (*version).clone(),
                        uid: None,
                        app: bundle.id.clone(),
                        service_account: service_account.clone(),
                        taken_from: Vec::new(),
                        latch: Latch::Open,
                        finished: None,
                        keep: false,
                        found: lost && !proved,
                        counted: None,
                    };
                    new.push(((*key).clone(), entry));
                    grew = true;
                }
            }
        }
        self.ledger.entries.extend(new);
        if grew {
            self.ledger_writer.change();
        }
    }

    fn exchange_wants(&mut self, wanted: &[Wanted<'_>]) {
        let (mut wanted, mut new) = (wanted.iter().peekable(), Vec::new());
        for (key, managed) in &mut self.objects {
            while let Some(other) = wanted.next_if(|wanted| wanted.key < key) {
                new.push(other);
            }
            let want = wanted.next_if(|wanted| wanted.key == key);
            let want = want.map(|wanted| wanted.want(managed.want.clone()));
            let moved =
                managed.want.as_ref().map(|want| want.digest) != want.as_ref().map(|want| want.digest);
            if moved {
                // A drift that a new plan overtakes is no longer anybody's news.
                (managed.case, managed.audit) = (None, false);
                (managed.taking, managed.foreign, managed.standing, managed.stuck) = (None, None, None, None);
            }
            if matches!(managed.must, Must::Replace(_)) {
                // Whether it is replaced is the new plan's to say.
                managed.must = Must::Look;
            }
            if moved || managed.problem.is_some() {
                managed.fails = 0;
                if matches!(managed.task, Task::Waiting(_)) {
                    managed.task = Task::Idle;
                }
            }
            let watched = !managed.resource_version.is_empty() || managed.noticed.is_some();
            let deleting = matches!(managed.prune, Prune::Delete(_) | Prune::Confirm)
                || matches!(managed.task, Task::Flying(Step::Delete));
            if want.is_some() && managed.want.is_none() && deleting {
                // What we may have deleted ourselves is not missed as somebody's doing.
                managed.base = None;
            }
            if want.is_some() && managed.want.is_none() && (managed.prune != Prune::Keep || watched) {
                // Watches spoke of it while nothing wanted it, or it was on its way out: see what came of that.
                (managed.prune, managed.must, managed.leaving) = (Prune::Keep, Must::Look, None);
            }
            if want.is_none() && managed.want.is_some() {
                (managed.must, managed.prune) = (Must::Nothing, Prune::Keep);
                managed.problem = None;
            }
            managed.want = want;
        }
        // It may well be there: a read says so for less than an apply that is refused.
        let must = if self.ledger.lost.is_some() { Must::Look } else { Must::Nothing };
        for wanted in new.into_iter().chain(wanted) {
            let managed = Managed { want: Some(wanted.want(None)), must: must.clone(), ..Managed::default() };
            self.objects.insert(wanted.key.clone(), Box::new(managed));
        }
        let entries = &self.ledger.entries;
        self.objects.retain(|key, managed| {
            managed.want.is_some() || entries.contains_key(key) || managed.is_moving()
        });
    }
}

fn bundles(pending: &Pending) -> BTreeMap<AppId, Arc<ActiveBundle>> {
    let make = |plan: &PlanBundle, carried| {
        let index = match pending.indexes.get(&plan.digest) {
            Some(Index::Here(index)) => Some(index.clone()),
            _ => None,
        };
        (plan.id(), Arc::new(ActiveBundle { id: plan.id(), plan: plan.clone(), index, carried }))
    };
    let carried = pending.stored.carried.iter().map(|plan| make(plan, true));
    let planned = pending.plan.bundles.iter().map(|plan| make(plan, false));
    carried.chain(planned).collect()
}

/// What the plan wants, in the order of keys.
fn wanted<'p>(
    bundles: &'p BTreeMap<AppId, Arc<ActiveBundle>>,
    pending: &Pending,
) -> (Vec<Wanted<'p>>, Clashes) {
    // What the plan says comes before what is only carried on.
    let carried = pending.stored.carried.iter().map(PlanBundle::id);
    let order = pending.plan.bundles.iter().map(PlanBundle::id).chain(carried);
    let mut all = Vec::new();
    for bundle in order.filter_map(|id| bundles.get(&id)) {
        let entries = bundle.index.iter().flat_map(|index| index.entries());
        all.extend(entries.map(|entry| Wanted {
            key: &entry.key,
            version: &entry.version,
            body: entry.sha256,
            bundle,
        }));
    }
    // Of one key, whoever comes first stays first.
    all.sort_by(|a, b| a.key.cmp(b.key));
    let mut clashes = Clashes::new();
    all.dedup_by(|other, first| {
        let clash = other.key == first.key;
        if clash {
            let with = (other.key.clone(), first.bundle.id.clone());
            clashes.entry(other.bundle.id.clone()).or_default().push(with);
        }
        clash
    });
    (all, clashes)
}
