//! The reasoning engine, its HTTP server and the evaluation that runs on it.
//! Owns queues, batches of thinking puzzles, requests and reports; leaves graphs to `exporter`, architectures and
//! checkpoints to `models`, and the rules of the puzzles to `datasets`.

pub mod arc;
pub mod bench;
pub mod config;
pub mod default_policy;
pub mod engine;
mod error;
pub mod eval_cli;
pub mod evaluation;
mod guarded_body;
pub mod http;
pub mod lifecycle;
pub mod model;
mod noise;
pub mod onnx;
pub mod registry;
pub mod reload;
mod runtime_facts;
pub mod serving;
pub mod task;
pub mod telemetry;

pub use error::ServerError;
pub use runtime_facts::RuntimeFacts;
