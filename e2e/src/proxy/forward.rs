//! Passing on: the request as it came, the answer as it comes, unless it is to
//! break off.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, Uri, header};
use futures::{Stream, StreamExt, stream};

use super::{Asked, BODY, Fault, Shared, answer};

/// What belongs to one connection and not to the request.
const HOP_BY_HOP: [header::HeaderName; 5] =
    [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::CONTENT_LENGTH];

/// A server that fails at once throws away what it was about to send, and nothing would break off in the middle.
const FLUSH: Duration = Duration::from_millis(10);

/// Answers one request.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let asked = Asked::new(&method, &uri, &headers);
    let fault = shared.decide(&asked);
    match &fault {
        Fault::TooMany(seconds) => return answer::too_many(*seconds),
        Fault::Unauthorized => return answer::unauthorized(),
        Fault::Gone => return answer::gone(asked.is_watch()),
        Fault::Late(time) => tokio::time::sleep(*time).await,
        Fault::Held(gate) => gate.pass().await,
        Fault::None | Fault::Cut | Fault::Unanswered(_) => {}
    }
    let Some(response) = pass_on(&shared, method, &uri, headers, body).await else {
        return answer::unreachable();
    };
    if let Fault::Unanswered(gate) = &fault {
        gate.pass().await;
    }
    let watch = asked.is_watch();
    match fault {
        Fault::Cut if watch => broken_watch(response),
        Fault::Cut => broken(response).await,
        _ if watch => until_cut(&shared, response),
        _ => response,
    }
}

async fn pass_on(
    shared: &Shared,
    method: Method,
    uri: &Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Option<Response<Body>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request =
        Request::builder().method(method).uri(path).body(kube::client::Body::from(body)).ok()?;
    *request.headers_mut() = headers;
    HOP_BY_HOP.iter().for_each(|name| drop(request.headers_mut().remove(name)));
    let response = shared.upstream.send(request).await.ok()?;
    let (mut parts, body) = response.into_parts();
    let length = parts.headers.remove(header::CONTENT_LENGTH);
    HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
    if let Some(length) = length {
        parts.headers.insert(header::CONTENT_LENGTH, length);
    }
    Some(Response::from_parts(parts, Body::new(body)))
}

/// Half of the body, then a broken connection.
async fn broken(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, BODY).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    Response::from_parts(parts, Body::from_stream(stream::iter([Ok(half)]).chain(break_off())))
}

/// Half of the first event, then a broken connection.
fn broken_watch(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let first = frames(body).take(1).map(|frame| frame.map(|frame| frame.slice(..frame.len() / 2)));
    Response::from_parts(parts, Body::from_stream(first.chain(break_off())))
}

/// All of it, until all watches are ended.
fn until_cut(shared: &Shared, response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut cut = shared.cut.subscribe();
    let end = async move { cut.changed().await };
    Response::from_parts(parts, Body::from_stream(frames(body).take_until(Box::pin(end))))
}

fn frames(body: Body) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    body.into_data_stream().map(|frame| frame.map_err(io::Error::other))
}

/// Breaks the connection, once what came before has left.
fn break_off() -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::once(async {
        tokio::time::sleep(FLUSH).await;
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "broken off on purpose"))
    })
}
