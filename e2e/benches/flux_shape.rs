//! `flux_shape`: 100, 500 and 1,000 Apps of four objects, from the plan's
//! acceptance until all are Ready, against a bare server-side-apply generator
//! that makes the same objects in the same run; both clocks stop at observed
//! health.

use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::Timestamp;
use rimward_e2e::bench::bulk::{CONCURRENCY, accepted};
use rimward_e2e::bench::{Figures, Usage, generate_ready, main as bench, namespace, shape};
use rimward_e2e::control_plane::Options;
use rimward_e2e::rig::{Rig, files};

const SIZES: [usize; 3] = [100, 500, 1_000];

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut rig = Rig::start_with(&["eu-1"], Options::bench()).await?;
    let mut figures = Figures::default();
    for size in SIZES {
        let before = bound(&rig, &format!("before-{size}"), size).await?;
        let (hub, spoke) = (Usage::of_hub(&rig)?, Usage::of_spoke(&mut rig)?);
        let ours = apply(&mut rig, size).await?;
        let (hub, spoke) = (Usage::of_hub(&rig)?.cpu - hub.cpu, Usage::of_spoke(&mut rig)?.cpu - spoke.cpu);
        let after = bound(&rig, &format!("after-{size}"), size).await?;
        let generator = (before + after) / 2;
        figures.tell(&format!("flux_shape_{size}_generator"), generator.as_secs_f64(), "s");
        figures.tell(&format!("flux_shape_{size}_rimward"), ours.accepted.as_secs_f64(), "s");
        figures.tell(&format!("flux_shape_{size}_rimward_from_asked"), ours.asked.as_secs_f64(), "s");
        figures.tell(&format!("flux_shape_{size}_requests_per_object"), ours.requests, "requests");
        figures.tell(&format!("flux_shape_{size}_hub_cpu"), hub.as_secs_f64(), "s");
        figures.tell(&format!("flux_shape_{size}_spoke_cpu"), spoke.as_secs_f64(), "s");
        let ratio = ours.accepted.as_secs_f64() / generator.as_secs_f64();
        figures.at_most(&format!("flux_shape_{size}_ratio"), ratio, "x", 1.5);
    }
    Ok(figures)
}

struct Ours {
    asked: Duration,
    accepted: Duration,
    requests: f64,
}

async fn apply(rig: &mut Rig, size: usize) -> anyhow::Result<Ours> {
    let name = format!("shape-{size}");
    let repo = rig.tenant(&name, &[&name])?;
    let mut files: Vec<(String, String)> = Vec::new();
    for i in 0..size {
        files.push((format!("app-{i:04}/rimward.yaml"), files::app(&format!("app-{i:04}"), &name)));
        for (kind, object) in shape::objects(i).iter().enumerate() {
            files.push((format!("app-{i:04}/{kind}.json"), object.to_string()));
        }
    }
    let changes: Vec<(&str, Option<&str>)> =
        files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    repo.commit(&changes, "apps")?;
    let (start, begun) = (Instant::now(), Timestamp::now());
    rig.reconcile().await?;
    rig.hub.cli_ok(&["wait", &format!("tenant/{name}"), "--timeout", "300s"]).await?;
    let (asked, ready) = (start.elapsed(), Timestamp::now());
    let apps = rig.hub.json(&["get", "apps", "--tenant", &name]).await?;
    let count = apps["items"]
        .as_array()
        .map_or(0, |items| items.iter().filter(|app| app["state"] == "Ready").count());
    ensure!(count == size, "the tenant was Ready with {count} of {size} Apps Ready");
    let first = accepted(rig, begun).await?;
    let requests = rig.sites[0].asked(first).await?.filter(|event| event.received < ready).count();
    let accepted = Duration::try_from(ready.duration_since(first))?;
    Ok(Ours { asked, accepted, requests: requests as f64 / (size * 4) as f64 })
}

async fn bound(rig: &Rig, space: &str, size: usize) -> anyhow::Result<Duration> {
    let client = rig.sites[0].client();
    namespace(client.clone(), space).await?;
    generate_ready(&client, space, &shape::all(size)?, CONCURRENCY, size).await
}
