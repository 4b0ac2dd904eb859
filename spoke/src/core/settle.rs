//! When nothing is queued and nothing in flight: prune, write down what is
//! known now, say that the plan is applied, forget content nobody needs. And
//! the dispatch of what completes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::ObjectKey;
use rimward_proto::session::AckKind;

use super::effect::{Effect, Work};
use super::event::{Baseline, Outcome};
use super::flight::Flight;
use super::managed::{Managed, Prune, Task};
use super::state::State;

/// Baselines go to disk at the end of a plan that changed many, and else at most this often: losing them costs reads, not
/// correctness.
const BASELINES_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Many are one in this number: a small plan must not cost writing down all that it left alone.
const BASELINES_SHARE: u64 = 16;

/// The shortest sleep asked for, so that a mistake in a timer costs ten wake-ups a second, not a core.
const LEAST_WAIT: SignedDuration = SignedDuration::from_millis(100);

impl State {
    /// Moves on what waits for quiet. True if it queued requests or changed something that lets more happen.
    pub(crate) fn advance_settle(&mut self, now: Timestamp) -> bool {
        if !self.is_quiet() {
            return false;
        }
        if self.day_full_until.is_some_and(|until| until <= now) {
            (self.settle, self.day_full_until) = (true, None);
        }
        if self.wave_over_at.is_some_and(|at| at <= now) {
            (self.settle, self.wave_over_at) = (true, None);
        }
        if !std::mem::take(&mut self.settle) || self.active.is_none() {
            return false;
        }
        // While a newer plan is being completed, nothing is pruned: that one will say what may go (trust rows 18, 20).
        if !self.is_newer_on_its_way() {
            let prunable = self.prunable();
            if self.probe_prunable(&prunable, now) || self.release(&prunable, now) {
                self.settle = true;
                return true;
            }
        }
        if std::mem::take(&mut self.watches.shrunk) {
            self.watches.stale = true;
            self.advance_watches(now);
        }
        self.finish_plan(now);
        false
    }

    /// True while a plan newer than the one in force is being completed.
    pub(crate) fn is_newer_on_its_way(&self) -> bool {
        self.next.is_some() || self.pending.as_ref().is_some_and(|pending| !pending.resumed)
    }

    /// True when no object request is queued or in flight, and the ledger is far enough ahead for the plan.
    fn is_quiet(&self) -> bool {
        !self.is_behind() && self.queue.is_empty() && self.queue.flying() == 0
    }

    /// True while something waits for the ledger to be durable.
    fn is_behind(&self) -> bool {
        self.active.is_some() && (!self.is_ahead() || !self.ahead_of.is_empty())
    }

    /// The ledger is written ahead of a plan and of whatever is made again, and once more when it is quiet again.
    pub(crate) fn advance_ledger(&mut self, now: Timestamp) {
        if (self.is_behind() || self.is_quiet()) && self.ledger_writer.is_due(now) {
            self.ledger_writer.start();
            let ledger = Box::new(self.ledger.clone());
            self.start_work(Flight::Ledger, Work::WriteLedger(ledger));
        }
        let first = self.active.as_ref().is_some_and(|active| !active.applied);
        let many = self.baselines.behind() * BASELINES_SHARE >= self.objects.len() as u64;
        let time = (first && many) || now >= self.baselines_at + BASELINES_EVERY;
        if self.is_quiet() && self.active.is_some() && time && self.baselines.is_due(now) {
            self.baselines.start();
            self.baselines_at = now;
            let baselines = self.all_baselines();
            self.start_work(Flight::Baselines, Work::StoreBaselines(baselines));
        }
    }

    fn all_baselines(&self) -> Vec<Baseline> {
        let known = self.objects.iter().filter_map(|(key, managed)| Some((key, managed.base.as_ref()?)));
        known
            .map(|(key, base)| Baseline {
                key: key.clone(),
                uid: base.uid.clone(),
                digest: base.digest,
                fingerprint: base.fingerprint,
            })
            .collect()
    }

    /// Says `Applied` once everything of the plan was applied and pruned as far as it may be, and is written down.
    fn finish_plan(&mut self, _now: Timestamp) {
        let all = self.objects.values().all(|managed| match &managed.want {
            Some(_) => managed.is_applied(),
            None => matches!(managed.prune, Prune::Keep | Prune::Found(_) | Prune::Controlled),
        });
        let Some(active) = &mut self.active else { return };
        let whole = active.clashes.is_empty() && active.bundles.values().all(|bundle| bundle.index.is_some());
        if active.applied || !all || !whole || !self.ledger_writer.is_clean() {
            return;
        }
        active.applied = true;
        let (digest, seq) = (active.digest, active.seq);
        self.ack(AckKind::Applied, digest, seq, None);
        self.keep_content();
    }

    /// Names all content that the plan in force and the one being completed need.
    fn keep_content(&mut self) {
        let Some(active) = &self.active else { return };
        let indexes = active.bundles.values().filter_map(|bundle| bundle.index.as_ref());
        let objects = indexes.flat_map(|index| index.entries()).map(|entry| entry.sha256);
        let bundles = active.bundles.values().map(|bundle| bundle.plan.digest);
        let pending = self.pending.iter().chain(&self.next).flat_map(|pending| pending.reachable());
        let keep = objects.chain(bundles).chain([active.digest]).chain(pending).collect();
        self.out.push(Effect::KeepContent(keep));
    }

    /// An effect completed.
    pub(crate) fn done(&mut self, flight: Flight, outcome: Outcome, now: Timestamp) {
        match (flight, outcome) {
            (Flight::Trust, Outcome::Written(result)) => self.noted(Flight::Trust, result, now),
            (Flight::Plan, Outcome::Written(result)) => self.noted(Flight::Plan, result, now),
            (Flight::Baselines, Outcome::Written(result)) => self.noted(Flight::Baselines, result, now),
            (Flight::Ledger, Outcome::Written(result)) => {
                let behind = self.active.is_some() && !self.is_ahead();
                self.noted(Flight::Ledger, result, now);
                self.settle = true;
                if behind {
                    self.touch_restless(&BTreeSet::new(), now);
                }
                self.written_ahead(now);
            }
            (Flight::Content(digests), Outcome::Written(result)) => self.content_stored(&digests, &result),
            (Flight::Check(asked), Outcome::Missing(missing)) => self.content_checked(asked, missing),
            (Flight::Index(digest), Outcome::Loaded(bytes)) => self.index_loaded(digest, bytes, now),
            (Flight::Fetch, Outcome::Fetched { stored, corrupt, .. }) => self.fetched(&stored, &corrupt, now),
            (Flight::Discover, Outcome::Discovered(result)) => self.discovered(result, now),
            (Flight::Tenant(id), Outcome::Tenant(result)) => self.tenant_done(&id, result, now),
            (Flight::Object(key, place), outcome) => {
                self.queue.finish(&place);
                self.object_done(&key, outcome, now);
            }
            (Flight::Audit(key), outcome) => self.object_done(&key, outcome, now),
            (Flight::List(place), Outcome::Listed(result)) => self.listed(&place, result, now),
            (Flight::Explain(key), Outcome::Explained(parts)) => self.explained(&key, parts, now),
            (Flight::Namespaces, Outcome::Namespaces(result)) => self.namespaces_listed(result),
            (Flight::Labelled(work), Outcome::Labelled(result)) => self.labelled(&work, result, now),
            // An edge that answers with another kind of outcome is broken; the flight is over either way.
            (flight, _) => {
                let message = format!("{flight:?} was answered with something else");
                self.outbox.event("Internal", message, None, None, now);
            }
        }
    }

    /// What the durable ledger has without a UID may be made again.
    fn written_ahead(&mut self, now: Timestamp) {
        let durable = self.ledger_writer.durable;
        let free = self.ahead_of.iter().filter(|(_, generation)| **generation <= durable);
        let free: Vec<ObjectKey> = free.map(|(key, _)| key.clone()).collect();
        for key in free {
            self.ahead_of.remove(&key);
            self.touch(&key, now);
        }
    }

    fn noted(&mut self, flight: Flight, result: Result<(), String>, now: Timestamp) {
        let (writer, what) = match &flight {
            Flight::Trust => (&mut self.trust_writer, "the identity Secret"),
            Flight::Plan => (&mut self.plan_writer, "the plan"),
            Flight::Baselines => (&mut self.baselines, "the baselines"),
            _ => (&mut self.ledger_writer, "the ledger"),
        };
        if let Some(error) = writer.finish(result, now) {
            // The server's text about a Secret may quote it.
            let error = if matches!(flight, Flight::Trust) {
                "the API server refused it or was not reached".to_owned()
            } else {
                error
            };
            self.outbox.event(
                "WriteFailed",
                format!("{what} could not be written: {error}"),
                None,
                None,
                now,
            );
        }
    }

    /// Asks to be woken when the next thing is due by time alone.
    pub(crate) fn advance_wake(&mut self, now: Timestamp) {
        let waiting = |(at, key): &&(Timestamp, _)| {
            let managed: Option<&Managed> = self.objects.get(key).map(AsRef::as_ref);
            managed.is_some_and(|managed| matches!(managed.task, Task::Waiting(until) if until == *at))
                || managed.is_some_and(|managed| managed.unhealthy.is_some())
        };
        let times = [
            self.alarms.iter().find(waiting).map(|(at, _)| *at),
            self.paused_until
                .filter(|_| !self.queue.is_empty() || self.audit.is_busy() || self.search.is_busy()),
            self.audit.wake(self.objects.len()),
            self.watches.lists.wake().map(|at| at.max(self.paused_until.unwrap_or(at))),
            self.trust.fresh_until(now),
            self.floor_lazy.then(|| self.floor_written + super::trust::FLOOR_WRITE),
            self.trust_writer.wake(),
            self.plan_writer.wake(),
            self.ledger_writer.wake(),
            self.baselines.wake(),
            (!self.baselines.is_clean() && self.is_quiet() && self.active.is_some())
                .then(|| self.baselines_at + BASELINES_EVERY),
            self.content.retry.wake().filter(|_| self.connected),
            self.kinds.wake(),
            self.tenants.wake(),
            self.day_full_until,
            self.wave_over_at,
            self.search.wake(),
            self.outbox.wake(self.connected),
            self.asking
                .wake(now)
                .filter(|_| self.connected)
                .map(|at| at.max(self.paused_until.unwrap_or(at))),
        ];
        // Nothing is due in the past: what could not be done at its time waits for an event, and is looked at again.
        let next = times.into_iter().flatten().min().map(|next| next.max(now + LEAST_WAIT));
        if let Some(next) = next
            && self.wake.is_none_or(|wake| wake != next)
        {
            self.wake = Some(next);
            self.out.push(Effect::WakeAt(next));
        }
    }
}
