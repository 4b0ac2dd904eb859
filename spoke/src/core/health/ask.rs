//! When Kubernetes is asked what it says about an object that is not healthy:
//! once it has been so for a moment, again while it stays so, and never more
//! than a few at a time. At rest nothing is asked.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::ObjectKey;

use super::super::effect::{ExplainWork, Target, Work};
use super::super::flight::Flight;
use super::super::managed::Managed;
use super::super::state::State;
use super::clock::Standing;
use super::explain::EVENTS_BEFORE;
use super::{Health, kinds};

/// How long an object is not healthy before it is asked about: most become healthy by themselves in less.
pub const ASK_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// How soon it is asked about again: events repeat at this pace or slower.
pub const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Questions in flight at once: beside the requests that do the work, these must not be noticed.
pub const ASKS_AT_ONCE: usize = 4;
/// Questions in a minute: of ten thousand unhealthy objects the report shows fifty an App.
pub const ASKS_A_MINUTE: u32 = 60;

/// Who is to be asked about, and how much was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    due: BTreeSet<(Timestamp, ObjectKey)>,
    flying: usize,
    spent: u32,
    minute: Option<Timestamp>,
}

impl Asking {
    /// When the next question may be asked.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at)?;
        if self.flying >= ASKS_AT_ONCE {
            return None;
        }
        let full = self.spent >= ASKS_A_MINUTE;
        let free = self.minute.filter(|_| full).map(|minute| minute + SignedDuration::from_mins(1));
        Some(due.max(free.unwrap_or(now)))
    }

    fn next(&mut self, now: Timestamp) -> Option<(Timestamp, ObjectKey)> {
        let over = |minute: Timestamp| minute > now || now >= minute + SignedDuration::from_mins(1);
        if self.minute.is_none_or(over) {
            (self.minute, self.spent) = (Some(now), 0);
        }
        let may = self.flying < ASKS_AT_ONCE && self.spent < ASKS_A_MINUTE;
        if !may || self.due.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        self.due.pop_first()
    }
}

impl State {
    /// Queues an object that is not healthy, unless it is queued or was asked about lately.
    pub(crate) fn ask_about(&mut self, key: &ObjectKey, now: Timestamp) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        let Some(since) = managed.unhealthy.filter(|_| can_ask(key, managed)) else { return };
        let failed = matches!(managed.health, Health::Failed(_));
        let first = if failed { now } else { since + ASK_AFTER };
        let told = managed.told.get_or_insert_default();
        let at = told.asked.map_or(first, |asked| first.max(asked + ASK_AGAIN));
        if told.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(later) = told.due.replace(at) {
            self.asking.due.remove(&(later, key.clone()));
        }
        self.asking.due.insert((at, key.clone()));
    }

    /// Asks about those whose time has come, while there is somebody to tell.
    pub(crate) fn advance_explain(&mut self, now: Timestamp) {
        if !self.connected || self.paused_until.is_some() {
            return;
        }
        while let Some((at, key)) = self.asking.next(now) {
            if let Some(work) = self.explain_work(&key, at, now) {
                self.asking.flying += 1;
                self.asking.spent += 1;
                self.start_work(Flight::Explain(key), Work::Explain(Box::new(work)));
            }
        }
    }

    fn explain_work(&mut self, key: &ObjectKey, at: Timestamp, now: Timestamp) -> Option<ExplainWork> {
        let entry = self.ledger.entries.get(key)?;
        let uid = entry.uid.clone()?;
        let managed = self.objects.get_mut(key)?;
        let ready = managed.standing(now) == Standing::Ready;
        let may = !ready && managed.is_applied() && can_ask(key, managed);
        let since = managed.unhealthy?;
        let told = managed.told.as_mut().filter(|told| told.due == Some(at))?;
        told.due = None;
        if !may {
            return None;
        }
        told.asked = Some(now);
        let target = Target {
            key: key.clone(),
            version: entry.version.clone(),
            service_account: entry.service_account.clone(),
            judge: managed.judge.clone(),
        };
        let has_pods = kinds::has_pods(&key.group, &key.kind);
        Some(ExplainWork { target, uid, since: since - EVENTS_BEFORE, has_pods })
    }

    /// What Kubernetes said; none if it could not be asked.
    pub(crate) fn explained(&mut self, key: &ObjectKey, parts: Option<Vec<String>>, now: Timestamp) {
        self.asking.flying = self.asking.flying.saturating_sub(1);
        // Healthy again in the meantime: nobody wants to know.
        let told = self.objects.get_mut(key).and_then(|managed| managed.told.as_mut());
        let Some(told) = told else { return };
        if let Some(parts) = parts
            && told.parts != parts
        {
            told.parts = parts;
            self.mark(key);
        }
        self.ask_about(key, now);
    }
}

/// Only objects that have something to explain; of Secrets nothing is ever told.
fn can_ask(key: &ObjectKey, managed: &Managed) -> bool {
    let unwell = matches!(managed.health, Health::Progressing(_) | Health::Failed(_));
    unwell && !key.is_secret()
}
