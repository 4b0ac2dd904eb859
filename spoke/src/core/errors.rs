//! The closed table of what can go wrong with one object (apply rule 14), and
//! how an API server's answer is sorted into it. Only `Transient` is retried
//! fast; everything else is the object's status until something changes.

use std::fmt;
use std::time::Duration;

/// What went wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// An admission webhook or policy said no.
    Denied,
    /// The tenant's account may not.
    Forbidden,
    /// The namespace does not exist.
    NamespaceMissing,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// A field that cannot change would have to.
    Immutable,
    /// The server does not understand the object.
    SchemaMismatch,
    /// The server does not know the kind, or not yet.
    UnknownKind,
    /// The object exists and is not ours, or somebody wrote at the same moment.
    Conflict,
    /// The kind's scope on this cluster, or the tenant's scope, does not allow it; no request was made.
    ScopeMismatch,
    /// Try again: timeouts, 429, 5xx, a broken connection.
    Transient,
    /// A create found an object there (409 on [`super::effect::ApplyMode::Create`]). Never shown: the core looks at it.
    Exists,
    /// An update found nothing or another UID. Never shown: the core looks at it.
    Replaced,
    /// The wanted body is not in the content store (any more): it is fetched again.
    Incomplete,
}

impl ErrorKind {
    /// The name as in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "Denied",
            Self::Forbidden => "Forbidden",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::Immutable => "Immutable",
            Self::SchemaMismatch => "SchemaMismatch",
            Self::UnknownKind => "UnknownKind",
            Self::Conflict | Self::Exists | Self::Replaced => "Conflict",
            Self::ScopeMismatch => "ScopeMismatch",
            Self::Transient => "Transient",
            Self::Incomplete => "Incomplete",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The server's text, for people. The core drops it for Secrets.
    pub message: String,
    /// `Retry-After`, if the server sent one.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }
}

/// What kind of request was made; the same answer means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A read.
    Get,
    /// An apply with `resourceVersion: "1"`.
    Create,
    /// An apply with `uid` set.
    Update,
    /// A delete with preconditions.
    Delete,
}

/// An API server's failed answer: HTTP status and the fields of its `Status` object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub code: u16,
    /// `Status.reason`.
    pub reason: &'a str,
    /// `Status.message`.
    pub message: &'a str,
    /// `Status.details.causes[]` as (reason, field).
    pub causes: Vec<(&'a str, &'a str)>,
    /// `Status.details.kind`, lower-case plural for a missing namespace: `namespaces`.
    pub details_kind: &'a str,
    /// `Status.details.name`: which object the answer speaks of.
    pub details_name: &'a str,
    /// `Retry-After` in seconds, from the header or `Status.details.retryAfterSeconds`.
    pub retry_after: Option<u64>,
}

/// Sorts an answer into the table. A 404 on [`Verb::Get`] or [`Verb::Delete`] of the object itself is no error: the
/// edge asks [`is_absent`] first. Connections that broke and requests that timed out are `Transient`.
pub fn classify(verb: Verb, answer: &Answer<'_>) -> ApiError {
    let retry_after = answer.retry_after.map(Duration::from_secs);
    ApiError { kind: kind_of(verb, answer), message: answer.message.to_owned(), retry_after }
}

/// True if the answer says that the object itself is not there, as opposed to its namespace or its kind. Only a
/// `Status` that names an object says so: a version that is not served, a definition that is not established and a
/// proxy in between answer 404 as well, and of those nothing follows for the object.
pub fn is_absent(answer: &Answer<'_>) -> bool {
    answer.code == 404 && answer.reason == "NotFound" && !answer.details_name.is_empty()
}

fn kind_of(verb: Verb, answer: &Answer<'_>) -> ErrorKind {
    let message = answer.message;
    let cause = |reason: &str| answer.causes.iter().any(|(found, _)| *found == reason);
    match answer.code {
        403 if cause("NamespaceTerminating") || message.contains("because it is being terminated") => {
            ErrorKind::NamespaceTerminating
        }
        400 | 403 | 422 | 500 if is_admission(message) => ErrorKind::Denied,
        401 | 403 => ErrorKind::Forbidden,
        404 if answer.details_kind == "namespaces" || message.starts_with("namespaces ") => {
            ErrorKind::NamespaceMissing
        }
        404 => ErrorKind::UnknownKind,
        409 if verb == Verb::Create => ErrorKind::Exists,
        409 if verb == Verb::Update && message.contains("uid mismatch") => ErrorKind::Replaced,
        409 => ErrorKind::Conflict,
        422 if verb == Verb::Update && answer.causes.iter().any(|(_, field)| *field == "metadata.uid") => {
            ErrorKind::Replaced
        }
        422 if is_immutable(message) => ErrorKind::Immutable,
        400 | 406 | 413 | 415 | 422 => ErrorKind::SchemaMismatch,
        // A typed patch with a schema error answers 500; it would fail for ever if taken for transient.
        500 if is_schema(message) => ErrorKind::SchemaMismatch,
        _ => ErrorKind::Transient,
    }
}

fn is_admission(message: &str) -> bool {
    message.contains("admission webhook") && message.contains("denied the request")
        || message.contains("ValidatingAdmissionPolicy") && message.contains("denied request")
        || message.contains("violates PodSecurity")
        || message.contains("exceeded quota")
}

fn is_immutable(message: &str) -> bool {
    message.contains("field is immutable")
        || message.contains("may not be changed")
        || message.contains("may not change fields")
        || message.contains("updates to") && message.contains("are forbidden")
}

fn is_schema(message: &str) -> bool {
    [
        "failed to create typed patch object",
        "failed to create manager for existing fields",
        ".spec: expected",
        "field not declared in schema",
        "strict decoding error",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(verb: Verb, code: u16, message: &str) -> ErrorKind {
        classify(verb, &Answer { code, message, ..Answer::default() }).kind
    }

    #[test]
    fn answers_of_real_servers() {
        use ErrorKind::*;
        let cases = [
            (
                Verb::Create,
                409,
                "Operation cannot be fulfilled on configmaps \"a\": the object has been modified",
                Exists,
            ),
            (
                Verb::Update,
                409,
                "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid x, and no existing object was found",
                Replaced,
            ),
            (Verb::Delete, 409, "the UID in the precondition (a) does not match", Conflict),
            (Verb::Create, 404, "namespaces \"shop\" not found", NamespaceMissing),
            (Verb::Create, 404, "the server could not find the requested resource", UnknownKind),
            (
                Verb::Create,
                403,
                "configmaps \"a\" is forbidden: unable to create new content in namespace shop because it is being terminated",
                NamespaceTerminating,
            ),
            (Verb::Create, 403, "configmaps \"a\" is forbidden: User \"x\" cannot patch resource", Forbidden),
            (Verb::Create, 403, "admission webhook \"w.example.com\" denied the request: no", Denied),
            (
                Verb::Create,
                422,
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                Denied,
            ),
            (
                Verb::Update,
                422,
                "Deployment.apps \"a\" is invalid: spec.selector: Invalid value: {}: field is immutable",
                Immutable,
            ),
            (
                Verb::Update,
                422,
                "Pod \"a\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.tolerations`",
                Immutable,
            ),
            (
                Verb::Create,
                500,
                "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
                SchemaMismatch,
            ),
            (Verb::Create, 500, "etcdserver: leader changed", Transient),
            (Verb::Get, 429, "too many requests", Transient),
            (Verb::Get, 0, "connection refused", Transient),
        ];
        for (verb, code, message, expected) in cases {
            assert_eq!(kind(verb, code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn absent_is_the_object_not_its_kind() {
        let answer = |reason, details_name| Answer { code: 404, reason, details_name, ..Answer::default() };
        assert!(is_absent(&answer("NotFound", "a")));
        assert!(!is_absent(&answer("NotFound", "")) && !is_absent(&answer("", "")));
    }
}
