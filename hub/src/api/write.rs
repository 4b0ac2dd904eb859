//! The acting half: look at Git or a cluster now, make an enrolment token,
//! approve a hold.
//! Each asks the tasks that own the state and answers when it is done.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use rimward_proto::{AppId, ClusterName, Digest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Shared;
use super::items::hold::HoldItem;
use super::problem::Problem;
use super::read::name;
use crate::core::model::SourceId;
use crate::core::status::cluster::ClusterView;
use crate::handle::Action;

/// Who acts: the admin socket is open to its owner alone, so there is one name for whoever uses it.
const ACTOR: &str = "admin.sock";
/// Longest life of an enrolment token that can be asked for: a token that lies around for longer is found by someone.
const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest reason kept with an approval: a line or two for whoever reads the history.
const REASON_CHARS: usize = 1_000;

/// `POST /tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TokenRequest {
    cluster: ClusterName,
    ttl: Option<String>,
    #[serde(default)]
    replace: bool,
}

/// `POST /holds/{hold}/decisions`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Decision {
    digest: Digest,
    decision: Verdict,
    #[serde(default)]
    reason: String,
    stage: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Approve,
    Reject,
}

pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

/// An answer to a request that takes no body.
fn no_body(body: &Bytes) -> Result<(), Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    parse::<serde_json::Map<String, serde_json::Value>>(body)?
        .keys()
        .next()
        .map_or(Ok(()), |field| Err(Problem::bad_request(format!("the body: unknown field `{field}`"))))
}

/// `POST /tenants/{tenant}/sources/{source}/reconcile`.
pub async fn reconcile(
    State(shared): State<Shared>,
    Path((tenant, source)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    no_body(&body)?;
    let id: AppId = format!("{tenant}/{source}")
        .parse()
        .map_err(|error: rimward_proto::ids::IdError| Problem::bad_request(error.to_string()))?;
    let id = SourceId::Tenant { tenant: id.tenant, source: id.app.into() };
    if !shared.world().sources.contains_key(&id) {
        return Err(Problem::not_found(format!("source/{id}")));
    }
    ask_reconcile(&shared, vec![id]).await
}

/// `POST /fleet/reconcile`: the fleet repo and every source.
pub async fn reconcile_all(State(shared): State<Shared>, body: Bytes) -> Result<Response, Problem> {
    no_body(&body)?;
    ask_reconcile(&shared, Vec::new()).await
}

async fn ask_reconcile(shared: &Shared, sources: Vec<SourceId>) -> Result<Response, Problem> {
    let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
    shared.hub.ask(|reply| Action::Reconcile { sources, reply }).await?;
    let world = shared.world();
    shared.journal.record(&world);
    let seq = world.published.as_ref().map(|published| published.head.seq);
    let epoch = world.published.as_ref().map(|published| published.head.epoch);
    Ok(Json(json!({"sources": names, "epoch": epoch, "seq": seq, "asOf": Timestamp::now()})).into_response())
}

/// `POST /clusters/{cluster}/reconcile`: its spoke compares everything with what it shall be.
pub async fn look_again(
    State(shared): State<Shared>,
    Path(cluster): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    no_body(&body)?;
    let cluster: ClusterName = name(&cluster)?;
    if ClusterView::new(&shared.world(), &cluster, Timestamp::now()).is_none() {
        return Err(Problem::not_found(format!("cluster/{cluster}")));
    }
    let asked = cluster.clone();
    shared.hub.ask(|reply| Action::LookAgain { cluster: asked, reply }).await?;
    Ok(Json(json!({"cluster": cluster, "asOf": Timestamp::now()})).into_response())
}

/// `POST /tokens`: the secret is in this answer and nowhere else.
pub async fn token(State(shared): State<Shared>, body: Bytes) -> Result<Response, Problem> {
    let TokenRequest { cluster, ttl, replace } = parse(&body)?;
    let ttl = ttl.as_deref().map(duration).transpose()?;
    let asked = cluster.clone();
    let token = shared.hub.ask(|reply| Action::IssueToken { cluster: asked, ttl, replace, reply }).await?;
    let about = &shared.about;
    let body = json!({
        "cluster": cluster,
        "token": token,
        "hub": about.address,
        "trustDomain": about.trust_domain,
    });
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(body)).into_response())
}

/// `30s`, `5m`, `7d`.
fn duration(text: &str) -> Result<Duration, Problem> {
    let refused =
        || Problem::bad_request(format!("ttl `{text}` is not a duration like 30m or 1h, at most 7d"));
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refused)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().map_err(|_| refused())?;
    let ttl = number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refused)?;
    if ttl.is_zero() || ttl > MAX_TTL || SignedDuration::try_from(ttl).is_err() {
        return Err(refused());
    }
    Ok(ttl)
}

/// `POST /holds/{hold}/decisions`.
pub async fn decide(
    State(shared): State<Shared>,
    Path(hold): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Decision { digest, decision, reason, stage } = parse(&body)?;
    if stage.is_some() {
        return Err(Problem::not_built("stages of rollouts"));
    }
    if decision == Verdict::Reject {
        return Err(Problem::not_built("rejecting a hold (leave it, or change what Git wants)"));
    }
    if reason.chars().count() > REASON_CHARS {
        return Err(Problem::bad_request(format!("the reason has more than {REASON_CHARS} characters")));
    }
    check_hold(&shared, &hold, digest)?;
    let actor = ACTOR.to_owned();
    shared.hub.ask(|reply| Action::Approve { digest, actor, reason, reply }).await?;
    let body = json!({"id": hold, "digest": digest, "decision": "approve", "asOf": Timestamp::now()});
    Ok(Json(body).into_response())
}

/// The hold is there, and what was looked at is what would be approved.
fn check_hold(shared: &Shared, hold: &str, digest: Digest) -> Result<(), Problem> {
    let holds = HoldItem::all(&shared.world(), Timestamp::now());
    let named: Vec<_> = holds.iter().filter(|h| h.id == hold || h.digest.to_string() == hold).collect();
    let first = named.first().ok_or_else(|| Problem::not_found(format!("hold {hold}")))?;
    if named.iter().any(|hold| hold.digest == digest) {
        return Ok(());
    }
    let now = first.digest;
    Err(Problem::conflict(format!(
        "hold {hold} is now {now}, not {digest}: look at it again, then approve that"
    )))
}
