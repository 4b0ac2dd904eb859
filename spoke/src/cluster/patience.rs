//! Waiting for an API server that says when. What a spoke needs before it can
//! do anything is asked for in chains: discovery, a tenant's account and its
//! bindings, the spoke's own records, the pages of a list and the watch that
//! follows them. Begun anew at each 429, a chain of six would be tried sixty
//! times where every second request is refused. So each of these requests waits
//! for as long as it is told and is made again; a 429 says that nothing was done.
//!
//! Requests about one object of a tenant are not repeated here: the core decides
//! about those, and lets all others wait as well.

use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode, header};
use kube::client::Body;

/// How often one request is made again: as often as client-go does it.
const TRIES: u32 = 10;
/// The longest time that is waited here; with [`TRIES`] it stays below the limit of one call. A server that asks for
/// more is not worth holding a request open for.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Sends a request, and again as often and as late as the server asks. The last answer may still be a 429.
pub async fn send(client: &kube::Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
    let (parts, body) = request.into_parts();
    for _ in 0..TRIES {
        // A body that is a stream cannot be sent twice; ours are bytes.
        let Some(copy) = body.try_clone() else { break };
        let response = client.send(Request::from_parts(parts.clone(), copy)).await?;
        match wait(&response) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Ok(response),
        }
    }
    client.send(Request::from_parts(parts, body)).await
}

fn wait(response: &Response<Body>) -> Option<Duration> {
    let busy = response.status() == StatusCode::TOO_MANY_REQUESTS;
    retry_after(response.headers()).filter(|wait| busy && *wait <= WAIT_MAX)
}

/// Seconds, the only form that API servers send.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn retry_after_is_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
    }

    #[test]
    fn only_a_429_that_says_when_is_waited_for_and_not_for_long() {
        let answer = |code: u16, seconds: &str| {
            let answer = Response::builder().status(code);
            let answer =
                if seconds.is_empty() { answer } else { answer.header(header::RETRY_AFTER, seconds) };
            answer.body(Body::empty()).unwrap()
        };
        assert_eq!(wait(&answer(429, "2")), Some(Duration::from_secs(2)));
        for (code, seconds) in [(429, ""), (429, "60"), (503, "2"), (200, "2")] {
            assert_eq!(wait(&answer(code, seconds)), None, "{code} {seconds}");
        }
    }
}
