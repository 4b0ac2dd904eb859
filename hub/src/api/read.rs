//! The reading half: lists, and one thing with everything known of it.

use axum::Json;
use axum::extract::{Path, Query as Pairs, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rimward_proto::{AppId, ClusterName, TenantName};
use serde::Serialize;

use super::items::app::AppItem;
use super::items::cluster::{ClusterItem, ListsItem};
use super::items::event::{DriftItem, EventItem};
use super::items::hold::HoldItem;
use super::items::object::{self, ObjectItem, TakenItem};
use super::items::source::SourceItem;
use super::items::tenant::TenantItem;
use super::items::{About, Described, List};
use super::problem::Problem;
use super::query::{self, Query, key};
use super::{Shared, stream};
use crate::core::model::SourceId;
use crate::core::status::app::{self, AppView};
use crate::core::status::cluster::ClusterView;
use crate::core::status::drift::Standing;
use crate::core::status::overview::Overview;
use crate::core::world::World;

mod describe;
mod summary;

pub use describe::{app, cluster, fleet, source, tenant};
pub use summary::status;

/// The raw query of a request.
type Raw = Pairs<Vec<(String, String)>>;
type Listed<T> = Result<Json<List<T>>, Problem>;

/// A name from a path, or why it is none.
pub(super) fn name<T: std::str::FromStr<Err = rimward_proto::ids::IdError>>(
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::bad_request(error.to_string()))
}

/// `GET /clusters`.
pub async fn clusters(State(shared): State<Shared>, Pairs(raw): Raw) -> Listed<ClusterItem> {
    let query = Query::parse(raw, &["cluster", "labels", "state"])?;
    shared.look(move |world, now| list_clusters(world, &query, now)).await
}

fn list_clusters(world: &World, query: &Query, now: Timestamp) -> Listed<ClusterItem> {
    let (overview, drift) = (Overview::new(world, now), Standing::of(world));
    let views = overview.clusters().filter(|view| query.admits_cluster(view.name.as_str()));
    let views = views.filter(|view| {
        let document = world.policy.as_ref().and_then(|policy| policy.clusters.get(view.name));
        query::matches(&query.labels, document.map(|cluster| &cluster.labels))
    });
    let views = views.filter(|view| query.state.is_none() || query.admits_state(view.status().state));
    let page = query.page(views.map(|view| (view.name.to_string(), view)).collect());
    Ok(Json(List::new("Cluster", page.map(|view| ClusterItem::new(view, &drift)), now)))
}

/// `GET /clusters/{cluster}/objects`: those that are not as they should be.
pub async fn cluster_objects(
    State(shared): State<Shared>,
    Path(cluster): Path<String>,
    Pairs(raw): Raw,
) -> Listed<ObjectItem> {
    let query = Query::parse(raw, &["tenant", "app"])?;
    let (now, world) = (Timestamp::now(), shared.world());
    let name: ClusterName = name(&cluster)?;
    let known = world.clusters.get(&name).ok_or_else(|| Problem::not_found(format!("cluster/{name}")))?;
    let as_of = object::as_of(known, now);
    let reports = known.apps.values().map(|(report, _)| report).filter(|report| query.admits_app(&report.id));
    let objects = reports.flat_map(|report| ObjectItem::of(&name, report, as_of));
    let mut items: Vec<_> = objects.map(|item| (item.key(), item)).collect();
    items.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Json(List::new("Object", query.page(items), now)))
}

/// `GET /tenants`.
pub async fn tenants(State(shared): State<Shared>, Pairs(raw): Raw) -> Listed<TenantItem> {
    let query = Query::parse(raw, &["tenant", "state"])?;
    shared.look(move |world, now| list_tenants(world, &query, now)).await
}

fn list_tenants(world: &World, query: &Query, now: Timestamp) -> Listed<TenantItem> {
    let overview = Overview::new(world, now);
    let ids = app::ids(&overview);
    let names = crate::core::status::tenant::names(world, &ids);
    let names = names.into_iter().filter(|name| query.admits_tenant(name.as_str()));
    let names = names.filter(|name| {
        let state = || crate::core::status::tenant::summary(&overview, &ids, name).status.state;
        query.state.is_none() || query.admits_state(state())
    });
    let page = query.page(names.map(|name| (name.to_string(), name)).collect());
    Ok(Json(List::new("Tenant", page.map(|name| TenantItem::new(&overview, &ids, &name)), now)))
}

/// `GET /apps`.
pub async fn apps(State(shared): State<Shared>, Pairs(raw): Raw) -> Listed<AppItem> {
    let query = Query::parse(raw, &["tenant", "app", "cluster", "state"])?;
    shared.look(move |world, now| list_apps(&Overview::new(world, now), &query)).await
}

/// `GET /tenants/{tenant}/apps`.
pub async fn tenant_apps(
    State(shared): State<Shared>,
    Path(tenant): Path<String>,
    Pairs(raw): Raw,
) -> Listed<AppItem> {
    let mut query = Query::parse(raw, &["app", "cluster", "state"])?;
    let list = move |world: &World, now| {
        let overview = Overview::new(world, now);
        query.tenant = Some(known_tenant(&overview, &tenant)?.to_string());
        list_apps(&overview, &query)
    };
    shared.look(list).await
}

fn list_apps(overview: &Overview<'_>, query: &Query) -> Listed<AppItem> {
    let drift = Standing::of(overview.world);
    let ids = app::ids(overview).into_iter().filter(|id| query.admits_app(id));
    // Looking at an App costs its clusters, so only a filter on what shows then has more than the page looked at.
    let filtered = query.cluster.is_some() || query.state.is_some();
    let admitted = |id: &AppId| {
        let view = AppView::new(overview, id);
        let on = |name: &ClusterName| query.admits_cluster(name.as_str());
        (query.cluster.is_none() || view.on.keys().any(on))
            && query.admits_state(view.status(overview.now).state)
    };
    let ids = ids.filter(|id| !filtered || admitted(id));
    let page = query.page(ids.map(|id| (key(&[id.tenant.as_str(), id.app.as_str()]), id)).collect());
    let item = |id: AppId| AppItem::new(overview, &AppView::new(overview, &id), &drift);
    Ok(Json(List::new("App", page.map(item), overview.now)))
}

/// The tenant of that name, or 404.
fn known_tenant(overview: &Overview<'_>, text: &str) -> Result<TenantName, Problem> {
    let tenant: TenantName = name(text)?;
    let names = crate::core::status::tenant::names(overview.world, &app::ids(overview));
    if names.contains(&tenant) {
        return Ok(tenant);
    }
    Err(Problem::not_found(format!("tenant/{tenant}")))
}

/// `GET /sources`.
pub async fn sources(State(shared): State<Shared>, Pairs(raw): Raw) -> Listed<SourceItem> {
    let query = Query::parse(raw, &["tenant", "state"])?;
    shared.look(move |world, now| list_sources(world, &query, now)).await
}

/// `GET /tenants/{tenant}/sources`.
pub async fn tenant_sources(
    State(shared): State<Shared>,
    Path(tenant): Path<String>,
    Pairs(raw): Raw,
) -> Listed<SourceItem> {
    let mut query = Query::parse(raw, &["state"])?;
    let list = move |world: &World, now| {
        query.tenant = Some(known_tenant(&Overview::new(world, now), &tenant)?.to_string());
        list_sources(world, &query, now)
    };
    shared.look(list).await
}

fn list_sources(world: &World, query: &Query, now: Timestamp) -> Listed<SourceItem> {
    let sources = world.sources.iter().filter(|(id, _)| match id {
        SourceId::Fleet => query.tenant.is_none(),
        SourceId::Tenant { tenant, .. } => query.admits_tenant(tenant.as_str()),
    });
    let sources = sources.filter(|(id, known)| {
        let notes = world.decided.notes.iter().filter(|(of, _)| of == *id).map(|(_, note)| note);
        query.admits_state(crate::core::status::source::status(known, notes, now).state)
    });
    let items = sources.map(|(id, known)| {
        let key = match id {
            SourceId::Fleet => String::new(),
            SourceId::Tenant { tenant, source } => key(&[tenant.as_str(), source]),
        };
        (key, SourceItem::new(world, id, known, now))
    });
    Ok(Json(List::new("Source", query.page(items.collect()), now)))
}

/// `GET /holds`.
pub async fn holds(State(shared): State<Shared>, Pairs(raw): Raw) -> Listed<HoldItem> {
    let query = Query::parse(raw, &["tenant", "app", "cluster"])?;
    let (now, world) = (Timestamp::now(), shared.world());
    let holds = HoldItem::all(&world, now).into_iter().filter(|hold| hold.admitted(&query));
    let items = holds.map(|hold| (key(&[&hold.id, &hold.digest.hex()]), hold));
    Ok(Json(List::new("Hold", query.page(items.collect()), now)))
}

/// `GET /drift`, a list or a stream.
pub async fn drift(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Pairs(raw): Raw,
) -> Result<Response, Problem> {
    let query = Query::parse(raw, &["tenant", "app", "cluster", "watch"])?;
    if wants_stream(&query, &headers) {
        return stream::open(&shared, stream::Feed::Drift, query, &headers);
    }
    let (now, world) = (Timestamp::now(), shared.world());
    let items = stream::drift(&world, &query).map(|(cluster, drift)| {
        (drift.id.clone(), DriftItem::new(cluster, drift, stream::reported(&world, cluster, drift)))
    });
    let clusters = world.clusters.iter().filter(|(name, _)| query.admits_cluster(name.as_str()));
    let lists = clusters.filter_map(|(name, known)| ListsItem::of(name, known)).collect();
    let list = List::new("Drift", query.page_in_time(items.collect())?, now);
    Ok(Json(DriftList { list, lists }).into_response())
}

/// Drift, and how late it may show.
#[derive(Debug, Serialize)]
struct DriftList {
    #[serde(flatten)]
    list: List<DriftItem>,
    /// Clusters on which not everything is watched.
    lists: Vec<ListsItem>,
}

/// `GET /events`, a list or a stream.
pub async fn events(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Pairs(raw): Raw,
) -> Result<Response, Problem> {
    let query = Query::parse(raw, &["tenant", "app", "cluster", "watch"])?;
    if wants_stream(&query, &headers) {
        return stream::open(&shared, stream::Feed::Events, query, &headers);
    }
    let (now, world) = (Timestamp::now(), shared.world());
    let events = stream::events(&world, &query);
    let items = events.map(|event| (event.what.id.clone(), EventItem::new(event)));
    Ok(Json(List::new("Event", query.page_in_time(items.collect())?, now)).into_response())
}

fn wants_stream(query: &Query, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    query.watch || accept.contains("text/event-stream")
}

/// The events about something, newest last, as many as a description shows.
fn events_about(world: &World, query: &Query) -> Vec<EventItem> {
    /// More than a screen of them belongs into `get events`.
    const SHOWN: usize = 50;
    let mut events: Vec<_> = stream::events(world, query).rev().take(SHOWN).map(EventItem::new).collect();
    events.reverse();
    events
}

/// An App from the two parts of its path.
fn app_id(tenant: &str, app: &str) -> Result<AppId, Problem> {
    Ok(AppId { tenant: name(tenant)?, app: name(app)? })
}

/// An answer of one thing.
type One<T> = Result<Json<Described<T>>, Problem>;
