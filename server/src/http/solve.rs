//! `POST /solve/sudoku`: puzzles in, verified solutions out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use datasets::sudoku::SudokuShape;
use serde::Serialize;
use serde_json::{Value, json};

use super::puzzle_body::{Form, Puzzle, SolveOptions, SolveRequest};
use super::{Problem, ServerState};
use crate::engine::{Answer, Pending, Request as EngineRequest, StepTrace, Stopped};
use crate::registry::{Registry, ServedModel};
use crate::task::{Task, board_from_tokens, tokens_of};

/// What a puzzle gets back.
#[derive(Debug, Serialize)]
struct SolveResponse {
    /// The board in the form it was sent, or null: the model has no answer that obeys the rules.
    solution: Option<Value>,
    /// The model's last answer, where it is no solution; blanks where it predicts no digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Value>,
    solved: bool,
    verified: bool,
    steps: usize,
    q: f32,
    stopped: Stopped,
    /// The chain of thought that gave the answer, of how many, and what all of them cost.
    chain: usize,
    chains: usize,
    votes: usize,
    total_steps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<TraceEntry>>,
    model: ModelName,
    timings: TimingsMs,
}

#[derive(Debug, Serialize)]
struct TraceEntry {
    chain: usize,
    step: usize,
    answer: Value,
    q: f32,
}

#[derive(Debug, Serialize)]
struct ModelName {
    name: String,
    sha256: String,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the interface")]
struct TimingsMs {
    queue_ms: f64,
    compute_ms: f64,
    total_ms: f64,
}

/// Boards that the traces of one request may hold: 8 MB of tokens on 16x16 boards.
const MAX_TRACE_FRAMES: usize = 4096;

/// Where an answer comes from and how to write it.
struct Ticket {
    pending: Pending,
    model: Arc<ServedModel>,
    shape: SudokuShape,
    form: Form,
}

/// Reads the puzzles, has their models think, and answers in the form that was asked.
pub(super) async fn solve_sudoku(State(state): State<Arc<ServerState>>, request: Request) -> Result<Response, Problem> {
    let timeout = state.limits.request_timeout;
    let body = tokio::time::timeout(timeout, read_body(request, state.limits.max_body_bytes))
        .await
        .map_err(|_| Problem::SlowBody(timeout))??;
    let request = SolveRequest::parse(&body, state.limits.max_puzzles)?;
    let thinking = solve(&state, &request);
    // Giving up drops the pending answers, which frees their slots.
    let mut solutions = tokio::time::timeout(timeout, thinking).await.map_err(|_| {
        Problem::Timeout(format!(
            "no answer within the server's {} ms; send fewer puzzles at once",
            timeout.as_millis()
        ))
    })??;
    Ok(match (request.is_batch, solutions.pop()) {
        (false, Some(solution)) => Json(solution).into_response(),
        (_, last) => {
            solutions.extend(last);
            Json(json!({ "results": solutions })).into_response()
        }
    })
}

async fn read_body(request: Request, limit: usize) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::BodyTooLarge { limit },
        _ => Problem::Malformed(format!("the body could not be read: {}", rejection.body_text())),
    })
}

async fn solve(state: &ServerState, request: &SolveRequest) -> Result<Vec<SolveResponse>, Problem> {
    let mut solutions = Vec::with_capacity(request.puzzles.len());
    for ticket in submit(&state.models.current(), request)? {
        let answer = ticket.pending.await?;
        solutions.push(describe(&answer, &ticket.model, ticket.shape, ticket.form, &request.options));
    }
    Ok(solutions)
}

/// Queues every puzzle, after all have been checked.
fn submit(registry: &Registry, request: &SolveRequest) -> Result<Vec<Ticket>, Problem> {
    let in_batch = |problem: Problem, index| if request.is_batch { problem.in_puzzle(index) } else { problem };
    let numbered = request.puzzles.iter().enumerate();
    let models = numbered.map(|(index, puzzle)| model_for(registry, puzzle).map_err(|e| in_batch(e, index)));
    let models = models.collect::<Result<Vec<_>, _>>()?;
    check_trace(request, &models)?;

    let deadline = request.options.deadline_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
    let engine_request = |puzzle: &Puzzle, model: &ServedModel| EngineRequest {
        // Sudoku puzzles have one identifier.
        puzzle_identifier: 0,
        tokens: tokens_of(&puzzle.board),
        policy: Some(request.options.policy(&model.engine.options().default_policy)),
        deadline,
        trace: request.options.trace,
        events: None,
    };
    // A batch goes into each engine's queue whole or not at all.
    let mut tickets: Vec<Option<Ticket>> = request.puzzles.iter().map(|_| None).collect();
    for model in registry.models() {
        let mine: Vec<usize> = (0..models.len()).filter(|&index| Arc::ptr_eq(models[index], model)).collect();
        if mine.is_empty() {
            continue;
        }
        let requests = mine.iter().map(|&index| engine_request(&request.puzzles[index], model)).collect();
        for (index, pending) in mine.into_iter().zip(model.engine.submit_all(requests)?) {
            let Puzzle { board, form } = &request.puzzles[index];
            let (model, shape, form) = (model.clone(), board.shape(), *form);
            tickets[index] = Some(Ticket { pending, model, shape, form });
        }
    }
    Ok(tickets.into_iter().flatten().collect())
}

/// A trace lies in memory until its puzzle is done.
fn check_trace(request: &SolveRequest, models: &[&Arc<ServedModel>]) -> Result<(), Problem> {
    let steps = |model: &&Arc<ServedModel>| request.options.policy(&model.engine.options().default_policy).most_steps();
    let frames: usize = models.iter().map(steps).fold(0, usize::saturating_add);
    if !request.options.trace || frames <= MAX_TRACE_FRAMES {
        return Ok(());
    }
    Err(Problem::InvalidOption(format!(
        "trace: the puzzles may take {frames} steps together, traces hold up to {MAX_TRACE_FRAMES}; lower max_steps, send \
         fewer puzzles or leave trace out"
    )))
}

fn model_for<'r>(registry: &'r Registry, puzzle: &Puzzle) -> Result<&'r Arc<ServedModel>, Problem> {
    if let Some(&contradiction) = puzzle.board.contradictions().first() {
        return Err(Problem::Contradictory(contradiction));
    }
    let shape = puzzle.board.shape();
    registry.for_sudoku(shape).ok_or_else(|| {
        let sizes = registry.models().iter().filter_map(|model| match model.task {
            Task::Sudoku(shape) => Some(format!("{0}x{0}", shape.size())),
            Task::Maze(_) | Task::Arc => None,
        });
        let sizes: Vec<String> = sizes.collect();
        Problem::NoModel { size: shape.size(), available: sizes.join(", ") }
    })
}

fn describe(
    answer: &Answer,
    model: &ServedModel,
    shape: SudokuShape,
    form: Form,
    options: &SolveOptions,
) -> SolveResponse {
    let board = board_from_tokens(shape, &answer.tokens);
    let written = form.write(&board);
    let (solution, attempt) = if answer.verified { (Some(written), None) } else { (None, Some(written)) };
    let entry = |step: &StepTrace| TraceEntry {
        chain: step.chain,
        step: step.step,
        answer: form.write(&board_from_tokens(shape, &step.tokens)),
        q: step.q,
    };
    let ms = |duration: Duration| duration.as_micros() as f64 / 1e3;
    SolveResponse {
        solution,
        attempt,
        solved: answer.verified,
        verified: answer.verified,
        steps: answer.steps,
        q: answer.q,
        stopped: answer.stopped,
        chain: answer.chain,
        chains: answer.chains,
        votes: answer.votes,
        total_steps: answer.total_steps,
        grid: options.grid.then(|| board.to_grid()),
        trace: options.trace.then(|| answer.trace.iter().map(entry).collect()),
        model: ModelName { name: model.card.name.clone(), sha256: model.card.sha256.clone() },
        timings: TimingsMs {
            queue_ms: ms(answer.timings.queue),
            compute_ms: ms(answer.timings.compute),
            total_ms: ms(answer.timings.total()),
        },
    }
}
