//! Why the daemon ends, as an exit code that a supervisor can act on: 75 try
//! again later, 78 do not restart before someone has looked, 1 anything else.

use crate::config::ConfigError;
use crate::datadir::DataError;
use crate::init::InitError;
use crate::session::ListenerError;
use crate::sign::SignError;
use crate::state::causes;
use crate::store::StoreError;
use crate::store::content::ContentError;
use crate::tasks::TaskError;
use crate::telemetry::TelemetryError;

/// Something failed.
pub const FAILED: u8 = 1;
/// What was asked for is not there (yet), or was asked for wrongly.
pub const USAGE: u8 = 2;
/// Another process holds the data directory.
pub const LOCKED: u8 = 75;
/// Configuration, data or identity are not valid: restarting does not help.
pub const INVALID: u8 = 78;

/// An exit code and what to say.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub code: u8,
    /// What went wrong, with its causes.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, error: &dyn std::error::Error) -> Self {
        Self { code, message: causes(error) }
    }
}

fn data(error: &DataError) -> u8 {
    match error {
        DataError::Locked(_) => LOCKED,
        DataError::Io { .. } => FAILED,
        DataError::Mode { .. } | DataError::NotInitialised(_) | DataError::Layout { .. } => INVALID,
    }
}

fn store(error: &StoreError) -> u8 {
    match error {
        StoreError::Missing(_)
        | StoreError::Damaged { .. }
        | StoreError::Unsound(_)
        | StoreError::Checksum(_)
        | StoreError::Parse { .. } => INVALID,
        _ => FAILED,
    }
}

fn sign(error: &SignError) -> u8 {
    if let SignError::Data(error) = error { data(error) } else { INVALID }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(INVALID, &error)
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::new(INVALID, &error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(data(&error), &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(store(&error), &error)
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        Self::new(sign(&error), &error)
    }
}

impl From<ContentError> for Failure {
    fn from(error: ContentError) -> Self {
        Self::new(FAILED, &error)
    }
}

impl From<ListenerError> for Failure {
    fn from(error: ListenerError) -> Self {
        Self::new(FAILED, &error)
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        let code = match &error {
            TaskError::Store(error) => store(error),
            TaskError::Sign(error) => sign(error),
            TaskError::Missing(_) | TaskError::Lost(_) => INVALID,
            TaskError::Content(_) => FAILED,
        };
        Self::new(code, &error)
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        let code = match &error {
            InitError::Data(error) => data(error),
            InitError::Store(error) => store(error),
            InitError::Sign(error) => sign(error),
            InitError::Domain { .. } | InitError::Pki(_) => INVALID,
            InitError::Inside(_) | InitError::NoFolder { .. } => USAGE,
            InitError::Key(_) => FAILED,
        };
        Self::new(code, &error)
    }
}
