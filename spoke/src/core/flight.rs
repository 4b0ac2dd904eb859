//! What is in flight, and when what failed is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::{Digest, ObjectKey};

use super::effect::{EffectId, ListWork, WatchSpec};
use super::lanes::Place;
use super::tenants::TenantId;

/// The first retry of something that may work at once: long enough to let a leader change or a lock pass.
pub const FAST_FIRST: Duration = Duration::from_millis(200);
/// The slowest fast retry: a server that is down is asked twice a minute.
pub const FAST_MAX: Duration = Duration::from_secs(30);
/// The first retry of something that needs a change elsewhere (a permission, a policy, a foreign object).
pub const SLOW_FIRST: Duration = Duration::from_secs(10);
/// The slowest slow retry: nobody waits longer than this for the spoke to see that they fixed it.
pub const SLOW_MAX: Duration = Duration::from_secs(300);
/// Longest `Retry-After` honoured: a server that says more is not believed for ever.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How long to wait after the `fails`-th failure in a row (1, 2, 3 …).
pub fn backoff(first: Duration, max: Duration, fails: u32) -> SignedDuration {
    let wait = first.saturating_mul(1 << fails.saturating_sub(1).min(16)).min(max);
    SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(300))
}

/// Answers in a row that name a time to wait, and are taken at their word: as many as client-go takes. A server that
/// lets half of the requests through refuses one of a thousand so often.
const TAKEN_AT_THEIR_WORD: u32 = 10;

/// How long to wait after the `fails`-th failure in a row that asked for `asked`, zero for none. A server that says when
/// knows better than a bound that doubles.
pub fn retry_in(first: Duration, max: Duration, fails: u32, asked: SignedDuration) -> SignedDuration {
    let fails = if asked.is_zero() { fails } else { fails.saturating_sub(TAKEN_AT_THEIR_WORD) };
    backoff(first, max, fails).max(asked)
}

/// What an effect in flight is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flight {
    /// Roots, floor and head.
    Trust,
    /// The ledger.
    Ledger,
    /// The plan being completed.
    Plan,
    /// Baselines.
    Baselines,
    /// Inline content.
    Content(Vec<Digest>),
    /// What of these is there.
    Check(Vec<Digest>),
    /// One index.
    Index(Digest),
    /// Missing content.
    Fetch,
    /// Discovery.
    Discover,
    /// One tenant's setup.
    Tenant(TenantId),
    /// A request about one object.
    Object(ObjectKey, Place),
    /// A request about one object that is being compared: in no lane, behind everything.
    Audit(ObjectKey),
    /// A question about one object's health.
    Explain(ObjectKey),
    /// The names of all namespaces.
    Namespaces,
    /// One list of what carries our labels.
    Labelled(Box<ListWork>),
    /// A look at a place that is not watched.
    List(Box<WatchSpec>),
}

/// Everything in flight.
#[derive(Debug, Clone, Default)]
pub struct Flights {
    next: u64,
    map: BTreeMap<EffectId, Flight>,
}

impl Flights {
    /// Records one more.
    pub fn start(&mut self, flight: Flight) -> EffectId {
        let id = EffectId(self.next);
        self.next += 1;
        self.map.insert(id, flight);
        id
    }

    /// Records its end; none for an id that is not in flight.
    pub fn finish(&mut self, id: EffectId) -> Option<Flight> {
        self.map.remove(&id)
    }

    /// True if nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// Something that is written as a whole: which generation is wanted, in flight, durable.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    /// Grows with each change.
    pub wanted: u64,
    /// The newest generation known to be durable.
    pub durable: u64,
    flying: Option<u64>,
    fails: u32,
    retry: Option<Timestamp>,
}

impl Writer {
    /// What is held now differs from what was written.
    pub fn change(&mut self) {
        self.wanted += 1;
    }

    /// Changes that are not durable yet.
    pub fn behind(&self) -> u64 {
        self.wanted - self.durable
    }

    /// True if the newest change is durable.
    pub fn is_clean(&self) -> bool {
        self.durable == self.wanted
    }

    /// True if a write of the newest generation should start now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.is_clean() && self.flying.is_none() && self.retry.is_none_or(|at| at <= now)
    }

    /// A write of the newest generation has started.
    pub fn start(&mut self) {
        self.flying = Some(self.wanted);
    }

    /// It ended. Returns the error for people, if it failed.
    pub fn finish(&mut self, result: Result<(), String>, now: Timestamp) -> Option<String> {
        let generation = self.flying.take()?;
        match result {
            Ok(()) => {
                (self.durable, self.fails, self.retry) = (generation, 0, None);
                None
            }
            Err(error) => {
                self.fails += 1;
                self.retry = Some(now + backoff(FAST_FIRST, FAST_MAX, self.fails));
                Some(error)
            }
        }
    }

    /// When to look again, if a write failed.
    pub fn wake(&self) -> Option<Timestamp> {
        self.retry.filter(|_| !self.is_clean() && self.flying.is_none())
    }
}

/// One thing that is asked for again after a failure: discovery, a fetch, a tenant's setup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// In flight now.
    pub flying: bool,
    fails: u32,
    at: Option<Timestamp>,
}

impl Retry {
    /// True if it may start now.
    pub fn may_start(&self, now: Timestamp) -> bool {
        !self.flying && self.at.is_none_or(|at| at <= now)
    }

    /// It started.
    pub fn start(&mut self) {
        self.flying = true;
    }

    /// It worked.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// It failed, or brought nothing new; wait.
    pub fn fail(&mut self, now: Timestamp, first: Duration, max: Duration) {
        self.flying = false;
        self.fails += 1;
        self.at = Some(now + backoff(first, max, self.fails));
    }

    /// Forget the wait: something changed.
    pub fn kick(&mut self) {
        self.at = None;
        self.fails = 0;
    }

    /// When it may start again.
    pub fn wake(&self) -> Option<Timestamp> {
        self.at.filter(|_| !self.flying)
    }
}
