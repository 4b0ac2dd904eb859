//! Whether a source has come to a commit: `rimward wait --commit` asks, of a
//! commit that the journal does not have because the next one came first.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use rimward_proto::AppId;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::core::model::SourceId;
use crate::handle::Action;

/// Hexadecimal digits that name a commit: as many as Git itself abbreviates to, at least.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=40;

type Pairs = Query<BTreeMap<String, String>>;

/// `GET /tenants/{tenant}/sources/{source}/commits/{commit}?within=COMMIT`.
pub async fn source(
    State(shared): State<Shared>,
    Path((tenant, source, commit)): Path<(String, String, String)>,
    query: Pairs,
) -> Result<Json<Value>, Problem> {
    let id: AppId = format!("{tenant}/{source}")
        .parse()
        .map_err(|error: rimward_proto::ids::IdError| Problem::bad_request(error.to_string()))?;
    let id = SourceId::Tenant { tenant: id.tenant, source: id.app.into() };
    contains(&shared, id, commit, query).await
}

/// `GET /fleet/commits/{commit}?within=COMMIT`.
pub async fn fleet(
    State(shared): State<Shared>,
    Path(commit): Path<String>,
    query: Pairs,
) -> Result<Json<Value>, Problem> {
    contains(&shared, SourceId::Fleet, commit, query).await
}

async fn contains(
    shared: &Shared,
    source: SourceId,
    commit: String,
    Query(mut query): Pairs,
) -> Result<Json<Value>, Problem> {
    let within = query.remove("within").unwrap_or_default();
    if let Some(unknown) = query.keys().next() {
        return Err(Problem::bad_request(format!("unknown parameter `{unknown}`; this takes within")));
    }
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex(&commit) || !DIGITS.contains(&commit.len()) {
        return Err(Problem::bad_request("a commit is named by 7 to 40 lower-case hexadecimal digits"));
    }
    if !hex(&within) || within.len() != *DIGITS.end() {
        return Err(Problem::bad_request("within is a full commit id, 40 lower-case hexadecimal digits"));
    }
    if !shared.world().sources.contains_key(&source) {
        return Err(Problem::not_found(format!("source/{source}")));
    }
    let (asked, of) = (commit.clone(), within.clone());
    let contained =
        shared.hub.ask(|reply| Action::Contains { source, commit: asked, within: of, reply }).await?;
    Ok(Json(json!({"commit": commit, "within": within, "contained": contained})))
}
