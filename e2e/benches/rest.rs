//! `rest`: 2,000 objects and nothing to do for a minute: no writes, next to no
//! CPU, bounded memory.

use std::time::Duration;

use jiff::Timestamp;
use rimward_e2e::bench::bulk::Bulk;
use rimward_e2e::bench::{Figures, Usage, main as bench};

const OBJECTS: usize = 2_000;
/// How long nothing is done.
const REST: Duration = Duration::from_secs(60);
/// Time for what follows a change: reports, garbage collection.
const CALM: Duration = Duration::from_secs(5);

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start(OBJECTS).await?;
    bulk.fill().await?;
    tokio::time::sleep(CALM).await;
    let (start, hub_before, spoke_before) =
        (Timestamp::now(), Usage::of_hub(&bulk.rig)?, Usage::of_spoke(&mut bulk.rig)?);
    tokio::time::sleep(REST).await;
    let (hub_after, spoke_after) = (Usage::of_hub(&bulk.rig)?, Usage::of_spoke(&mut bulk.rig)?);
    let agent = |event: &rimward_e2e::control_plane::AuditEvent| event.user.contains("rimward");
    let writes = bulk.rig.sites[0].plane().audit().await?.since(start).mutating().filter(agent).count();
    let share =
        |before: Usage, after: Usage| 100.0 * (after.cpu - before.cpu).as_secs_f64() / REST.as_secs_f64();
    let mut figures = Figures::default();
    figures.at_most("rest_writes", writes as f64, "requests", 0.0);
    figures.at_most("rest_hub_cpu", share(hub_before, hub_after), "%", 1.0);
    figures.at_most("rest_spoke_cpu", share(spoke_before, spoke_after), "%", 1.0);
    figures.at_most("rest_spoke_rss", spoke_after.rss as f64 / 1e6, "MB", 50.0);
    figures.tell("rest_hub_rss", hub_after.rss as f64 / 1e6, "MB");
    Ok(figures)
}
