//! Why an App is on a cluster, or why it is not; and of an object, which App
//! brings it, from where, and how it is there.

use axum::Json;
use axum::extract::{Path, Query as Pairs, State};
use jiff::Timestamp;
use rimward_proto::{AppId, AppName, ClusterName, TenantName};
use serde::Serialize;

use super::Shared;
use super::items::API_VERSION;
use super::problem::Problem;
use super::read::name;
use crate::core::explain::{Explanation, ObjectThere, Wanted, chain, explain, there};
use crate::core::world::World;
use crate::handle::Action;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    api_version: &'static str,
    kind: &'static str,
    tenant: TenantName,
    app: AppName,
    cluster: ClusterName,
    #[serde(flatten)]
    explanation: Explanation,
    /// The object that was asked for, once for each App that brings it.
    objects: Vec<ObjectThere>,
}

/// `GET /tenants/{tenant}/apps/{app}/explain`.
pub async fn app(
    State(shared): State<Shared>,
    Path((tenant, app)): Path<(String, String)>,
    Pairs(raw): Pairs<Vec<(String, String)>>,
) -> Result<Json<Explained>, Problem> {
    let id = AppId { tenant: name(&tenant)?, app: name(&app)? };
    let (mut cluster, mut object): (Option<ClusterName>, Option<Wanted>) = (None, None);
    for (parameter, value) in &raw {
        match parameter.as_str() {
            "cluster" => cluster = Some(name(value)?),
            "object" => object = Some(value.parse().map_err(|why: String| Problem::bad_request(why))?),
            _ => {
                let message = format!("unknown parameter `{parameter}`; this takes cluster, object");
                return Err(Problem::bad_request(message));
            }
        }
    }
    let cluster = cluster.ok_or_else(|| Problem::bad_request("cluster=NAME is missing"))?;
    let (asked, on) = (id.clone(), cluster.clone());
    let explanation = shared.look(move |world, now| explanation(world, &asked, &on, now)).await?;
    let mut objects = Vec::new();
    if let Some(wanted) = object {
        let on = cluster.clone();
        let located = shared.hub.ask(|reply| Action::Locate { cluster: on, wanted, reply }).await?;
        let world = shared.world();
        objects = located.iter().map(|located| there(&world, &cluster, located, Timestamp::now())).collect();
    }
    let (api_version, kind, AppId { tenant, app }) = (API_VERSION, "Explanation", id);
    Ok(Json(Explained { api_version, kind, tenant, app, cluster, explanation, objects }))
}

fn explanation(
    world: &World,
    id: &AppId,
    cluster: &ClusterName,
    now: Timestamp,
) -> Result<Explanation, Problem> {
    let document = world.policy.as_ref().is_some_and(|policy| policy.clusters.contains_key(cluster));
    if !document && !world.clusters.contains_key(cluster) {
        return Err(Problem::not_found(format!("cluster/{cluster}")));
    }
    let documents =
        world.apps.get(id).zip(world.policy.as_ref().and_then(|policy| policy.clusters.get(cluster)));
    let overrides = documents.map(|(app, cluster)| chain(app, cluster)).unwrap_or_default();
    explain(world, id, cluster, &overrides, now).ok_or_else(|| Problem::not_found(format!("app/{id}")))
}
