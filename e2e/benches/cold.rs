//! `cold`: 2,000 ConfigMaps of 1 KB on one cluster, from asking to Ready,
//! against a bare server-side-apply generator in the same run.

use rimward_e2e::bench::bulk::Bulk;
use rimward_e2e::bench::{Figures, Usage, main as bench};

const OBJECTS: usize = 2_000;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start(OBJECTS).await?;
    // Once before and once after, so that a server that warms up or slows down favours neither.
    let before = bulk.bound("before", 0..OBJECTS - 1).await?;
    let (hub, spoke) = (Usage::of_hub(&bulk.rig)?, Usage::of_spoke(&mut bulk.rig)?);
    let ours = bulk.fill().await?;
    let (hub, spoke) =
        (Usage::of_hub(&bulk.rig)?.cpu - hub.cpu, Usage::of_spoke(&mut bulk.rig)?.cpu - spoke.cpu);
    let after = bulk.bound("after", 0..OBJECTS - 1).await?;
    let bound = (before + after) / 2;
    let mut figures = Figures::default();
    figures.tell("cold_generator_before", before.as_secs_f64(), "s");
    figures.tell("cold_generator_after", after.as_secs_f64(), "s");
    figures.tell("cold_rimward", ours.asked.as_secs_f64(), "s");
    figures.tell("cold_rimward_from_accepted", ours.accepted.as_secs_f64(), "s");
    figures.tell("cold_hub_cpu", hub.as_secs_f64(), "s");
    figures.tell("cold_spoke_cpu", spoke.as_secs_f64(), "s");
    figures.at_most("cold_ratio", ours.asked.as_secs_f64() / bound.as_secs_f64(), "x", 1.5);
    Ok(figures)
}
