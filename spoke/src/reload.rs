//! Signals, and the configuration that is read again when its file changes or on
//! HUP. A bad file changes nothing and says so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::cluster::errors::chain;
use crate::config::SpokeConfig;
use crate::core::Event;
use crate::metrics::Metrics;
use crate::reconcile::Input;
use crate::reconcile::limiter::Limiter;

/// How often the file's time is looked at: one system call.
const LOOK: Duration = Duration::from_secs(5);

/// Cancelled by TERM or INT; the second signal ends the process at once.
pub fn on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let stop = stop.clone();
        let Some(mut signals) = listen(kind) else { continue };
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if stop.is_cancelled() {
                    std::process::exit(0);
                }
                stop.cancel();
            }
        });
    }
    stop
}

fn listen(kind: SignalKind) -> Option<Signal> {
    match signal(kind) {
        Ok(signal) => Some(signal),
        Err(error) => {
            tracing::error!(%error, "a signal cannot be listened for");
            None
        }
    }
}

/// Watches the configuration file.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    data_dir: Option<PathBuf>,
    config: Arc<ArcSwap<SpokeConfig>>,
    metrics: Arc<Metrics>,
}

impl Reload {
    /// Of the file that `args` names, into `config`.
    pub fn new(args: &Args, config: Arc<ArcSwap<SpokeConfig>>, metrics: Arc<Metrics>) -> Self {
        Self { path: args.config.clone(), data_dir: args.data_dir.clone(), config, metrics }
    }

    /// Runs until the loop is gone.
    pub async fn run(self, inputs: mpsc::Sender<Input>, limiter: Arc<Limiter>) {
        let mut hangup = listen(SignalKind::hangup());
        let mut seen = self.modified();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = inputs.closed() => return,
                _ = asked => {}
                () = tokio::time::sleep(LOOK) => {
                    if self.modified() == seen {
                        continue;
                    }
                }
            }
            seen = self.modified();
            if let Some(config) = self.load() {
                limiter.set(config.apply.qps, config.apply.burst);
                let settings = config.settings();
                self.config.store(Arc::new(config));
                if inputs.send(Event::Config(settings).into()).await.is_err() {
                    return;
                }
            }
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    /// The new configuration, if it is good. Fields that need a restart keep their value, and are named.
    fn load(&self) -> Option<SpokeConfig> {
        let old = self.config.load();
        match SpokeConfig::load(&self.path) {
            Ok(mut new) => {
                if let Some(dir) = &self.data_dir {
                    new.data_dir.clone_from(dir);
                }
                let fields = old.restart_fields(&new);
                if !fields.is_empty() {
                    tracing::warn!(?fields, "these changes need a restart; the old values stay in force");
                }
                self.metrics.config_reload_ok.set(1);
                tracing::info!("configuration reloaded");
                Some(new.keep_restart_fields(&old))
            }
            Err(error) => {
                self.metrics.config_reload_ok.set(0);
                tracing::error!(error = %chain(&error), "the old configuration stays in force");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_bad_file_keeps_the_old_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spoke.yaml");
        let small = "apiVersion: rimward.dev/v1alpha1\nkind: SpokeConfig\nhub: h.example:8443\ncluster: eu-1\nmetrics: ''\n";
        let config = Arc::new(ArcSwap::from_pointee(SpokeConfig::parse(small, "f").unwrap()));
        let args = Args::parse_from(["rimward-spoke", "--config", path.to_str().unwrap()]);
        let metrics = Arc::new(Metrics::new());
        let reload = Reload::new(&args, config, metrics.clone());
        std::fs::write(&path, format!("{small}nonsense: 1\n")).unwrap();
        assert!(reload.load().is_none());
        assert_eq!(metrics.config_reload_ok.get(), 0);
        let changed = small.replace("h.example", "other.example");
        std::fs::write(&path, format!("{changed}ceilings: {{deletesPerDay: 5}}\n")).unwrap();
        let new = reload.load().unwrap();
        assert_eq!((new.hub.as_str(), new.ceilings.deletes_per_day), ("h.example:8443", 5));
        assert_eq!(metrics.config_reload_ok.get(), 1);
    }
}
