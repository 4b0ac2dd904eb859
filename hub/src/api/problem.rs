//! Errors as RFC 9457 problems, with a code that has a page and the notes that
//! go with it: whatever fails says what, why and what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::core::note::Note;
use crate::handle::ActionError;

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// `RW8` and three digits, the HTTP status.
    pub code: &'static str,
    /// What went wrong, for people.
    pub detail: String,
    /// What the input has to do with it.
    pub notes: Vec<Note>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    notes: &'a [Note],
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), notes: Vec::new() }
    }

    /// The request itself is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "RW8400", detail)
    }

    /// There is no such thing.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "RW8404", format!("{what} not found"))
    }

    /// The path takes other methods.
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not take this method; see docs/reference/api.md";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "RW8405", detail)
    }

    /// It is there, but not in the state that was asked for.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "RW8409", detail)
    }

    /// The place in a list that `continue` names is gone.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "RW8410", detail)
    }

    /// Too many at once.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RW8429", detail)
    }

    /// It was tried and did not work.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "RW8500", detail)
    }

    /// Part of the interface, not of this version: said, never silently accepted.
    pub fn not_built(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "RW8501", format!("{what}: not built yet"))
    }

    /// The hub is on its way out.
    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "RW8503", "the hub is stopping")
    }
}

impl From<ActionError> for Problem {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound(what) => Self::not_found(what),
            ActionError::Conflict(why) => Self::conflict(why),
            ActionError::Failed(why) => Self::failed(why),
            ActionError::Stopping => Self::stopping(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            notes: &self.notes,
        };
        let mut response = (self.status, Json(&body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}
