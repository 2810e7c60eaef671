//! A task that no model knows, on a server that adapts: the result that was learned before, or the job that learns it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use datasets::arc::SentTask;
use engine::Policy;
use engine::arc::{ArcOptions, DEFAULT_AUGMENTATIONS, submit};
use engine::registry::{Registry, ServedModel};
use engine::task::Task;
use serde_json::{Value, json};

use super::answer::ArcResponse;
use super::body::ArcQuestion;
use super::{arc_options, named, no_model, recognise};
use crate::http::body::SolveRequest;
use crate::http::openapi::{Answers, arc_examples, body_of, solve_problems};
use crate::http::pipeline::{self, Asked};
use crate::http::{Problem, ProblemKind as Kind, ServerState, SolveOptions, Tally, jobs};
use crate::jobs::{Adapted, JobView};

/// Answers ARC tasks with two attempts per test input.
///
/// Copies of the task, each with the puzzle embedding that the model learnt for it, vote. In streams, steps carry `test`
/// and `augmentation` instead of `chain`. A model knows the tasks that it was trained on. A server with `--adapt` learns
/// others, one in a request: it answers 202 with a job. Without it the problem `unknown-task` names the commands.
#[utoipa::path(
    post, path = "/solve/arc", operation_id = "solveArc", tag = "solve", params(SolveOptions),
    responses(Answers<ArcQuestion>, (
        status = 202, description = "No model knows the task, and a job learns it (`--adapt`).", body = JobView,
        headers(("Location" = String, description = "The job.")),
    )),
    extensions(
        ("x-request-body" = json!(body_of("The name of a task", "ArcTask", "ArcRequest", Some(arc_examples()), false))),
        ("x-responses" = json!(solve_problems(&[Kind::NoModelForTask, Kind::UnknownTask, Kind::UnsupportedMedia]))),
    ),
)]
pub(super) async fn solve(
    State(state): State<Arc<ServerState>>,
    Extension(tally): Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    let mut asked = pipeline::read::<ArcQuestion>(&state, request).await?;
    let mut registry = state.models.current();
    if let (Some(jobs), Some(sent)) = (state.jobs.clone(), unknown(&registry, &asked)) {
        let base = base(&registry, &asked.request.options)?;
        let found = tokio::task::spawn_blocking(move || jobs.find_or_submit(&sent, base.as_deref())).await;
        match found.map_err(|_| Problem::Internal)?? {
            Adapted::Known(learned) => {
                registry = learned;
                // The name is that of the model that was adapted.
                asked.request.options.model = None;
            }
            Adapted::Pending(view) => return Ok(jobs::accepted(&state, &view)),
        }
    }
    pipeline::answer(&state, tally, asked, &registry).await
}

/// The one task of a request, where it can be learned and no model knows it.
fn unknown(registry: &Registry, asked: &Asked<ArcQuestion>) -> Option<SentTask> {
    let SolveRequest { puzzles, is_batch, options } = &asked.request;
    let ([question], false) = (puzzles.as_slice(), is_batch) else { return None };
    let sent = question.task.clone()?;
    match recognise(registry, question.clone(), options) {
        Err(Problem::UnknownTask { .. } | Problem::NoModelForTask { .. }) => Some(sent),
        _ => None,
    }
}

/// The model that learns: the one that the request names, else the first for ARC; nothing where there is none.
fn base(registry: &Registry, options: &SolveOptions) -> Result<Option<Arc<ServedModel>>, Problem> {
    match &options.model {
        Some(name) => named(registry, name).cloned().map(Some),
        None => Ok(registry.find(|model| model.task == Task::Arc).cloned()),
    }
}

/// What `POST /solve/arc` answers to `sent` alone, without options, where `registry` holds a model that has learned it.
///
/// # Errors
/// When no model knows the task, or its engine fails.
pub(crate) async fn answer_alone(registry: &Registry, sent: SentTask) -> Result<Value, Problem> {
    let model = registry.find(|model| model.arc_tasks.is_some()).ok_or_else(no_model)?;
    let tasks = model.arc_tasks.clone().ok_or_else(no_model)?;
    let puzzle = tasks.recognise(None, Some(&sent)).map_err(|error| Problem::Engine(error.to_string()))?;
    let ArcOptions { policy, .. } = arc_options(model, &SolveOptions::default(), false)?;
    let policy: Policy = policy;
    let how = ArcOptions { augmentations: DEFAULT_AUGMENTATIONS, policy, deadline: None, steps: false };
    let pending = submit(&model.engine, &tasks, vec![puzzle], &how)?;
    let mut answers = Vec::with_capacity(1);
    for task in pending {
        answers.push(task.answer().await?);
    }
    let answer = answers.first().ok_or_else(no_model)?;
    Ok(json!(ArcResponse::of(answer, model)))
}
