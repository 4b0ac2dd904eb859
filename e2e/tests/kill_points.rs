//! The spoke killed with SIGKILL at each of its durable steps: before a write
//! reaches the API server, and after it is done and before the spoke knows. A
//! proxy stops the one request in question, so that every kill lands where it is
//! meant to. Around what it writes to its own disk, kills come some milliseconds
//! after a plan.
//!
//! In every round Git changes an object, moves one to another App, adds one and
//! removes one; whatever was half done is finished, and nothing else is done.

#[path = "kill_points/round.rs"]
mod round;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rimward_e2e::proxy::Asked;
use rimward_e2e::rig::Rig;
use round::{Round, Site, When};

/// Between the publication of a plan and a kill. With them a spoke is killed while it verifies, fetches, stores and
/// activates, which takes it some ten milliseconds.
const AFTER_THE_PLAN: [u64; 6] = [0, 4, 9, 16, 30, 55];

/// One durable step: the n-th time in a round that something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    what: &'static str,
    nth: usize,
}

/// What a request writes; none if it writes nothing.
pub fn written(asked: &Asked) -> Option<&'static str> {
    let of = |end: &str| asked.path.ends_with(end);
    match asked.method.as_str() {
        _ if !asked.is_write() => None,
        _ if of("/secrets/rimward-spoke-identity") => Some("trust"),
        _ if of("/configmaps/rimward-spoke-ledger") => Some("ledger"),
        "PATCH" if of("/keep") => Some("change"),
        "PATCH" if of("/moves") => Some("move"),
        "PATCH" => Some("create"),
        "DELETE" => Some("prune"),
        _ => None,
    }
}

#[tokio::test]
async fn killed_at_each_durable_step() -> Result<()> {
    let mut rig = Rig::start_behind_proxies(&["eu-1"]).await?;
    let mut site = Site::begin(&mut rig).await?;
    // Two rounds that nobody disturbs show which steps there are.
    let mut steps = BTreeSet::new();
    for _ in 0..2 {
        steps.extend(site.undisturbed(&mut rig).await?);
    }
    for what in ["trust", "ledger", "change", "move", "create", "prune"] {
        ensure!(steps.contains(&Step { what, nth: 0 }), "no step {what} in {steps:?}");
    }
    let start = Instant::now();
    let mut missed = Vec::new();
    for step in &steps {
        for when in [When::Before, When::After] {
            let hit = site.killed_at(&mut rig, Round { step: step.clone(), when }).await?;
            if !hit {
                missed.push((step.clone(), when));
            }
        }
    }
    // How often the ledger is written depends on how answers fall together; the first of each is always written.
    ensure!(missed.iter().all(|(step, _)| step.nth > 0), "no kill at {missed:?}");
    for millis in AFTER_THE_PLAN {
        site.killed_after(&mut rig, Duration::from_millis(millis)).await?;
    }
    let kills = 2 * steps.len() - missed.len() + AFTER_THE_PLAN.len();
    println!("{kills} kills in {:.1} s, at {steps:?}, missed {missed:?}", start.elapsed().as_secs_f64());
    for when in [When::Before, When::After] {
        site.made_again(&mut rig, when).await?;
    }
    site.ceiling(&mut rig).await
}
