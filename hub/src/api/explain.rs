//! `GET /tenants/{t}/apps/{a}/explain?cluster=C`: why an App is on a cluster, or
//! why it is not.

use axum::Json;
use axum::extract::{Path, Query as Pairs, State};
use rimward_proto::{AppId, ClusterName};
use serde::Serialize;

use super::Shared;
use super::items::API_VERSION;
use super::problem::Problem;
use super::read::name;
use crate::core::explain::{Explanation, explain};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    api_version: &'static str,
    kind: &'static str,
    app: AppId,
    cluster: ClusterName,
    #[serde(flatten)]
    explanation: Explanation,
}

/// `GET /tenants/{tenant}/apps/{app}/explain`.
pub async fn app(
    State(shared): State<Shared>,
    Path((tenant, app)): Path<(String, String)>,
    Pairs(raw): Pairs<Vec<(String, String)>>,
) -> Result<Json<Explained>, Problem> {
    let id = AppId { tenant: name(&tenant)?, app: name(&app)? };
    let mut cluster: Option<ClusterName> = None;
    for (parameter, value) in &raw {
        match parameter.as_str() {
            "cluster" => cluster = Some(name(value)?),
            _ => {
                return Err(Problem::bad_request(format!(
                    "unknown parameter `{parameter}`; this takes cluster"
                )));
            }
        }
    }
    let cluster = cluster.ok_or_else(|| Problem::bad_request("cluster=NAME is missing"))?;
    let look = move |world: &crate::core::world::World, now| {
        let document = world.policy.as_ref().is_some_and(|policy| policy.clusters.contains_key(&cluster));
        if !document && !world.clusters.contains_key(&cluster) {
            return Err(Problem::not_found(format!("cluster/{cluster}")));
        }
        let explanation = explain(world, &id, &cluster, &[], now);
        let explanation = explanation.ok_or_else(|| Problem::not_found(format!("app/{id}")))?;
        Ok(Json(Explained { api_version: API_VERSION, kind: "Explanation", app: id, cluster, explanation }))
    };
    shared.look(look).await
}
