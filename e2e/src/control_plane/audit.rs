//! The API server's audit log, as tests want it: who asked for what, how
//! often, on whose behalf.

use std::fmt;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

/// The verbs that change something.
const MUTATING: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// One answered request (a watch: when it began).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `get list watch create update patch delete deletecollection`, or the
    /// lower-case method of a request that is not for a resource.
    pub verb: String,
    /// Who authenticated.
    pub user: String,
    /// Whom they impersonated.
    pub impersonated: Option<String>,
    /// API group, empty for core and for non-resource requests.
    pub group: String,
    /// Plural resource name, empty for non-resource requests.
    pub resource: String,
    /// Such as `status` or `scale`, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Object name, or empty.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The client's own name.
    pub user_agent: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// What was authorised, `allow` or `forbid`; empty if it did not come to that, as when an impersonation is refused.
    pub decision: String,
    /// When the request arrived.
    pub received: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
}

impl AuditEvent {
    /// Whether it could change something; a dry run cannot.
    pub fn is_mutating(&self) -> bool {
        MUTATING.contains(&self.verb.as_str()) && !self.uri.contains("dryRun=All")
    }

    fn parse(line: &str) -> Result<Option<Self>> {
        let event: Value = serde_json::from_str(line)?;
        let text = |path: &str| {
            let value = event.pointer(path).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let time = |path: &str| text(path).parse::<Timestamp>().context("audit time");
        let verb = text("/verb");
        // Of a watch count the beginning: its end may be an hour away.
        let counted = match verb.as_str() {
            "watch" => "ResponseStarted",
            _ => "ResponseComplete",
        };
        if text("/stage") != counted {
            return Ok(None);
        }
        let impersonated = text("/impersonatedUser/username");
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64);
        Ok(Some(Self {
            user: text("/user/username"),
            impersonated: Some(impersonated).filter(|name| !name.is_empty()),
            group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            uri: text("/requestURI"),
            user_agent: text("/userAgent"),
            code: code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
            decision: text("/annotations/authorization.k8s.io~1decision"),
            received: time("/requestReceivedTimestamp")?,
            answered: time("/stageTimestamp")?,
            verb,
        }))
    }
}

/// A selection of audit events; every filter narrows it.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// The events, in the order of the log.
    pub events: Vec<AuditEvent>,
}

impl Audit {
    /// Reads the log's text. A last line without its end is left out: it is
    /// being written.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_where(text, |_| true)
    }

    /// As [`Audit::parse`], of the lines that `wanted` takes, before they are read as JSON: a log may be long.
    pub fn parse_where(text: &str, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let parsed = whole.lines().filter(|line| wanted(line)).map(AuditEvent::parse);
        let events = parsed.filter_map(Result::transpose).collect::<Result<_>>();
        Ok(Self { events: events.context("parsing the audit log")? })
    }

    /// Those for which `keep` holds.
    pub fn filter(mut self, keep: impl Fn(&AuditEvent) -> bool) -> Self {
        self.events.retain(|event| keep(event));
        self
    }

    /// Of the authenticated user, such as `system:serviceaccount:ns:name`.
    pub fn user(self, user: &str) -> Self {
        self.filter(|event| event.user == user)
    }

    /// On behalf of an impersonated user.
    pub fn impersonating(self, user: &str) -> Self {
        self.filter(|event| event.impersonated.as_deref() == Some(user))
    }

    /// With this verb.
    pub fn verb(self, verb: &str) -> Self {
        self.filter(|event| event.verb == verb)
    }

    /// For this plural resource.
    pub fn resource(self, resource: &str) -> Self {
        self.filter(|event| event.resource == resource)
    }

    /// In this namespace.
    pub fn namespace(self, namespace: &str) -> Self {
        self.filter(|event| event.namespace == namespace)
    }

    /// For objects of this name.
    pub fn name(self, name: &str) -> Self {
        self.filter(|event| event.name == name)
    }

    /// Only what could change something.
    pub fn mutating(self) -> Self {
        self.filter(AuditEvent::is_mutating)
    }

    /// Only what arrived at or after `time`.
    pub fn since(self, time: Timestamp) -> Self {
        self.filter(|event| event.received >= time)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.events.len()
    }
}

/// One line an event, for the message of a failed assertion.
impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for e in &self.events {
            let as_whom = e.impersonated.as_deref().unwrap_or("-");
            let (code, verb, uri) = (e.code, &e.verb, &e.uri);
            writeln!(f, "{} {code} {verb} {uri} {} as {as_whom}", e.received, e.user)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stage: &str, verb: &str, uri: &str) -> String {
        let times = r#""requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:01.000000Z""#;
        format!(
            r#"{{"stage":"{stage}","verb":"{verb}","requestURI":"{uri}","user":{{"username":"u"}},"impersonatedUser":{{"username":"t"}},{times}}}"#
        ) + "\n"
    }

    #[test]
    fn a_request_counts_once_and_a_watch_when_it_begins() {
        let log = line("ResponseStarted", "watch", "/w")
            + &line("ResponseComplete", "watch", "/w")
            + &line("ResponseComplete", "patch", "/p");
        let audit = Audit::parse(&log).unwrap();
        assert_eq!(audit.count(), 2);
        assert_eq!(audit.clone().impersonating("t").mutating().count(), 1);
        assert_eq!(audit.impersonating("other").count(), 0);
    }

    #[test]
    fn a_dry_run_changes_nothing_and_a_line_being_written_is_left_out() {
        let log = line("ResponseComplete", "patch", "/p?dryRun=All") + "{\"stage\":";
        let audit = Audit::parse(&log).unwrap();
        assert_eq!(audit.count(), 1);
        assert_eq!(audit.mutating().count(), 0);
    }

    #[test]
    fn a_broken_line_is_an_error() {
        assert!(Audit::parse("{\n").is_err());
    }
}
