//! Server-sent events: what happens, as it happens. A stream carries items of
//! its feed, resumable by id, and `change` whenever the hub's world changed, so
//! that whoever watches a list asks again only then.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rimward_proto::ClusterName;
use rimward_proto::report::DriftReport;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::items::event::{DriftItem, EventItem};
use super::problem::Problem;
use super::query::Query;
use crate::core::world::{Event, World};

/// Messages waiting for a slow reader: beyond it the stream waits too, and catches up by id.
const WAITING: usize = 64;
/// Least time between two `change` messages: a burst of changes is one look for whoever watches.
const COALESCE: Duration = Duration::from_millis(50);
/// A silent stream says that it is still there this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// `Last-Event-ID` that asks for everything still kept.
const BEGINNING: &str = "0";

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Events.
    Events,
    /// Drift.
    Drift,
}

/// Where a stream stands.
#[derive(Debug, Clone)]
enum Cursor {
    /// Before everything.
    Start,
    /// After the item of this id.
    After(String),
    /// The place is not known any more: the reader must list again.
    Lost,
}

/// Everything that one open stream needs.
struct Watcher {
    shared: Shared,
    feed: Feed,
    query: Query,
    cursor: Cursor,
    changed: watch::Receiver<u64>,
    out: mpsc::Sender<Result<Sse, Infallible>>,
    _permit: OwnedSemaphorePermit,
}

/// Events that the query lets through, oldest first.
pub fn events<'a>(world: &'a World, query: &'a Query) -> impl DoubleEndedIterator<Item = &'a Event> {
    world.events.iter().filter(|event| admits_event(query, event))
}

/// Drift that the query lets through, oldest first.
pub fn drift<'a>(
    world: &'a World,
    query: &'a Query,
) -> impl DoubleEndedIterator<Item = (&'a ClusterName, &'a DriftReport)> {
    let all = world.drift.iter().map(|(cluster, drift)| (cluster, drift));
    all.filter(|(cluster, drift)| query.admits_cluster(cluster.as_str()) && query.admits_app(&drift.app))
}

/// When a cluster last said so.
pub fn reported(world: &World, cluster: &ClusterName, drift: &DriftReport) -> Timestamp {
    world.clusters.get(cluster).and_then(|known| known.reported).unwrap_or(drift.detected)
}

fn admits_event(query: &Query, event: &Event) -> bool {
    let app = match &event.what.app {
        Some(id) => query.admits_app(id),
        None => query.tenant.is_none() && query.app.is_none(),
    };
    let cluster = match &event.cluster {
        Some(name) => query.admits_cluster(name.as_str()),
        None => query.cluster.is_none(),
    };
    app && cluster
}

/// Opens a stream.
pub fn open(shared: &Shared, feed: Feed, query: Query, headers: &HeaderMap) -> Result<Response, Problem> {
    let full = |_| Problem::too_many("too many open streams; close one or try again later");
    let permit = shared.streams.clone().try_acquire_owned().map_err(full)?;
    let mut changed = shared.hub.changed.clone();
    changed.mark_unchanged();
    let cursor = {
        let world = shared.world();
        match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
            Some(BEGINNING) => Cursor::Start,
            Some(id) if feed.ids(&world).any(|known| known == id) => Cursor::After(id.to_owned()),
            Some(_) => Cursor::Lost,
            None => feed.end(&world),
        }
    };
    let (out, received) = mpsc::channel(WAITING);
    let shared = shared.clone();
    tokio::spawn(Watcher { shared, feed, query, cursor, changed, out, _permit: permit }.run());
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let stream = axum::response::sse::Sse::new(ReceiverStream::new(received)).keep_alive(keep_alive);
    Ok(stream.into_response())
}

impl Feed {
    /// Ids of everything kept, newest first.
    fn ids<'a>(self, world: &'a World) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match self {
            Feed::Events => Box::new(world.events.iter().rev().map(|event| event.what.id.as_str())),
            Feed::Drift => Box::new(world.drift.iter().rev().map(|(_, drift)| drift.id.as_str())),
        }
    }

    fn end(self, world: &World) -> Cursor {
        self.ids(world).next().map_or(Cursor::Start, |id| Cursor::After(id.to_owned()))
    }
}

impl Watcher {
    async fn run(mut self) {
        loop {
            if !self.send_new().await {
                return;
            }
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return },
                () = self.out.closed() => return,
            }
            let change = Sse::default().event("change").data(self.changed.borrow_and_update().to_string());
            // What happened goes out at once; the hint to look again may wait.
            if !self.send_new().await || !self.send(change).await {
                return;
            }
            tokio::time::sleep(COALESCE).await;
        }
    }

    async fn send(&self, message: Sse) -> bool {
        self.out.send(Ok(message)).await.is_ok()
    }

    /// Sends what is new since the cursor; false when nobody listens any more.
    async fn send_new(&mut self) -> bool {
        let (messages, cursor) = self.new_messages();
        self.cursor = cursor;
        for message in messages {
            if !self.send(message).await {
                return false;
            }
        }
        true
    }

    fn new_messages(&self) -> (Vec<Sse>, Cursor) {
        let world = self.shared.world();
        let end = self.feed.end(&world);
        let fresh = match &self.cursor {
            Cursor::Start => self.feed.ids(&world).count(),
            Cursor::After(last) => match self.feed.ids(&world).position(|id| id == last) {
                Some(fresh) => fresh,
                None => return (vec![reset()], end),
            },
            Cursor::Lost => return (vec![reset()], end),
        };
        (self.messages(&world, fresh), end)
    }

    /// The newest `fresh` items, of those the query lets through.
    fn messages(&self, world: &World, fresh: usize) -> Vec<Sse> {
        let message = |id: &str, kind: &str, json: serde_json::Result<Sse>| {
            json.ok().map(|sse| sse.id(id.replace(['\r', '\n', '\0'], " ")).event(kind))
        };
        match self.feed {
            Feed::Events => {
                let new = world.events.iter().skip(world.events.len() - fresh);
                let admitted = new.filter(|event| admits_event(&self.query, event));
                admitted
                    .filter_map(|event| {
                        let json =
                            serde_json::to_string(&EventItem::new(event)).map(|j| Sse::default().data(j));
                        message(&event.what.id, "event", json)
                    })
                    .collect()
            }
            Feed::Drift => {
                let new = world.drift.iter().skip(world.drift.len() - fresh);
                let admitted = new.filter(|(cluster, drift)| {
                    self.query.admits_cluster(cluster.as_str()) && self.query.admits_app(&drift.app)
                });
                admitted
                    .filter_map(|(cluster, drift)| {
                        let item = DriftItem::new(cluster, drift, reported(world, cluster, drift));
                        let json = serde_json::to_string(&item).map(|json| Sse::default().data(json));
                        message(&drift.id, "drift", json)
                    })
                    .collect()
            }
        }
    }
}

fn reset() -> Sse {
    Sse::default().event("reset").data("list again")
}
