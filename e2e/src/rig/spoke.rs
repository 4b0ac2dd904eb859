//! A spoke as a process of a rig: the real program, with the rights an
//! installed one has and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{PATIENCE, Said};
use crate::daemon::Daemon;
use crate::port;
use crate::process::Program;

/// A running, or stopped, spoke and its data.
pub struct SpokeProcess {
    /// Variables it is started with.
    pub environment: Vec<(&'static str, String)>,
    pub(super) metrics_address: String,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    process: Option<Daemon>,
}

impl SpokeProcess {
    /// Writes the configuration of the spoke of `cluster` into `folder`. `more` is appended to it.
    pub fn new(
        folder: &Path,
        cluster: &str,
        hub: &str,
        kubeconfig: &Path,
        token: &str,
        more: &str,
    ) -> Result<Self> {
        let of = |suffix: &str| folder.join(format!("{cluster}.{suffix}"));
        let (config, data, token_file) = (of("yaml"), of("data"), of("token"));
        let metrics_address = format!("127.0.0.1:{}", port::outside_the_ephemeral()?);
        fs::write(&token_file, token)?;
        let text = format!(
            "\
apiVersion: rimward.dev/v1alpha1
kind: SpokeConfig
hub: {hub}
cluster: {cluster}
dataDir: {}
tokenFile: {}
kubeconfig: {}
reconnect: {{min: 100ms, max: 1s}}
metrics: {metrics_address}
{more}",
            data.display(),
            token_file.display(),
            kubeconfig.display(),
        );
        fs::write(&config, text)?;
        Ok(Self { environment: Vec::new(), metrics_address, config, data, log: of("log"), process: None })
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        let config = self.config.display().to_string();
        let arguments = ["run", "--config", &config];
        self.process = Some(Program::Spoke.start(&arguments, &self.environment, &self.log)?);
        Ok(())
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Stops it in good order.
    pub fn stop(&mut self) -> Result<()> {
        let stopped = self.process.take().map(|mut process| process.terminate(PATIENCE)).transpose()?;
        match stopped {
            Some(status) if !status.success() => bail!("the spoke stopped with {status}: {}", self.log()),
            _ => Ok(()),
        }
    }

    /// Waits until it ends by itself, at most `limit`; its exit code.
    pub fn ended(&mut self, limit: Duration) -> Result<Option<i32>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        Ok(process.wait(limit)?.and_then(|status| status.code()))
    }

    /// Runs `rimward-spoke` with this spoke's configuration.
    pub fn program(&self, arguments: &[&str]) -> Result<Said> {
        let config = self.config.display().to_string();
        let all: Vec<&str> = arguments.iter().copied().chain(["--config", &config]).collect();
        Ok(Program::Spoke.run(&all, PATIENCE)?.into())
    }

    /// Removes its data directory, as a pod without a volume that is rescheduled.
    pub fn lose_disk(&mut self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.data)?)
    }

    /// The process's id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Daemon::id)
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// All it logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
