//! The reasoning engine on ONNX Runtime: from a checkpoint folder to a served model that answers puzzles.
//! Owns the scheduler, the step model, the tasks' rules and the search on ARC's augmentations; leaves HTTP to `server`,
//! reports to `evaluation`, graphs to `exporter`, and the puzzles themselves to `datasets`.

pub mod arc;
pub mod default_policy;
mod load_error;
pub mod model;
mod noise;
pub mod onnx;
mod precision;
pub mod registry;
mod runtime;
mod scheduling;
pub mod task;

pub use load_error::LoadError;
pub use precision::Quantize;
pub use runtime::{RuntimeFacts, session_options};
pub use scheduling::{
    Answer, Batching, Clock, Engine, EngineError, EngineOptions, Halting, HistogramSnapshot, Histograms,
    MetricsSnapshot, Noise, NoiseTarget, Pending, Policy, PolicyLimits, Request, Restarts, Rules, StepBatch, StepError,
    StepModel, StepOutcome, StepTrace, Stopped, SymmetricCopy, SystemClock, Timings, Undo, warm_up,
};
