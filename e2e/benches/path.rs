//! `path`: 50 commits, each reconciled on request: commit → visible on both
//! clusters.

use std::time::{Duration, Instant};

use rimward_e2e::bench::{Figures, Values, main as bench};
use rimward_e2e::control_plane::Options;
use rimward_e2e::rig::{PATIENCE, Rig, files};

const COMMITS: usize = 50;
/// Asked at once, one cluster, Flux 2.9 needs 0.30 to 0.42 s on such a machine.
const LIMIT: Duration = Duration::from_millis(200);

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let rig = Rig::start_with(&["eu-1", "us-1"], Options::bench()).await?;
    let repo = rig.tenant("team", &["team"])?;
    let map = |value: &str| files::config_map("web", "greeting", value);
    repo.commit(
        &[("rimward.yaml", Some(&files::app("web", "team"))), ("web.yaml", Some(&map("start")))],
        "app",
    )?;
    rig.reconcile().await?;
    rig.wait_ready("team/web").await?;
    let mut sites: Vec<Values> =
        rig.sites.iter().map(|site| Values::watch(site.client(), "team", "greeting")).collect();
    let mut samples = Vec::new();
    for i in 0..COMMITS {
        let value = format!("commit {i}");
        repo.commit(&[("web.yaml", Some(&map(&value)))], &value)?;
        let start = Instant::now();
        rig.hub.cli_ok(&["reconcile", "source/team/apps"]).await?;
        let mut last = start;
        for values in &mut sites {
            last = last.max(values.until("web", &value, PATIENCE).await?);
        }
        samples.push(last - start);
    }
    let mut figures = Figures::default();
    figures.latency("path", &samples, LIMIT);
    Ok(figures)
}
