//! When to look at which source: a slot each, and patience with each server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::model::{GitSpec, Policy, SourceId};
use crate::source::{Snapshot, SourceError, check_url};

/// The first pause after a server failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause: a server that is back is found again within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One source.
#[derive(Debug)]
pub struct Slot {
    /// Where it is.
    pub git: GitSpec,
    /// Time between looks.
    pub interval: Duration,
    /// What is in use, and where it was read from.
    pub held: Option<(GitSpec, Snapshot)>,
    /// When to look next.
    pub due: Instant,
    /// The number of the look that runs.
    pub running: Option<u64>,
    /// Look again as soon as the running look ends.
    pub again: bool,
}

/// All sources.
#[derive(Debug, Default)]
pub struct Slots {
    /// By source.
    pub slots: BTreeMap<SourceId, Slot>,
    failures: HashMap<String, u32>,
}

impl Slot {
    /// A slot that is due at once.
    pub fn new(git: GitSpec, interval: Duration) -> Self {
        Self { git, interval, held: None, due: Instant::now(), running: None, again: false }
    }

    /// The snapshot in use, if it was read from where the source is now.
    pub fn current(&self) -> Option<&Snapshot> {
        self.held.as_ref().filter(|(git, _)| *git == self.git).map(|(_, snapshot)| snapshot)
    }
}

impl Slots {
    /// Makes the slots follow the policy. New sources and those that moved are due at once; what is in use stays until
    /// something else was read. Returns what is new.
    pub fn follow(&mut self, policy: &Policy) -> BTreeSet<SourceId> {
        let wanted: BTreeMap<SourceId, _> = policy.sources().collect();
        self.slots.retain(|id, _| *id == SourceId::Fleet || wanted.contains_key(id));
        let mut new = BTreeSet::new();
        for (id, spec) in wanted {
            let interval = Duration::from_secs(spec.interval_seconds.max(1));
            let slot = self.slots.entry(id.clone()).or_insert_with(|| {
                new.insert(id.clone());
                Slot::new(spec.git.clone(), interval)
            });
            slot.interval = interval;
            if slot.git != spec.git {
                slot.git = spec.git.clone();
                slot.due = Instant::now();
                slot.again = slot.running.is_some();
                new.insert(id);
            }
        }
        new
    }

    /// When the next source is due; none if all are being looked at.
    pub fn next_due(&self) -> Option<Instant> {
        self.slots.values().filter(|slot| slot.running.is_none()).map(|slot| slot.due).min()
    }

    /// The sources that are due.
    pub fn due(&self, now: Instant) -> Vec<SourceId> {
        let due = self.slots.iter().filter(|(_, slot)| slot.running.is_none() && slot.due <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// True if the last look at the server of `git` failed.
    pub fn failing(&self, git: &GitSpec) -> bool {
        check_url(&git.url).is_ok_and(|server| self.failures.contains_key(&server))
    }

    /// The other sources of a source's tenant.
    pub fn siblings(&self, of: &SourceId) -> Vec<SourceId> {
        let SourceId::Tenant { tenant: own, .. } = of else { return Vec::new() };
        let sibling =
            |id: &&SourceId| *id != of && matches!(id, SourceId::Tenant { tenant, .. } if tenant == own);
        self.slots.keys().filter(sibling).cloned().collect()
    }

    /// Makes these due at once, those of failing servers left out: they have a pace of their own.
    pub fn hurry(&mut self, ids: &[SourceId]) {
        for id in ids {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            if check_url(&slot.git.url).is_ok_and(|server| self.failures.contains_key(&server)) {
                continue;
            }
            slot.due = Instant::now();
            slot.again = slot.running.is_some();
        }
    }

    /// A look has ended: says when the next one is.
    pub fn ended(&mut self, id: &SourceId, error: Option<&SourceError>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.running = None;
        let server = check_url(&slot.git.url).unwrap_or_default();
        let pause = match error {
            Some(error) if error.server_trouble() => {
                let failures = self.failures.entry(server).or_default();
                *failures = failures.saturating_add(1);
                pause(*failures).max(slot.interval.min(LONGEST_PAUSE))
            }
            _ => {
                self.failures.remove(&server);
                slot.interval
            }
        };
        let again = std::mem::take(&mut slot.again);
        slot.due = Instant::now() + if again { Duration::ZERO } else { jittered(pause) };
    }
}

/// Doubles with each failure of a server in a row.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// Within 10 % around `pause`, so that sources do not come in step.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness they come in step, which costs a server some peace and nothing else.
    let _ = aws_lc_rs::rand::fill(&mut random);
    pause.mul_f64(0.9 + 0.2 * f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::GitRef;

    fn git(url: &str) -> GitSpec {
        GitSpec { url: url.into(), reference: GitRef::Head, path: ".".into(), credentials: None }
    }

    #[test]
    fn a_failing_server_is_asked_less_and_less_and_a_good_answer_forgives() {
        let mut slots = Slots::default();
        slots.slots.insert(SourceId::Fleet, Slot::new(git("https://a.b/c"), Duration::from_secs(1)));
        let error = SourceError::Unreachable { server: "https://a.b".into(), why: String::new() };
        let wait = |slots: &Slots| slots.slots[&SourceId::Fleet].due - Instant::now();
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            slots.ended(&SourceId::Fleet, Some(&error));
            assert!(wait(&slots) > last);
            last = wait(&slots);
        }
        for _ in 0..40 {
            slots.ended(&SourceId::Fleet, Some(&error));
        }
        assert!(wait(&slots) <= LONGEST_PAUSE.mul_f64(1.1));
        slots.ended(&SourceId::Fleet, None);
        assert!(wait(&slots) <= Duration::from_millis(1100));
        slots.slots.get_mut(&SourceId::Fleet).unwrap().again = true;
        slots.ended(&SourceId::Fleet, Some(&error));
        assert!(wait(&slots) < Duration::from_millis(50), "whoever asked meanwhile is not made to wait");
    }
}
