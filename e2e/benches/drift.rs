//! `drift`: 50 changes by hand: change → restored.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rimward_e2e::bench::{Figures, Values, main as bench};
use rimward_e2e::control_plane::Options;
use rimward_e2e::rig::{PATIENCE, Rig, files};
use serde_json::json;

const CHANGES: usize = 50;
/// Flux repairs at its interval: half of a minute on average.
const LIMIT: Duration = Duration::from_millis(100);
/// Between two changes: drift comes now and then, and a repair storm would be damped as a fight of two controllers.
const PAUSE: Duration = Duration::from_millis(200);
/// Objects the changes go round: so that none looks like a fight.
const OBJECTS: usize = 10;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let rig = Rig::start_with(&["eu-1"], Options::bench()).await?;
    let repo = rig.tenant("team", &["team"])?;
    let name = |i: usize| format!("web-{}", i % OBJECTS);
    let maps: Vec<String> = (0..OBJECTS).map(|i| files::config_map(&name(i), "k", "wanted")).collect();
    let app = files::app("web", "team");
    repo.commit(&[("rimward.yaml", Some(&app)), ("web.yaml", Some(&maps.join("---\n")))], "app")?;
    rig.reconcile().await?;
    rig.wait_ready("team/web").await?;
    let client = rig.sites[0].client();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    let mut watches: Vec<Values> =
        (0..OBJECTS).map(|i| Values::watch(client.clone(), "team", &name(i), "k")).collect();
    for values in &mut watches {
        values.until("wanted", PATIENCE).await?;
    }
    let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let mut samples = Vec::new();
    for i in 0..CHANGES {
        let change = format!("changed {i}");
        let start = Instant::now();
        api.patch(&name(i), &params, &Patch::Merge(json!({"data": {"k": change}}))).await?;
        let values = &mut watches[i % OBJECTS];
        values.until(&change, PATIENCE).await?;
        samples.push(values.until("wanted", PATIENCE).await? - start);
        tokio::time::sleep(PAUSE).await;
    }
    let mut figures = Figures::default();
    figures.latency("drift", &samples, LIMIT);
    Ok(figures)
}
