//! One thing with what is said about it: its notes, its events, its objects.

use rimward_proto::report::AppReport;

use super::*;
use crate::api::items::source::notes;
use crate::core::note::Note;
use crate::core::status::first;
use crate::core::world::SourceStatus;

/// A source, and what it resolved to lately.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceDetail {
    #[serde(flatten)]
    item: SourceItem,
    resolved: Vec<String>,
}

/// `GET /clusters/{cluster}`.
pub async fn cluster(State(shared): State<Shared>, Path(cluster): Path<String>) -> One<ClusterItem> {
    let (now, world) = (Timestamp::now(), shared.world());
    let name: ClusterName = name(&cluster)?;
    let view = ClusterView::new(&world, &name, now);
    let view = view.ok_or_else(|| Problem::not_found(format!("cluster/{name}")))?;
    let document = world.policy.as_ref().and_then(|policy| policy.clusters.get(&name));
    let notes = document.map(|cluster| about_file(&world, &SourceId::Fleet, &cluster.at.file));
    let query = Query { cluster: Some(cluster), ..Query::default() };
    let reports = view.known.apps.values().map(|(report, _)| (view.name, report));
    let about = about(&world, notes.unwrap_or_default(), &query, reports.collect(), now);
    Ok(Json(Described::new("Cluster", ClusterItem::new(&view, &Standing::of(&world)), about)))
}

/// `GET /tenants/{tenant}`.
pub async fn tenant(State(shared): State<Shared>, Path(tenant): Path<String>) -> One<TenantItem> {
    shared.look(move |world, now| describe_tenant(&Overview::new(world, now), tenant)).await
}

fn describe_tenant(overview: &Overview<'_>, tenant: String) -> One<TenantItem> {
    let world = overview.world;
    let name = known_tenant(overview, &tenant)?;
    let document = world.policy.as_ref().and_then(|policy| policy.tenants.get(&name));
    let notes = document.map(|tenant| about_file(world, &SourceId::Fleet, &tenant.at.file));
    let query = Query { tenant: Some(tenant), ..Query::default() };
    let ids = app::ids(overview);
    let reports = ids.iter().filter(|id| id.tenant == name).flat_map(|id| app_reports(world, id));
    let about = about(world, notes.unwrap_or_default(), &query, reports.collect(), overview.now);
    Ok(Json(Described::new("Tenant", TenantItem::new(overview, &ids, &name), about)))
}

/// `GET /tenants/{tenant}/apps/{app}`.
pub async fn app(State(shared): State<Shared>, Path((tenant, app)): Path<(String, String)>) -> One<AppItem> {
    shared.look(move |world, now| describe_app(&Overview::new(world, now), tenant, app)).await
}

fn describe_app(overview: &Overview<'_>, tenant: String, app: String) -> One<AppItem> {
    let world = overview.world;
    let id = app_id(&tenant, &app)?;
    if !app::ids(overview).contains(&id) {
        return Err(Problem::not_found(format!("app/{id}")));
    }
    let view = AppView::new(overview, &id);
    let mut notes: Vec<Note> =
        view.decision.and_then(|decision| decision.blocked.clone()).into_iter().collect();
    if let Some(document) = world.apps.get(&id) {
        notes.extend(about_folder(world, &document.source, &document.root));
    }
    notes.sort();
    notes.dedup();
    let query = Query { tenant: Some(tenant), app: Some(app), ..Query::default() };
    let item = AppItem::new(overview, &view, &Standing::of(world));
    let about = about(world, notes, &query, app_reports(world, &id).collect(), overview.now);
    Ok(Json(Described::new("App", item, about)))
}

/// `GET /tenants/{tenant}/sources/{source}`.
pub async fn source(
    State(shared): State<Shared>,
    Path((tenant, source)): Path<(String, String)>,
) -> One<SourceDetail> {
    // A source is named as an App is, and refused as one.
    let AppId { tenant, app: source } = app_id(&tenant, &source)?;
    describe_source(&shared, SourceId::Tenant { tenant, source: source.into() })
}

/// `GET /fleet`: the fleet repo as a source.
pub async fn fleet(State(shared): State<Shared>) -> One<SourceDetail> {
    describe_source(&shared, SourceId::Fleet)
}

fn describe_source(shared: &Shared, id: SourceId) -> One<SourceDetail> {
    let (now, world) = (Timestamp::now(), shared.world());
    shared.journal.record(&world);
    let known: &SourceStatus =
        world.sources.get(&id).ok_or_else(|| Problem::not_found(format!("source/{id}")))?;
    let notes = notes(&world, &id, known);
    let item = SourceItem::new(&world, &id, known, now);
    let detail = SourceDetail { item, resolved: shared.journal.of(&id) };
    Ok(Json(Described::new("Source", detail, About { notes, ..About::default() })))
}

fn about_file(world: &World, source: &SourceId, file: &str) -> Vec<Note> {
    let known = world.sources.get(source).cloned().unwrap_or_default();
    notes(world, source, &known).into_iter().filter(|note| note.at.file == file).collect()
}

fn about_folder(world: &World, source: &SourceId, root: &str) -> Vec<Note> {
    let known = world.sources.get(source).cloned().unwrap_or_default();
    let prefix = if root.is_empty() { String::new() } else { format!("{root}/") };
    notes(world, source, &known).into_iter().filter(|note| note.at.file.starts_with(&prefix)).collect()
}

/// What the clusters say of an App.
fn app_reports<'w>(world: &'w World, id: &AppId) -> impl Iterator<Item = (&'w ClusterName, &'w AppReport)> {
    let reports = world.clusters.iter().map(|(name, known)| (name, known.apps.get(id)));
    reports.filter_map(|(name, report)| Some((name, &report?.0)))
}

/// What is said about something that these reports are of.
fn about(
    world: &World,
    notes: Vec<Note>,
    query: &Query,
    reports: Vec<(&ClusterName, &AppReport)>,
    now: Timestamp,
) -> About {
    let as_of = |name: &ClusterName| world.clusters.get(name).map_or(now, |known| object::as_of(known, now));
    let objects =
        reports.iter().flat_map(|(name, report)| ObjectItem::of(name, report, as_of(name))).collect();
    let taken = reports.iter().flat_map(|(name, report)| TakenItem::of(name, report, as_of(name))).collect();
    let first = first::not_ready(world, reports, now);
    let first_not_ready = first.map(|found| ObjectItem::first(&found, as_of(found.cluster)));
    About { notes, events: events_about(world, query), first_not_ready, objects, taken }
}
