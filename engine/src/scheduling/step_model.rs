//! The contract between the engine and whatever computes a supervision step, and between the engine and a task.

use datasets::Task;
use datasets::scoring::BoardSymmetry;

use super::policy::in_range;
use super::scheduler::{MAX_SLOTS, batch_sizes};
use super::{EngineError, NoiseTarget};

/// Input of one step: the rows of a batch, some of which continue rows of the step before.
#[derive(Debug, Clone, Copy)]
pub struct StepBatch<'a> {
    /// `[rows, seq_len]` row-major tokens.
    pub tokens: &'a [i64],
    /// `[rows]`: the row of the previous step whose state this row continues; `None` starts from the initial state.
    pub carried: &'a [Option<usize>],
    /// `[rows]`: the row of the puzzle-embedding table that each row sees, 0 where a task has but one; not looked at by
    /// models without such a table.
    pub puzzle_identifiers: &'a [usize],
    /// `[rows]`, or empty for none: what is added to a row's state before the step. A row that starts from the initial
    /// state, which lies inside the graph, gets none.
    pub noise: &'a [Option<Noise>],
}

/// Gaussian noise on one row's recursion state for one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Seed of the request.
    pub seed: u64,
    /// Which of the seed's streams: one for each step of each chain.
    pub stream: u64,
    /// Deviation.
    pub sigma: f32,
    /// States that get it.
    pub target: NoiseTarget,
}

/// Output of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepOutcome {
    /// `[rows, seq_len]` predicted tokens.
    pub answers: Vec<i64>,
    /// `[rows]`; positive means that the model takes its answer for right.
    pub q_halt: Vec<f32>,
}

/// A model that runs in steps and keeps the recursion state of its last batch.
pub trait StepModel: Send {
    /// Tokens per row.
    fn seq_len(&self) -> usize;

    /// Rows of the puzzle-embedding table: identifiers lie below. 1 without a table.
    fn num_puzzle_identifiers(&self) -> usize {
        1
    }

    /// Runs one supervision step and keeps the resulting states, row by row, for the next call.
    ///
    /// # Errors
    /// When the backend fails; the states are lost then, and every row must start afresh.
    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError>;
}

impl<M: StepModel + ?Sized> StepModel for Box<M> {
    fn seq_len(&self) -> usize {
        (**self).seq_len()
    }

    fn num_puzzle_identifiers(&self) -> usize {
        (**self).num_puzzle_identifiers()
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        (**self).step(batch)
    }
}

/// A backend's failure, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StepError(pub String);

/// What a task can say about an answer without knowing the label, and about a puzzle's likenesses.
pub trait Rules: Send + Sync {
    /// Whether the predicted tokens `answer` solve the puzzle `inputs` (both `[seq_len]`).
    fn obeyed(&self, inputs: &[i64], answer: &[i64]) -> bool;

    /// Whether [`copy`](Self::copy) gives anything.
    fn has_symmetries(&self) -> bool {
        false
    }

    /// Symmetric copy number `index` of the puzzle `inputs`, of those that `seed` draws.
    fn copy(&self, inputs: &[i64], seed: u64, index: u64) -> Option<SymmetricCopy> {
        let _ = (inputs, seed, index);
        None
    }
}

/// Carries `[seq_len]` predicted tokens back from a copy to the puzzle itself.
pub type Undo = Box<dyn Fn(&[i64]) -> Vec<i64> + Send>;

/// A puzzle seen through one of its task's symmetries.
pub struct SymmetricCopy {
    /// `[seq_len]` tokens of the copy.
    pub tokens: Vec<i64>,
    /// Carries `[seq_len]` predicted tokens back into the frame of the puzzle.
    pub undo: Undo,
}

impl SymmetricCopy {
    /// Copy number `index`, from 1, of the puzzle `inputs` of `task`, of those that `seed` draws.
    pub fn of(task: Task, inputs: &[i64], seed: u64, index: u64) -> Option<Self> {
        let symmetry = BoardSymmetry::of_copy(task, seed, index)?;
        let inverse = symmetry.inverse();
        Some(Self { tokens: symmetry.apply(inputs), undo: Box::new(move |answer| inverse.apply(answer)) })
    }
}

impl std::fmt::Debug for SymmetricCopy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SymmetricCopy").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Runs one step of every batch size that an engine of `slots` slots uses, on blank puzzles: backends allocate memory and
/// choose kernels at the first run of each.
///
/// # Errors
/// When there cannot be so many slots, when the model cannot compute one of the batches, or gives an output of another
/// size.
pub fn warm_up(model: &mut impl StepModel, slots: usize) -> Result<(), EngineError> {
    in_range("slots", slots, 1, MAX_SLOTS)?;
    let seq_len = model.seq_len();
    // The largest first: the backend's memory is then laid out for all.
    for rows in batch_sizes(slots).rev() {
        let batch = StepBatch {
            tokens: &vec![0; rows * seq_len],
            carried: &vec![None; rows],
            puzzle_identifiers: &vec![0; rows],
            noise: &vec![None; rows],
        };
        let outcome = model.step(&batch).map_err(|error| EngineError::Step(error.to_string()))?;
        let found = (outcome.answers.len(), outcome.q_halt.len());
        if found != (rows * seq_len, rows) {
            return Err(EngineError::Step(format!(
                "a batch of {rows} rows gave {} predictions and {} q values, expected {} and {rows}",
                found.0,
                found.1,
                rows * seq_len
            )));
        }
    }
    Ok(())
}
