//! ARC on the engine: which tasks a checkpoint knows, the augmented copies of one task as requests, and their votes.
//! Owns no HTTP; leaves grids, names and the votes themselves to `datasets` and steps to the engine.
//!
//! An ARC model has learned each task, and each augmentation of it, as a row of its puzzle-embedding table. So it
//! answers only for tasks that it was trained on, and what tells them apart is the data set that numbered the rows:
//! the [`TaskIndex`] reads it, [`TaskIndex::recognise`] finds the task that somebody sends, [`submit`] asks the model
//! about its augmentations, and [`Thinking::answer`] lets them vote as the evaluator does.

pub mod held_out;
mod index;
mod recognise;
mod steps;
mod thinking;

pub use index::{AugmentedPuzzle, KnownTask, TaskIndex};
pub use recognise::{ArcPuzzle, LookupError, TestInput};
pub use steps::{ArcStep, ArcSteps};
pub use thinking::{ATTEMPTS, ArcAnswer, ArcOptions, DEFAULT_AUGMENTATIONS, TestAnswer, Thinking, submit};
