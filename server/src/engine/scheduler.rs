//! Continuous batching by reasoning step: which puzzle sits in which row, and when it leaves.
//! Owns the rows and the turn; leaves waiting to the queue and the thread to the worker.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::metrics::Metrics;
use super::queue::{Job, Queue};
use super::{Answer, EngineError, Halting, Rules, StepBatch, StepModel, StepOutcome, StepTrace, Stopped, Timings};

/// Batch sizes that the engine runs, up to its number of slots: few, so that the backend's memory stays flat, and
/// close enough that at most a third of a batch beyond four rows is padding.
const BATCH_SIZES: [usize; 13] = [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// Most slots an engine can have.
pub(super) const MAX_SLOTS: usize = BATCH_SIZES[BATCH_SIZES.len() - 1];

/// The rows of the batch and the model that steps them.
pub(super) struct Scheduler<M> {
    model: M,
    rules: Arc<dyn Rules>,
    metrics: Arc<Metrics>,
    slots: usize,
    default_max_steps: usize,
    rows: Vec<Option<Running>>,
    tokens: Vec<i64>,
    carried: Vec<Option<usize>>,
    puzzle_identifiers: Vec<usize>,
}

/// A puzzle in a row.
struct Running {
    job: Job,
    admitted: Instant,
    max_steps: usize,
    /// Row of the last step that holds its state; `None` before its first step.
    state_row: Option<usize>,
    steps: usize,
    trace: Vec<StepTrace>,
}

/// An answer and the way to its client.
type Reply = (oneshot::Sender<Result<Answer, EngineError>>, Result<Answer, EngineError>);

impl<M: StepModel> Scheduler<M> {
    pub(super) fn new(
        model: M,
        rules: Arc<dyn Rules>,
        metrics: Arc<Metrics>,
        slots: usize,
        default_max_steps: usize,
    ) -> Self {
        let rows = Vec::with_capacity(slots);
        Self {
            model,
            rules,
            metrics,
            slots,
            default_max_steps,
            rows,
            tokens: Vec::new(),
            carried: Vec::new(),
            puzzle_identifiers: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.rows.iter().all(Option::is_none)
    }

    /// Frees the rows of clients that have gone, admits waiting puzzles, runs one step and sends the answers that
    /// are ready.
    pub(super) fn turn(&mut self, queue: &Queue) {
        let started = Instant::now();
        self.free_abandoned_rows();
        self.admit(queue, started);
        if self.is_idle() {
            return;
        }
        self.fill_inputs();
        let batch =
            StepBatch { tokens: &self.tokens, carried: &self.carried, puzzle_identifiers: &self.puzzle_identifiers };
        let stepping = Instant::now();
        let outcome = self.model.step(&batch);
        let stepped = Instant::now();
        let replies = match outcome.map_err(|error| error.to_string()).and_then(|outcome| self.check(outcome)) {
            Ok(outcome) => self.retire(&outcome, stepped),
            Err(message) => {
                tracing::error!("a reasoning step failed: {message}");
                self.fail(&message)
            }
        };
        // Before the replies, so that a client who reads the counters finds its own turn in them.
        self.metrics.add_turn(stepped - stepping, started.elapsed());
        for (reply, answer) in replies {
            // A client that went away during the step has no use for the answer.
            let _ = reply.send(answer);
        }
    }

    fn free_abandoned_rows(&mut self) {
        for row in &mut self.rows {
            if row.take_if(|running| running.job.reply.is_closed()).is_some() {
                self.metrics.cancelled.add(1);
            }
        }
    }

    fn admit(&mut self, queue: &Queue, now: Instant) {
        let occupied = self.rows.iter().flatten().count();
        let jobs = queue.take(self.slots - occupied, now, &self.metrics);
        self.resize(occupied + jobs.len());
        let default_max_steps = self.default_max_steps;
        let free_rows = self.rows.iter_mut().filter(|row| row.is_none());
        for (row, job) in free_rows.zip(jobs) {
            *row = Some(Running {
                max_steps: job.request.max_steps.unwrap_or(default_max_steps),
                job,
                admitted: now,
                state_row: None,
                steps: 0,
                trace: Vec::new(),
            });
        }
    }

    /// Gives the batch the smallest size that holds `occupied` rows. Puzzles stay in their rows where they can, so
    /// that the model need not move states.
    fn resize(&mut self, occupied: usize) {
        let size = match occupied {
            0 => 0,
            _ => BATCH_SIZES.into_iter().find(|&size| size >= occupied).unwrap_or(self.slots).min(self.slots),
        };
        let displaced: Vec<Running> = self.rows.drain(size.min(self.rows.len())..).flatten().collect();
        self.rows.resize_with(size, || None);
        for (row, running) in self.rows.iter_mut().filter(|row| row.is_none()).zip(displaced) {
            *row = Some(running);
        }
    }

    fn fill_inputs(&mut self) {
        let seq_len = self.model.seq_len();
        self.tokens.clear();
        self.carried.clear();
        self.puzzle_identifiers.clear();
        for row in &self.rows {
            if let Some(running) = row {
                self.tokens.extend_from_slice(&running.job.request.tokens);
                self.carried.push(running.state_row);
                self.puzzle_identifiers.push(running.job.request.puzzle_identifier);
            } else {
                self.tokens.resize(self.tokens.len() + seq_len, 0);
                self.carried.push(None);
                self.puzzle_identifiers.push(0);
            }
        }
    }

    /// A backend whose output has the wrong size must not reach the clients' rows.
    fn check(&self, outcome: StepOutcome) -> Result<StepOutcome, String> {
        let (rows, seq_len) = (self.rows.len(), self.model.seq_len());
        if outcome.answers.len() == rows * seq_len && outcome.q_halt.len() == rows {
            return Ok(outcome);
        }
        Err(format!(
            "expected {rows} rows of {seq_len} predictions and {rows} q values, found {} and {}",
            outcome.answers.len(),
            outcome.q_halt.len()
        ))
    }

    /// Empties the rows that are finished.
    fn retire(&mut self, outcome: &StepOutcome, now: Instant) -> Vec<Reply> {
        let mut replies = Vec::new();
        let answers = outcome.answers.chunks_exact(self.model.seq_len());
        for (index, ((row, answer), &q)) in self.rows.iter_mut().zip(answers).zip(&outcome.q_halt).enumerate() {
            let Some(running) = row else {
                self.metrics.padding_rows.add(1);
                continue;
            };
            self.metrics.rows.add(1);
            running.advance(index, answer, q);
            let Some((stopped, verified)) = running.finished(&*self.rules, answer, q, now) else { continue };
            if let Some(running) = row.take() {
                self.metrics.answered.add(1);
                self.metrics.verified.add(u64::from(verified));
                replies.push(running.into_reply(answer, q, stopped, verified, now));
            }
        }
        replies
    }

    /// Empties all rows.
    fn fail(&mut self, message: &str) -> Vec<Reply> {
        let replies: Vec<Reply> = self
            .rows
            .drain(..)
            .flatten()
            .map(|running| (running.job.reply, Err(EngineError::Step(message.to_owned()))))
            .collect();
        self.metrics.failed.add(replies.len() as u64);
        replies
    }
}

impl Running {
    fn advance(&mut self, row: usize, answer: &[i64], q: f32) {
        self.state_row = Some(row);
        self.steps += 1;
        if self.job.request.trace {
            self.trace.push(StepTrace { tokens: answer.to_vec(), q });
        }
    }

    /// Why the puzzle stops here and whether its answer obeys the rules; `None` when it goes on.
    fn finished(&self, rules: &dyn Rules, answer: &[i64], q: f32, now: Instant) -> Option<(Stopped, bool)> {
        let request = &self.job.request;
        let obeyed = || rules.obeyed(&request.tokens, answer);
        let expired = request.deadline.is_some_and(|deadline| deadline <= now);
        let stopped = match request.halting {
            Halting::Verified if obeyed() => return Some((Stopped::Verified, true)),
            Halting::Q if q > 0.0 => Stopped::Q,
            _ if self.steps >= self.max_steps => Stopped::Steps,
            _ if expired => Stopped::Deadline,
            _ => return None,
        };
        // Under the rule `verified` this answer has just failed the check.
        Some((stopped, request.halting != Halting::Verified && obeyed()))
    }

    fn into_reply(self, answer: &[i64], q: f32, stopped: Stopped, verified: bool, now: Instant) -> Reply {
        let queue = self.admitted.saturating_duration_since(self.job.submitted);
        let timings = Timings { queue, compute: now.saturating_duration_since(self.admitted) };
        let answer =
            Answer { tokens: answer.to_vec(), verified, steps: self.steps, q, stopped, trace: self.trace, timings };
        (self.job.reply, Ok(answer))
    }
}
