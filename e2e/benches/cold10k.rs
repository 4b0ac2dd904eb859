//! `cold10k`: 10,000 ConfigMaps of 1 KB on one cluster, from the plan's
//! acceptance to Ready, against a bare server-side-apply generator in the same
//! run, and the memory that the spoke needs for them.

use rimward_e2e::bench::bulk::Bulk;
use rimward_e2e::bench::{Figures, Usage, main as bench};

const OBJECTS: usize = 10_000;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start(OBJECTS).await?;
    let before = bulk.bound("before", 0..OBJECTS - 1).await?;
    let ours = bulk.fill().await?;
    let spoke = Usage::of_spoke(&mut bulk.rig)?;
    let after = bulk.bound("after", 0..OBJECTS - 1).await?;
    let bound = (before + after) / 2;
    let mut figures = Figures::default();
    figures.tell("cold10k_generator_before", before.as_secs_f64(), "s");
    figures.tell("cold10k_generator_after", after.as_secs_f64(), "s");
    figures.tell("cold10k_rimward", ours.accepted.as_secs_f64(), "s");
    figures.tell("cold10k_rimward_from_asked", ours.asked.as_secs_f64(), "s");
    figures.at_most("cold10k_ratio", ours.accepted.as_secs_f64() / bound.as_secs_f64(), "x", 1.2);
    figures.at_most("cold10k_spoke_rss", spoke.rss as f64 / 1e6, "MB", 60.0);
    figures.tell("cold10k_spoke_peak_rss", spoke.peak as f64 / 1e6, "MB");
    Ok(figures)
}
