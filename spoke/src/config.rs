//! `spoke.yaml`: read, checked, and refused with file, line, column and the
//! nearest known name, because a typo must not become a silent default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rimward_proto::ClusterName;
use serde::{Deserialize, Deserializer, de};

use crate::core::Settings;

/// The largest configuration file read: a spoke's is a page of text.
const FILE_BYTES: u64 = 256 << 10;
/// More concurrent requests than an API server's priority level queues for one flow would only be refused.
const MAX_CONCURRENCY: usize = 256;

/// The configuration of one spoke, as in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpokeConfig {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    /// `host:port` of the hub.
    pub hub: String,
    /// This cluster's name in the fleet; must equal the certificate's.
    pub cluster: ClusterName,
    /// Content and the last good plan.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The enrolment token, read until an identity exists.
    #[serde(default, deserialize_with = "optional_path")]
    pub token_file: Option<PathBuf>,
    /// A kubeconfig; none = in-cluster.
    #[serde(default, deserialize_with = "optional_path")]
    pub kubeconfig: Option<PathBuf>,
    /// Where identity, floor and ledger live.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// How fast the API server is asked.
    #[serde(default)]
    pub apply: Apply,
    /// How a lost hub is dialled again.
    #[serde(default)]
    pub reconnect: Reconnect,
    /// What no signature can raise.
    #[serde(default)]
    pub ceilings: Ceilings,
    /// Listener of metrics and probes; empty = off.
    #[serde(default = "default_metrics")]
    pub metrics: String,
}

/// How fast the API server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apply {
    /// Requests at a time.
    pub concurrency: usize,
    /// Requests a second; 0 = as fast as the server's priority and fairness lets us.
    pub qps: u32,
    /// Requests that may be made at once before `qps` slows them down; 0 = `qps`.
    pub burst: u32,
}

/// How a lost hub is dialled again, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconnect {
    /// The first bound.
    #[serde(deserialize_with = "duration")]
    pub min: Duration,
    /// The last bound.
    #[serde(deserialize_with = "duration")]
    pub max: Duration,
}

/// Bounds set at install that no signature can raise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Ceilings {
    /// Namespaces that may be written to; a trailing `*` matches the rest.
    pub namespaces: Vec<String>,
    /// ServiceAccounts (`namespace/name`) that may be used; a trailing `*` matches the rest.
    pub service_accounts: Vec<String>,
    /// Kinds that are never deleted without an approval.
    pub protect: Vec<String>,
    /// Deletions in 24 hours.
    pub deletes_per_day: u64,
}

impl Default for Apply {
    fn default() -> Self {
        Self { concurrency: 16, qps: 0, burst: 0 }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        let all = || vec!["*".to_owned()];
        Self { namespaces: all(), service_accounts: all(), protect: Vec::new(), deletes_per_day: 1000 }
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
        /// RW1003 for what cannot be parsed, RW1004 for a name nobody knows, RW1005 for a value.
        code: &'static str,
        /// What is wrong, and what to write instead.
        message: String,
        /// `file:line:column`.
        place: String,
    },
}

impl SpokeConfig {
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
        let config: Self = serde_yaml::from_str(text).map_err(|error| invalid(&error, file))?;
        match config.problem() {
            None => Ok(config),
            Some((field, message)) => {
                let place = field_place(text, field, file);
                Err(ConfigError::Invalid { code: "RW1005", message, place })
            }
        }
    }

    /// What the core needs of it.
    pub fn settings(&self) -> Settings {
        let Ceilings { namespaces, service_accounts, protect, deletes_per_day } = self.ceilings.clone();
        let concurrency = self.apply.concurrency;
        Settings { concurrency, namespaces, service_accounts, protect, deletes_per_day }
    }

    /// The names of fields that differ from `other` and need a restart to take effect.
    pub fn restart_fields(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("hub", self.hub != other.hub),
            ("cluster", self.cluster != other.cluster),
            ("dataDir", self.data_dir != other.data_dir),
            ("kubeconfig", self.kubeconfig != other.kubeconfig),
            ("namespace", self.namespace != other.namespace),
            ("metrics", self.metrics != other.metrics),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// This configuration, with the fields of `old` that need a restart.
    pub fn keep_restart_fields(self, old: &Self) -> Self {
        Self {
            hub: old.hub.clone(),
            cluster: old.cluster.clone(),
            data_dir: old.data_dir.clone(),
            kubeconfig: old.kubeconfig.clone(),
            namespace: old.namespace.clone(),
            metrics: old.metrics.clone(),
            ..self
        }
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let host_port = |text: &str| {
            text.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        let label = |text: &str| rimward_proto::ids::is_dns_label(text, 63);
        let checks = [
            ("apiVersion", self.api_version == "rimward.dev/v1alpha1", "must be rimward.dev/v1alpha1"),
            ("kind", self.kind == "SpokeConfig", "must be SpokeConfig"),
            ("hub", host_port(&self.hub), "must be host:port, as in hub.acme.example:8443"),
            ("namespace", label(&self.namespace), "must be a namespace's name"),
            ("dataDir", self.data_dir.is_absolute(), "must be an absolute path"),
            ("concurrency", (1..=MAX_CONCURRENCY).contains(&self.apply.concurrency), "must be from 1 to 256"),
            ("burst", self.apply.burst == 0 || self.apply.qps > 0, "means nothing while `qps` is 0"),
            ("min", !self.reconnect.min.is_zero(), "must be more than 0"),
            ("max", self.reconnect.min <= self.reconnect.max, "must not be less than `min`"),
            (
                "metrics",
                self.metrics.is_empty() || self.metrics.parse::<std::net::SocketAddr>().is_ok(),
                "must be address:port, or empty for none",
            ),
        ];
        let wrong = checks.into_iter().find(|(_, good, _)| !good);
        wrong.map(|(field, _, message)| (field, format!("`{field}` {message}")))
    }
}

fn invalid(error: &serde_yaml::Error, file: &str) -> ConfigError {
    let place = error
        .location()
        .map_or_else(|| file.to_owned(), |at| format!("{file}:{}:{}", at.line(), at.column()));
    let text = error.to_string();
    let (code, message) = match rimward_proto::nearest::explain(&text) {
        Some(message) => ("RW1004", message),
        None if text.contains("missing field") || text.contains("invalid") => ("RW1005", bare(&text)),
        None => ("RW1003", bare(&text)),
    };
    ConfigError::Invalid { code, message, place }
}

/// The message without the place that the parser appends; ours is in front.
fn bare(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

/// Where `field` stands in `text`: values are checked after parsing, when places are no longer known.
fn field_place(text: &str, field: &str, file: &str) -> String {
    let needle = format!("{field}:");
    let found = text
        .lines()
        .enumerate()
        .find_map(|(line, content)| content.find(&needle).map(|column| (line + 1, column + 1)));
    found.map_or_else(|| file.to_owned(), |(line, column)| format!("{file}:{line}:{column}"))
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("/var/lib/rimward-spoke")
}

fn default_namespace() -> String {
    "rimward-system".to_owned()
}

fn default_metrics() -> String {
    "0.0.0.0:9440".to_owned()
}

fn optional_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).ok_or_else(|| {
        de::Error::custom(format!("invalid duration {text:?}: write 500ms, 30s, 5m, 2h or 7d"))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        "apiVersion: rimward.dev/v1alpha1\nkind: SpokeConfig\nhub: h.example:8443\ncluster: eu-1\n";

    fn error(extra: &str) -> String {
        SpokeConfig::parse(&format!("{SMALL}{extra}"), "spoke.yaml").unwrap_err().to_string()
    }

    #[test]
    fn the_smallest_file_has_the_documented_defaults() {
        let config = SpokeConfig::parse(SMALL, "spoke.yaml").unwrap();
        assert_eq!(config.namespace, "rimward-system");
        assert_eq!(config.metrics, "0.0.0.0:9440");
        assert_eq!((config.apply.concurrency, config.ceilings.deletes_per_day), (16, 1000));
        assert_eq!(config.reconnect.max, Duration::from_secs(60));
        assert_eq!((config.token_file, config.kubeconfig), (None, None));
    }

    #[test]
    fn unknown_fields_name_the_nearest_and_the_place() {
        assert_eq!(
            error("namespce: x\n"),
            "error[RW1004]: unknown field `namespce`, did you mean `namespace`? --> spoke.yaml:5:1"
        );
        assert!(error("apply: {concurency: 3}\n").contains("did you mean `concurrency`?"));
        assert!(error("apply: {concurency: 3}\n").contains("spoke.yaml:5:"));
    }

    #[test]
    fn values_are_checked() {
        assert!(error("reconnect: {min: 5}\n").contains("RW1005"));
        assert!(error("reconnect: {min: 5x}\n").contains("write 500ms"));
        assert!(error("reconnect: {min: 5m, max: 1s}\n").contains("`max` must not be less"));
        assert!(error("apply: {concurrency: 0}\n").contains("spoke.yaml:5:9"));
        assert!(error("metrics: nonsense\n").contains("`metrics`"));
        assert!(error("apply: }\n").contains("RW1003"), "{}", error("apply: }\n"));
        let missing = SpokeConfig::parse("kind: SpokeConfig\n", "f").unwrap_err().to_string();
        assert!(missing.contains("missing field `apiVersion`"), "{missing}");
    }

    #[test]
    fn fields_that_need_a_restart_are_named() {
        let old = SpokeConfig::parse(SMALL, "f").unwrap();
        let text = format!("{SMALL}metrics: ''\napply: {{qps: 5}}\n");
        let new = SpokeConfig::parse(&text, "f").unwrap();
        assert_eq!(old.restart_fields(&new), ["metrics"]);
    }
}
