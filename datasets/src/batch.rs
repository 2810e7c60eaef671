//! What a trainer or evaluator receives: token batches, and the contract of whatever produces them.
//! Owns the batch layout and the source trait; leaves reading folders to [`crate::loader`] and drawing
//! fresh puzzles to [`crate::sudoku`].

use serde::{Deserialize, Serialize};

use crate::store::DatasetMetadata;

/// Label value that the loss ignores, whatever the dataset's own `ignore_label_id` was.
pub const IGNORE_LABEL_ID: i32 = -100;

/// One batch of examples, row-major on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Tokens per row.
    pub seq_len: usize,
    /// `[rows, seq_len]` input tokens; padding rows hold the dataset's `pad_id`.
    pub inputs: Vec<i32>,
    /// `[rows, seq_len]` target tokens; [`IGNORE_LABEL_ID`] where there is nothing to learn.
    pub labels: Vec<i32>,
    /// `[rows]` row of the puzzle-embedding table; padding rows hold `blank_identifier_id`.
    pub puzzle_identifiers: Vec<i32>,
    /// How many leading rows are examples; the rest is padding.
    pub real_rows: usize,
}

impl Batch {
    /// Rows in the batch, padding included.
    pub fn rows(&self) -> usize {
        self.puzzle_identifiers.len()
    }
}

/// Where a source stands: enough to continue with the very next example after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// Passes over the data begun before the current one (0 for a generated source).
    pub iteration: u64,
    /// Examples (generated source) or groups of the current pass (folder) consumed so far.
    pub consumed: u64,
}

/// An endless supply of training batches that can say where it stands and return there.
///
/// Every rank of a distributed run opens the same source with its own `rank` and the common `world_size`;
/// together they see each global batch exactly once.
pub trait TrainingSource: Send {
    /// Shape and vocabulary of the examples.
    fn metadata(&self) -> &DatasetMetadata;

    /// The next batch for this rank.
    ///
    /// `wanted[row]` tells which rows the trainer will use (those whose carry has halted). A source whose examples
    /// cost work may leave the other rows as padding and not spend an example on them; a folder ignores it, as the
    /// reference does. `wanted.len()` is this rank's batch size.
    ///
    /// # Errors
    /// When the underlying files fail.
    fn next_batch(&mut self, wanted: &[bool]) -> Result<Batch, crate::DatasetError>;

    /// Position of the next example.
    fn position(&self) -> SourcePosition;

    /// Moves to a position that [`position`](Self::position) returned on a source opened alike.
    ///
    /// # Errors
    /// When the position lies outside the data.
    fn seek(&mut self, position: &SourcePosition) -> Result<(), crate::DatasetError>;
}
