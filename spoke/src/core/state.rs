//! Everything the spoke knows, in one value, and the one function that moves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::head::Assignment;
use rimward_proto::plan::Plan;
use rimward_proto::root::RootError;
use rimward_proto::{AppId, Digest, ObjectKey};

use super::audit::Audit;
use super::content::{Content, Pending};
use super::depends::Needs;
use super::discovery::Kinds;
use super::effect::{Effect, Work};
use super::event::{Baseline, Event, Settings, Started, StoredPlan};
use super::flight::{Flight, Flights, Writer};
use super::follow::Watches;
use super::health::{Asking, Compiled};
use super::lanes::Lanes;
use super::ledger::Ledger;
use super::managed::{ActiveBundle, Base, Managed};
use super::outbox::Outbox;
use super::search::Search;
use super::tenants::Tenants;
use super::trust::Trust;

/// The plan in force.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub seq: u64,
    pub digest: Digest,
    pub assignment: Assignment,
    pub stored: StoredPlan,
    pub plan: Plan,
    pub bundles: BTreeMap<AppId, Arc<ActiveBundle>>,
    /// Objects that two Apps want: the second one does not get it.
    pub clashes: BTreeMap<AppId, Vec<(ObjectKey, AppId)>>,
    /// The ledger generation that must be durable before anything is applied or deleted.
    pub ledger: u64,
    /// `Applied` was said.
    pub applied: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) settings: Settings,
    pub(crate) trust: Trust,
    pub(crate) trust_writer: Writer,
    /// When the floor was last written, for those that may wait.
    pub(crate) floor_written: Timestamp,
    pub(crate) floor_lazy: bool,
    pub(crate) stale_said: bool,
    pub(crate) connected: bool,
    pub(crate) active: Option<Active>,
    pub(crate) pending: Option<Pending>,
    /// Accepted while what was in force before a restart is still being read: that comes first (trust row 19).
    pub(crate) next: Option<Pending>,
    pub(crate) content: Content,
    pub(crate) plan_writer: Writer,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_writer: Writer,
    /// There is no ledger yet: the first plan makes one, however little it has, so that none at all says that it was lost.
    pub(crate) unwritten: bool,
    /// Of a spoke that began without a ledger and lost none: the accounts that it has seen to.
    pub(crate) first_seen: Option<BTreeSet<String>>,
    /// Objects that are not there any more, by the ledger generation that must be durable before each is made again.
    pub(crate) ahead_of: BTreeMap<ObjectKey, u64>,
    pub(crate) baselines: Writer,
    pub(crate) baselines_at: Timestamp,
    /// Boxed, because a tree that grows at its end is half empty.
    pub(crate) objects: BTreeMap<ObjectKey, Box<Managed>>,
    pub(crate) queue: Lanes,
    pub(crate) alarms: BTreeSet<(Timestamp, ObjectKey)>,
    pub(crate) needs: Needs,
    pub(crate) tenants: Tenants,
    pub(crate) kinds: Kinds,
    pub(crate) watches: Watches,
    pub(crate) search: Search,
    /// The plan that the hub said last in this run.
    pub(crate) meant: Option<Digest>,
    pub(crate) compiled: Compiled,
    pub(crate) asking: Asking,
    pub(crate) audit: Audit,
    pub(crate) flights: Flights,
    pub(crate) outbox: Outbox,
    /// Something changed that may let a prune, a hold or the end of the plan happen.
    pub(crate) settle: bool,
    /// The server asked to be left alone until then.
    pub(crate) paused_until: Option<Timestamp>,
    /// The day's ceiling on deletions is reached until then.
    pub(crate) day_full_until: Option<Timestamp>,
    /// What is pruned later no longer waits for what was let go before.
    pub(crate) wave_over_at: Option<Timestamp>,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) out: Vec<Effect>,
}

/// What the core contributes to Hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloFacts {
    /// The newest head accepted, its envelope's exact bytes.
    pub held_head: Option<Vec<u8>>,
    /// The plan held durably with all its content.
    pub held_plan: Option<Digest>,
    /// The newest root held.
    pub root_version: u64,
}

impl State {
    /// Begins from what is stored, and says what to do first. The error is a stored root that does not parse: the
    /// identity is invalid and only enrolment makes a new one.
    pub fn start(started: Started, now: Timestamp) -> Result<(Self, Vec<Effect>), RootError> {
        let Started { boot_id, cluster, cluster_uid, trust_domain, settings, .. } = started;
        let trust = Trust::load(cluster, cluster_uid, trust_domain, started.trust)?;
        // Whoever has accepted a head may have applied a plan, and then had a ledger.
        let unwritten = started.ledger.is_none();
        let lost = unwritten && (trust.floor.is_some() || started.plan.is_some());
        let watches = Watches::new(started.following, boot_id.clone());
        let mut state = Self {
            audit: Audit::new(boot_id.clone(), now),
            outbox: Outbox::new(boot_id),
            settings,
            trust,
            trust_writer: Writer::default(),
            floor_written: now,
            floor_lazy: false,
            stale_said: false,
            connected: false,
            active: None,
            pending: None,
            next: None,
            content: Content::default(),
            plan_writer: Writer::default(),
            ledger: started.ledger.unwrap_or_default(),
            ledger_writer: Writer::default(),
            unwritten,
            first_seen: (unwritten && !lost).then(BTreeSet::new),
            ahead_of: BTreeMap::new(),
            baselines: Writer::default(),
            baselines_at: now,
            objects: BTreeMap::new(),
            queue: Lanes::default(),
            alarms: BTreeSet::new(),
            needs: Needs::default(),
            tenants: Tenants::default(),
            kinds: Kinds::new(started.discovery),
            search: Search::default(),
            meant: None,
            watches,
            compiled: Compiled::default(),
            asking: Asking::default(),
            flights: Flights::default(),
            settle: true,
            paused_until: None,
            day_full_until: None,
            wave_over_at: None,
            wake: None,
            out: Vec::new(),
        };
        if lost {
            state.ledger_is_lost(now);
        }
        state.remember(started.baselines);
        if let Some(plan) = started.plan {
            state.resume(plan);
        }
        advance(&mut state, now);
        let effects = std::mem::take(&mut state.out);
        Ok((state, effects))
    }

    /// Every object of the ledger is managed from the start, with the baseline it had.
    fn remember(&mut self, baselines: Vec<Baseline>) {
        for key in self.ledger.entries.keys() {
            self.objects.entry(key.clone()).or_default();
        }
        for baseline in baselines {
            let ours = self.ledger.entries.get(&baseline.key);
            if ours.is_some_and(|entry| entry.uid.as_ref() == Some(&baseline.uid))
                && let Some(managed) = self.objects.get_mut(&baseline.key)
            {
                let Baseline { uid, digest, fingerprint, .. } = baseline;
                managed.base = Some(Base { uid, digest, fingerprint });
            }
        }
    }

    /// For Hello, at the moment it is sent.
    pub fn hello_facts(&self) -> HelloFacts {
        HelloFacts {
            held_head: self.trust.head_bytes.clone(),
            held_plan: self.active.as_ref().map(|active| active.digest),
            root_version: self.trust.root.version,
        }
    }

    /// The newest root's PEM bundle of certificate authorities.
    pub fn ca_bundle(&self) -> &str {
        &self.trust.root.ca_bundle
    }

    /// True while anything is in flight.
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(crate) fn start_work(&mut self, flight: Flight, work: Work) {
        let id = self.flights.start(flight);
        self.out.push(Effect::Do(id, work));
    }
}

/// Takes what happened and says what to do.
pub fn step(state: &mut State, event: Event, now: Timestamp) -> Vec<Effect> {
    handle(state, event, now);
    advance(state, now);
    std::mem::take(&mut state.out)
}

fn handle(state: &mut State, event: Event, now: Timestamp) {
    match event {
        Event::Tick => state.wake = None,
        Event::Connected => {
            state.connected = true;
            state.content.retry.kick();
            state.outbox.connected();
            state.say_again();
            state.tell_standing();
        }
        Event::Disconnected => state.connected = false,
        Event::Offer(offer) => state.offered(*offer, now),
        Event::Roots(roots) => state.take_roots(&roots, now),
        Event::ReportAck { boot_id, counter } => state.outbox.acknowledged(&boot_id, counter),
        Event::Reconcile => {
            state.look_again(now);
            state.watches.reach_again();
            state.audit_all();
        }
        Event::Config(settings) => {
            state.settings = settings;
            // What was let go under other ceilings is judged by these.
            state.recall_deletes(now);
            state.look_again(now);
        }
        Event::WatchSynced { watch, objects } => state.watch_synced(&watch, objects, now),
        Event::WatchUpsert { watch, object } => state.watch_told(&watch, *object, now),
        Event::WatchDeleted { watch, key, uid } => state.watch_deleted(&watch, &key, &uid, now),
        Event::WatchFailed { watch, why } => state.watch_failed(&watch, &why, now),
        Event::Done(id, outcome) => {
            if let Some(flight) = state.flights.finish(id) {
                state.done(flight, outcome, now);
            }
        }
    }
}

/// Rounds of settling in one step: prune, then write, then say so; a round that changes nothing ends it before.
const SETTLE_ROUNDS: usize = 4;

fn advance(state: &mut State, now: Timestamp) {
    state.expire(now);
    state.advance_trust(now);
    state.advance_pending(now);
    state.advance_discovery(now);
    state.advance_tenants(now);
    state.advance_watches(now);
    state.advance_search(now);
    state.advance_needs(now);
    state.advance_objects();
    for _ in 0..SETTLE_ROUNDS {
        if !state.advance_settle(now) {
            break;
        }
        state.advance_objects();
    }
    state.advance_audit(now);
    state.advance_lists(now);
    state.advance_ledger(now);
    state.advance_explain(now);
    state.advance_report(now);
    state.advance_wake(now);
}
