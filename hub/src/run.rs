//! The daemon: everything started in order, everything stopped within the drain
//! time. Nothing is served before what was kept is read and published again.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, About};
use crate::args::Args;
use crate::config::HubConfig;
use crate::datadir::DataDir;
use crate::failure::{FAILED, Failure, INVALID};
use crate::handle::Hub;
use crate::probes::Probes;
use crate::session::{Enrolments, Listener};
use crate::sign::Signer;
use crate::source::Mirrors;
use crate::state::{State, causes};
use crate::store::Store;
use crate::store::content::Content;
use crate::{init, tasks, telemetry};

/// Time for everything to end after the first signal; container runtimes kill after 30 s.
const DRAIN: Duration = Duration::from_secs(25);
/// How often the main loop ticks: a few times within the 30 s that `/livez` allows.
const TICK: Duration = Duration::from_secs(5);

/// The configuration, with what the command line and the environment override.
pub fn configuration(args: &Args) -> Result<HubConfig, Failure> {
    let mut config = HubConfig::load(&args.config)?;
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if let Some(level) = &args.log_level {
        config.log.level.clone_from(level);
    }
    Ok(config)
}

/// Runs the hub until it is told to stop.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration(args)?;
    // Before anything is served: who sees it answer may tell it to stop, and must not kill it by that.
    let failed = |error: std::io::Error| Failure::new(FAILED, &error);
    let signals = (Signals::new().map_err(failed)?, signal(SignalKind::hangup()).map_err(failed)?);
    let _telemetry = telemetry::init(&config.log.level, config.log.format, &config.otlp)?;
    let data = DataDir::open(&config.data_dir)?;
    let state = Arc::new(open(&config, &data)?);
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let mirrors = Mirrors::new(data.folder("git")?, config.credentials_dir.clone());
    let hub = {
        let (state, tracker, stop) = (state.clone(), tracker.clone(), stop.clone());
        tokio::task::block_in_place(move || tasks::start(&state, mirrors, &tracker, &stop))?
    };
    admin(&config, &data, hub, &tracker, &stop)?;
    let probes = Arc::new(Probes::new(state.clone()));
    metrics(&config, &probes, &tracker, &stop).await?;
    spokes(&config, &state, &tracker, &stop).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %data.path().display(), "rimward-hub is running");
    let result = watch(args, &state, &probes, signals, &stop).await;
    stop.cancel();
    tracker.close();
    drain(&tracker, result).await
}

/// Opens everything that is kept.
pub fn open(config: &HubConfig, data: &DataDir) -> Result<State, Failure> {
    let signer = Signer::load(&data.join("keys"), &data.join("root"))?;
    let domain = &signer.root().trust_domain;
    if *domain != config.trust_domain {
        let message = format!(
            "error[RW1005]: `trustDomain` is {}, but this data directory was made for {domain}; it is fixed after init",
            config.trust_domain
        );
        return Err(Failure { code: INVALID, message });
    }
    let authority = init::load_authority(&data.join("keys"))?;
    let store = Arc::new(Store::open(&data.join("state"))?);
    let content = Arc::new(Content::open(data.folder("content")?)?);
    let enrolments = Enrolments::load(store.clone())?;
    Ok(State::new(config.clone(), store, content, signer, authority, enrolments))
}

fn admin(
    config: &HubConfig,
    data: &DataDir,
    hub: Hub,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    if !config.listen.admin.is_empty() {
        tracing::info!(
            "listen.admin: the admin API over TCP is not built yet; it is served on admin.sock only"
        );
    }
    let path = data.join("admin.sock");
    // What a killed hub left; the lock says that nobody listens on it.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|error| Failure {
        code: FAILED,
        message: format!("cannot listen on {}: {error}", path.display()),
    })?;
    let permissions = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, permissions).map_err(|error| Failure::new(FAILED, &error))?;
    let about = About { address: config.address.clone(), trust_domain: config.trust_domain.to_string() };
    let router = api::router_about(hub, about);
    let (stop, closing) = (stop.clone(), Closing(path));
    tracker.spawn(async move {
        let _closing = closing;
        // Open event streams never end by themselves, so stopping does not wait for them.
        tokio::select! {
            served = axum::serve(listener, router) => if let Err(error) = served {
                tracing::error!(%error, "admin.sock failed");
            },
            () = stop.cancelled() => {}
        }
    });
    Ok(())
}

/// Removes the socket when the hub ends.
struct Closing(PathBuf);

impl Drop for Closing {
    fn drop(&mut self) {
        // One that is gone is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn metrics(
    config: &HubConfig,
    probes: &Arc<Probes>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let address = &config.listen.metrics;
    if address.is_empty() {
        return Ok(());
    }
    let listener = TcpListener::bind(address).await.map_err(|error| Failure {
        code: FAILED,
        message: format!("listen.metrics: cannot listen on {address}: {error}"),
    })?;
    let (router, stop) = (probes.clone().router(), stop.clone());
    tracker.spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the metrics listener failed");
        }
    });
    Ok(())
}

async fn spokes(
    config: &HubConfig,
    state: &Arc<State>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let address = &config.listen.spokes;
    if address.is_empty() {
        return Ok(());
    }
    let listener = Listener::bind(state.clone(), address).await?;
    let stop = stop.clone();
    tracker.spawn(async move {
        if let Err(error) = listener.serve(stop).await {
            tracing::error!(error = causes(&error), "the spokes' listener failed");
        }
    });
    Ok(())
}

/// The main loop: ticks, reloads, and ends with a signal.
async fn watch(
    args: &Args,
    state: &State,
    probes: &Probes,
    (mut signals, mut hangup): (Signals, Signal),
    stop: &CancellationToken,
) -> Result<Signals, Failure> {
    let mut ticks = tokio::time::interval(TICK);
    let modified = || std::fs::metadata(&args.config).and_then(|metadata| metadata.modified()).ok();
    let mut read = modified();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                probes.tick();
                let now = modified();
                if now.is_some() && now != read {
                    read = now;
                    probes.reloaded(reload(args, state));
                }
            }
            _ = hangup.recv() => {
                read = modified();
                probes.reloaded(reload(args, state));
            }
            () = signals.end() => return Ok(signals),
            () = stop.cancelled() => {
                let message = "a task of the hub ended unexpectedly; see the log".to_owned();
                return Err(Failure { code: FAILED, message });
            }
        }
    }
}

/// Reads the configuration again; a bad one changes nothing. True if it was good.
fn reload(args: &Args, state: &State) -> bool {
    match configuration(args) {
        Err(failure) => {
            tracing::error!("the configuration was not reloaded; the old one stays: {}", failure.message);
            false
        }
        Ok(new) => {
            let (config, restart) = state.config.load().reloaded(&new);
            state.config.store(Arc::new(config));
            if restart.is_empty() {
                tracing::info!("configuration reloaded");
            } else {
                tracing::warn!("configuration reloaded; a restart is needed for: {}", restart.join(", "));
            }
            true
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn drain(tracker: &TaskTracker, result: Result<Signals, Failure>) -> Result<(), Failure> {
    let mut signals = result?;
    tracing::info!("stopping");
    tokio::select! {
        () = tracker.wait() => tracing::info!("stopped"),
        () = tokio::time::sleep(DRAIN) => tracing::warn!("not everything ended in time; stopping anyway"),
        () = signals.end() => tracing::warn!("second signal; stopping now"),
    }
    Ok(())
}
