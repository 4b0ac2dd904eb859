//! `rimward-spoke run`: start in the order of what depends on what, run until
//! told to stop, and say by the exit code whether starting again makes sense.

use rimward_content::ContentError;

use crate::args::Args;
use crate::cluster::client::ClientError;
use crate::cluster::errors::chain;
use crate::config::{ConfigError, SpokeConfig};
use crate::identify::IdentifyError;
use crate::reload;
use crate::session::dial::{DialError, Dialer};
use crate::session::proxy::{Proxy, ProxyError};
use crate::start::Parts;
use crate::store::dir::{DataDir, DirError};
use crate::store::object::StoreError;
use crate::telemetry::{self, TelemetryError};

/// Exit code: stopped as told.
const STOPPED: u8 = 0;
/// Exit code: a failure that starting again may cure.
const FAILURE: u8 = 1;
/// Exit code: another spoke has the data directory or the cluster.
pub const LOCKED: u8 = 75;
/// Exit code: configuration, data or identity is invalid; starting again changes nothing.
pub const INVALID: u8 = 78;

/// Why the spoke does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`ProxyError`].
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// See [`TelemetryError`].
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// See [`DirError`].
    #[error(transparent)]
    Dir(#[from] DirError),
    /// See [`ContentError`].
    #[error(transparent)]
    Content(#[from] ContentError),
    /// See [`ClientError`].
    #[error(transparent)]
    Client(#[from] ClientError),
    /// See [`DialError`].
    #[error(transparent)]
    Hub(#[from] DialError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// See [`IdentifyError`].
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// The stored root cannot be used.
    #[error("error[RW6020]: the stored root cannot be used; enrol again")]
    Root(#[source] rimward_proto::root::RootError),
    /// The listener for metrics cannot be opened.
    #[error("error[RW1050]: `metrics` {address} cannot be listened on")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another spoke writes our objects.
    #[error("error[RW1030]: another spoke runs in this cluster")]
    OtherWriter,
}

impl RunError {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Dir(DirError::Locked { .. }) | Self::OtherWriter => LOCKED,
            Self::Store(error) | Self::Identify(IdentifyError::Store(error)) => match error {
                StoreError::Conflict { .. } => LOCKED,
                StoreError::Damaged { .. } => INVALID,
                StoreError::Call { .. } | StoreError::TooLarge { .. } => FAILURE,
            },
            Self::Config(_) | Self::Proxy(_) | Self::Dir(_) | Self::Client(_) | Self::Hub(_) => INVALID,
            Self::Telemetry(_) | Self::Identify(_) | Self::Root(_) => INVALID,
            Self::Content(_) | Self::Listen { .. } => FAILURE,
        }
    }
}

/// Runs the spoke; returns the exit code.
pub async fn run(args: &Args) -> u8 {
    match start(args).await {
        Ok(()) => STOPPED,
        Err(error) => {
            // Logging may not be up; stderr always is.
            eprintln!("{}", chain(&error));
            error.exit_code()
        }
    }
}

/// The configuration with what flags and environment say put over it.
pub fn configuration(args: &Args) -> Result<SpokeConfig, ConfigError> {
    let mut config = SpokeConfig::load(&args.config)?;
    if let Some(dir) = &args.data_dir {
        config.data_dir.clone_from(dir);
    }
    Ok(config)
}

/// How the hub is reached, with `HTTPS_PROXY` and `NO_PROXY`.
pub fn dialer(config: &SpokeConfig) -> Result<Dialer, RunError> {
    let variable =
        |upper: &str, lower: &str| std::env::var(upper).or_else(|_| std::env::var(lower)).unwrap_or_default();
    let proxy = Proxy::parse(&variable("HTTPS_PROXY", "https_proxy"), &variable("NO_PROXY", "no_proxy"))?;
    Ok(Dialer::new(&config.hub, proxy)?)
}

async fn start(args: &Args) -> Result<(), RunError> {
    let _telemetry = telemetry::init(&args.log_level)?;
    let config = configuration(args)?;
    let data = DataDir::open(&config.data_dir)?;
    let stop = reload::on_signals();
    Parts::new(args, config, data.path(), stop).await?.serve().await
}
