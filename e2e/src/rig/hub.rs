//! The hub as a process of a rig.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::{PATIENCE, eventually};
use crate::daemon::Daemon;
use crate::port;
use crate::process::{self, Program};

/// A running, or stopped, hub and its data.
pub struct HubProcess {
    /// What spokes dial, `host:port`.
    pub address: String,
    /// Variables it is started with.
    pub environment: Vec<(&'static str, String)>,
    pub(super) metrics_address: String,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    process: Option<Daemon>,
}

impl HubProcess {
    /// Makes a hub's configuration and keys in `folder`, and starts it.
    pub async fn init_and_start(folder: &Path, fleet_url: &str, credentials: &Path) -> Result<Self> {
        let address = format!("127.0.0.1:{}", port::outside_the_ephemeral()?);
        let metrics_address = format!("127.0.0.1:{}", port::outside_the_ephemeral()?);
        let (config, data) = (folder.join("hub.yaml"), folder.join("hub"));
        let text = format!(
            "\
apiVersion: rimward.dev/v1alpha1
kind: HubConfig
trustDomain: acme.example
address: {address}
dataDir: {}
listen: {{spokes: \"{address}\", admin: \"\", hooks: \"\", metrics: \"{metrics_address}\"}}
fleet: {{git: {{url: {fleet_url}, ref: {{branch: main}}, credentials: {}}}}}
credentialsDir: {}
",
            data.display(),
            super::files::CREDENTIALS,
            credentials.display(),
        );
        fs::write(&config, text)?;
        let log = folder.join("hub.log");
        let mut hub =
            Self { address, environment: Vec::new(), metrics_address, config, data, log, process: None };
        let root_key = folder.join("root.key");
        let init = hub.program(&["init", "--root-key", &path(&root_key)])?;
        if !init.status.success() {
            bail!("rimward-hub init: {}", String::from_utf8_lossy(&init.stderr));
        }
        hub.start().await?;
        Ok(hub)
    }

    /// Starts it and waits until it answers on its admin socket.
    pub async fn start(&mut self) -> Result<()> {
        let arguments = ["run", "--config", &path(&self.config)];
        self.process = Some(Program::Hub.start(&arguments, &self.environment, &self.log)?);
        let answered = eventually("the hub to answer", || async {
            Ok(self.cli(&["status"]).await?.status.success().then_some(()))
        });
        answered.await.with_context(|| self.log_tail())
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Stops it in good order.
    pub fn stop(&mut self) -> Result<()> {
        let stopped = self.process.take().map(|mut process| process.terminate(PATIENCE)).transpose()?;
        match stopped {
            Some(status) if !status.success() => bail!("the hub stopped with {status}: {}", self.log_tail()),
            _ => Ok(()),
        }
    }

    /// The process's id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Daemon::id)
    }

    /// Runs `rimward-hub` with this hub's configuration.
    pub fn program(&self, arguments: &[&str]) -> Result<Output> {
        let config = path(&self.config);
        let all: Vec<&str> = arguments.iter().copied().chain(["--config", &config]).collect();
        Program::Hub.run(&all, PATIENCE)
    }

    /// Runs `rimward` against this hub's admin socket, whatever its exit code.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Program::Cli.command()?;
        command.args(arguments).env("RIMWARD_HUB", self.socket());
        // Longer than any timeout the command itself is given.
        tokio::task::spawn_blocking(move || process::run(command, PATIENCE + Duration::from_secs(10))).await?
    }

    /// Runs `rimward` and returns what it printed; a failure is an error with what it said.
    pub async fn cli_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!(
                "rimward {arguments:?}: {}: {}{}",
                output.status,
                text(&output.stderr),
                text(&output.stdout)
            );
        }
        Ok(text(&output.stdout))
    }

    /// Runs `rimward … -o json` and parses what it printed.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        Ok(serde_json::from_str(&self.cli_ok(&all).await?)?)
    }

    /// `unix:PATH` of the admin socket.
    pub fn socket(&self) -> String {
        format!("unix:{}", self.data.join("admin.sock").display())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// All it logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// When the newest stream of a cluster's spoke began, by the hub's own clock; none if it never did.
    pub fn connected(&self, cluster: &str) -> Option<Timestamp> {
        let log = self.log();
        let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let about = |line: &Value| line["message"] == "spoke connected" && line["cluster"] == cluster;
        lines.into_iter().find(about)?["timestamp"].as_str()?.parse().ok()
    }

    /// The last lines that it logged.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        format!("hub log:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
