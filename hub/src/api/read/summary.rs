//! The fleet in one answer: is all well, and if not, what first.

use std::collections::BTreeMap;

use super::*;
use crate::api::About;
use crate::api::items::{API_VERSION, Core};
use crate::core::status::{self, Status, source as source_status};
use crate::core::world::{Task, Trouble};

/// `GET /status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    core: Core,
    version: &'static str,
    trust_domain: String,
    address: String,
    clusters: Counts,
    apps: Counts,
    sources: Counts,
    tenants: u64,
    holds: u64,
    drift: u64,
    publication: Option<Publication>,
    planned: Option<Timestamp>,
    troubles: Vec<TroubleItem>,
}

/// Something the hub itself fails at.
#[derive(Debug, Serialize)]
struct TroubleItem {
    task: Task,
    #[serde(flatten)]
    trouble: Trouble,
}

/// How many, and how many in each state.
#[derive(Debug, Serialize)]
struct Counts {
    total: u64,
    states: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Publication {
    epoch: u64,
    seq: u64,
    issued: Timestamp,
    expires: Timestamp,
    clusters: u64,
    plans: u64,
}

impl Counts {
    fn of(statuses: &[(String, Status)]) -> Self {
        let mut states = BTreeMap::new();
        for (_, status) in statuses {
            *states.entry(status.state.as_str()).or_default() += 1;
        }
        Self { total: statuses.len() as u64, states }
    }
}

/// `GET /status`.
pub async fn status(State(shared): State<Shared>, Pairs(raw): Raw) -> Result<Json<Summary>, Problem> {
    Query::parse(raw, &[])?;
    let about = shared.about.clone();
    shared.look(move |world, now| Ok(Json(summary(&Overview::new(world, now), &about)))).await
}

fn summary(overview: &Overview<'_>, about: &About) -> Summary {
    let (world, now) = (overview.world, overview.now);
    let drift = Standing::of(world);
    let ids = app::ids(overview);
    let clusters: Vec<&ClusterView<'_>> = overview.clusters().collect();
    let cluster_states: Vec<_> =
        clusters.iter().map(|view| (format!("cluster/{}", view.name), view.status())).collect();
    let apps: Vec<_> =
        ids.iter().map(|id| (format!("app/{id}"), AppView::new(overview, id).status(now))).collect();
    let sources = world.sources.iter().map(|(id, known)| {
        let notes = world.decided.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note);
        (format!("source/{id}"), source_status::status(known, notes, now))
    });
    let sources: Vec<_> = sources.collect();
    // First, because what is wrong with the hub is behind much else.
    let hub = ("hub".to_owned(), status::hub(world, now));
    let failing = (!world.troubles.is_empty()).then_some(&hub);
    let parts = failing.into_iter().chain(&cluster_states).chain(&apps).chain(&sources);
    let whole = status::worst("parts", parts.map(|(name, status)| (name.as_str(), status)));
    let empty = || Status::not(rimward_proto::report::State::Pending, "Empty", "nothing is known yet", now);
    Summary {
        api_version: API_VERSION,
        kind: "Status",
        core: Core::new(fleet_name(world), whole.unwrap_or_else(empty)),
        version: env!("CARGO_PKG_VERSION"),
        trust_domain: about.trust_domain.clone(),
        address: about.address.clone(),
        clusters: Counts::of(&cluster_states),
        apps: Counts::of(&apps),
        sources: Counts::of(&sources),
        tenants: crate::core::status::tenant::names(world, &ids).len() as u64,
        holds: HoldItem::all(world, now).len() as u64,
        drift: clusters.iter().filter_map(|view| drift.on(view)).sum(),
        publication: world.published.as_ref().map(|published| Publication {
            epoch: published.head.epoch,
            seq: published.head.seq,
            issued: published.head.issued,
            expires: published.head.expires,
            clusters: published.assignments.len() as u64,
            plans: published.plans.len() as u64,
        }),
        planned: world.planned,
        troubles: world
            .troubles
            .iter()
            .map(|(task, trouble)| TroubleItem { task: *task, trouble: trouble.clone() })
            .collect(),
    }
}

fn fleet_name(world: &World) -> &str {
    world.policy.as_ref().map(|policy| policy.fleet.name.as_str()).unwrap_or_default()
}
