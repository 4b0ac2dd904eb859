//! What one cluster is offered, so that anyone can verify it without trusting
//! this hub: the head's and roots' envelopes as they were signed, the assignment
//! and the plan as exact bytes, and the proof that leads from one to the other.

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_proto::ClusterName;
use rimward_proto::merkle::InclusionProof;
use serde::Serialize;
use serde_json::Value;

use super::Shared;
use super::problem::Problem;
use crate::core::world::Published;

/// The offer.
#[derive(Debug, Serialize)]
pub struct Offer {
    head: Value,
    assignment: String,
    proof: InclusionProof,
    plan: String,
    roots: Vec<Value>,
}

/// `GET /clusters/{cluster}/plan`.
pub async fn plan(State(shared): State<Shared>, Path(cluster): Path<String>) -> Result<Json<Offer>, Problem> {
    let name = ClusterName::new(cluster).map_err(|error| Problem::bad_request(error.to_string()))?;
    let published = {
        let world = shared.world();
        if !world.clusters.contains_key(&name) {
            return Err(Problem::not_found(format!("cluster/{name}")));
        }
        world.published.clone()
    };
    let none = || Problem::not_found(format!("a published plan of cluster/{name}"));
    let published = published.ok_or_else(none)?;
    offer(&published, &name)?.map(Json).ok_or_else(none)
}

fn offer(published: &Published, name: &ClusterName) -> Result<Option<Offer>, Problem> {
    let Some((_, assignment, proof)) = published.assignment(name) else { return Ok(None) };
    let Some(plan) = published.plan(name) else { return Ok(None) };
    Ok(Some(Offer {
        head: envelope(&published.envelope)?,
        assignment: STANDARD.encode(assignment),
        proof,
        plan: STANDARD.encode(plan.to_bytes()),
        roots: published.roots.iter().map(|bytes| envelope(bytes)).collect::<Result<_, _>>()?,
    }))
}

/// An envelope as JSON. Its payload is a string in it, so that no byte that was signed changes.
fn envelope(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|_| Problem::failed("the hub holds an envelope that is not JSON"))
}
