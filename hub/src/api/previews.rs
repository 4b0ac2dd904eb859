//! Previews: asked for, made meanwhile, and kept for a little while for whoever
//! asked. A bounded number of a bounded size, in memory alone: a preview changes
//! nothing, so nothing is lost with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::Shared;
use super::items::API_VERSION;
use super::problem::Problem;
use super::write::parse;
use crate::core::model::SourceId;
use crate::core::preview::{Limits, Preview};
use crate::handle::Action;

/// Previews kept and waited for at once: as many as a busy team has pull requests in the same quarter of an hour.
const KEPT: usize = 32;
/// Bytes of those that are done: two of the longest, or dozens of the usual ones.
const BYTES: usize = 64 << 20;
/// How long one is kept after it is done: whoever asked is there, or is gone.
const KEEP: SignedDuration = SignedDuration::from_mins(10);
/// How long one may take, waiting for those before it included: a fetch has five minutes.
const TAKE: Duration = Duration::from_secs(600);
/// Bytes of a ref's name: what file systems and Git servers take.
const REF_BYTES: usize = 250;

/// `POST /previews`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    source: SourceId,
    r#ref: String,
    #[serde(default)]
    full: bool,
}

/// All previews, by id.
#[derive(Debug, Default)]
pub(super) struct Previews {
    jobs: Mutex<BTreeMap<String, Job>>,
}

#[derive(Debug)]
struct Job {
    asked: Asked,
    started: Timestamp,
    /// When it is forgotten.
    expires: Timestamp,
    made: Made,
}

#[derive(Debug)]
enum Made {
    Running(Option<AbortHandle>),
    /// The answer as it is sent.
    Done(Bytes),
    Failed(Problem),
}

/// What is said of one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    id: &'a str,
    state: &'static str,
    source: &'a SourceId,
    r#ref: &'a str,
    full: bool,
    started: Timestamp,
    expires: Timestamp,
    problem: Option<Value>,
    #[serde(flatten)]
    preview: Option<&'a Preview>,
}

impl Job {
    fn answer<'a>(&'a self, id: &'a str, state: &'static str, preview: Option<&'a Preview>) -> Answer<'a> {
        let Asked { source, r#ref, full } = &self.asked;
        let problem = match &self.made {
            Made::Failed(problem) => Some(json!({
                "status": problem.status.as_u16(),
                "code": problem.code,
                "detail": problem.detail,
                "notes": problem.notes,
            })),
            _ => None,
        };
        Answer {
            api_version: API_VERSION,
            kind: "Preview",
            id,
            state,
            source,
            r#ref,
            full: *full,
            started: self.started,
            expires: self.expires,
            problem,
            preview,
        }
    }

    fn response(&self, id: &str) -> Response {
        match &self.made {
            Made::Running(_) => Json(self.answer(id, "Running", None)).into_response(),
            Made::Failed(_) => Json(self.answer(id, "Failed", None)).into_response(),
            Made::Done(body) => ([(header::CONTENT_TYPE, "application/json")], body.clone()).into_response(),
        }
    }

    fn bytes(&self) -> usize {
        if let Made::Done(body) = &self.made { body.len() } else { 0 }
    }

    fn running(&self) -> bool {
        matches!(self.made, Made::Running(_))
    }
}

impl Previews {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        jobs.retain(|_, job| job.running() || job.expires > now);
        jobs
    }

    /// Takes one in, in the place of the oldest that is done if there are too many.
    fn take(&self, id: &str, asked: Asked, now: Timestamp) -> Result<(), Problem> {
        let mut jobs = self.lock();
        if jobs.len() >= KEPT {
            forget_oldest(&mut jobs).ok_or_else(|| {
                Problem::too_many(format!("{KEPT} previews are being made; ask again when one is done"))
            })?;
        }
        let job = Job { asked, started: now, expires: now + KEEP, made: Made::Running(None) };
        jobs.insert(id.to_owned(), job);
        Ok(())
    }

    /// Lets one be cancelled.
    fn runs(&self, id: &str, task: AbortHandle) {
        if let Some(Job { made: made @ Made::Running(_), .. }) = self.lock().get_mut(id) {
            *made = Made::Running(Some(task));
        }
    }

    fn done(&self, id: &str, made: Result<Box<Preview>, Problem>) {
        let mut jobs = self.lock();
        let Some(job) = jobs.get_mut(id) else { return };
        job.expires = Timestamp::now() + KEEP;
        job.made = match made {
            Err(problem) => Made::Failed(problem),
            Ok(preview) => match serde_json::to_vec(&job.answer(id, "Done", Some(&preview))) {
                Ok(body) => Made::Done(body.into()),
                Err(_) => Made::Failed(Problem::failed("the preview cannot be written; this is a bug")),
            },
        };
        // The newest stays, whatever its size.
        while jobs.values().map(Job::bytes).sum::<usize>() > BYTES && jobs.len() > 1 {
            let oldest = jobs.iter().filter(|(other, job)| *other != id && job.bytes() > 0);
            let Some(oldest) = oldest.min_by_key(|(_, job)| job.expires).map(|(id, _)| id.clone()) else {
                break;
            };
            jobs.remove(&oldest);
        }
    }
}

fn forget_oldest(jobs: &mut BTreeMap<String, Job>) -> Option<Job> {
    let done = jobs.iter().filter(|(_, job)| !job.running());
    let oldest = done.min_by_key(|(_, job)| job.expires).map(|(id, _)| id.clone())?;
    jobs.remove(&oldest)
}

/// `POST /previews`: answers at once.
pub async fn ask(State(shared): State<Shared>, body: Bytes) -> Result<Response, Problem> {
    let asked: Asked = parse(&body)?;
    let Asked { source, r#ref, full } = asked.clone();
    if r#ref.is_empty() || r#ref.len() > REF_BYTES || r#ref.chars().any(char::is_control) {
        return Err(Problem::bad_request("ref is a branch, a ref like refs/pull/7/head, or a commit"));
    }
    if !shared.world().sources.contains_key(&source) {
        return Err(Problem::not_found(format!("source/{source}")));
    }
    let (id, now) = (uuid::Uuid::now_v7().to_string(), Timestamp::now());
    shared.previews.take(&id, asked, now)?;
    let limits = if full { Limits::FULL } else { Limits::USUAL };
    let (making, its_id) = (shared.clone(), id.clone());
    let task = tokio::spawn(async move {
        let made = making.hub.ask(|reply| Action::Preview { source, reference: r#ref, limits, reply });
        let made = match tokio::time::timeout(TAKE, made).await {
            Ok(made) => made.map_err(Problem::from),
            Err(_) => Err(Problem::failed(format!("not done within {} minutes", TAKE.as_secs() / 60))),
        };
        making.previews.done(&its_id, made);
    });
    shared.previews.runs(&id, task.abort_handle());
    let jobs = shared.previews.lock();
    let job = jobs.get(&id).ok_or_else(|| Problem::not_found(format!("preview {id}")))?;
    let location = [(header::LOCATION, format!("/v1/previews/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(job.answer(&id, "Running", None))).into_response())
}

/// `GET /previews/{id}`.
pub async fn show(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let jobs = shared.previews.lock();
    let job = jobs
        .get(&id)
        .ok_or_else(|| Problem::not_found(format!("preview {id} (they are kept for a while)")))?;
    Ok(job.response(&id))
}

/// `DELETE /previews/{id}`: nobody waits for it any more.
pub async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let job = shared.previews.lock().remove(&id);
    let job = job.ok_or_else(|| Problem::not_found(format!("preview {id}")))?;
    if let Made::Running(Some(task)) = job.made {
        task.abort();
    }
    Ok(Json(json!({"id": id, "state": "Cancelled"})))
}
