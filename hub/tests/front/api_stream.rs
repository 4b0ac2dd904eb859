//! Streams: what happens arrives at once, resumes by id, and says when it
//! cannot.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use tower::ServiceExt;

use crate::api::Server;
use crate::fixture::*;

/// Plenty for a message that comes at once, also on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// An open stream, read message by message.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn open(server: &Server, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(format!("/v1{path}")).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = server.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// `kind id` of the next message.
    async fn next(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = message.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
                };
                let found = format!("{} {}", field("event"), field("id"));
                self.text = rest.to_owned();
                return found;
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await;
            let frame = frame.expect("a message in time").expect("an open stream").unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn drift_arrives_as_it_happens() {
    let now = Timestamp::now();
    let server = Server::new(world(now));
    let mut reader = Reader::open(&server, "/drift?watch", None).await;
    for n in 0..5 {
        let id = format!("d{n}");
        server.change(|world| world.drift.push_back((cluster("eu-1"), drift(&id, now))));
        assert_eq!(reader.next().await, format!("drift {id}"));
        assert_eq!(reader.next().await, "change ");
    }
}

#[tokio::test]
async fn a_stream_resumes_by_id_and_filters() {
    let now = Timestamp::now();
    let mut world = world(now);
    for id in ["a", "b", "c"] {
        world.events.push_back(event(id, "Published", now));
    }
    let server = Server::new(world);
    let mut resumed = Reader::open(&server, "/events", Some("a")).await;
    assert_eq!([resumed.next().await, resumed.next().await], ["event b", "event c"]);
    let mut all = Reader::open(&server, "/events", Some("0")).await;
    assert_eq!(all.next().await, "event a");
    let mut other = Reader::open(&server, "/events?cluster=us-1", Some("0")).await;
    let mut fresh = Reader::open(&server, "/events", None).await;
    server.change(|world| world.events.push_back(event("d", "Published", now)));
    assert_eq!(fresh.next().await, "event d");
    assert_eq!(other.next().await, "change ", "nothing of another cluster, only that something changed");
}

#[tokio::test]
async fn a_place_that_is_gone_is_a_reset_and_then_life_goes_on() {
    let now = Timestamp::now();
    let server = Server::new(world(now));
    let mut reader = Reader::open(&server, "/events", Some("long-gone")).await;
    assert_eq!(reader.next().await, "reset ");
    server.change(|world| world.events.push_back(event("e", "Published", now)));
    assert_eq!(reader.next().await, "event e");
    // Everything it knew of is dropped at once, as after a burst beyond what is kept.
    assert_eq!(reader.next().await, "change ");
    server.change(|world| {
        world.events.clear();
        world.events.push_back(event("f", "Published", now));
    });
    assert_eq!(reader.next().await, "reset ");
}

#[tokio::test]
async fn a_burst_of_changes_is_few_messages() {
    let server = Server::new(world(Timestamp::now()));
    let mut reader = Reader::open(&server, "/events", None).await;
    let started = Instant::now();
    let mut messages = 0_u128;
    while started.elapsed() < Duration::from_millis(400) {
        server.change(|_| {});
        if tokio::time::timeout(Duration::from_millis(1), reader.next()).await.is_ok() {
            messages += 1;
        }
    }
    let limit = started.elapsed().as_millis() / 50 + 1;
    assert!((1..=limit).contains(&messages), "{messages} messages, at most {limit}");
}
