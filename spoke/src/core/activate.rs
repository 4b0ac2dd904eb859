//! A complete plan takes over: what is wanted is exchanged as a whole, the
//! ledger grows by the new keys, and everything that differs is looked at.
//! What is in flight goes on and finds the new want when it ends (trust row 20).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::plan::PlanBundle;
use rimward_proto::session::AckKind;
use rimward_proto::{AppId, ObjectKey};

use super::content::{Index, Pending};
use super::ledger::{Latch, LedgerEntry, Spent};
use super::managed::{ActiveBundle, Must, Prune, Step, Task, Want};
use super::state::{Active, State};

/// Objects that two Apps want, by the one that does not get them.
type Clashes = BTreeMap<AppId, Vec<(ObjectKey, AppId)>>;

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
        self.recall_deletes(now);
        self.hand_over(&bundles);
        let meant = self.is_meant(pending.digest);
        self.grow_ledger(&wanted, meant);
        self.widen_search(&bundles);
        self.exchange_wants(wanted);
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
        self.outbox
            .plan_changed(active.bundles.keys().chain(self.ledger.entries.values().map(|entry| &entry.app)));
        self.active = Some(active);
        if !resumed {
            self.ack(AckKind::Ready, digest, seq, None);
        }
        self.plan_tenants();
        self.plan_needs();
        self.watches.stale = true;
        self.settle = true;
        self.rejudge(now);
        self.touch_all(now);
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

    fn grow_ledger(&mut self, wanted: &BTreeMap<ObjectKey, Want>, meant: bool) {
        let mut grew = std::mem::take(&mut self.unwritten);
        let lost = self.ledger.lost.is_some();
        for (key, want) in wanted {
            let bundle = &want.bundle;
            let proved = meant && !bundle.carried;
            let (version, service_account) = (&want.version, &bundle.plan.service_account);
            match self.ledger.entries.get_mut(key) {
                Some(entry) => {
                    let same = entry.app == bundle.id
                        && entry.version == *version
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
                        (entry.version, entry.service_account) = (version.clone(), service_account.clone());
                        grew = true;
                    }
                }
                None => {
                    let entry = LedgerEntry {
                        key: key.clone(),
                        version: version.clone(),
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
                    self.ledger.entries.insert(key.clone(), entry);
                    grew = true;
                }
            }
        }
        if grew {
            self.ledger_writer.change();
        }
    }

    fn exchange_wants(&mut self, mut wanted: BTreeMap<ObjectKey, Want>) {
        for (key, managed) in &mut self.objects {
            let want = wanted.remove(key);
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
        for (key, want) in wanted {
            let managed = self.objects.entry(key).or_default();
            managed.want = Some(want);
            if self.ledger.lost.is_some() {
                // It may well be there: a read says so for less than an apply that is refused.
                managed.must = Must::Look;
            }
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

fn wanted(
    bundles: &BTreeMap<AppId, Arc<ActiveBundle>>,
    pending: &Pending,
) -> (BTreeMap<ObjectKey, Want>, Clashes) {
    let mut wanted: BTreeMap<ObjectKey, Want> = BTreeMap::new();
    let mut clashes = Clashes::new();
    // What the plan says comes before what is only carried on.
    let carried = pending.stored.carried.iter().map(PlanBundle::id);
    let order = pending.plan.bundles.iter().map(PlanBundle::id).chain(carried);
    for bundle in order.filter_map(|id| bundles.get(&id)) {
        for entry in bundle.index.iter().flat_map(|index| index.entries()) {
            match wanted.get(&entry.key) {
                Some(first) => {
                    let clash = (entry.key.clone(), first.bundle.id.clone());
                    clashes.entry(bundle.id.clone()).or_default().push(clash);
                }
                None => {
                    let want = Want::new(entry.sha256, entry.version.clone(), bundle.clone());
                    wanted.insert(entry.key.clone(), want);
                }
            }
        }
    }
    (wanted, clashes)
}
