//! What goes into the engine and what comes out.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Policy;

/// One puzzle and its inference policy.
#[derive(Debug, Clone)]
pub struct Request {
    /// `[seq_len]` input tokens.
    pub tokens: Vec<i64>,
    /// Row of the model's puzzle-embedding table that belongs to the puzzle; 0 for tasks with one identifier.
    pub puzzle_identifier: usize,
    /// The inference policy; `None`: the engine's default.
    pub policy: Option<Policy>,
    /// When the answer is of no more use.
    pub deadline: Option<Instant>,
    /// Keep every step's answer.
    pub trace: bool,
    /// Where every step's answer is sent as soon as it is there. A reader who lets the channel fill up misses steps:
    /// the engine does not wait for slow readers.
    pub events: Option<mpsc::Sender<StepTrace>>,
}

impl Request {
    /// A request with the engine's defaults.
    pub fn new(tokens: Vec<i64>) -> Self {
        Self { tokens, puzzle_identifier: 0, policy: None, deadline: None, trace: false, events: None }
    }

    /// The same with a policy of its own.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Some(policy), ..self }
    }
}

/// Why a puzzle left the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// The answer obeys the rules.
    Verified,
    /// The model's halting signal.
    Q,
    /// The answer no longer changed.
    Stable,
    /// The step budget was spent.
    Steps,
    /// Several chains ended and voted.
    Vote,
    /// The deadline passed between two steps.
    Deadline,
}

/// A puzzle's last answer, right or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `[seq_len]` predicted tokens.
    pub tokens: Vec<i64>,
    /// Whether these tokens obey the task's rules; checked on every answer, whatever the halting rule.
    pub verified: bool,
    /// Supervision steps of the chain that gave the answer.
    pub steps: usize,
    /// `q_halt` of that chain's last step.
    pub q: f32,
    /// Why it stopped.
    pub stopped: Stopped,
    /// The chain that gave the answer; 0 is the one on the puzzle as it is.
    pub chain: usize,
    /// Chains that took a step.
    pub chains: usize,
    /// Chains whose last answer this is.
    pub votes: usize,
    /// Supervision steps of all chains: what the answer cost.
    pub total_steps: usize,
    /// Every step in order, where the request asked for it.
    pub trace: Vec<StepTrace>,
    /// Where the time went.
    pub timings: Timings,
}

/// One step of one chain.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTrace {
    /// The chain, from 0.
    pub chain: usize,
    /// The chain's step, from 1.
    pub step: usize,
    /// `[seq_len]` predicted tokens, in the frame of the puzzle as it was sent.
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
