//! What goes into the engine and what comes out.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// When a puzzle leaves the engine before its step budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Halting {
    /// At the first answer that obeys the task's rules.
    #[default]
    Verified,
    /// When the model takes its answer for right (`q_halt > 0`).
    Q,
    /// Never: all steps run, as the reference evaluates.
    Fixed,
}

/// One puzzle and how to think about it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `[seq_len]` input tokens.
    pub tokens: Vec<i64>,
    /// Row of the model's puzzle-embedding table that belongs to the puzzle; 0 for tasks with one identifier.
    pub puzzle_identifier: usize,
    /// Most supervision steps; `None`: the engine's default.
    pub max_steps: Option<usize>,
    /// When to stop earlier.
    pub halting: Halting,
    /// When the answer is of no more use.
    pub deadline: Option<Instant>,
    /// Keep every step's answer.
    pub trace: bool,
}

impl Request {
    /// A request with the engine's defaults.
    pub fn new(tokens: Vec<i64>) -> Self {
        Self {
            tokens,
            puzzle_identifier: 0,
            max_steps: None,
            halting: Halting::default(),
            deadline: None,
            trace: false,
        }
    }
}

/// Why a puzzle left the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// The answer obeys the rules.
    Verified,
    /// The model's halting signal.
    Q,
    /// The step budget was spent.
    Steps,
    /// The deadline passed between two steps.
    Deadline,
}

/// A puzzle's last answer, right or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `[seq_len]` predicted tokens of the last step.
    pub tokens: Vec<i64>,
    /// Whether these tokens obey the task's rules; checked on every answer, whatever the halting rule.
    pub verified: bool,
    /// Supervision steps taken.
    pub steps: usize,
    /// `q_halt` of the last step.
    pub q: f32,
    /// Why it stopped.
    pub stopped: Stopped,
    /// Every step in order, where the request asked for it.
    pub trace: Vec<StepTrace>,
    /// Where the time went.
    pub timings: Timings,
}

/// One step of a puzzle.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTrace {
    /// `[seq_len]` predicted tokens.
    pub tokens: Vec<i64>,
    /// `q_halt` of this step.
    pub q: f32,
}

/// Where a request's time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From submission to the first step.
    pub queue: Duration,
    /// From the first step to the answer.
    pub compute: Duration,
}

impl Timings {
    /// From submission to the answer.
    pub fn total(&self) -> Duration {
        self.queue + self.compute
    }
}
