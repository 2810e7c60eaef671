//! `/jobs/{id}`: what becomes of a task that is being learned, once or as events, and its end. Leaves the jobs themselves
//! to [`crate::jobs`].

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use tokio::sync::watch;

use super::events::{EventKind, event, problem_event, respond};
use super::openapi::problems;
use super::{Problem, ProblemKind as Kind, ServerState, only_get};
use crate::jobs::{JobError, JobId, JobState, JobView, Jobs};

const ID: &str = "The job, as the answer 202 names it.";

/// The routes of jobs.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route(
            "/jobs/{id}",
            get(job).delete(cancel).fallback(|| async { Problem::MethodNotAllowed("GET, HEAD, DELETE") }),
        )
        .route("/jobs/{id}/events", get(events).fallback(only_get))
}

/// The answer to a task that is being learned: where to ask for it.
pub(super) fn accepted(state: &ServerState, view: &JobView) -> Response {
    let location = format!("{}/jobs/{}", state.base_path, view.id);
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response()
}

/// Where the learning of an ARC task stands, and its answer at the end.
///
/// The answer is what `POST /solve/arc` gives; from then on that route answers for the task at once.
#[utoipa::path(
    get, path = "/jobs/{id}", operation_id = "job", tag = "jobs",
    params(("id" = inline(JobId), Path, description = ID)),
    responses((status = 200, description = "The job.", body = JobView)),
    extensions(("x-responses" = json!(problems(&[Kind::UnknownJob, Kind::Unauthorized])))),
)]
pub(super) async fn job(
    State(state): State<Arc<ServerState>>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    let view = watch(&state, &id)?.borrow().clone();
    Ok(Json(view))
}

/// Ends a job and forgets what it has learned.
#[utoipa::path(
    delete, path = "/jobs/{id}", operation_id = "cancelJob", tag = "jobs",
    params(("id" = inline(JobId), Path, description = ID)),
    responses((status = 200, description = "The job, cancelled.", body = JobView)),
    extensions(("x-responses" = json!(problems(&[Kind::UnknownJob, Kind::Unauthorized, Kind::Internal])))),
)]
pub(super) async fn cancel(
    State(state): State<Arc<ServerState>>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    let (jobs, id) = named(&state, &id)?;
    // Files are removed.
    let cancelled = tokio::task::spawn_blocking(move || jobs.cancel(id)).await;
    cancelled.map_err(|_| Problem::Internal)?.map(Json).ok_or(Problem::UnknownJob)
}

/// The same as a stream.
///
/// A `progress` event for each change, then an `answer` or a `problem`.
#[utoipa::path(
    get, path = "/jobs/{id}/events", operation_id = "watchJob", tag = "jobs",
    params(("id" = inline(JobId), Path, description = ID)),
    responses((
        status = 200, description = "Events.",
        body = ref("#/components/schemas/JobEvent"), content_type = "text/event-stream",
    )),
    extensions(("x-responses" = json!(problems(&[Kind::UnknownJob, Kind::Unauthorized, Kind::JobCancelled])))),
)]
pub(super) async fn events(State(state): State<Arc<ServerState>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let mut views = watch(&state, &id)?;
    views.mark_changed();
    let events = stream::unfold(Some(views), |views| async {
        let mut views = views?;
        if views.changed().await.is_err() {
            // The server ends, or the job was forgotten.
            return Some((problem_event(&Problem::Stopping("the server shuts down".into()), 0), None));
        }
        let view = views.borrow_and_update().clone();
        Some(match (view.state, &view.problem) {
            (JobState::Done, _) => (event(EventKind::Answer, &view), None),
            (JobState::Failed, Some(problem)) => (problem_event(&Problem::Engine(problem.clone()), 0), None),
            (JobState::Cancelled | JobState::Failed, _) => (problem_event(&Problem::JobCancelled, 0), None),
            (JobState::Queued | JobState::Running, _) => (event(EventKind::Progress, &view), Some(views)),
        })
    });
    Ok(respond(events))
}

fn watch(state: &ServerState, id: &str) -> Result<watch::Receiver<JobView>, Problem> {
    let (jobs, id) = named(state, id)?;
    jobs.watch(id).ok_or(Problem::UnknownJob)
}

/// The job that a path names, as far as its form tells.
fn named(state: &ServerState, id: &str) -> Result<(Arc<Jobs>, JobId), Problem> {
    let jobs = state.jobs.clone().ok_or(Problem::UnknownJob)?;
    Ok((jobs, id.parse().map_err(|()| Problem::UnknownJob)?))
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let detail = error.to_string();
        match error {
            JobError::QueueFull { retry_after, .. } | JobError::Ending { retry_after } => {
                Self::QueueFull { detail, retry_after }
            }
            JobError::Unfit(_) => Self::UnknownTask { reason: detail, commands: Vec::new() },
            JobError::NoTrainer(_) | JobError::Files(_) => {
                tracing::error!("a job cannot be made: {detail}");
                Self::Internal
            }
        }
    }
}
