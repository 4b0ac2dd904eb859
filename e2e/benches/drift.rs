//! `drift`: 200 changes and deletions by hand among 1,000 managed objects:
//! change → restored, and change → shown by `rimward get drift -w`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rimward_e2e::bench::{Figures, Values, main as bench};
use rimward_e2e::control_plane::Options;
use rimward_e2e::daemon::{Daemon, Tether};
use rimward_e2e::process::Program;
use rimward_e2e::rig::{PATIENCE, Rig, files};
use serde_json::json;

const OBJECTS: usize = 1_000;
const SAMPLES: usize = 200;
const RESTORED: Duration = Duration::from_millis(50);
const SHOWN: Duration = Duration::from_millis(200);
/// Between two changes: drift comes now and then, and a repair storm would be damped as a fight of two controllers.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at what the watch has printed.
const LOOK: Duration = Duration::from_millis(1);

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> Result<Figures> {
    let rig = Rig::start_with(&["eu-1"], Options::bench()).await?;
    let repo = rig.tenant("team", &["team"])?;
    let name = |i: usize| format!("web-{i:04}");
    let maps: Vec<String> = (0..OBJECTS).map(|i| files::config_map(&name(i), "k", "wanted")).collect();
    let app = files::app("web", "team");
    repo.commit(&[("rimward.yaml", Some(&app)), ("web.yaml", Some(&maps.join("---\n")))], "app")?;
    rig.reconcile().await?;
    rig.wait_ready("team/web").await?;
    let shown = Shown::start(&rig)?;
    let client = rig.sites[0].client();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let mut values = Values::watch(client, "team", "k");
    values.until(&name(OBJECTS - 1), "wanted", PATIENCE).await?;
    let (mut edited, mut deleted, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..SAMPLES {
        let name = name(i * (OBJECTS / SAMPLES));
        let start = Instant::now();
        if i % 2 == 0 {
            let change = format!("changed {i}");
            api.patch(&name, &params, &Patch::Merge(json!({"data": {"k": change}}))).await?;
            values.until(&name, &change, PATIENCE).await?;
            edited.push(values.until(&name, "wanted", PATIENCE).await? - start);
        } else {
            api.delete(&name, &DeleteParams::default()).await?;
            deleted.push(values.until(&name, "wanted", PATIENCE).await? - start);
        }
        told.push(shown.until(&name).await? - start);
        tokio::time::sleep(PAUSE).await;
    }
    let mut figures = Figures::default();
    figures.latency("drift_edited", &edited, RESTORED);
    figures.latency("drift_deleted", &deleted, RESTORED);
    figures.latency("drift_shown", &told, SHOWN);
    Ok(figures)
}

/// What `rimward get drift -w` prints.
struct Shown {
    file: PathBuf,
    _watch: Daemon,
}

impl Shown {
    fn start(rig: &Rig) -> Result<Self> {
        let mut command = Program::Cli.command()?;
        command.args(["get", "drift", "-w", "-o", "json"]).env("RIMWARD_HUB", rig.hub.socket());
        let file = rig.folder().join("drift.watch");
        let watch = Daemon::spawn("drift", command, &file, Tether::Watchdog)?;
        Ok(Self { file, _watch: watch })
    }

    /// Waits until a whole line names the object: each is changed only once.
    async fn until(&self, name: &str) -> Result<Instant> {
        let end = Instant::now() + PATIENCE;
        while !lines_name(&self.file, name)? {
            ensure!(Instant::now() < end, "{name} is not shown");
            tokio::time::sleep(LOOK).await;
        }
        Ok(Instant::now())
    }
}

fn lines_name(file: &Path, name: &str) -> Result<bool> {
    let text = std::fs::read_to_string(file)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(whole.contains(&format!("\"{name}\"")))
}
