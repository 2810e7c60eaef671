//! Training of recursive reasoning models on libtorch.
//!
//! Owns the libtorch backend, the ACT step, losses, optimizers, resume and logs. Leaves architectures and checkpoints
//! to `models`, and everything about puzzles and files of examples to `datasets`.

pub mod act;
pub mod backend;
pub mod carry;
mod error;
pub mod learner;
pub mod losses;
pub mod metrics;
pub mod optimizer;
pub mod parameters;

pub use error::TrainError;
