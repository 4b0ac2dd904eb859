//! When places that are not watched are listed (apply rule 9): each once in an
//! interval, at times of its own, a few at once. A list tells what a watch tells
//! when it lists anew, and no more: a key that is missing is looked for before
//! anything is made of it, and a list that broke off says nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rimward_proto::ObjectKey;
use rimward_proto::report::{Listed, ListsReport};

use super::audit::fraction;
use super::effect::{WatchSpec, Work};
use super::event::Unlisted;
use super::flight::{FAST_FIRST, FAST_MAX, Flight, RETRY_AFTER_MAX, retry_in};
use super::follow::covering;
use super::observed::Observed;
use super::state::State;

/// Each place is listed this often: what a person still takes for soon, where watching is not to be had.
pub const LIST_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Lists a second, all places together: with more places than that, the interval grows. An API server answers such small
/// ones in some milliseconds, and shall not be busy with them.
pub const LISTS_A_SECOND: i64 = 10;
/// Lists in flight at once: beside the requests that do the work they must not be noticed.
pub const AT_ONCE: usize = 4;
/// Places with objects that are not healthy are listed more often by this: somebody waits for them.
const SOONER: i32 = 4;

/// The places, and when each is due.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    every: SignedDuration,
    /// Random, new at each start: neither the pace nor the order is that of other spokes.
    seed: String,
    turns: u64,
    places: BTreeMap<WatchSpec, Look>,
    due: BTreeSet<(Timestamp, WatchSpec)>,
    flying: usize,
    /// When the hub was last told how old they are.
    told: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
struct Look {
    due: Timestamp,
    /// When the list in flight, or the last, was asked for.
    begun: Timestamp,
    /// When the last that succeeded was asked for.
    as_of: Option<Timestamp>,
    fails: u32,
}

impl Lists {
    /// None yet; each is to be listed this often at most.
    pub fn new(every: SignedDuration, seed: String) -> Self {
        Self { every, seed, turns: 0, places: BTreeMap::new(), due: BTreeSet::new(), flying: 0, told: None }
    }

    /// True if a place is listed.
    pub fn has(&self, place: &WatchSpec) -> bool {
        self.places.contains_key(place)
    }

    /// Exactly these are listed; what is new at once. True if their number changed.
    pub fn set(&mut self, wanted: BTreeSet<WatchSpec>, now: Timestamp) -> bool {
        let changed = self.places.len() != wanted.len();
        self.places.retain(|place, _| wanted.contains(place));
        self.due.retain(|(_, place)| wanted.contains(place));
        for place in wanted {
            if !self.has(&place) {
                self.due.insert((now, place.clone()));
                self.places.insert(place, Look { due: now, ..Look::default() });
            }
        }
        changed
    }

    /// From one look at a place to the next, at most, as long as the server answers.
    pub fn interval(&self) -> SignedDuration {
        let places = i64::try_from(self.places.len()).unwrap_or(i64::MAX);
        self.every.max(SignedDuration::from_secs(places / LISTS_A_SECOND))
    }

    /// When the next one is due.
    pub fn wake(&self) -> Option<Timestamp> {
        self.due.first().filter(|_| self.flying < AT_ONCE).map(|(at, _)| *at)
    }

    fn begin(&mut self, now: Timestamp) -> Option<WatchSpec> {
        if self.flying >= AT_ONCE || self.due.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, place) = self.due.pop_first()?;
        self.places.get_mut(&place)?.begun = now;
        self.flying += 1;
        Some(place)
    }

    /// One ended; none if the place is not listed any more.
    fn end(&mut self, place: &WatchSpec) -> Option<&mut Look> {
        self.flying = self.flying.saturating_sub(1);
        self.places.get_mut(place)
    }

    fn schedule(&mut self, place: &WatchSpec, at: Timestamp) {
        let Some(look) = self.places.get_mut(place) else { return };
        // It may have been left and come back while it was in flight.
        self.due.remove(&(look.due, place.clone()));
        look.due = at;
        self.due.insert((at, place.clone()));
    }

    /// From `now` to the next look, never longer than the interval, and no two alike.
    fn gap(&mut self, soon: bool) -> SignedDuration {
        self.turns += 1;
        let part = 0.8 + 0.2 * fraction(&self.seed, self.turns);
        let whole = if soon { self.interval() / SOONER } else { self.interval() };
        SignedDuration::try_from_secs_f64(whole.as_secs_f64() * part).unwrap_or(whole)
    }

    fn interval_seconds(&self) -> u64 {
        u64::try_from(self.interval().as_secs()).unwrap_or(0).max(1)
    }

    /// How an object is looked at; none if it is not by list.
    pub fn of(&self, service_account: &str, key: &ObjectKey) -> Option<Listed> {
        let (_, look) = covering(&self.places, service_account, key)?;
        Some(Listed { interval_seconds: self.interval_seconds(), as_of: look.as_of })
    }

    /// What the hub is told of them; none if all is watched.
    pub fn report(&self) -> Option<ListsReport> {
        let oldest = self.places.values().map(|look| look.as_of).min()?;
        let interval_seconds = self.interval_seconds();
        Some(ListsReport { places: self.places.len() as u64, interval_seconds, as_of: oldest })
    }
}

impl State {
    /// Begins the lists that are due.
    pub(crate) fn advance_lists(&mut self, now: Timestamp) {
        if self.paused_until.is_some() {
            return;
        }
        while let Some(place) = self.watches.lists.begin(now) {
            let place = Box::new(place);
            self.start_work(Flight::List(place.clone()), Work::List(place));
        }
    }

    /// A list ended.
    pub(crate) fn listed(
        &mut self,
        place: &WatchSpec,
        result: Result<Vec<Observed>, Unlisted>,
        now: Timestamp,
    ) {
        let Some(look) = self.watches.lists.end(place) else { return };
        match result {
            Ok(objects) => {
                let first = look.as_of.replace(look.begun).is_none();
                look.fails = 0;
                self.watch_synced(place, objects, now);
                self.settle |= first;
                let unwell = |key: &ObjectKey| {
                    self.objects.get(key).is_some_and(|managed| managed.unhealthy.is_some())
                };
                // What was listed for the first time is perhaps being applied right now.
                let soon = first || self.covered(place).iter().any(unwell);
                let gap = self.watches.lists.gap(soon);
                self.watches.lists.schedule(place, now + gap);
                self.tell_lists(now);
            }
            Err(why) => {
                look.fails += 1;
                let asked = why.retry_after.map(|after| after.min(RETRY_AFTER_MAX)).unwrap_or_default();
                let asked = SignedDuration::try_from(asked).unwrap_or(SignedDuration::ZERO);
                let wait = retry_in(FAST_FIRST, FAST_MAX, look.fails, asked);
                if !asked.is_zero() {
                    self.paused_until = self.paused_until.max(Some(now + asked));
                }
                self.watches.lists.schedule(place, now + wait);
                self.watch_failed(place, &why, now);
            }
        }
    }

    /// Says once an interval how old what is listed is, also when nothing else is to be said.
    fn tell_lists(&mut self, now: Timestamp) {
        let lists = &mut self.watches.lists;
        if lists.told.is_none_or(|told| now >= told + lists.interval()) {
            lists.told = Some(now);
            self.outbox.news = true;
        }
    }
}
