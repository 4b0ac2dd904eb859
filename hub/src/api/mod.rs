//! The admin API: what the hub knows, as REST, and the few things it can be
//! asked to do. Reads one shared world, decides nothing, answers every error as
//! a problem; what is not built yet answers 501 and says so.

mod explain;
mod history;
pub mod items;
mod journal;
mod offer;
mod previews;
pub mod problem;
pub mod query;
mod read;
mod stream;
mod write;

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::core::world::World;
use crate::handle::Hub;
use journal::Journal;
use previews::Previews;
use problem::Problem;

/// Largest request body, bytes: every one of them is a few short fields.
const BODY_BYTES: usize = 64 << 10;
/// Open streams at once: each costs a task and a look at every change; people and tools that watch are tens.
const STREAMS: usize = 256;

/// What the hub says of itself, apart from what it knows of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// What spokes dial, `host:port`; empty if whoever serves the API did not say.
    pub address: String,
    /// The fleet's trust domain; empty as above.
    pub trust_domain: String,
}

/// What every handler gets.
#[derive(Clone)]
struct Shared {
    hub: Hub,
    about: Arc<About>,
    journal: Arc<Journal>,
    streams: Arc<Semaphore>,
    previews: Arc<Previews>,
}

impl Shared {
    /// The world, to look at for a moment: never across an await.
    fn world(&self) -> RwLockReadGuard<'_, World> {
        // A task that panicked while writing has left values that are each still whole.
        self.hub.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world for longer: on a thread of its own, so that sessions and other requests go on meanwhile.
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&World, Timestamp) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let shared = self.clone();
        let looked = tokio::task::spawn_blocking(move || read(&shared.world(), Timestamp::now()));
        looked.await.map_err(|_| Problem::failed("looking at it failed; this is a bug"))?
    }
}

/// The admin API of `hub`, for a caller that is trusted with everything, as the owner of `admin.sock` is. Call it within a
/// tokio runtime: a small task writes down which commits sources have resolved to.
pub fn router(hub: Hub) -> Router {
    router_about(hub, About::default())
}

/// [`router`] of a hub that also says who it is, which `rimward enroll` needs to tell a spoke where to dial.
pub fn router_about(hub: Hub, about: About) -> Router {
    let journal = Journal::start(&hub);
    let streams = Arc::new(Semaphore::new(STREAMS));
    let shared = Shared { hub, about: Arc::new(about), journal, streams, previews: Arc::default() };
    let v1 = built()
        .merge(unbuilt())
        .fallback(|| async { Problem::not_found("this path") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() });
    Router::new()
        .nest("/v1", v1)
        .route("/openapi.json", any(|| not_built("the OpenAPI document")))
        .fallback(|| async { Problem::not_found("this path; the API is below /v1: it") })
        .layer(from_fn(no_unbuilt_headers))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(shared)
}

fn built() -> Router<Shared> {
    Router::new()
        .route("/status", get(read::status))
        .route("/clusters", get(read::clusters))
        .route("/clusters/{cluster}", get(read::cluster))
        .route("/clusters/{cluster}/reconcile", post(write::look_again))
        .route("/clusters/{cluster}/plan", get(offer::plan))
        .route("/clusters/{cluster}/objects", get(read::cluster_objects))
        .route("/tenants", get(read::tenants))
        .route("/tenants/{tenant}", get(read::tenant))
        .route("/tenants/{tenant}/apps", get(read::tenant_apps))
        .route("/tenants/{tenant}/apps/{app}", get(read::app))
        .route("/tenants/{tenant}/sources", get(read::tenant_sources))
        .route("/tenants/{tenant}/sources/{source}", get(read::source))
        .route("/tenants/{tenant}/sources/{source}/commits/{commit}", get(history::source))
        .route("/tenants/{tenant}/sources/{source}/reconcile", post(write::reconcile))
        .route("/fleet", get(read::fleet))
        .route("/fleet/commits/{commit}", get(history::fleet))
        .route("/fleet/reconcile", post(write::reconcile_all))
        .route("/apps", get(read::apps))
        .route("/sources", get(read::sources))
        .route("/drift", get(read::drift))
        .route("/holds", get(read::holds))
        .route("/holds/{hold}/decisions", post(write::decide))
        .route("/events", get(read::events))
        .route("/tokens", post(write::token))
        .route("/previews", post(previews::ask))
        .route("/previews/{preview}", get(previews::show).delete(previews::cancel))
        .route("/tenants/{tenant}/apps/{app}/explain", get(explain::app))
}

/// The paths of the interface that this version does not have.
fn unbuilt() -> Router<Shared> {
    let paths = [
        ("/clusters/{cluster}/history", "history"),
        ("/clusters/{cluster}/revoke", "revocation"),
        ("/tenants/{tenant}/apps/{app}/history", "history"),
        ("/tenants/{tenant}/apps/{app}/rollback", "rollback"),
        ("/rollouts", "rollouts"),
        ("/rollouts/{rollout}", "rollouts"),
        ("/rollouts/{rollout}/decisions", "rollouts"),
        ("/pauses", "pauses"),
        ("/audit", "the audit log"),
        ("/enrollments", "enrollments (POST /tokens makes an enrolment token)"),
    ];
    paths
        .into_iter()
        .fold(Router::new(), |router, (path, what)| router.route(path, any(move || not_built(what))))
}

async fn not_built(what: &'static str) -> Problem {
    Problem::not_built(what)
}

/// Headers that ask for something this version does not do are refused: a write that is not idempotent although the
/// caller asked for it would be worse than none.
async fn no_unbuilt_headers(request: Request, next: Next) -> Response {
    let asked = [
        (header::IF_MATCH.as_str(), "ETag and If-Match"),
        ("idempotency-key", "Idempotency-Key"),
        (header::AUTHORIZATION.as_str(), "bearer tokens and roles"),
    ];
    match asked.into_iter().find(|(name, _)| request.headers().contains_key(*name)) {
        Some((_, what)) => Problem::not_built(what).into_response(),
        None => next.run(request).await,
    }
}
