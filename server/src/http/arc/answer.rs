//! What a task gets back, as JSON.

use datasets::arc::Grid;
use datasets::scoring::RankedGrid;
use engine::arc::{ArcAnswer, ArcStep, TestAnswer};
use engine::registry::ServedModel;
use serde::Serialize;
use utoipa::ToSchema;

use super::Answered;
use crate::http::solve::{ModelName, TimingsMs};

/// What a task gets back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ArcResponse {
    /// The name by which the model knows the task.
    task_id: String,
    /// In the order of the test inputs.
    tests: Vec<ArcTestResponse>,
    /// Whether every test input was answered rightly; null where a right answer is not known.
    solved: Option<bool>,
    /// Whether that was checked, and is so.
    verified: bool,
    /// Supervision steps of each copy.
    steps: usize,
    /// Supervision steps of all copies: what the answer cost.
    total_steps: usize,
    /// Mean Q, from 0 to 1, of the best attempt on the test input that the model is least sure of.
    q: f64,
    /// Copies of the task that were asked, itself included.
    augmentations: usize,
    /// Whether the deadline came before all copies had taken all their steps.
    cut_short: bool,
    /// Every step, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<ArcStepResponse>>,
    model: ModelName,
    timings: TimingsMs,
}

/// What a batch gets back.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ArcBatchResponse {
    /// One answer for each task, in order.
    results: Vec<ArcResponse>,
}

/// What a test input gets back.
#[derive(Debug, Serialize, ToSchema)]
struct ArcTestResponse {
    /// At most two different answers, best first.
    attempts: Vec<Attempt>,
    /// Whether one of them is right; null where the right answer is not known.
    correct: Option<bool>,
}

/// An answer and what speaks for it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArcAttempt)]
struct Attempt {
    /// Rows of colours; empty where the model drew no grid.
    #[schema(value_type = Vec<Vec<u8>>)]
    grid: Grid,
    /// Copies that gave it.
    votes: u32,
    /// Mean of their halting probabilities.
    mean_q: f64,
}

/// One step of one copy.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ArcStepResponse {
    /// The test input, from 0.
    test: usize,
    /// The copy; 0 is the task itself.
    augmentation: usize,
    /// The copy's step, from 1.
    step: usize,
    /// What the copy answers, carried back to the task as it was sent.
    #[schema(value_type = Vec<Vec<u8>>)]
    answer: Grid,
    /// `[row, column]`, from 0, of cells that differ from the copy's step before, or from the test input at its first.
    #[schema(value_type = Vec<Vec<usize>>)]
    changed: Vec<[usize; 2]>,
    /// Above 0 the model takes the answer for right.
    q: f32,
}

impl ArcResponse {
    pub(super) fn new(answered: &Answered) -> Self {
        let Answered { model, answer, steps, trace, .. } = answered;
        let trace = trace.then(|| steps.iter().cloned().map(ArcStepResponse::of).collect());
        Self { trace, ..Self::of(answer, model) }
    }

    pub(super) fn of(answer: &ArcAnswer, model: &ServedModel) -> Self {
        let solved = answer.solved();
        Self {
            task_id: answer.puzzle.name.clone(),
            tests: answer.tests.iter().map(ArcTestResponse::of).collect(),
            solved,
            verified: solved == Some(true),
            steps: answer.steps,
            total_steps: answer.total_steps,
            q: answer.q(),
            augmentations: answer.augmentations,
            cut_short: answer.cut_short,
            trace: None,
            model: ModelName::of(model),
            timings: TimingsMs::new(answer.timings.queue, answer.timings.compute),
        }
    }
}

impl From<Vec<ArcResponse>> for ArcBatchResponse {
    fn from(results: Vec<ArcResponse>) -> Self {
        Self { results }
    }
}

impl ArcTestResponse {
    fn of(test: &TestAnswer) -> Self {
        let attempt =
            |ranked: &RankedGrid| Attempt { grid: ranked.grid.clone(), votes: ranked.votes, mean_q: ranked.mean_q };
        Self { attempts: test.attempts.iter().map(attempt).collect(), correct: test.correct }
    }
}

impl ArcStepResponse {
    pub(super) fn of(step: ArcStep) -> Self {
        let ArcStep { test, augmentation, step, answer, changed, q } = step;
        Self { test, augmentation, step, answer, changed, q }
    }
}
