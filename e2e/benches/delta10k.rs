//! `delta10k`: 1% of 10,000 objects changed in one commit: what is written, and
//! how long it takes from the plan's acceptance against a generator that only
//! sends those objects. The same change among 1,000 objects, for what the
//! spoke's CPU time depends on.

use std::time::Duration;

use jiff::Timestamp;
use rimward_e2e::bench::bulk::{Bulk, Settled};
use rimward_e2e::bench::{Figures, Usage, main as bench};

const LARGE: usize = 10_000;
const SMALL: usize = 1_000;
/// Objects changed, in both.
const CHANGED: usize = LARGE / 100;
/// Changes one after another, of which the middle one counts: each is short.
const ROUNDS: usize = 5;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let small = measure(SMALL).await?;
    let large = measure(LARGE).await?;
    let mut figures = Figures::default();
    figures.at_most("delta10k_patches_per_changed", large.patches, "requests", 1.05);
    figures.tell("delta10k_generator", large.bound.as_secs_f64() * 1000.0, "ms");
    figures.tell("delta10k_rimward", large.ours.accepted.as_secs_f64() * 1000.0, "ms");
    figures.tell("delta10k_rimward_from_asked", large.ours.asked.as_secs_f64() * 1000.0, "ms");
    let ratio = large.ours.accepted.as_secs_f64() / large.bound.as_secs_f64();
    figures.at_most("delta10k_ratio", ratio, "x", 1.5);
    figures.tell("delta10k_spoke_cpu_of_1000", small.cpu.as_secs_f64() * 1000.0, "ms");
    figures.tell("delta10k_spoke_cpu_of_10000", large.cpu.as_secs_f64() * 1000.0, "ms");
    // Ten times the objects may cost reading a larger index; a spoke that looked at each of them would be at ten.
    let growth = large.cpu.as_secs_f64() / small.cpu.as_secs_f64();
    figures.at_most("delta10k_spoke_cpu_growth", growth, "x", 3.0);
    Ok(figures)
}

struct Measured {
    ours: Settled,
    bound: Duration,
    cpu: Duration,
    patches: f64,
}

async fn measure(count: usize) -> anyhow::Result<Measured> {
    let mut bulk = Bulk::start(count).await?;
    bulk.fill().await?;
    let changed = || (0..CHANGED).map(|i| i * (count / CHANGED));
    let (mut times, mut bounds) = (Vec::new(), Vec::new());
    let (start, before) = (Timestamp::now(), Usage::of_spoke(&mut bulk.rig)?);
    for round in 0..ROUNDS {
        let commit = bulk.commit(changed(), 2 + round)?;
        times.push(bulk.settle(&commit).await?);
    }
    let cpu = (Usage::of_spoke(&mut bulk.rig)?.cpu - before.cpu) / ROUNDS as u32;
    let audit = bulk.rig.sites[0].wrote(start).await?.resource("configmaps");
    for round in 0..ROUNDS {
        bounds.push(bulk.bound(&format!("bound-{round}"), changed()).await?);
    }
    times.sort_by_key(|time| time.accepted);
    bounds.sort();
    let patches = audit.count() as f64 / (CHANGED * ROUNDS) as f64;
    Ok(Measured { ours: times[ROUNDS / 2], bound: bounds[ROUNDS / 2], cpu, patches })
}
