//! `delta`: 1% of 2,000 objects changed in one commit: what is written, by the
//! API server's audit log, and what is sent, by the hub's own count and by the
//! files that are new on the spoke.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use rimward_e2e::bench::bulk::{Bulk, OBJECTS};
use rimward_e2e::bench::{Figures, main as bench};

const CHANGED: usize = OBJECTS / 100;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start().await?;
    bulk.fill().await?;
    let content = bulk.rig.sites[0].spoke().data().to_owned();
    let held = files_below(&content)?;
    let before = Sent::so_far(&bulk).await?;
    let start = Timestamp::now();
    let commit = bulk.commit((0..CHANGED).map(|i| i * 100), 2)?;
    let time = bulk.settle(&commit).await?;
    let audit = bulk.rig.sites[0].plane().audit().await?.since(start).mutating();
    let patches = audit.clone().resource("configmaps").filter(|event| event.impersonated.is_some()).count();
    let others = audit.count() - patches;
    let sent = Sent::so_far(&bulk).await?;
    let received = files_below(&content)?.difference(&held).count();
    let mut figures = Figures::default();
    figures.tell("delta_time", time.as_secs_f64() * 1000.0, "ms");
    figures.at_most("delta_patches_per_changed", patches as f64 / CHANGED as f64, "requests", 1.05);
    figures.at_most("delta_other_writes", others as f64, "requests", 1.0);
    let objects = (sent.objects - before.objects) / CHANGED as f64;
    figures.at_most("delta_objects_sent_per_changed", objects, "objects", 1.05);
    // With them come the bundle's index and the plan.
    figures.tell("delta_indexes_sent", sent.indexes - before.indexes, "indexes");
    figures.tell("delta_plans_sent", sent.plans - before.plans, "plans");
    figures.at_most("delta_content_received", received as f64, "files", (CHANGED + 2) as f64);
    Ok(figures)
}

/// What the hub has sent, by its own count.
struct Sent {
    objects: f64,
    indexes: f64,
    plans: f64,
}

impl Sent {
    async fn so_far(bulk: &Bulk) -> anyhow::Result<Self> {
        let metrics = bulk.rig.hub.metrics().await?;
        let of = |kind| metrics.sum("rimward_content_sent_total", &[("kind", kind)]);
        let sent = Self { objects: of("object"), indexes: of("index"), plans: of("plan") };
        // A counter that is not there would read as 0 for ever.
        anyhow::ensure!(sent.objects >= OBJECTS as f64, "{} objects were sent at first", sent.objects);
        Ok(sent)
    }
}

/// Names of the files that are named by a digest.
fn files_below(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(entry);
            } else if name.len() >= 62 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                found.insert(name);
            }
        }
    }
    Ok(found)
}
