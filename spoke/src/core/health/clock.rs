//! Health over time: since when an object is not healthy, when that is too
//! long, and when the wait for a status that nobody writes is over.

use jiff::{SignedDuration, Timestamp};
use rimward_proto::ObjectKey;

use super::super::managed::{ActiveBundle, Managed};
use super::super::observed::Observed;
use super::super::state::State;
use super::Health;

/// How long an empty status of a custom resource means "not yet": a controller that works writes its first within
/// seconds. After that it means that this kind's controller never writes one, and that must not hang an App.
pub const STATUS_GRACE: SignedDuration = SignedDuration::from_secs(10);

/// What is said of an object that was judged by other conditions than those in force.
const NOT_JUDGED: &str = "its conditions changed; not seen since";

/// Where an object stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Healthy.
    Ready,
    /// Not yet, and there is time.
    Progressing(String),
    /// Not in time.
    TimedOut(String),
    /// Will not.
    Failed(String),
}

/// What Kubernetes said about an unhealthy object, and when it is asked next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The place in the queue of those to ask about.
    pub due: Option<Timestamp>,
    /// When it was asked about last.
    pub asked: Option<Timestamp>,
    /// Each `Reason: message`; empty if nothing is known.
    pub parts: Vec<String>,
}

impl Managed {
    /// Notes what was observed of its health. True if that is news.
    pub fn set_health(&mut self, observed: &Observed, now: Timestamp) -> bool {
        let health =
            if observed.judged == self.conditions() { observed.health.clone() } else { not_judged() };
        self.judged = observed.judged;
        self.note_health(health, now)
    }

    fn note_health(&mut self, health: Health, now: Timestamp) -> bool {
        let changed = self.health != health;
        if health == Health::Ready {
            (self.unhealthy, self.told) = (None, None);
        } else {
            self.unhealthy.get_or_insert(now);
        }
        self.health = health;
        changed
    }

    /// Another body was applied: its time begins now.
    pub fn restart_clock(&mut self) {
        (self.unhealthy, self.told) = (None, None);
    }

    /// Forgets a judgement by conditions that are not in force any more. True if it did.
    pub fn lose_judgement(&mut self, now: Timestamp) -> bool {
        let lost = self.seen && self.want.is_some() && self.judged != self.conditions();
        lost && self.note_health(not_judged(), now)
    }

    /// The conditions of its App that are in force for it; 0 for none.
    fn conditions(&self) -> u64 {
        self.want.as_ref().map_or(0, |want| self.judge.conditions_of(&want.bundle.id))
    }

    /// Until when an empty status is no reason to call it ready. The object's age counts, so that a restart of the
    /// spoke does not make old objects wait again.
    pub fn grace(&self) -> Option<Timestamp> {
        let Health::Unwritten(created) = &self.health else { return None };
        let since = self.unhealthy?;
        Some(created.map_or(since, |created| created.min(since)) + STATUS_GRACE)
    }

    /// When its time is over, if it is not healthy.
    pub fn deadline(&self) -> Option<Timestamp> {
        Some(self.unhealthy? + timeout(&self.want.as_ref()?.bundle))
    }

    /// Where it stands now.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let waits = match &self.health {
            Health::Ready => return Standing::Ready,
            Health::Failed(text) => return Standing::Failed(self.with_told(text)),
            Health::Unwritten(_) if self.grace().is_none_or(|until| now >= until) => return Standing::Ready,
            Health::Unwritten(_) => "nobody has written its status yet",
            Health::Progressing(text) => text,
        };
        let text = self.with_told(waits);
        let late = self.deadline().is_some_and(|deadline| now >= deadline);
        if late { Standing::TimedOut(text) } else { Standing::Progressing(text) }
    }

    /// The text and what Kubernetes said, unless the text has it already.
    fn with_told(&self, text: &str) -> String {
        let known = |part: &&String| {
            let reason = part.split_once(": ").map_or(part.as_str(), |(reason, _)| reason);
            !text.contains(&format!("{reason}: "))
        };
        let told = self.told.iter().flat_map(|told| &told.parts).filter(known);
        told.fold(text.to_owned(), |whole, part| format!("{whole}; {part}"))
    }
}

impl State {
    /// What becomes due by time alone for an object that is not healthy.
    pub(crate) fn health_alarm(&mut self, key: &ObjectKey, now: Timestamp) {
        let Some(managed) = self.objects.get(key).filter(|managed| managed.want.is_some()) else { return };
        let times = [managed.deadline(), managed.grace()];
        for at in times.into_iter().flatten().filter(|at| *at > now) {
            self.alarms.insert((at, key.clone()));
        }
        self.ask_about(key, now);
    }
}

fn not_judged() -> Health {
    Health::Progressing(NOT_JUDGED.to_owned())
}

fn timeout(bundle: &ActiveBundle) -> SignedDuration {
    // A plan may say anything; a hundred years are as good as never, and can be added to a time.
    const FOREVER: u64 = 100 * 365 * 86_400;
    SignedDuration::from_secs(bundle.plan.health.timeout_seconds.min(FOREVER).cast_signed())
}
