//! `cold`: 2,000 ConfigMaps of 1 KB on one cluster, from asking to Ready,
//! against a bare server-side-apply generator in the same run.

use k8s_openapi::api::core::v1::ConfigMap;
use rimward_e2e::bench::bulk::{Bulk, CONCURRENCY, OBJECTS, object};
use rimward_e2e::bench::{Figures, generate, main as bench};

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let bulk = Bulk::start().await?;
    let objects: Vec<ConfigMap> = (0..OBJECTS).map(|i| object(i, 1)).collect();
    bulk.namespace("generator").await?;
    let client = bulk.rig.sites[0].client();
    // Once before and once after, so that a server that warms up or slows down favours neither.
    let before = generate(client.clone(), "generator", &objects, CONCURRENCY).await?;
    let ours = bulk.fill().await?;
    bulk.clear("generator").await?;
    let after = generate(client, "generator", &objects, CONCURRENCY).await?;
    let bound = (before + after) / 2;
    let mut figures = Figures::default();
    figures.tell("cold_generator_before", before.as_secs_f64(), "s");
    figures.tell("cold_generator_after", after.as_secs_f64(), "s");
    figures.tell("cold_rimward", ours.as_secs_f64(), "s");
    figures.at_most("cold_ratio", ours.as_secs_f64() / bound.as_secs_f64(), "x", 1.5);
    Ok(figures)
}
