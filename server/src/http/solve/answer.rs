//! What a board gets back, as JSON.

use std::time::Duration;

use engine::registry::ServedModel;
use engine::{Answer, StepTrace, Stopped};
use serde::Serialize;
use utoipa::ToSchema;

use super::submit::Asked;
use crate::http::SolveOptions;
use crate::http::body::{BoardForm, Puzzle};

/// What a puzzle gets back.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SolveResponse {
    /// The board as it was read, where it was sent as a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_as: Option<BoardForm>,
    /// The board in the form it was sent, or null: the model has no answer that obeys the rules.
    solution: Option<BoardForm>,
    /// The model's last answer, where it is not a solution; blanks (`?` in mazes) where it predicts no cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<BoardForm>,
    /// Whether there is a solution.
    solved: bool,
    /// Whether the rules were checked and are obeyed.
    verified: bool,
    /// Whether a Sudoku has this solution alone; left out where a bounded search does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<bool>,
    /// Cells between start and goal of a maze on a shortest path.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_length: Option<usize>,
    /// Supervision steps of the chain that gave the answer.
    steps: usize,
    /// Its last Q value: above 0 the model takes the answer for right.
    q: f32,
    /// Why it stopped.
    stopped: Stopped,
    /// The chain that gave the answer; 0 is the one on the puzzle as it is.
    chain: usize,
    /// Chains that took a step.
    chains: usize,
    /// Chains whose last answer this is.
    votes: usize,
    /// Steps of all chains: what the answer cost.
    total_steps: usize,
    /// The answer as a drawing, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<String>,
    /// Every step, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<TraceEntry>>,
    model: ModelName,
    timings: TimingsMs,
}

/// What a batch gets back.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchResponse {
    /// One answer for each puzzle, in order.
    results: Vec<SolveResponse>,
}

/// One step of one chain.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TraceEntry {
    chain: usize,
    step: usize,
    /// The board after this step, in the form of the puzzle.
    answer: BoardForm,
    q: f32,
}

/// Who answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct ModelName {
    name: String,
    /// Hex sha256 of the weights.
    sha256: String,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the interface")]
pub(in crate::http) struct TimingsMs {
    queue_ms: f64,
    compute_ms: f64,
    total_ms: f64,
}

impl SolveResponse {
    pub(super) fn new<P: Puzzle>(asked: &Asked<P>, answer: &Answer, options: &SolveOptions) -> Self {
        let Asked { puzzle, model, .. } = asked;
        let cells = puzzle.cells(model.task, &answer.tokens);
        let written = puzzle.write(&cells);
        let (solution, attempt) = if answer.verified { (Some(written), None) } else { (None, Some(written)) };
        let entry = |step: &StepTrace| TraceEntry {
            chain: step.chain,
            step: step.step,
            answer: puzzle.write(&puzzle.cells(model.task, &step.tokens)),
            q: step.q,
        };
        Self {
            read_as: puzzle.was_picture().then(|| puzzle.write(&puzzle.givens())),
            solution,
            attempt,
            solved: answer.verified,
            verified: answer.verified,
            unique: if answer.verified { puzzle.is_unique() } else { None },
            path_length: puzzle.path_length().filter(|_| answer.verified),
            steps: answer.steps,
            q: answer.q,
            stopped: answer.stopped,
            chain: answer.chain,
            chains: answer.chains,
            votes: answer.votes,
            total_steps: answer.total_steps,
            grid: (options.grid == Some(true)).then(|| puzzle.drawing(&cells)),
            trace: (options.trace == Some(true)).then(|| answer.trace.iter().map(entry).collect()),
            model: ModelName::of(model),
            timings: TimingsMs::new(answer.timings.queue, answer.timings.compute),
        }
    }
}

impl From<Vec<SolveResponse>> for BatchResponse {
    fn from(results: Vec<SolveResponse>) -> Self {
        Self { results }
    }
}

impl ModelName {
    /// The name of a served model.
    pub(in crate::http) fn of(model: &ServedModel) -> Self {
        Self { name: model.card.name.clone(), sha256: model.card.sha256.clone() }
    }
}

impl TimingsMs {
    /// Time in the queue and from the first step to the answer.
    pub(in crate::http) fn new(queue: Duration, compute: Duration) -> Self {
        let ms = |duration: Duration| duration.as_micros() as f64 / 1e3;
        Self { queue_ms: ms(queue), compute_ms: ms(compute), total_ms: ms(queue + compute) }
    }
}
