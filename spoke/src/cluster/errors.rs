//! What can go wrong with a call, and how it maps onto the core's closed table
//! (apply rule 14). The table itself is the core's.

use std::time::Duration;

use kube::core::Status;

use crate::core::errors::{self, Answer, Verb};
use crate::core::{ApiError, ErrorKind};

/// Server text longer than this says nothing more to a person, and reports are bounded.
const MESSAGE_CHARS: usize = 1_000;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered, and refused.
    #[error("{}", .0.status.message)]
    Refused(Box<Refusal>),
    /// No answer: connection, TLS or authentication.
    #[error("the API server cannot be reached")]
    Transport(#[source] Box<kube::Error>),
    /// The answer broke off, or was too large.
    #[error("the API server's answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    /// The answer is not what the API promises.
    #[error("the API server's answer is not {0}")]
    Shape(&'static str),
}

/// An answer that refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// The `Status` object, or what could be made of another body.
    pub status: Status,
    /// `Retry-After`, from the header or the body.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// From an answer's parts.
    pub fn new(code: u16, body: &[u8], header: Option<Duration>) -> Self {
        let mut status = serde_json::from_slice::<Status>(body).unwrap_or_else(|_| {
            // A proxy or an old webhook answers in plain text.
            Status::failure(String::from_utf8_lossy(&body[..body.len().min(MESSAGE_CHARS)]).trim(), "")
        });
        if status.message.chars().count() > MESSAGE_CHARS {
            status.message = status.message.chars().take(MESSAGE_CHARS).collect();
        }
        let seconds = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|&s| s > 0);
        let retry_after = header.or(seconds.map(|seconds| Duration::from_secs(seconds.into())));
        Self { code, status, retry_after }
    }

    fn answer(&self) -> Answer<'_> {
        let details = self.status.details.as_ref();
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        Answer {
            code: self.code,
            reason: &self.status.reason,
            message: &self.status.message,
            causes: causes.iter().map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect(),
            details_kind: details.map(|details| details.kind.as_str()).unwrap_or_default(),
            details_name: details.map(|details| details.name.as_str()).unwrap_or_default(),
            retry_after: self.retry_after.map(|wait| wait.as_secs()),
        }
    }
}

impl CallError {
    /// The HTTP status, if there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// True if the object asked for is not there, as opposed to its namespace or its kind.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(refusal) if errors::is_absent(&refusal.answer()))
    }

    /// The core's view of it.
    pub fn classify(&self, verb: Verb) -> ApiError {
        match self {
            Self::Refused(refusal) => errors::classify(verb, &refusal.answer()),
            other => ApiError::new(ErrorKind::Transient, chain(other)),
        }
    }
}

/// An error with its causes, for people.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        // kube's errors repeat their cause in their own text.
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(code: u16, body: &serde_json::Value) -> CallError {
        CallError::Refused(Box::new(Refusal::new(code, body.to_string().as_bytes(), None)))
    }

    fn status(code: u16, reason: &str, message: &str, details: serde_json::Value) -> CallError {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message, "details": details});
        refused(code, &body)
    }

    #[test]
    fn statuses_of_a_real_server() {
        let create_in_terminating = status(
            403,
            "Forbidden",
            "configmaps \"a\" is forbidden: unable to create new content in namespace t because it is being terminated",
            json!({"name": "a", "kind": "configmaps", "causes": [{"reason": "NamespaceTerminating",
                "message": "namespace t is being terminated", "field": "metadata.namespace"}]}),
        );
        assert_eq!(create_in_terminating.classify(Verb::Create).kind, ErrorKind::NamespaceTerminating);
        let missing_namespace =
            status(404, "NotFound", "namespaces \"x\" not found", json!({"name": "x", "kind": "namespaces"}));
        assert_eq!(missing_namespace.classify(Verb::Create).kind, ErrorKind::NamespaceMissing);
        let other_uid = status(
            422,
            "Invalid",
            "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable",
            json!({"name": "a", "kind": "ConfigMap", "causes": [{"reason": "FieldValueInvalid",
                "message": "Invalid value: \"x\": field is immutable", "field": "metadata.uid"}]}),
        );
        assert_eq!(other_uid.classify(Verb::Update).kind, ErrorKind::Replaced);
    }

    #[test]
    fn retry_after_comes_from_the_header_or_the_body() {
        let body = json!({"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 2}}).to_string();
        let from_body = Refusal::new(429, body.as_bytes(), None);
        assert_eq!(from_body.retry_after, Some(Duration::from_secs(2)));
        let header = Refusal::new(429, body.as_bytes(), Some(Duration::from_secs(7)));
        let error = CallError::Refused(Box::new(header)).classify(Verb::Update);
        assert_eq!((error.kind, error.retry_after), (ErrorKind::Transient, Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_body_that_is_no_status_is_text_and_no_answer_is_transient() {
        let proxy = CallError::Refused(Box::new(Refusal::new(502, b"<html>bad gateway\n", None)));
        assert_eq!(proxy.to_string(), "<html>bad gateway");
        assert_eq!(proxy.classify(Verb::Get).kind, ErrorKind::Transient);
        assert_eq!(CallError::Timeout.classify(Verb::Get).kind, ErrorKind::Transient);
        assert!(!CallError::Timeout.is_absent());
    }

    #[test]
    fn absent_is_the_object_itself() {
        let details = json!({"name": "a", "kind": "configmaps"});
        assert!(status(404, "NotFound", "configmaps \"a\" not found", details).is_absent());
        let unknown = "the server could not find the requested resource";
        assert!(!status(404, "NotFound", unknown, json!({})).is_absent());
        // What the API server itself says of a version that is not served, and many a proxy.
        let plain = CallError::Refused(Box::new(Refusal::new(404, b"404 page not found\n", None)));
        assert!(!plain.is_absent());
        assert_eq!(plain.classify(Verb::Get).kind, ErrorKind::UnknownKind);
    }
}
