//! One thing with what is said about it: its notes, its events, its objects.

use super::*;
use crate::api::items::source::notes;
use crate::core::note::Note;
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
    let as_of = view.as_of();
    let reports = view.known.apps.values();
    let objects = reports.flat_map(|(report, _)| ObjectItem::of(&name, report, as_of)).collect();
    let item = ClusterItem::new(&view, &Standing::of(&world));
    let events = events_about(&world, &query);
    Ok(Json(Described::new("Cluster", item, notes.unwrap_or_default(), events, objects)))
}

/// `GET /tenants/{tenant}`.
pub async fn tenant(State(shared): State<Shared>, Path(tenant): Path<String>) -> One<TenantItem> {
    let (now, world) = (Timestamp::now(), shared.world());
    let name = known_tenant(&world, &tenant)?;
    let document = world.policy.as_ref().and_then(|policy| policy.tenants.get(&name));
    let notes = document.map(|tenant| about_file(&world, &SourceId::Fleet, &tenant.at.file));
    let query = Query { tenant: Some(tenant), ..Query::default() };
    let ids = app::ids(&world);
    let objects = ids.iter().filter(|id| id.tenant == name).flat_map(|id| app_objects(&world, id));
    let item = TenantItem::new(&world, &ids, &name, now);
    let events = events_about(&world, &query);
    Ok(Json(Described::new("Tenant", item, notes.unwrap_or_default(), events, objects.collect())))
}

/// `GET /tenants/{tenant}/apps/{app}`.
pub async fn app(State(shared): State<Shared>, Path((tenant, app)): Path<(String, String)>) -> One<AppItem> {
    let (now, world) = (Timestamp::now(), shared.world());
    let id = app_id(&tenant, &app)?;
    if !app::ids(&world).contains(&id) {
        return Err(Problem::not_found(format!("app/{id}")));
    }
    let view = AppView::new(&world, &id, now);
    let mut notes: Vec<Note> =
        view.decision.and_then(|decision| decision.blocked.clone()).into_iter().collect();
    if let Some(document) = world.apps.get(&id) {
        notes.extend(about_folder(&world, &document.source, &document.root));
    }
    notes.sort();
    notes.dedup();
    let query = Query { tenant: Some(tenant), app: Some(app), ..Query::default() };
    let item = AppItem::new(&world, &view, &Standing::of(&world), now);
    let (events, objects) = (events_about(&world, &query), app_objects(&world, &id));
    Ok(Json(Described::new("App", item, notes, events, objects)))
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
    Ok(Json(Described::new("Source", detail, notes, Vec::new(), Vec::new())))
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

/// An App's objects that are not as they should be, on all clusters.
fn app_objects(world: &World, id: &AppId) -> Vec<ObjectItem> {
    let reports = world.clusters.iter().filter_map(|(name, known)| {
        let (report, at) = known.apps.get(id)?;
        Some(ObjectItem::of(name, report, known.reported.unwrap_or(*at)))
    });
    reports.flatten().collect()
}
