//! ARC on the engine: which tasks a checkpoint knows, the augmented copies of one task as requests, and their votes.
//! Owns no HTTP; leaves grids, names and the votes themselves to `datasets` and steps to the engine.
//!
//! An ARC model has learned each task, and each augmentation of it, as a row of its puzzle-embedding table. So it
//! answers only for tasks that it was trained on, and what tells them apart is the data set that numbered the rows:
//! the [`TaskIndex`] reads it, [`TaskIndex::recognise`] finds the task that somebody sends, [`submit`] asks the model
//! about its augmentations, and [`PendingTask::answer`] lets them vote as the evaluator does.

pub mod held_out;
mod index;
mod pending;
mod recognise;
mod steps;

pub use index::{AugmentedPuzzle, KnownTask, TaskIndex};
pub use pending::{ATTEMPTS, ArcAnswer, ArcOptions, DEFAULT_AUGMENTATIONS, PendingTask, TestAnswer, submit};
pub use recognise::{ArcPuzzle, LookupError, TestInput};
pub use steps::{ArcStep, ArcSteps};
