//! `rest10k`: 10,000 objects and nothing to do for five minutes: no writes, no
//! reads beyond watches, next to no CPU, here and in the API server. The slow
//! audit is not in it: it begins an hour after a start.

use std::time::Duration;

use jiff::Timestamp;
use rimward_e2e::bench::bulk::Bulk;
use rimward_e2e::bench::{Figures, Usage, main as bench};
use rimward_e2e::control_plane::AuditEvent;

const OBJECTS: usize = 10_000;
/// How long nothing is done.
const REST: Duration = Duration::from_secs(300);
/// How long the API server is looked at without a spoke.
const IDLE: Duration = Duration::from_secs(120);
/// Time for what follows a change: reports, garbage collection.
const CALM: Duration = Duration::from_secs(20);

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start(OBJECTS).await?;
    bulk.fill().await?;
    tokio::time::sleep(CALM).await;
    let (start, spoke, server) =
        (Timestamp::now(), Usage::of_spoke(&mut bulk.rig)?, Usage::of_server(&mut bulk.rig)?);
    tokio::time::sleep(REST).await;
    let (end, spoke_after, server_after) =
        (Timestamp::now(), Usage::of_spoke(&mut bulk.rig)?, Usage::of_server(&mut bulk.rig)?);
    let asked = bulk.rig.sites[0].asked(start).await?.filter(|event| event.received < end);
    bulk.rig.sites[0].spoke().stop()?;
    tokio::time::sleep(CALM).await;
    let alone = Usage::of_server(&mut bulk.rig)?;
    tokio::time::sleep(IDLE).await;
    let alone_after = Usage::of_server(&mut bulk.rig)?;
    let share = |cpu: Duration, time: Duration| 100.0 * cpu.as_secs_f64() / time.as_secs_f64();
    let with = share(server_after.cpu - server.cpu, REST);
    let without = share(alone_after.cpu - alone.cpu, IDLE);
    let read = |event: &AuditEvent| !event.is_mutating() && event.verb != "watch";
    let mut figures = Figures::default();
    figures.at_most("rest10k_writes", asked.clone().mutating().count() as f64, "requests", 0.0);
    figures.at_most("rest10k_reads", asked.filter(read).count() as f64, "requests", 0.0);
    figures.at_most("rest10k_spoke_cpu", share(spoke_after.cpu - spoke.cpu, REST), "%", 1.0);
    figures.at_most("rest10k_spoke_rss", spoke_after.rss as f64 / 1e6, "MB", 60.0);
    figures.tell("rest10k_server_cpu", with, "%");
    figures.tell("rest10k_server_cpu_without_spoke", without, "%");
    // The API server's own housekeeping comes and goes by about this much.
    figures.at_most("rest10k_server_cpu_added", (with - without).max(0.0), "%", 1.0);
    Ok(figures)
}
