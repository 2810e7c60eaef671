//! `POST /solve/arc` and `GET /samples/arc`: tasks in, two attempts per test input out, as JSON, events or pictures.
//! Owns which model answers; leaves forms of tasks to `body`, voting to [`engine::arc`].

pub(super) mod answer;
pub mod body;
pub(super) mod job;
mod picture;
pub(super) mod stream;

use std::sync::Arc;

use axum::extract::{Path as PathOf, Query, State};
use axum::http::Uri;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::{Json, Router};
use datasets::arc::Grid;
use engine::Policy;
use engine::arc::{
    ArcAnswer, ArcOptions, ArcPuzzle, ArcStep, DEFAULT_AUGMENTATIONS, LookupError, PendingTask, TaskIndex, submit,
};
use engine::model::ModelCard;
use engine::registry::{Registry, ServedModel};
use engine::task::Task;
use futures_util::Stream;
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use self::answer::ArcBatchResponse;
pub(crate) use self::answer::ArcResponse;
use self::body::{ArcQuestion, ArcRequest};
pub(crate) use self::job::answer_alone;
use super::accept::Output;
use super::body::SolveRequest;
use super::openapi::sample_problems;
use super::pipeline::{Facts, Queueable, Solvable, Wanted};
use super::{Problem, ProblemKind as Kind, ServerState, SolveOptions, only_get, only_post};

/// Steps that the traces of one request may hold: 4 MB of cells.
const MAX_TRACE_STEPS: usize = 4096;

/// A task in the queue of its model's engine.
pub(super) struct Ticket {
    /// Place in the request, from 0.
    index: usize,
    question: ArcQuestion,
    pending: PendingTask,
    model: Arc<ServedModel>,
    /// Whether the steps stand in the answer.
    trace: bool,
}

/// A task, the model that knows it, and what it knows it as.
struct Recognised {
    question: ArcQuestion,
    puzzle: ArcPuzzle,
    model: Arc<ServedModel>,
    tasks: Arc<TaskIndex>,
}

/// How many names `GET /samples/arc` gives.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SamplesQuery {
    /// Most names.
    limit: usize,
}

/// Tasks that can be asked for by name alone: those whose test pairs were held out of training, where there are any.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArcSamples {
    /// Their names.
    task_ids: Vec<String>,
}

impl Default for SamplesQuery {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// A task without the answers of its test pairs, in the form of `POST /solve/arc`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArcSample {
    /// Its name.
    task_id: String,
    /// Demonstrations and test inputs.
    task: ArcSampleTask,
}

/// What a solver sees of a task.
#[derive(Debug, Serialize, ToSchema)]
struct ArcSampleTask {
    /// Demonstrations.
    train: Vec<ArcSamplePair>,
    /// Pairs to solve, without `output`.
    test: Vec<ArcSamplePair>,
}

/// Grids as rows of colours from 0 to 9.
#[derive(Debug, Serialize, ToSchema)]
struct ArcSamplePair {
    input: Vec<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Vec<Vec<u8>>>,
}

/// ARC's routes.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/solve/arc", post(job::solve).fallback(only_post))
        .route("/samples/arc", get(samples).fallback(only_get))
        .route("/samples/arc/{task_id}", get(sample).fallback(only_get))
}

impl Queueable for ArcQuestion {
    const SOONER: &'static str = "ask for fewer augmentations or tasks at once";

    type Ticket = Ticket;
    type Answered = Answered;

    fn submit(registry: &Registry, questions: Vec<Self>, wanted: &Wanted) -> Result<Vec<Ticket>, Problem> {
        queue(registry, questions, wanted)
    }

    async fn answer(ticket: Ticket) -> Result<Answered, Problem> {
        let Ticket { question, mut pending, model, trace, .. } = ticket;
        let watched = pending.steps();
        let steps = async {
            let mut steps = Vec::new();
            if let Some(mut watched) = watched {
                while let Some(step) = watched.next().await {
                    steps.push(step);
                }
            }
            steps
        };
        let (steps, answer) = join(steps, pending.answer()).await;
        Ok(Answered { question, model, answer: answer?, steps, trace })
    }

    fn total_steps(answered: &Answered) -> usize {
        answered.answer.total_steps
    }
}

impl Solvable for ArcQuestion {
    type Json = ArcResponse;
    type BatchJson = ArcBatchResponse;

    const EVENT: &'static str = "ArcEvent";

    fn parse(body: &[u8], query: SolveOptions, max_puzzles: usize) -> Result<SolveRequest<Self>, Problem> {
        let ArcRequest { questions, is_batch, options } = ArcRequest::parse(body, query, max_puzzles)?;
        Ok(SolveRequest { puzzles: questions, is_batch, options })
    }

    fn events(ticket: Ticket, wanted: Wanted, give_up_at: Instant) -> impl Stream<Item = Event> + Send + 'static {
        stream::events(ticket, wanted, give_up_at)
    }

    fn json(answered: &Answered, _: &Wanted) -> ArcResponse {
        ArcResponse::new(answered)
    }

    fn facts(Answered { answer, .. }: &Answered) -> Facts {
        Facts { solved: answer.solved(), steps: answer.steps, q: answer.q().to_string() }
    }

    fn draw(answered: &Answered, output: Output) -> Result<Vec<u8>, Problem> {
        picture::draw(answered, output)
    }
}

/// Names of tasks that can be asked for by name alone.
#[utoipa::path(
    get, path = "/samples/arc", operation_id = "sampleArc", tag = "samples", params(SamplesQuery),
    responses((status = 200, description = "The names.", body = ArcSamples)),
    extensions(("x-responses" = json!(sample_problems(&[Kind::NoModelForTask])))),
)]
pub(super) async fn samples(State(state): State<Arc<ServerState>>, uri: Uri) -> Result<Json<ArcSamples>, Problem> {
    let Query(SamplesQuery { limit }) =
        Query::try_from_uri(&uri).map_err(|error| Problem::Malformed(error.body_text()))?;
    let registry = state.models.current();
    let knowing = registry.find(|model| model.arc_tasks.is_some());
    let tasks = knowing.or_else(|| registry.find(|model| model.task == Task::Arc)).ok_or_else(no_model)?;
    let tasks = tasks.arc_tasks.as_ref().map_or(&[][..], |index| index.tasks());
    let known = || tasks.iter().filter(|known| known.task.is_some());
    // Answers to memorized test pairs would prove nothing.
    let are_held_out = known().any(|known| known.held_out);
    let names = known().filter(|known| known.held_out || !are_held_out).map(|known| known.name.clone());
    Ok(Json(ArcSamples { task_ids: names.take(limit).collect() }))
}

/// A task that a model knows, without the answers of its test pairs.
///
/// In the form that `POST /solve/arc` takes.
#[utoipa::path(
    get, path = "/samples/arc/{task_id}", operation_id = "sampleArcTask", tag = "samples",
    params(("task_id" = String, Path, description = "Name of a task, such as GET /samples/arc lists.")),
    responses((status = 200, description = "The task.", body = ArcSample)),
    extensions(("x-responses" = json!(sample_problems(&[Kind::NoModelForTask, Kind::UnknownTask])))),
)]
pub(super) async fn sample(
    State(state): State<Arc<ServerState>>,
    PathOf(task_id): PathOf<String>,
) -> Result<Json<ArcSample>, Problem> {
    let registry = state.models.current();
    let mut models = registry.models().iter().filter(|model| model.task == Task::Arc).peekable();
    if models.peek().is_none() {
        return Err(no_model());
    }
    let known = models.find_map(|model| model.arc_tasks.as_ref()?.named(&task_id)?.1.task.as_ref());
    let task = known.ok_or_else(|| Problem::UnknownTask {
        reason: "no loaded model knows a task of that name with its pairs; GET /samples/arc lists those that are known"
            .into(),
        commands: Vec::new(),
    })?;
    let pair =
        |input: &Grid, output: Option<&Grid>| ArcSamplePair { input: rows_of(input), output: output.map(rows_of) };
    let task = ArcSampleTask {
        train: task.train.iter().map(|shown| pair(&shown.input, Some(&shown.output))).collect(),
        test: task.test.iter().map(|asked| pair(&asked.input, None)).collect(),
    };
    Ok(Json(ArcSample { task_id, task }))
}

fn rows_of(grid: &Grid) -> Vec<Vec<u8>> {
    grid.lines().map(<[u8]>::to_vec).collect()
}

/// A task with its answer.
pub(super) struct Answered {
    question: ArcQuestion,
    model: Arc<ServedModel>,
    answer: ArcAnswer,
    /// Every step, where somebody watched.
    steps: Vec<ArcStep>,
    /// Whether the steps stand in the answer.
    trace: bool,
}

/// Queues every copy of every task, after all have been recognised.
fn queue(registry: &Registry, questions: Vec<ArcQuestion>, wanted: &Wanted) -> Result<Vec<Ticket>, Problem> {
    let options = &wanted.options;
    let traces = options.trace == Some(true) && wanted.output == Output::Json;
    let watched = traces || matches!(wanted.output, Output::Stream | Output::Gif);
    let mut waiting = Vec::with_capacity(questions.len());
    for (index, question) in questions.into_iter().enumerate() {
        let recognised = recognise(registry, question, options);
        waiting.push((index, recognised.map_err(|problem| wanted.of_puzzle(index, problem))?));
    }
    let mut tickets = Vec::with_capacity(waiting.len());
    // The tasks of a request go into each engine's queue whole or not at all.
    for model in registry.models() {
        let mine: Vec<_> = waiting.extract_if(.., |(_, known)| Arc::ptr_eq(&known.model, model)).collect();
        let Some((_, Recognised { tasks, .. })) = mine.first() else { continue };
        let tasks = tasks.clone();
        let how = arc_options(model, options, watched)?;
        let puzzles: Vec<ArcPuzzle> = mine.iter().map(|(_, known)| known.puzzle.clone()).collect();
        if traces {
            check_trace(&tasks, &puzzles, &how)?;
        }
        let pending = submit(&model.engine, &tasks, puzzles, &how)?;
        let mine = mine.into_iter().zip(pending);
        tickets.extend(mine.map(|((index, Recognised { question, model, .. }), pending)| Ticket {
            index,
            question,
            pending,
            model,
            trace: traces,
        }));
    }
    tickets.sort_by_key(|ticket| ticket.index);
    Ok(tickets)
}

/// The model that the request names, else the first that knows the task.
fn recognise(registry: &Registry, question: ArcQuestion, options: &SolveOptions) -> Result<Recognised, Problem> {
    let models: Vec<&Arc<ServedModel>> = match &options.model {
        None => registry.models().iter().filter(|model| model.task == Task::Arc).collect(),
        Some(name) => vec![named(registry, name)?],
    };
    let mut refusal = None;
    for model in models {
        let Some(tasks) = &model.arc_tasks else {
            refusal.get_or_insert(Problem::UnknownTask {
                reason: format!(
                    "nothing tells which tasks model {:?} was trained on; its operator names their data set with \
                     --arc-data",
                    model.card.name
                ),
                commands: Vec::new(),
            });
            continue;
        };
        match tasks.recognise(question.task_id.as_deref(), question.task.as_ref()) {
            Ok(puzzle) => return Ok(Recognised { question, puzzle, model: model.clone(), tasks: tasks.clone() }),
            Err(error) => {
                refusal.get_or_insert(refused(&error, model));
            }
        }
    }
    Err(refusal.unwrap_or_else(no_model))
}

fn named<'r>(registry: &'r Registry, name: &str) -> Result<&'r Arc<ServedModel>, Problem> {
    let names: Vec<&str> = registry
        .models()
        .iter()
        .filter(|model| model.task == Task::Arc)
        .map(|model| model.card.name.as_str())
        .collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    registry.named(name).filter(|model| model.task == Task::Arc).ok_or_else(|| Problem::UnknownModel {
        name: name.chars().take(100).collect(),
        reason: format!("no ARC model of that name is loaded; there are {names}"),
    })
}

fn refused(error: &LookupError, model: &ServedModel) -> Problem {
    if !error.is_unknown_task() {
        return Problem::Malformed(error.to_string());
    }
    let commands = adapt_commands(&model.card);
    Problem::UnknownTask {
        reason: format!(
            "{error}. An ARC model knows each task by an embedding of its own, which training makes: save the task as \
             my-task.json, then run, with the folder of the checkpoint {:?} at hand: {}",
            model.card.name,
            commands.join(" && ")
        ),
        commands: commands.to_vec(),
    }
}

/// The commands that adapt a model, in order, to a task that was saved as `my-task.json` in ARC's own form. A folder of such
/// files does as well, and several tasks are better learned together.
fn adapt_commands(card: &ModelCard) -> [String; 2] {
    [
        format!(
            "trainer adapt --checkpoint {} --tasks my-task.json --output checkpoints/my-task --minutes 10",
            card.name
        ),
        "server --checkpoint checkpoints/my-task".to_owned(),
    ]
}

fn no_model() -> Problem {
    Problem::NoModelForTask { task: "ARC tasks" }
}

/// The inference policy: the model's default with what the request sets.
fn arc_options(model: &ServedModel, options: &SolveOptions, steps: bool) -> Result<ArcOptions, Problem> {
    let engine = model.engine.options();
    // Copies of a task are requests of their own; the engine's augmentations are chains of one.
    let own = SolveOptions { augmentations: None, ..options.clone() };
    let mut policy: Policy = own.policy(&engine.default_policy);
    policy.restarts.augmentations = 0;
    let most = engine.limits.chains.max(DEFAULT_AUGMENTATIONS);
    let augmentations = options.augmentations.unwrap_or(DEFAULT_AUGMENTATIONS);
    if !(1..=most).contains(&augmentations) {
        return Err(Problem::InvalidOption(format!(
            "augmentations: expected 1 to {most} (the task itself counts), found {augmentations}"
        )));
    }
    Ok(ArcOptions { augmentations, policy, deadline: options.deadline(), steps })
}

/// A trace lies in memory until its task is done.
fn check_trace(tasks: &TaskIndex, puzzles: &[ArcPuzzle], how: &ArcOptions) -> Result<(), Problem> {
    let copies = |puzzle: &ArcPuzzle| puzzle.tests.len() * tasks.puzzles_of(puzzle.task).len().min(how.augmentations);
    let found = puzzles.iter().map(copies).sum::<usize>().saturating_mul(how.policy.most_steps());
    if found <= MAX_TRACE_STEPS {
        return Ok(());
    }
    Err(Problem::InvalidOption(format!(
        "trace: all copies together may take {found} steps, a trace holds up to {MAX_TRACE_STEPS}; lower augmentations or \
         max_steps, send fewer tasks or leave the trace out"
    )))
}
