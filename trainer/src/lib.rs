//! Training of recursive reasoning models on libtorch.
//!
//! Owns the libtorch backend, the ACT step, losses, optimizers, resume and logs. Leaves architectures and checkpoints
//! to `models`, and everything about puzzles and files of examples to `datasets`.

pub mod act;
pub mod answers;
pub mod backend;
pub mod bench;
pub mod carry;
pub mod config;
pub mod data;
mod error;
pub mod evaluate;
pub mod forward;
pub mod generator;
mod kernels;
pub mod learner;
mod logger;
pub mod losses;
pub mod metrics;
pub mod optimizer;
pub mod parameters;
pub mod phases;
pub mod plot;
pub mod pretrain;
pub mod progress;
pub mod run_directory;
mod sites;
pub mod state;
pub mod stopping;

pub use error::TrainError;
