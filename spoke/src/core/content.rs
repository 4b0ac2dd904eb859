//! From an accepted plan to a complete one: which indexes and objects it names,
//! which of them are here, and fetching the rest. Until everything is here, the
//! plan before it stays in force and nothing is pruned (trust row 18).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::head::Assignment;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::session::{self, AckKind};
use rimward_proto::{AppId, Digest, ObjectKey, limits};

use super::accept::Verdict;
use super::ascending::Ascending;
use super::effect::Work;
use super::event::StoredPlan;
use super::flight::{FAST_FIRST, FAST_MAX, Flight, Retry};
use super::managed::Managed;
use super::state::State;

/// Content that is missing, of whatever plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// Bodies and indexes of the plan in force that the disk has lost.
    pub lost: BTreeSet<Digest>,
    /// When a fetch may start.
    pub retry: Retry,
    /// A fetch brought other bytes than a digest names; said once a plan.
    corrupt_said: bool,
}

/// One index of a plan being completed.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    Unasked,
    Loading,
    Absent,
    Here(Arc<BundleIndex>),
}

/// A plan being completed.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub stored: StoredPlan,
    pub digest: Digest,
    pub assignment: Assignment,
    pub plan: Plan,
    pub indexes: BTreeMap<Digest, Index>,
    /// Objects of its indexes not known to be here.
    unchecked: BTreeSet<Digest>,
    checking: bool,
    /// Known not to be here.
    pub missing: BTreeSet<Digest>,
    /// Inline content being written.
    storing: BTreeSet<Digest>,
    /// The trust generation that must be durable before it may be applied.
    trust: u64,
    /// `Held` was said.
    pub held_said: bool,
    /// The plan generation that must be durable.
    written: Option<u64>,
    /// It was in force before this start.
    pub resumed: bool,
}

impl Pending {
    /// A plan accepted now.
    pub fn new(stored: StoredPlan, assignment: Assignment, plan: Plan, trust: u64) -> Self {
        let bundles = plan.bundles.iter().chain(&stored.carried);
        let indexes = bundles.map(|bundle| (bundle.digest, Index::Unasked)).collect();
        Self {
            digest: assignment.plan,
            stored,
            assignment,
            plan,
            indexes,
            unchecked: BTreeSet::new(),
            checking: false,
            missing: BTreeSet::new(),
            storing: BTreeSet::new(),
            trust,
            held_said: false,
            written: None,
            resumed: false,
        }
    }

    /// True when each index has been asked for and answered, if only with "not there".
    fn is_answered(&self) -> bool {
        self.indexes.values().all(|index| matches!(index, Index::Absent | Index::Here(_)))
    }

    fn is_complete(&self) -> bool {
        let indexes = self.indexes.values().all(|index| matches!(index, Index::Here(_)));
        let checked = self.unchecked.is_empty() && !self.checking && self.storing.is_empty();
        indexes && checked && self.missing.is_empty()
    }

    fn index_here(&mut self, index: Arc<BundleIndex>, digest: Digest, known: &HashSet<Digest>) {
        self.missing.remove(&digest);
        if !self.resumed {
            let objects = index.entries().iter().map(|entry| entry.sha256);
            self.unchecked
                .extend(objects.filter(|object| !known.contains(object) && !self.storing.contains(object)));
        }
        self.indexes.insert(digest, Index::Here(index));
    }

    /// All content it names, as far as known.
    pub fn reachable(&self) -> BTreeSet<Digest> {
        let objects = self.indexes.values().filter_map(|index| match index {
            Index::Here(index) => Some(index.entries().iter().map(|entry| entry.sha256)),
            _ => None,
        });
        self.indexes.keys().copied().chain([self.digest]).chain(objects.flatten()).collect()
    }
}

/// An index with the keys that the objects it names have already.
fn shared(mut index: BundleIndex, objects: &BTreeMap<ObjectKey, Box<Managed>>) -> Arc<BundleIndex> {
    let mut objects = Ascending::new(objects);
    index.share_keys(|key| objects.get(key).map(|(key, _)| key.clone()));
    Arc::new(index)
}

impl State {
    /// The plan that was in force before this start (trust row 19).
    pub(crate) fn resume(&mut self, stored: StoredPlan) {
        let plan = Plan::parse(&stored.plan);
        if let (Ok(plan), Some(assignment)) = (plan, Assignment::parse(&stored.assignment)) {
            let mut pending = Pending::new(stored, assignment, plan, self.trust_writer.durable);
            pending.resumed = true;
            pending.held_said = true;
            pending.written = Some(self.plan_writer.wanted);
            self.pending = Some(pending);
        }
    }

    /// Bundles of Apps that the ledger has and `plan` neither wants nor removes (trust row 22).
    pub(crate) fn carried(&self, plan: &Plan) -> Vec<PlanBundle> {
        let named: BTreeSet<AppId> = plan
            .bundles
            .iter()
            .map(PlanBundle::id)
            .chain(plan.removed.iter().map(|removed| removed.id()))
            .collect();
        let ours = self.ledger.apps();
        let last = match (&self.active, &self.pending) {
            (Some(active), _) => active.plan.bundles.iter().chain(&active.stored.carried),
            (None, Some(pending)) => pending.plan.bundles.iter().chain(&pending.stored.carried),
            (None, None) => return Vec::new(),
        };
        last.filter(|bundle| !named.contains(&bundle.id()) && ours.contains(&bundle.id())).cloned().collect()
    }

    /// Content that came with an offer: checked, put away, and used at once where it is an index.
    pub(crate) fn take_inline(&mut self, inline: Vec<session::Content>) {
        let known = self.content_in_force();
        let Some(pending) = &mut self.pending else { return };
        let good: Vec<_> = inline.into_iter().filter(|item| Digest::of(&item.bytes) == item.digest).collect();
        pending.storing.extend(good.iter().map(|item| item.digest));
        for item in &good {
            let index = pending.indexes.get(&item.digest).map(|_| BundleIndex::parse(&item.bytes));
            if let Some(Ok(index)) = index {
                pending.index_here(shared(index, &self.objects), item.digest, &known);
            }
        }
        if !good.is_empty() {
            let digests = good.iter().map(|item| item.digest).collect();
            self.start_work(Flight::Content(digests), Work::StoreContent(good));
        }
    }

    /// Inline content was put away, or could not be: then it is fetched like any other.
    pub(crate) fn content_stored(&mut self, digests: &[Digest], result: &Result<(), String>) {
        let Some(pending) = &mut self.pending else { return };
        for digest in digests {
            let was = pending.storing.remove(digest);
            match result {
                Ok(()) => {
                    pending.unchecked.remove(digest);
                    pending.missing.remove(digest);
                }
                Err(_) if was => {
                    pending.missing.insert(*digest);
                }
                Err(_) => {}
            }
        }
    }

    /// The answer to a check.
    pub(crate) fn content_checked(&mut self, asked: Vec<Digest>, missing: Result<BTreeSet<Digest>, String>) {
        let Some(pending) = &mut self.pending else { return };
        pending.checking = false;
        match missing {
            Ok(missing) => {
                asked.iter().for_each(|digest| _ = pending.unchecked.remove(digest));
                pending.missing.extend(missing);
            }
            // A store that cannot be read has nothing: fetching writes it anew, or fails visibly.
            Err(_) => {
                asked.iter().for_each(|digest| _ = pending.unchecked.remove(digest));
                pending.missing.extend(asked);
            }
        }
    }

    /// An index was read from the store.
    pub(crate) fn index_loaded(
        &mut self,
        digest: Digest,
        bytes: Result<Option<Vec<u8>>, String>,
        now: Timestamp,
    ) {
        let known = self.content_in_force();
        let good = bytes.ok().flatten().filter(|bytes| Digest::of(bytes) == digest);
        let index = good.map(|bytes| BundleIndex::parse(&bytes));
        let Some(pending) = &mut self.pending else { return };
        if !matches!(pending.indexes.get(&digest), Some(Index::Loading)) {
            return;
        }
        match index {
            Some(Ok(index)) => pending.index_here(shared(index, &self.objects), digest, &known),
            Some(Err(error)) => {
                let (plan, seq) = (pending.digest, pending.stored.seq);
                self.pending = self.next.take();
                let message = format!("bundle {digest}: {error}");
                let refusal =
                    super::accept::Refusal { verdict: Verdict::Refused, message, evidence: Vec::new() };
                self.outbox.event("Refused", refusal.message.clone(), None, None, now);
                self.ack(AckKind::Refused, plan, seq, Some(&refusal));
            }
            None => {
                pending.indexes.insert(digest, Index::Absent);
                pending.missing.insert(digest);
            }
        }
    }

    /// A fetch ended.
    pub(crate) fn fetched(&mut self, stored: &[Digest], corrupt: &[Digest], now: Timestamp) {
        if !corrupt.is_empty() && !self.content.corrupt_said {
            self.content.corrupt_said = true;
            let message = format!("the hub sent other bytes than {} names; fetching again", corrupt[0]);
            self.outbox.event("Incomplete", message, None, None, now);
        }
        for digest in stored {
            self.content.lost.remove(digest);
            if let Some(pending) = &mut self.pending {
                pending.missing.remove(digest);
                if matches!(pending.indexes.get(digest), Some(Index::Absent)) {
                    pending.indexes.insert(*digest, Index::Unasked);
                }
            }
        }
        if stored.is_empty() {
            self.content.retry.fail(now, FAST_FIRST, FAST_MAX);
        } else {
            self.content.retry.succeed();
            self.content_returned(stored, now);
        }
    }

    /// Content of the plan in force has come back: an index makes its App whole again, a body lets its object go on.
    fn content_returned(&mut self, stored: &[Digest], now: Timestamp) {
        let Some(active) = &self.active else { return };
        let indexless = active.bundles.values().filter(|bundle| bundle.index.is_none());
        if self.pending.is_none() && indexless.into_iter().any(|bundle| stored.contains(&bundle.plan.digest))
        {
            self.resume(active.stored.clone());
        }
        let incomplete =
            |managed: &Managed| managed.problem.as_ref().is_some_and(|p| p.reason == "Incomplete");
        let waiting: Vec<ObjectKey> = self
            .objects
            .iter()
            .filter(|(_, managed)| incomplete(managed))
            .map(|(key, _)| key.clone())
            .collect();
        waiting.iter().for_each(|key| self.kick(key, now));
    }

    fn content_in_force(&self) -> HashSet<Digest> {
        let bundles = self.active.iter().flat_map(|active| active.bundles.values());
        let entries = bundles.filter_map(|bundle| bundle.index.as_ref()).flat_map(|index| index.entries());
        entries.map(|entry| entry.sha256).filter(|digest| !self.content.lost.contains(digest)).collect()
    }

    /// Moves the plan being completed as far as it goes.
    pub(crate) fn advance_pending(&mut self, now: Timestamp) {
        self.ask_for_indexes();
        self.check_content();
        self.fetch_missing(now);
        let Some(pending) = &mut self.pending else { return };
        let durable = self.trust_writer.durable >= pending.trust;
        if durable && !pending.held_said {
            pending.held_said = true;
            let (plan, seq) = (pending.digest, pending.stored.seq);
            self.ack(AckKind::Held, plan, seq, None);
        }
        self.finish_pending(durable, now);
    }

    fn finish_pending(&mut self, durable: bool, now: Timestamp) {
        let Some(pending) = &mut self.pending else { return };
        // What was in force before a restart stays in force also where the disk has lost some of it.
        let ready = if pending.resumed { pending.is_answered() } else { pending.is_complete() };
        if !ready || !durable {
            return;
        }
        match pending.written {
            None => {
                self.plan_writer.change();
                pending.written = Some(self.plan_writer.wanted);
            }
            Some(generation) if self.plan_writer.durable >= generation => {
                if let Some(pending) = self.pending.take() {
                    self.content.corrupt_said = false;
                    self.activate(pending, now);
                }
                if self.next.is_some() {
                    self.pending = self.next.take();
                    self.advance_pending(now);
                }
                return;
            }
            Some(_) => {}
        }
        if self.plan_writer.is_due(now)
            && let Some(pending) = &self.pending
        {
            let stored = Box::new(pending.stored.clone());
            self.plan_writer.start();
            self.start_work(Flight::Plan, Work::StorePlan(stored));
        }
    }

    fn ask_for_indexes(&mut self) {
        let unasked =
            |pending: &Pending| pending.indexes.values().any(|index| matches!(index, Index::Unasked));
        if !self.pending.as_ref().is_some_and(unasked) {
            return;
        }
        let known = self.content_in_force();
        let here: BTreeMap<Digest, Arc<BundleIndex>> = self
            .active
            .iter()
            .flat_map(|active| active.bundles.values())
            .filter_map(|bundle| Some((bundle.plan.digest, bundle.index.clone()?)))
            .collect();
        let Some(pending) = &mut self.pending else { return };
        let unasked = pending.indexes.iter().filter(|(_, index)| matches!(index, Index::Unasked));
        let unasked: Vec<Digest> = unasked.map(|(digest, _)| *digest).collect();
        for digest in unasked {
            if let Some(index) = here.get(&digest) {
                pending.index_here(index.clone(), digest, &known);
            } else {
                pending.indexes.insert(digest, Index::Loading);
                let id = self.flights.start(Flight::Index(digest));
                self.out.push(super::Effect::Do(id, Work::LoadIndex(digest)));
            }
        }
    }

    fn check_content(&mut self) {
        let Some(pending) = &mut self.pending else { return };
        if pending.checking || pending.unchecked.is_empty() || !pending.is_answered() {
            return;
        }
        pending.checking = true;
        let asked: Vec<Digest> = pending.unchecked.iter().copied().collect();
        self.start_work(Flight::Check(asked.clone()), Work::CheckContent(asked));
    }

    fn fetch_missing(&mut self, now: Timestamp) {
        let pending = self.pending.iter().flat_map(|pending| &pending.missing);
        let missing: BTreeSet<Digest> = self.content.lost.iter().chain(pending).copied().collect();
        if missing.is_empty() || !self.connected || !self.content.retry.may_start(now) {
            return;
        }
        self.content.retry.start();
        let some = missing.into_iter().take(limits::FETCH_DIGESTS).collect();
        self.start_work(Flight::Fetch, Work::Fetch(some));
    }
}
