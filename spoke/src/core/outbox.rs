//! What is said to the hub: reports that coalesce, of what changed since the
//! last, and drift and events that are kept until the hub has them. Bounded
//! whatever happens: a hub that is away for a year costs as much as one that is
//! away for an hour.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use rimward_proto::report::{AppReport, DriftReport, EventReport, HoldReport};
use rimward_proto::{AppId, ObjectKey};

/// Changes within this time become one report.
pub const COALESCE: SignedDuration = SignedDuration::from_millis(50);
/// While a plan is being applied, progress is told this often: 10,000 spokes at once must not flood the hub.
pub const PROGRESS: SignedDuration = SignedDuration::from_secs(1);
/// Drifts kept until acknowledged; beyond it the oldest goes. A night of one drift a minute.
pub const DRIFTS: usize = 500;
/// Events kept until acknowledged; beyond it the oldest goes.
pub const EVENTS: usize = 200;
/// Longest text of an event: two envelopes as evidence fit.
const EVENT_CHARS: usize = 16 << 10;

/// Something kept until the report that carried it is acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    pub item: T,
    pub sent: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    boot_id: String,
    ids: u64,
    pub counter: u64,
    pub dirty: BTreeSet<AppId>,
    /// Apps in the last report of this stream, as told.
    pub told: BTreeMap<AppId, AppReport>,
    /// The next report is a full one.
    pub full: bool,
    /// Something beside the Apps changed: holds, cleared, drift, events.
    pub news: bool,
    pub last: Option<Timestamp>,
    pub holds: Vec<HoldReport>,
    pub drift: VecDeque<Kept<DriftReport>>,
    pub events: VecDeque<Kept<EventReport>>,
    /// When the next report may go, if something is to be said and has to wait.
    pub next: Option<Timestamp>,
}

impl Outbox {
    pub fn new(boot_id: String) -> Self {
        Self {
            boot_id,
            ids: 0,
            counter: 0,
            dirty: BTreeSet::new(),
            told: BTreeMap::new(),
            full: true,
            news: false,
            last: None,
            holds: Vec::new(),
            drift: VecDeque::new(),
            events: VecDeque::new(),
            next: None,
        }
    }

    /// A new stream: the hub is told everything once, and again what it did not acknowledge.
    pub fn connected(&mut self) {
        (self.full, self.last, self.next) = (true, None, None);
        self.told.clear();
        self.drift.iter_mut().for_each(|kept| kept.sent = None);
        self.events.iter_mut().for_each(|kept| kept.sent = None);
    }

    pub fn acknowledged(&mut self, boot_id: &str, counter: u64) {
        if boot_id == self.boot_id {
            self.drift.retain(|kept| kept.sent.is_none_or(|sent| sent > counter));
            self.events.retain(|kept| kept.sent.is_none_or(|sent| sent > counter));
        }
    }

    /// An id that no other drift or event of any spoke has.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{}-{}", self.boot_id, self.ids)
    }

    pub fn mark(&mut self, app: &AppId) {
        if !self.dirty.contains(app) {
            self.dirty.insert(app.clone());
        }
    }

    pub fn plan_changed<'a>(&mut self, apps: impl Iterator<Item = &'a AppId>) {
        apps.for_each(|app| self.mark(app));
        let told: Vec<AppId> = self.told.keys().cloned().collect();
        self.dirty.extend(told);
        self.news = true;
    }

    pub fn drift(&mut self, item: DriftReport) {
        if self.drift.len() >= DRIFTS {
            self.drift.pop_front();
        }
        self.drift.push_back(Kept { item, sent: None });
        self.news = true;
    }

    /// Says more of a drift that was told before: it is over, or it still stands.
    pub fn drift_again(&mut self, item: DriftReport) {
        self.drift.retain(|kept| kept.item.id != item.id || kept.sent.is_some());
        self.drift(item);
    }

    pub fn event(
        &mut self,
        kind: &str,
        message: String,
        app: Option<AppId>,
        key: Option<ObjectKey>,
        time: Timestamp,
    ) {
        let message =
            if message.len() > EVENT_CHARS { message.chars().take(EVENT_CHARS).collect() } else { message };
        // The same thing again before anybody heard of it is the same thing.
        let same = |kept: &Kept<EventReport>| kept.item.kind == kind && kept.item.message == message;
        if self.events.iter().any(same) {
            return;
        }
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        let item = EventReport { id: self.next_id(), time, kind: kind.to_owned(), message, app, key };
        self.events.push_back(Kept { item, sent: None });
        self.news = true;
    }

    /// The holds as they are now; true if they changed.
    pub fn set_holds(&mut self, holds: Vec<HoldReport>) -> bool {
        let changed = self.holds != holds;
        if changed {
            self.holds = holds;
            self.news = true;
        }
        changed
    }

    pub fn wake(&self, connected: bool) -> Option<Timestamp> {
        self.next.filter(|_| connected)
    }

    pub fn has_something(&self) -> bool {
        self.full || self.news || !self.dirty.is_empty()
    }

    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }
}
