//! Answers that the API server would have given, word by word.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// Priority and fairness: plain text, not a `Status`.
pub(super) fn too_many(seconds: u64) -> Response<Body> {
    let text = "Too many requests, please try again later.\n";
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "text/plain; charset=utf-8", text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// A token that is no good any more.
pub(super) fn unauthorized() -> Response<Body> {
    let status = status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    plain(StatusCode::UNAUTHORIZED, "application/json", &status.to_string())
}

/// A resourceVersion or a page that is too old; a watch is answered with 200 and says it in its stream.
pub(super) fn gone(watch: bool) -> Response<Body> {
    let status = status(StatusCode::GONE, "Expired", "too old resource version: 1 (2)");
    if watch {
        let event = json!({"type": "ERROR", "object": status});
        return plain(StatusCode::OK, "application/json", &format!("{event}\n"));
    }
    plain(StatusCode::GONE, "application/json", &status.to_string())
}

/// The API server could not be reached by this proxy: what a load balancer answers then.
pub(super) fn unreachable() -> Response<Body> {
    plain(StatusCode::BAD_GATEWAY, "text/plain; charset=utf-8", "no API server behind this proxy\n")
}

fn status(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
           "message": message, "reason": reason, "code": code.as_u16()})
}

fn plain(code: StatusCode, media: &'static str, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
