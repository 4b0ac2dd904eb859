//! What can go wrong between a client and its API server, as real servers and
//! networks do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;

use crate::rig::PATIENCE;

/// What becomes of one request.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing: it is passed on, and so is the answer.
    #[default]
    None,
    /// 429 with `Retry-After` in whole seconds, as priority and fairness answers. Not passed on.
    TooMany(u64),
    /// 401, as for a token that has expired. Not passed on.
    Unauthorized,
    /// 410: the resourceVersion or the page is too old. A watch gets it as its only event, as from an API server. Not
    /// passed on.
    Gone,
    /// Passed on and done; the answer breaks off in the middle. A watch breaks off in the middle of its first event.
    Cut,
    /// Passed on after that time.
    Late(Duration),
    /// Passed on when the gate opens.
    Held(Gate),
    /// Passed on and done; the answer comes when the gate opens.
    Unanswered(Gate),
}

impl Fault {
    /// A word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TooMany(_) => "429",
            Self::Unauthorized => "401",
            Self::Gone => "410",
            Self::Cut => "cut",
            Self::Late(_) => "late",
            Self::Held(_) => "held",
            Self::Unanswered(_) => "unanswered",
        }
    }
}

/// A coin that falls the same way each time it is made with the same seed.
#[derive(Debug)]
pub struct Odds {
    state: AtomicU64,
    percent: u64,
}

impl Odds {
    /// Hits in `percent` of a hundred throws.
    pub fn new(seed: u64, percent: u64) -> Self {
        Self { state: AtomicU64::new(seed), percent }
    }

    /// Throws it.
    pub fn hit(&self) -> bool {
        // SplitMix64: a counter, well mixed, so that threads need no lock.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100 < self.percent
    }
}

/// Where a request waits until a test has done what must come in between.
#[derive(Clone, Debug)]
pub struct Gate {
    step: Arc<watch::Sender<Step>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Shut,
    Reached,
    Open,
}

impl Default for Gate {
    fn default() -> Self {
        Self { step: Arc::new(watch::Sender::new(Step::Shut)) }
    }
}

impl Gate {
    /// Waits until a request stands before it.
    pub async fn reached(&self) -> Result<()> {
        let mut step = self.step.subscribe();
        match tokio::time::timeout(PATIENCE, step.wait_for(|step| *step >= Step::Reached)).await {
            Ok(reached) => Ok(reached.map(drop)?),
            Err(_) => bail!("nobody came to the gate in {PATIENCE:?}"),
        }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.step.send_replace(Step::Open);
    }

    pub(super) async fn pass(&self) {
        self.step.send_if_modified(|step| {
            let first = *step == Step::Shut;
            if first {
                *step = Step::Reached;
            }
            first
        });
        let mut step = self.step.subscribe();
        // Fails only without a sender, and this is one.
        let _ = step.wait_for(|step| *step == Step::Open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_is_fair_and_repeats_itself() {
        let throws = |seed| {
            let odds = Odds::new(seed, 50);
            (0..1000).map(|_| odds.hit()).collect::<Vec<bool>>()
        };
        let hits = throws(7).iter().filter(|hit| **hit).count();
        assert!((450..550).contains(&hits), "{hits} of 1000");
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert!(!Odds::new(7, 0).hit() && Odds::new(7, 100).hit());
    }

    #[tokio::test]
    async fn a_gate_stops_until_it_is_opened() {
        let gate = Gate::default();
        let there = gate.clone();
        let waiting = tokio::spawn(async move { there.pass().await });
        gate.reached().await.unwrap();
        assert!(!waiting.is_finished());
        gate.open();
        waiting.await.unwrap();
        gate.pass().await;
    }
}
