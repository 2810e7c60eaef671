//! A model whose steps are a countdown, so that tests can tell exactly what the engine must do with it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Batching, EngineOptions, Noise, Policy, PolicyLimits, Request, Rules, StepBatch, StepError, StepModel, StepOutcome,
    SymmetricCopy,
};

pub(crate) const SEQ_LEN: usize = 4;
/// Second token of an answer that obeys the rules.
pub(crate) const SOLVED: i64 = 1;

/// Counts the steps of each row and is done after as many as the row's first token says.
///
/// Answer: `[first token, solved?, steps so far, third token]`; q is positive from the step before the last on, so
/// that halting by q and by the rules differ.
pub(crate) struct Countdown {
    state: Vec<State>,
    pub(crate) log: Arc<Mutex<Vec<Turn>>>,
    /// The noise of every row, turn by turn.
    pub(crate) noise: Arc<Mutex<Vec<Vec<Option<Noise>>>>>,
    gate: Option<Gate>,
}

/// One batch as the model saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) rows: usize,
    /// Fourth token of every occupied row: the puzzle's name in the tests.
    pub(crate) names: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq)]
struct State {
    tokens: Vec<i64>,
    steps: i64,
}

struct Gate {
    entered: Sender<()>,
    release: Receiver<()>,
}

/// Lets a test hold the model inside a step.
pub(crate) struct Handbrake {
    entered: Receiver<()>,
    release: Sender<()>,
}

impl Handbrake {
    /// Returns when the model is inside its next step.
    pub(crate) fn wait_for_step(&self) {
        self.entered.recv().expect("the model is alive");
    }

    /// Whether the model is inside its next step before the time is over.
    pub(crate) fn next_step_within(&self, time: Duration) -> bool {
        self.entered.recv_timeout(time).is_ok()
    }

    /// Lets the step that `wait_for_step` saw finish.
    pub(crate) fn release_step(&self) {
        self.release.send(()).expect("the model is alive");
    }

    /// Lets `count` steps pass.
    pub(crate) fn pass(&self, count: usize) {
        for _ in 0..count {
            self.wait_for_step();
            self.release_step();
        }
    }
}

impl Countdown {
    pub(crate) fn new() -> Self {
        Self { state: Vec::new(), log: Arc::default(), noise: Arc::default(), gate: None }
    }

    pub(crate) fn with_handbrake() -> (Self, Handbrake) {
        let (entered, on_entered) = channel();
        let (on_release, release) = channel();
        let model = Self { gate: Some(Gate { entered, release }), ..Self::new() };
        (model, Handbrake { entered: on_entered, release: on_release })
    }
}

impl StepModel for Countdown {
    fn seq_len(&self) -> usize {
        SEQ_LEN
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        if let Some(gate) = &self.gate {
            // A test that has dropped its handbrake lets everything pass.
            let _ = gate.entered.send(());
            let _ = gate.release.recv();
        }
        let mut outcome = StepOutcome::default();
        let mut next = Vec::new();
        for (tokens, carried) in batch.tokens.chunks(SEQ_LEN).zip(batch.carried) {
            let steps = carried.map_or(0, |row| {
                assert_eq!(self.state[row].tokens, tokens, "a row was given another puzzle's state");
                self.state[row].steps
            }) + 1;
            if tokens[0] < 0 {
                return Err(StepError("the fake model dislikes negative tokens".into()));
            }
            outcome.answers.extend([tokens[0], i64::from(steps >= tokens[0]), steps, tokens[2]]);
            outcome.q_halt.push((steps - tokens[0]) as f32 + 1.5);
            next.push(State { tokens: tokens.to_vec(), steps });
        }
        let names = batch.tokens.chunks(SEQ_LEN).map(|tokens| tokens[3]).filter(|&name| name != 0).collect();
        self.noise.lock().unwrap().push(batch.noise.to_vec());
        self.log.lock().unwrap().push(Turn { rows: batch.carried.len(), names });
        self.state = next;
        Ok(outcome)
    }
}

pub(crate) struct SecondTokenIsOne;

impl Rules for SecondTokenIsOne {
    fn obeyed(&self, _inputs: &[i64], answer: &[i64]) -> bool {
        answer[1] == SOLVED
    }
}

/// Copy `index` of a countdown takes `index` steps fewer. Undoing it marks the answer, which shows that it was undone.
pub(crate) struct ShorterCopies;

impl Rules for ShorterCopies {
    fn obeyed(&self, inputs: &[i64], answer: &[i64]) -> bool {
        SecondTokenIsOne.obeyed(inputs, answer)
    }

    fn has_symmetries(&self) -> bool {
        true
    }

    fn copy(&self, inputs: &[i64], seed: u64, index: u64) -> Option<SymmetricCopy> {
        let shortened = inputs[0] - index as i64;
        let tokens = vec![shortened, inputs[1], inputs[2], inputs[3]];
        let mark = 100 + seed as i64;
        Some(SymmetricCopy { tokens, undo: Box::new(move |answer| vec![mark, answer[1], answer[2], answer[3]]) })
    }
}

/// Puzzle `name` (not 0) that takes `steps` steps.
pub(crate) fn countdown(steps: i64, name: i64) -> Request {
    Request::new(vec![steps, 0, 7, name])
}

/// Options of an engine with `slots` slots and room for everything that a test asks.
pub(crate) fn options(slots: usize) -> EngineOptions {
    EngineOptions {
        slots,
        queue_capacity: 64,
        max_wait: Duration::MAX,
        batching: Batching::Continuous,
        chains_at_once: 4,
        default_policy: Policy::plain(16),
        limits: PolicyLimits { max_steps: 64, chains: 32 },
    }
}
