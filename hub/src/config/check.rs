//! What a parsed configuration must also satisfy, and where in the file it does
//! not: values are checked after parsing, when serde no longer knows places.

use std::time::Duration;

use super::later::{Access, AdminTls, RenderConfig, Retention, Verify, dir_kind, sled_kind};
use super::{ConfigError, HubConfig, Listen};

/// Heads shorter than this could not be renewed at a third of their life without spinning.
const MIN_HEAD: Duration = Duration::from_secs(3);
/// A certificate shorter than this would be renewed all the time.
const MIN_CERT: Duration = Duration::from_secs(60);
/// No source is looked at more often than this: the server is somebody's.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// A check: where, whether it holds, code, and what to say if not.
struct Check(&'static str, bool, &'static str, String);

fn value(path: &'static str, good: bool, message: &str) -> Check {
    Check(path, good, "RW1005", format!("`{path}` {message}"))
}

fn unbuilt(path: &'static str, default: bool, what: &str) -> Check {
    Check(path, default, "RW1006", format!("`{path}`: {what} is not built yet; leave it out"))
}

/// The first thing wrong with the values of `config`, with its place in `text`.
pub(super) fn values(config: &HubConfig, text: &str, file: &str) -> Result<(), ConfigError> {
    let checks = basics(config).into_iter().chain(fleet(config)).chain(later(config));
    match checks.into_iter().find(|Check(_, good, ..)| !good) {
        None => Ok(()),
        Some(Check(path, _, code, message)) => {
            Err(ConfigError::Invalid { code, message, place: place(text, path, file) })
        }
    }
}

fn basics(config: &HubConfig) -> Vec<Check> {
    let host_port = config.address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let socket = |text: &str| text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok();
    let (listen, life) = (&config.listen, &config.lifetimes);
    vec![
        value("apiVersion", config.api_version == "rimward.dev/v1alpha1", "must be rimward.dev/v1alpha1"),
        value("kind", config.kind == "HubConfig", "must be HubConfig"),
        value("address", host_port, "must be host:port, as in hub.acme.example:8443"),
        value("dataDir", config.data_dir.is_absolute(), "must be an absolute path"),
        value("listen.spokes", socket(&listen.spokes), "must be address:port, or empty for off"),
        value("listen.admin", socket(&listen.admin), "must be address:port, or empty for off"),
        value("listen.metrics", socket(&listen.metrics), "must be address:port, or empty for off"),
        value("credentialsDir", config.credentials_dir.is_absolute(), "must be an absolute path"),
        value("lifetimes.head", life.head >= MIN_HEAD, "must be at least 3s"),
        value("lifetimes.spokeCert", life.spoke_cert >= MIN_CERT, "must be at least 1m"),
        value("lifetimes.serverCert", life.server_cert >= MIN_CERT, "must be at least 1m"),
        value("lifetimes.token", !life.token.is_zero(), "must be more than 0"),
        value("otlp.sample", (0.0..=1.0).contains(&config.otlp.sample), "must be from 0 to 1"),
    ]
}

fn fleet(config: &HubConfig) -> Vec<Check> {
    let git = &config.fleet.git;
    let reference = &git.reference;
    let named = [&reference.branch, &reference.tag, &reference.semver, &reference.commit];
    let one = named.iter().filter(|name| name.is_some()).count() <= 1;
    let full = reference.commit.as_ref().is_none_or(|commit| {
        commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    let web = git.url.starts_with("https://") || git.url.starts_with("http://");
    vec![
        value("fleet.git.url", web, "must be an http(s) URL; ssh is not built yet"),
        value("fleet.git.ref", one, "takes one of branch, tag, commit"),
        unbuilt("fleet.git.ref.semver", reference.semver.is_none(), "a semver range"),
        value("fleet.git.ref.commit", full, "must be a full commit id, 40 hex digits"),
        value("fleet.interval", config.fleet.interval >= MIN_INTERVAL, "must be at least 1s"),
    ]
}

/// Until it is built, the default stands for off, as the empty text does.
fn admin_off(admin: &str) -> bool {
    admin.is_empty() || admin == Listen::default().admin
}

fn later(config: &HubConfig) -> Vec<Check> {
    let verify = &config.fleet.verify;
    vec![
        unbuilt(
            "listen.admin",
            admin_off(&config.listen.admin),
            "the admin API over TCP (admin.sock serves it)",
        ),
        unbuilt("listen.hooks", config.listen.hooks.is_empty(), "the webhook listener"),
        unbuilt("fleet.verify", *verify == Verify::default(), "verification of commit signatures"),
        unbuilt("store", config.store == sled_kind(), "any store but `kind: sled`"),
        unbuilt("content", config.content == dir_kind(), "any content store but `kind: dir`"),
        unbuilt("adminTLS", config.admin_tls == AdminTls::default(), "the admin API over TCP"),
        unbuilt("render", config.render == RenderConfig::default(), "rendering by helm and kustomize"),
        unbuilt("access", config.access == Access::default(), "access beyond admin.sock"),
        unbuilt("retention", config.retention == Retention::default(), "another retention than the default"),
    ]
}

/// A serde error as one of ours.
pub(super) fn syntax(error: &serde_yaml::Error, file: &str) -> ConfigError {
    let place = error
        .location()
        .map_or_else(|| file.to_owned(), |at| format!("{file}:{}:{}", at.line(), at.column()));
    let text = error.to_string();
    let (code, message) = match rimward_proto::nearest::explain(&text) {
        Some(message) => ("RW1004", message),
        None if ["missing field", "invalid type", "invalid value", "invalid length", "invalid duration"]
            .iter()
            .any(|phrase| text.contains(phrase)) =>
        {
            ("RW1005", bare(&text))
        }
        None => ("RW1003", bare(&text)),
    };
    ConfigError::Invalid { code, message, place }
}

/// The message without the place that the parser appends; ours is in front.
fn bare(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

/// Where the dotted `path` stands in `text`: each name is looked for behind the one before it.
fn place(text: &str, path: &str, file: &str) -> String {
    let mut at = 0;
    for name in path.split('.') {
        match text[at..].find(&format!("{name}:")) {
            Some(offset) => at += offset,
            None => break,
        }
    }
    let line = text[..at].matches('\n').count() + 1;
    let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    format!("{file}:{line}:{column}")
}

/// `500ms`, `30s`, `5m`, `2h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
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
    use crate::core::model::GitRef;

    const SMALL: &str = "apiVersion: rimward.dev/v1alpha1\nkind: HubConfig\ntrustDomain: acme.example\n\
        address: hub.acme.example:8443\nfleet: {git: {url: 'https://git.acme.example/fleet.git'}}\n";

    fn error(extra: &str) -> String {
        HubConfig::parse(&format!("{SMALL}{extra}"), "hub.yaml").unwrap_err().to_string()
    }

    #[test]
    fn the_smallest_file_has_the_documented_defaults() {
        let config = HubConfig::parse(SMALL, "hub.yaml").unwrap();
        assert_eq!(config.data_dir.to_str(), Some("/var/lib/rimward-hub"));
        assert_eq!(config.listen.spokes, "0.0.0.0:8443");
        assert_eq!(config.lifetimes.head, Duration::from_secs(900));
        assert_eq!(config.host(), "hub.acme.example");
        let git = config.fleet_git();
        assert_eq!((git.reference, git.path.as_str(), git.credentials), (GitRef::Head, ".", None));
    }

    #[test]
    fn unknown_fields_name_the_nearest_and_the_place() {
        assert_eq!(
            error("adress: x\n"),
            "error[RW1004]: unknown field `adress`, did you mean `address`? --> hub.yaml:6:1"
        );
        assert!(error("lifetimes: {haed: 1m}\n").contains("did you mean `head`?"));
    }

    #[test]
    fn what_is_not_built_yet_says_so_and_where() {
        for (extra, place) in [
            ("store: {kind: etcd, endpoints: [a]}\n", "hub.yaml:6:1"),
            ("content: {kind: s3, bucket: b}\n", "hub.yaml:6:1"),
            ("listen: {hooks: '0.0.0.0:8445'}\n", "hub.yaml:6:10"),
            ("listen: {admin: '0.0.0.0:8444'}\n", "hub.yaml:6:10"),
            ("adminTLS: {certFile: /x}\n", "hub.yaml:6:1"),
            ("access: {bindings: [{role: admin}]}\n", "hub.yaml:6:1"),
            ("retention: {revisions: 11}\n", "hub.yaml:6:1"),
            ("render: {workers: 2}\n", "hub.yaml:6:1"),
        ] {
            let error = error(extra);
            assert!(error.contains("RW1006") && error.contains("not built yet"), "{error}");
            assert!(error.ends_with(place), "{error}");
        }
        for fine in ["store: {kind: sled}", "listen: {admin: ''}", "listen: {admin: '127.0.0.1:8444'}"] {
            assert!(HubConfig::parse(&format!("{SMALL}{fine}\n"), "f").is_ok(), "{fine}");
        }
    }

    #[test]
    fn lifetimes_change_at_once_and_the_rest_needs_a_restart() {
        let old = HubConfig::parse(SMALL, "f").unwrap();
        let text = format!("{SMALL}lifetimes: {{head: 1m}}\nlisten: {{metrics: ''}}\n");
        let (now, restart) = old.reloaded(&HubConfig::parse(&text, "f").unwrap());
        assert_eq!((now.lifetimes.head, restart), (Duration::from_secs(60), vec!["listen"]));
        assert_eq!(now.listen, old.listen);
    }

    #[test]
    fn values_are_checked() {
        assert!(error("lifetimes: {head: 1s}\n").contains("`lifetimes.head` must be at least 3s"));
        assert!(error("lifetimes: {head: 1}\n").contains("RW1005"));
        assert!(error("otlp: {sample: 2}\n").contains("hub.yaml:6:8"));
        assert!(error("log: {level: \"x\n").contains("RW1003"));
        let semver = SMALL.replace("fleet.git'", "fleet.git', ref: {semver: '>1'}");
        assert!(HubConfig::parse(&semver, "f").unwrap_err().to_string().contains("RW1006"));
        let missing = HubConfig::parse("kind: HubConfig\n", "f").unwrap_err().to_string();
        assert!(missing.contains("missing field `apiVersion`"), "{missing}");
    }
}
