//! Puzzle data: rules, generators, builders, the on-disk format of the reference, and the batches made from it.
//! Depends on neither models nor runtimes; training, evaluation and serving take [`Batch`]es and boards from here.

pub mod arc;
pub mod batch;
pub mod builder;
mod dihedral;
pub mod endless;
mod error;
#[cfg(test)]
#[path = "../tests/common/fixtures.rs"]
mod fixtures;
pub mod loader;
pub mod maze;
pub mod numpy;
pub mod picture;
mod random;
pub mod scoring;
pub mod store;
pub mod sudoku;
mod task;

pub use batch::{Batch, IGNORE_LABEL_ID, SourcePosition, TrainingSource};
pub use dihedral::Dihedral;
pub use error::DatasetError;
pub use random::PuzzleRng;
pub use task::{ParseTaskError, Task};
