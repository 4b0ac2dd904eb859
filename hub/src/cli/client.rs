//! The way to the hub: HTTP over its admin socket. Every failure to get there
//! says which socket, why, and what to do.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::args::Global;
use super::exit::{Exit, Failure};
use super::sse::Stream;

/// Where the hub keeps its socket unless told otherwise.
const DEFAULT: &str = "unix:/var/lib/rimward-hub/admin.sock";
/// Largest answer read: a page of a thousand items with room to spare.
const ANSWER_BYTES: usize = 64 << 20;
/// Pages of one list at most: ten million items; a hub that never ends a list is broken.
const PAGES: usize = 10_000;

/// A hub to talk to.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    verbose: bool,
}

impl Client {
    /// The hub that the flags name.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let hub = global.hub.as_deref().filter(|hub| !hub.is_empty()).unwrap_or(DEFAULT);
        let Some(path) = hub.strip_prefix("unix:") else {
            if hub.starts_with("http:") || hub.starts_with("https:") {
                return Err(Failure::not_built(format!(
                    "--hub {hub}: hubs over the network (use unix:PATH)"
                )));
            }
            return Err(Failure::usage(format!("--hub {hub}: not of the form unix:PATH")));
        };
        Ok(Self { socket: path.into(), timeout: global.timeout, verbose: global.verbose })
    }

    /// How long one answer may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `GET`, of a path below `/v1`.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.send(Method::GET, path, None, &[]);
        self.json(self.in_time(answer).await?).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let answer = self.send(Method::POST, path, body, &[]);
        self.json(self.in_time(answer).await?).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.send(Method::DELETE, path, None, &[]);
        self.json(self.in_time(answer).await?).await
    }

    /// All pages of a list as one.
    pub async fn list(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut query = query.to_vec();
        query.push(("limit", "1000".to_owned()));
        let mut all: Option<Value> = None;
        for _ in 0..PAGES {
            let mut page = self.get(&with_query(path, &query)).await?;
            let next = page["continue"].as_str().unwrap_or_default().to_owned();
            match &mut all {
                None => all = Some(page),
                Some(all) => {
                    if let (Some(items), Some(more)) =
                        (all["items"].as_array_mut(), page["items"].as_array_mut())
                    {
                        items.append(more);
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            query.retain(|(name, _)| *name != "continue");
            query.push(("continue", next));
        }
        let mut all = all.ok_or_else(|| self.not_understood("an endless list"))?;
        all["continue"] = Value::from("");
        Ok(all)
    }

    /// Opens a stream of server-sent events, resuming after an id.
    pub async fn stream(&self, path: &str, last: Option<&str>) -> Result<Stream, Failure> {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let response = self.in_time(self.send(Method::GET, path, None, &headers)).await?;
        if !response.status().is_success() {
            return Err(self.json(response).await.err().unwrap_or_else(|| self.not_understood("a refusal")));
        }
        Ok(Stream::new(response.into_body()))
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = |_| {
            let message = format!("{}: no answer within {:?} (--timeout)", self.name(), self.timeout);
            Failure::new(Exit::Unreachable, message)
        };
        tokio::time::timeout(self.timeout, work).await.map_err(late)?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Failure> {
        if self.verbose {
            eprintln!("{method} /v1{path}");
        }
        let broken = |error: hyper::Error| self.broken(&error);
        let socket = UnixStream::connect(&self.socket).await.map_err(|error| self.no_socket(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
        // Ends with the connection; what goes wrong on it shows at the request.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(format!("/v1{path}")).header("host", "hub");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes));
        let request = request.map_err(|error| Failure::usage(format!("cannot ask for {path}: {error}")))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn json(&self, response: Response<Incoming>) -> Result<Value, Failure> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect();
        let body = self.in_time(async {
            let read = body.await;
            read.map_err(|error| Failure::new(Exit::Unreachable, format!("{}: {error}", self.name())))
        });
        let bytes = body.await?.to_bytes();
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        if status.is_success() {
            return value.ok_or_else(|| self.not_understood("not JSON"));
        }
        let value = value.unwrap_or_default();
        let detail = value["detail"].as_str().unwrap_or("no detail given");
        let code = value["code"].as_str().map(|code| format!("error[{code}]: ")).unwrap_or_default();
        let notes = value["notes"].as_array().into_iter().flatten();
        let notes: String = notes.map(|note| format!("\n  {}", super::describe::note(note))).collect();
        Err(Failure::new(Exit::of_status(status.as_u16()), format!("{code}{detail}{notes}")))
    }

    fn name(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    fn not_understood(&self, what: &str) -> Failure {
        Failure::new(Exit::Bug, format!("{}: the hub answered {what}", self.name()))
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        let message = format!("{}: the hub hung up: {error}", self.name());
        Failure::new(Exit::Unreachable, message)
    }

    fn no_socket(&self, error: &std::io::Error) -> Failure {
        let name = self.name();
        let (exit, why) = match error.kind() {
            ErrorKind::NotFound => (
                Exit::Unreachable,
                "there is no such socket. Is rimward-hub running on this machine? Name its socket with \
                 --hub unix:PATH or RIMWARD_HUB (it is admin.sock in the hub's dataDir)"
                    .to_owned(),
            ),
            ErrorKind::ConnectionRefused => (
                Exit::Unreachable,
                "the socket is there, but no hub listens on it. Start rimward-hub, or look at its log".to_owned(),
            ),
            ErrorKind::PermissionDenied => (
                Exit::Forbidden,
                "permission denied. The socket is open to the user the hub runs as, and to root: run as that user"
                    .to_owned(),
            ),
            _ => (Exit::Unreachable, error.to_string()),
        };
        Failure::new(exit, format!("{name}: {why}"))
    }
}

/// A path with a query.
pub fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Percent-encoding of everything that is not plain in a URL.
pub fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
