//! `hub.yaml`: read, checked, and refused with file, line, column and the
//! nearest known name, because a typo must not become a silent default. What is
//! named but not built yet is refused as such when set to anything but its
//! default: nothing is accepted and ignored.

mod check;
mod later;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rimward_proto::TrustDomain;
use serde::{Deserialize, Deserializer, de};

use self::later::{Access, AdminTls, Kind, RenderConfig, Retention, Verify, dir_kind, sled_kind};
use crate::core::model::{GitRef, GitSpec};

/// The largest configuration file read: a hub's is a page of text.
const FILE_BYTES: u64 = 256 << 10;

/// The configuration of the hub, as in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubConfig {
    api_version: String,
    kind: String,
    /// SPIFFE trust domain; fixed after init.
    pub trust_domain: TrustDomain,
    /// `host:port` that spokes dial; the host goes into the server certificate.
    pub address: String,
    /// Where everything is kept.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Listeners.
    #[serde(default)]
    pub listen: Listen,
    /// The fleet repo.
    pub fleet: FleetConfig,
    /// Folder of credentials.
    #[serde(default = "default_credentials_dir")]
    pub credentials_dir: PathBuf,
    #[serde(default = "sled_kind")]
    store: Kind,
    #[serde(default = "dir_kind")]
    content: Kind,
    #[serde(default, rename = "adminTLS")]
    admin_tls: AdminTls,
    /// How long things are good.
    #[serde(default)]
    pub lifetimes: Lifetimes,
    #[serde(default)]
    render: RenderConfig,
    #[serde(default)]
    access: Access,
    #[serde(default)]
    retention: Retention,
    /// Logging.
    #[serde(default)]
    pub log: Log,
    /// Traces.
    #[serde(default)]
    pub otlp: Otlp,
}

/// Listeners; empty = off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Sessions of spokes.
    pub spokes: String,
    /// Admin API over TCP.
    pub admin: String,
    /// Webhooks.
    pub hooks: String,
    /// Metrics and probes.
    pub metrics: String,
}

/// The fleet repo.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetConfig {
    git: GitConfig,
    #[serde(default)]
    verify: Verify,
    /// Time between looks.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitConfig {
    url: String,
    #[serde(default, rename = "ref")]
    reference: RefConfig,
    #[serde(default = "dot")]
    path: String,
    #[serde(default)]
    credentials: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RefConfig {
    branch: Option<String>,
    tag: Option<String>,
    semver: Option<String>,
    commit: Option<String>,
}

/// How long things are good.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifetimes {
    /// A spoke's certificate.
    #[serde(deserialize_with = "duration")]
    pub spoke_cert: Duration,
    /// The hub's own certificate.
    #[serde(deserialize_with = "duration")]
    pub server_cert: Duration,
    /// A head; renewed at a third of it.
    #[serde(deserialize_with = "duration")]
    pub head: Duration,
    /// An enrolment token.
    #[serde(deserialize_with = "duration")]
    pub token: Duration,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Level, or a tracing filter.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// Text.
    Text,
}

/// Traces; off while `endpoint` is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// OTLP/gRPC endpoint.
    pub endpoint: String,
    /// Share of traces kept, 0 to 1.
    pub sample: f64,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            spokes: "0.0.0.0:8443".into(),
            admin: "127.0.0.1:8444".into(),
            hooks: String::new(),
            metrics: "0.0.0.0:9440".into(),
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { spoke_cert: days(7), server_cert: days(30), head: minutes(15), token: minutes(60) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: String::new(), sample: 0.1 }
    }
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("error[RW1001]: cannot read the configuration --> {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("error[RW1002]: the configuration has {found} bytes, at most {FILE_BYTES} --> {}", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
    /// YAML or a field in it is wrong.
    #[error("error[{code}]: {message} --> {place}")]
    Invalid {
        /// RW1003 syntax, RW1004 unknown name, RW1005 value, RW1006 not built yet.
        code: &'static str,
        /// What is wrong, and what to write instead.
        message: String,
        /// `file:line:column`.
        place: String,
    },
}

impl HubConfig {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let found = std::fs::metadata(path).map_err(read)?.len();
        if found > FILE_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned(), found });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads and checks `text`; `file` is for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_yaml::from_str(text).map_err(|error| check::syntax(&error, file))?;
        check::values(&config, text, file)?;
        Ok(config)
    }

    /// The fleet repo as a source.
    pub fn fleet_git(&self) -> GitSpec {
        let git = &self.fleet.git;
        GitSpec {
            url: git.url.clone(),
            reference: git.reference.to_git(),
            path: git.path.clone(),
            credentials: (!git.credentials.is_empty()).then(|| git.credentials.clone()),
        }
    }

    /// The host that goes into the server certificate.
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// This configuration with what can change while running taken from `new`, and the names of the fields that differ
    /// and need a restart.
    pub fn reloaded(&self, new: &Self) -> (Self, Vec<&'static str>) {
        let fields = [
            ("trustDomain", self.trust_domain != new.trust_domain),
            ("address", self.address != new.address),
            ("dataDir", self.data_dir != new.data_dir),
            ("listen", self.listen != new.listen),
            ("fleet", self.fleet != new.fleet),
            ("credentialsDir", self.credentials_dir != new.credentials_dir),
            ("log", self.log != new.log),
            ("otlp", self.otlp != new.otlp),
        ];
        let restart = fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
        (Self { lifetimes: new.lifetimes.clone(), ..self.clone() }, restart)
    }
}

impl RefConfig {
    fn to_git(&self) -> GitRef {
        match (&self.branch, &self.tag, &self.commit) {
            (Some(branch), ..) => GitRef::Branch(branch.clone()),
            (_, Some(tag), _) => GitRef::Tag(tag.clone()),
            (_, _, Some(commit)) => GitRef::Commit(commit.clone()),
            _ => GitRef::Head,
        }
    }
}

fn default_data_dir() -> PathBuf {
    "/var/lib/rimward-hub".into()
}

fn default_credentials_dir() -> PathBuf {
    "/etc/rimward/credentials".into()
}

fn dot() -> String {
    ".".into()
}

fn one_minute() -> Duration {
    minutes(1)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn days(count: u64) -> Duration {
    minutes(count * 24 * 60)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    check::parse_duration(&text).ok_or_else(|| {
        de::Error::custom(format!("invalid duration {text:?}: write 500ms, 30s, 5m, 2h or 7d"))
    })
}
