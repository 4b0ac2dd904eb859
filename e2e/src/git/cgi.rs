//! One request through `git http-backend`, by CGI (RFC 3875).

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::command;

/// What a client asked for.
pub(super) struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub user: Option<String>,
}

/// Runs it on the repositories below `root`. Both bodies are held in memory:
/// the repositories of tests are small.
pub(super) async fn run(root: &Path, request: Request) -> Result<Response<Body>> {
    let mut child = backend(root, &request).spawn().context("starting git http-backend")?;
    let mut stdin = child.stdin.take().context("stdin of http-backend")?;
    let body = request.body;
    let feed = tokio::spawn(async move {
        // It may answer without reading everything.
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await?;
    feed.await?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("git http-backend ended ({}): {stderr}", output.status);
    }
    response(output.stdout)
}

fn backend(root: &Path, request: &Request) -> Command {
    let header = |name: &str| {
        let value = request.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut command = Command::from(command::isolated());
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", request.uri.path())
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        // Protocol version 2 is asked for by this header.
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Stopping the server ends the requests in progress.
        .kill_on_drop(true);
    if let Some(user) = &request.user {
        command.env("REMOTE_USER", user);
    }
    command
}

/// CGI's answer: header lines, an empty line, the body.
fn response(mut output: Vec<u8>) -> Result<Response<Body>> {
    let (end, gap) = head_end(&output).context("http-backend sent no header")?;
    let body = output.split_off(end + gap);
    let head = std::str::from_utf8(&output[..end])?;
    let mut response = Response::new(Body::from(body));
    for line in head.lines() {
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or(value);
            *response.status_mut() = StatusCode::from_bytes(code.as_bytes())?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            response.headers_mut().append(name, HeaderValue::from_str(value)?);
        }
    }
    Ok(response)
}

fn head_end(output: &[u8]) -> Option<(usize, usize)> {
    let find = |mark: &[u8]| {
        let at = output.windows(mark.len()).position(|part| part == mark)?;
        Some((at, mark.len()))
    };
    find(b"\r\n\r\n").or_else(|| find(b"\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_becomes_the_status() {
        let output = b"Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno\n\nsuch".to_vec();
        let response = response(output).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["content-type"], "text/plain");
    }

    #[test]
    fn an_answer_without_a_head_is_an_error() {
        assert!(response(b"nonsense".to_vec()).is_err());
    }
}
