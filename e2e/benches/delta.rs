//! `delta`: 1% of 2,000 objects changed in one commit: what is written, by the
//! API server's audit log, and what is sent, by the hub's own count and by the
//! content that is new on the spoke.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use rimward_content::batch;
use rimward_e2e::bench::bulk::Bulk;
use rimward_e2e::bench::{Figures, main as bench};
use rimward_proto::Digest;

const OBJECTS: usize = 2_000;
const CHANGED: usize = OBJECTS / 100;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut bulk = Bulk::start(OBJECTS).await?;
    bulk.fill().await?;
    let data = bulk.rig.sites[0].spoke().data().to_owned();
    let held_before = held(&data)?;
    anyhow::ensure!(held_before.len() > OBJECTS, "the spoke holds {} items", held_before.len());
    let before = Sent::so_far(&bulk).await?;
    let start = Timestamp::now();
    let commit = bulk.commit((0..CHANGED).map(|i| i * 100), 2)?;
    let time = bulk.settle(&commit).await?;
    let audit = bulk.rig.sites[0].plane().audit().await?.since(start).mutating();
    let patches = audit.clone().resource("configmaps").filter(|event| event.impersonated.is_some()).count();
    let others = audit.count() - patches;
    let sent = Sent::so_far(&bulk).await?;
    let received = held(&data)?.difference(&held_before).count();
    let mut figures = Figures::default();
    figures.tell("delta_time", time.asked.as_secs_f64() * 1000.0, "ms");
    figures.at_most("delta_patches_per_changed", patches as f64 / CHANGED as f64, "requests", 1.05);
    figures.at_most("delta_other_writes", others as f64, "requests", 1.0);
    let objects = (sent.objects - before.objects) / CHANGED as f64;
    figures.at_most("delta_objects_sent_per_changed", objects, "objects", 1.05);
    // With them come the bundle's index and the plan.
    figures.tell("delta_indexes_sent", sent.indexes - before.indexes, "indexes");
    figures.tell("delta_plans_sent", sent.plans - before.plans, "plans");
    figures.at_most("delta_content_received", received as f64, "items", (CHANGED + 2) as f64);
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

/// Digests of all that the spoke holds, by the headers of its batches.
fn held(data: &Path) -> anyhow::Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(data.join("content"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "batch") {
            let slots =
                batch::slots_of(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
            found.extend(slots.iter().map(|slot| slot.digest));
        }
    }
    Ok(found)
}
