//! Training of recursive reasoning models on libtorch.
//!
//! Owns the libtorch backend, the ACT step, losses, optimizers, resume and logs. Leaves architectures and checkpoints
//! to `models`, and everything about puzzles and files of examples to `datasets`.

pub mod act;
pub mod adapt;
pub mod aggregate;
pub mod answers;
pub mod backend;
pub mod bench;
pub mod carry;
pub mod config;
#[cfg(feature = "cuda")]
mod cuda;
pub mod data;
pub mod distributed;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod export_metrics;
pub mod forward;
pub mod generator;
pub mod initial_weights;
mod keeper;
mod kernels;
pub mod launch;
pub mod learner;
mod logger;
pub mod losses;
pub mod metrics;
pub mod optimizer;
pub mod parameters;
pub mod phases;
pub mod plot;
pub mod pretrain;
pub mod principal;
mod probe_files;
pub mod probes;
pub mod progress;
mod replay;
pub mod run_directory;
mod run_evaluation;
pub mod search;
#[cfg(test)]
mod seeded;
mod sites;
pub mod state;
pub mod stopping;
pub mod study;
pub mod transfer;
mod wandb;

pub use error::TrainError;
