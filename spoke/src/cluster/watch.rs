//! Watches: list page by page, then follow. Each runs until it is no longer
//! wanted, whatever the server answers; what it cannot see it reports as
//! unknown, never as gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::StreamExt;
use kube::api::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::client::Connection;
use super::discovery::Plurals;
use super::errors::{CallError, Refusal, chain};
use super::list::{Place, list};
use super::paths::encode;
use crate::core::effect::WatchSpec;
use crate::core::event::Unlisted;
use crate::core::flight::RETRY_AFTER_MAX;
use crate::core::{Event, Observed};
use crate::reconcile::Input;
use crate::session::backoff::{Backoff, fraction};

/// A watch is asked to end after this, give or take a fifth, so that a load balancer's own limit is rarely met.
const WATCH_SECONDS: f64 = 290.0;
/// How long after that an answer that does not end is taken for dead.
const GRACE: Duration = Duration::from_secs(30);
/// First bound of the wait after a failure: a new RoleBinding takes some milliseconds to be seen.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Last bound: a tenant whose rights were taken away must not cost a request a second.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A watch that ended sooner than this was not worth asking for; the next waits as long.
const SHORTEST: Duration = Duration::from_secs(1);
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The watches that run.
#[derive(Debug)]
pub struct Watches {
    connection: Connection,
    plurals: Arc<ArcSwap<Plurals>>,
    events: mpsc::Sender<Input>,
    running: BTreeMap<WatchSpec, JoinHandle<()>>,
}

impl Watches {
    /// None runs yet; what they see goes to `events`.
    pub fn new(connection: Connection, plurals: Arc<ArcSwap<Plurals>>, events: mpsc::Sender<Input>) -> Self {
        Self { connection, plurals, events, running: BTreeMap::new() }
    }

    /// Exactly these shall run.
    pub fn set(&mut self, wanted: &BTreeSet<WatchSpec>) {
        self.running.retain(|spec, task| {
            let keep = wanted.contains(spec);
            if !keep {
                task.abort();
            }
            keep
        });
        for spec in wanted {
            if !self.running.contains_key(spec) {
                let watch = Watch {
                    connection: self.connection.clone(),
                    plurals: self.plurals.clone(),
                    events: self.events.clone(),
                    spec: spec.clone(),
                };
                self.running.insert(spec.clone(), tokio::spawn(watch.run()));
            }
        }
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// True if none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.running.values().for_each(JoinHandle::abort);
    }
}

/// Why following ended.
enum End {
    /// The server closed it; go on from this version.
    Resume(String),
    /// The version is too old (410); list again.
    Expired(CallError),
    /// It broke.
    Broken(CallError),
    /// Nobody listens any more.
    Closed,
}

struct Watch {
    connection: Connection,
    plurals: Arc<ArcSwap<Plurals>>,
    events: mpsc::Sender<Input>,
    spec: WatchSpec,
}

impl Watch {
    async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.list().await {
                Ok((objects, version)) => {
                    let synced = Event::WatchSynced { watch: self.spec.clone(), objects };
                    if self.events.send(synced.into()).await.is_err() {
                        return;
                    }
                    let started = Instant::now();
                    let end = self.follow_from(version).await;
                    let lasted = started.elapsed() >= SHORTEST;
                    if lasted {
                        backoff.reset();
                    }
                    match end {
                        End::Closed => return,
                        End::Resume(_) => continue,
                        End::Expired(_) if lasted => continue,
                        // What was listed just now cannot be too old: lists that succeed must not hide that nothing is
                        // followed, nor follow each other as fast as the server answers.
                        End::Expired(error) | End::Broken(error) => error,
                    }
                }
                Err(error) => error,
            };
            let failed = Event::WatchFailed { watch: self.spec.clone(), why: self.unlisted(&error) };
            if self.events.send(failed.into()).await.is_err() {
                return;
            }
            let wait = backoff.next(RETRY_MIN, RETRY_MAX, fraction());
            let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
            tokio::time::sleep(asked.max(wait)).await;
        }
    }

    /// Follows for as long as each end can be resumed from.
    async fn follow_from(&self, mut version: String) -> End {
        loop {
            let started = Instant::now();
            match self.follow(&version).await {
                End::Resume(next) => version = next,
                end => return end,
            }
            // A server or proxy that closes at once must not be asked as fast as the network allows.
            if started.elapsed() < SHORTEST {
                tokio::time::sleep(SHORTEST).await;
            }
        }
    }

    fn unlisted(&self, error: &CallError) -> Unlisted {
        unlisted(error, Place::new(&self.spec, &self.plurals.load()).ok().as_ref())
    }

    async fn list(&self) -> Result<(Vec<Observed>, String), CallError> {
        let place = Place::new(&self.spec, &self.plurals.load())?;
        list(&self.connection, &place).await
    }

    async fn follow(&self, from: &str) -> End {
        let place = match Place::new(&self.spec, &self.plurals.load()) {
            Ok(place) => place,
            Err(error) => return End::Broken(error),
        };
        let seconds = WATCH_SECONDS * (0.8 + 0.4 * fraction());
        let path = place.path(&format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds:.0}",
            encode(from)
        ));
        let request = http::Request::get(path).header(http::header::ACCEPT, place.accept(METADATA));
        let request = match request.body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return End::Broken(CallError::Request(error)),
        };
        let client = self.connection.client(&place.identity);
        let limit = Duration::from_secs_f64(seconds) + GRACE;
        match tokio::time::timeout(limit, self.read(&place, client, request, from)).await {
            Ok(end) => end,
            Err(_) => End::Broken(CallError::Timeout),
        }
    }

    async fn read(
        &self,
        place: &Place<'_>,
        client: kube::Client,
        request: http::Request<Vec<u8>>,
        from: &str,
    ) -> End {
        let stream = match client.request_events::<Value>(request).await {
            Ok(stream) => stream,
            Err(error) => return ended(error),
        };
        let mut stream = std::pin::pin!(stream);
        let mut version = from.to_owned();
        while let Some(event) = stream.next().await {
            let event = match event {
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(WatchEvent::Error(status)) => return ended(kube::Error::Api(status)),
                Ok(event) => event,
                Err(error) => return ended(error),
            };
            let Some((seen, event)) = self.event(place, event) else { continue };
            version = seen;
            if self.events.send(event.into()).await.is_err() {
                return End::Closed;
            }
        }
        End::Resume(version)
    }

    fn event(&self, place: &Place<'_>, event: WatchEvent<Value>) -> Option<(String, Event)> {
        let watch = self.spec.clone();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let object = Box::new(place.observe(&object)?);
                Some((object.resource_version.clone(), Event::WatchUpsert { watch, object }))
            }
            WatchEvent::Deleted(object) => {
                let Observed { key, uid, resource_version, .. } = place.observe(&object)?;
                Some((resource_version, Event::WatchDeleted { watch, key, uid }))
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    }
}

fn ended(error: kube::Error) -> End {
    match error {
        kube::Error::Api(status) => {
            let retry_after =
                status.details.as_ref().map(|details| details.retry_after_seconds).filter(|&s| s > 0);
            let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
            let code = status.code;
            let error = CallError::Refused(Box::new(Refusal { code, status: *status, retry_after }));
            if code == 410 { End::Expired(error) } else { End::Broken(error) }
        }
        error => End::Broken(CallError::Transport(Box::new(error))),
    }
}

/// What the core is told of it.
pub fn unlisted(error: &CallError, place: Option<&Place<'_>>) -> Unlisted {
    let forbidden = place.is_some_and(|place| place.is_forbidden(error));
    Unlisted { message: chain(error), forbidden, retry_after: error.retry_after() }
}
