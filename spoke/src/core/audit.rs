//! The slow audit (apply rule 7): once in a while every object is compared with
//! what a forced dry-run would make of it, because there are changes that no
//! fingerprint shows: a webhook that changes a field somebody else's write never
//! named, another order in a list, our own manager's name in other hands. All
//! objects come up once a day, one by one; after an upgrade of the API server,
//! and when somebody asks, all of them at once, a few at a time. What it finds
//! is drift like any other.

use std::collections::BTreeSet;
use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::plan::DriftMode;
use rimward_proto::{AppId, Digest, ObjectKey};

use super::compare;
use super::errors::{ApiError, ErrorKind};
use super::flight::{Flight, RETRY_AFTER_MAX, SLOW_FIRST, SLOW_MAX, backoff};
use super::managed::{Managed, Must, Step, Task};
use super::scope;
use super::state::State;
use super::tenants::Gate;

/// Every object is compared once in this time: what only an audit finds is rare, and a comparison costs two requests.
pub const PERIOD: SignedDuration = SignedDuration::from_hours(24);
/// Objects being compared at once, each with one request in flight: beside the requests that do the work, and beside
/// what everybody else asks of the API server, they must not be noticed, even when all objects are due.
pub const AT_ONCE: usize = 2;
/// After a start nothing is compared for so long: what was just applied is known, and a server that comes up has better
/// things to do.
pub const REST: SignedDuration = SignedDuration::from_hours(1);
/// How often the API server's version is looked at while audits go on: an upgrade is followed within the hour, also
/// where no watch has noticed it.
pub const VERSION_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Times a comparison that could not be made is tried again, at growing distances, before it waits for the next day.
pub const TRIES: u32 = 5;

/// Which objects are compared when.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    /// Random, new at each start: neither the pace nor the order is that of other spokes.
    seed: String,
    turns: u64,
    /// Of this turn, from 0 to 1; see [`fraction`].
    fraction: f64,
    /// The last turn of the day's round.
    since: Timestamp,
    /// The object of the last turn.
    cursor: Option<ObjectKey>,
    /// To be compared now.
    due: BTreeSet<ObjectKey>,
    /// Begun and not ended.
    open: BTreeSet<ObjectKey>,
    /// Could not be compared; due again when `again_at` has come.
    again: BTreeSet<ObjectKey>,
    again_at: Option<Timestamp>,
    tries: u32,
    version_at: Timestamp,
}

impl Audit {
    /// From a spoke's start, with something random.
    pub fn new(seed: String, now: Timestamp) -> Self {
        Self {
            fraction: fraction(&seed, 0),
            seed,
            turns: 0,
            since: now + REST,
            cursor: None,
            due: BTreeSet::new(),
            open: BTreeSet::new(),
            again: BTreeSet::new(),
            again_at: None,
            tries: 0,
            version_at: now,
        }
    }

    /// A turn was taken.
    fn turned(&mut self, now: Timestamp) {
        (self.since, self.turns) = (now, self.turns + 1);
        self.fraction = fraction(&self.seed, self.turns);
    }

    /// When the next object of the round is due, of so many: on average a day's share of the period apart.
    fn turn_at(&self, objects: usize) -> Timestamp {
        let share = PERIOD.as_secs_f64() / objects.max(1) as f64;
        let gap = SignedDuration::try_from_secs_f64(share * (0.5 + self.fraction)).unwrap_or(PERIOD);
        self.since + gap
    }

    /// When there is something to do by time alone.
    pub fn wake(&self, objects: usize) -> Option<Timestamp> {
        let turn = (objects > 0).then(|| self.turn_at(objects));
        turn.into_iter().chain(self.again_at).min()
    }

    /// True while objects are due or being compared.
    pub fn is_busy(&self) -> bool {
        !self.due.is_empty() || !self.open.is_empty()
    }
}

/// From 0 to 1, another one for each spoke and turn.
pub(crate) fn fraction(seed: &str, turn: u64) -> f64 {
    let digest = Digest::of(format!("audit {seed} {turn}").as_bytes());
    let (bytes, _) = digest.as_bytes().split_at(4);
    let number = bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(number) / f64::from(u32::MAX)
}

impl State {
    /// Compares everything, now.
    pub(crate) fn audit_all(&mut self) {
        self.audit.due.extend(self.objects.keys().cloned());
        self.audit.again.clear();
        (self.audit.again_at, self.audit.tries) = (None, 0);
    }

    /// The API server says which version it is. Another one than before may default, convert or admit otherwise.
    pub(crate) fn server_is(&mut self, version: &str, now: Timestamp) {
        self.audit.version_at = now;
        if version.is_empty() || self.ledger.server_version.as_deref() == Some(version) {
            return;
        }
        self.ledger_writer.change();
        if self.ledger.server_version.replace(version.to_owned()).is_some() {
            self.audit_all();
        }
    }

    /// Takes up what is due, a few at a time, behind everything that is there to be done.
    pub(crate) fn advance_audit(&mut self, now: Timestamp) {
        self.take_turn(now);
        if self.audit.again_at.is_some_and(|at| at <= now) {
            self.audit.again_at = None;
            let again = std::mem::take(&mut self.audit.again);
            self.audit.due.extend(again);
        }
        if !self.audit.is_busy() {
            if self.audit.again.is_empty() {
                self.audit.tries = 0;
            }
            return;
        }
        if self.paused_until.is_some() || !self.queue.is_empty() {
            return;
        }
        for key in self.audit.open.clone() {
            self.go_on(&key, now);
        }
        while self.audit.open.len() < AT_ONCE {
            let Some(key) = self.audit.due.pop_first() else { return };
            if self.begin(&key, now) {
                self.audit.open.insert(key.clone());
                self.go_on(&key, now);
            }
        }
    }

    /// The round goes on by one object when its time has come, whether or not that one can be compared.
    fn take_turn(&mut self, now: Timestamp) {
        let objects = self.objects.len();
        if objects == 0 || now < self.audit.turn_at(objects) {
            return;
        }
        let next = match &self.audit.cursor {
            Some(last) => {
                let after = (Bound::Excluded(last), Bound::Unbounded);
                let next = self.objects.range::<ObjectKey, _>(after).next();
                next.or_else(|| self.objects.first_key_value())
            }
            // Spokes that start often must not begin with the same objects each time.
            None => self.objects.iter().nth((self.audit.fraction * objects as f64) as usize % objects),
        };
        if let Some((key, _)) = next {
            let key = key.clone();
            self.audit.due.insert(key.clone());
            self.audit.cursor = Some(key);
        }
        self.audit.turned(now);
        if now >= self.audit.version_at + VERSION_EVERY {
            self.audit.version_at = now;
            self.kinds.want();
        }
    }

    /// True if an object is at rest, as applied and kept so: then it is to be compared.
    fn begin(&mut self, key: &ObjectKey, now: Timestamp) -> bool {
        let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.as_ref());
        let Some(managed) = self.objects.get(key) else { return false };
        let (Some(want), Some(base)) = (&managed.want, &managed.base) else { return false };
        let kept = !managed.left && !managed.over && want.bundle.plan.drift.mode != DriftMode::None;
        if !kept || uid != Some(&base.uid) || managed.task != Task::Idle {
            return false;
        }
        if !managed.seen || self.watches.has_failed(&want.bundle.plan.service_account, key) {
            // A server that was just exchanged has not shown everything yet.
            self.audit_again(key, now);
            return false;
        }
        let rests = managed.is_applied();
        if let Some(managed) = self.objects.get_mut(key).filter(|_| rests) {
            managed.audit = true;
        }
        rests
    }

    /// The next request about an object that is being compared.
    fn go_on(&mut self, key: &ObjectKey, now: Timestamp) {
        let under_way = self.objects.get(key).filter(|managed| managed.audit);
        if under_way.is_some_and(|managed| managed.task != Task::Idle) {
            return;
        }
        let step = under_way.and_then(|managed| self.audit_step(key, managed));
        let work = step.and_then(|step| Some((self.work(key, &step)?, step)));
        let Some((work, step)) = work else {
            // Something else has come between, and sees to it.
            self.audit.open.remove(key);
            if let Some(managed) = self.objects.get_mut(key)
                && std::mem::take(&mut managed.audit)
            {
                self.touch(key, now);
            }
            return;
        };
        if let Some(managed) = self.objects.get_mut(key) {
            managed.task = Task::Flying(step);
        }
        self.start_work(Flight::Audit(key.clone()), work);
    }

    fn audit_step(&self, key: &ObjectKey, managed: &Managed) -> Option<Step> {
        let want = managed.want.as_ref().filter(|_| managed.problem.is_none())?;
        let plan = &want.bundle.plan;
        let refused = scope::refusal(key, &want.version, plan, &self.kinds, &self.settings).is_some();
        if refused || !matches!(self.tenants.gate(&want.bundle), Gate::Open) {
            return None;
        }
        match &managed.must {
            Must::Nothing => Some(Step::Look),
            Must::Verify(seen) => Some(Step::Verify(want.digest, seen.clone())),
            _ => None,
        }
    }

    /// A request of an audit was answered. True if the object still is as it was applied, as far as is known.
    pub(crate) fn audited(&mut self, key: &ObjectKey) -> bool {
        let Some(managed) = self.objects.get_mut(key) else { return false };
        managed.audit &= matches!(managed.must, Must::Verify(_));
        if !managed.audit {
            self.audit.open.remove(key);
        }
        managed.is_applied()
    }

    /// An object could not be compared. It is as it was, as far as is known: that is no state of its own, and is tried
    /// again.
    pub(crate) fn not_audited(&mut self, key: &ObjectKey, error: ApiError, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        match error.kind {
            ErrorKind::Exists | ErrorKind::Replaced => return self.not_written(key, error, now),
            ErrorKind::Incomplete => return self.failed(key, error, now),
            kind => (managed.must, managed.guess) = (Must::Nothing, compare::is_refusal(kind)),
        }
        if managed.guess {
            self.audit.due.insert(key.clone());
            return;
        }
        if matches!(error.kind, ErrorKind::Transient | ErrorKind::Conflict) {
            let asked = error.retry_after.map(|after| after.min(RETRY_AFTER_MAX));
            if let Some(asked) = asked.and_then(|asked| SignedDuration::try_from(asked).ok()) {
                self.paused_until = self.paused_until.max(Some(now + asked));
            }
            return self.audit_again(key, now);
        }
        let app: Option<AppId> = self.ledger.entries.get(key).map(|entry| entry.app.clone());
        let whose = app.as_ref().map(ToString::to_string).unwrap_or_default();
        // One for each App and reason; the server's text may quote a Secret.
        let message =
            format!("objects of {whose} cannot be compared with what they shall be: {}", error.kind);
        self.outbox.event("AuditRefused", message, app, Some(key.clone()), now);
    }

    /// True of an object that is being compared.
    pub(crate) fn is_audit(&self, key: &ObjectKey) -> bool {
        self.objects.get(key).is_some_and(|managed| managed.audit)
    }

    /// What was read is not what was compared: once more, or in an audit later.
    pub(crate) fn compared_in_vain(&mut self, key: &ObjectKey, now: Timestamp) {
        let error = ApiError::new(ErrorKind::Replaced, "");
        match self.objects.get_mut(key) {
            Some(managed) if managed.audit => {
                managed.must = Must::Nothing;
                self.audit_again(key, now);
            }
            _ => self.not_written(key, error, now),
        }
    }

    /// Puts an object off until those that are due have had their turn.
    fn audit_again(&mut self, key: &ObjectKey, now: Timestamp) {
        let audit = &mut self.audit;
        if audit.again_at.is_none() {
            if audit.tries >= TRIES {
                return;
            }
            audit.tries += 1;
            audit.again_at = Some(now + backoff(SLOW_FIRST, SLOW_MAX, audit.tries));
        }
        audit.again.insert(key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_a_share_of_the_day_apart_and_no_two_spokes_keep_step() {
        let start = Timestamp::UNIX_EPOCH;
        let objects = 1_000;
        let times = |seed: &str| -> Vec<SignedDuration> {
            let mut audit = Audit::new(seed.to_owned(), start);
            let gaps = (0..objects).map(|_| {
                let at = audit.turn_at(objects);
                let gap = at.duration_since(audit.since);
                audit.turned(at);
                gap
            });
            gaps.collect()
        };
        let gaps = times("a");
        let all: SignedDuration = gaps.iter().copied().sum();
        let day = PERIOD.as_secs_f64();
        assert!((all.as_secs_f64() / day - 1.0).abs() < 0.05, "{all:?}");
        let share = day / objects as f64;
        assert!(gaps.iter().all(|gap| (0.5..=1.5).contains(&(gap.as_secs_f64() / share))), "{gaps:?}");
        assert_ne!(gaps, times("b"));
        let audit = Audit::new("a".into(), start);
        assert!(audit.wake(objects).is_some_and(|at| at > start + REST));
        assert_eq!(audit.wake(0), None, "nothing to compare, nothing to wake for");
    }
}
