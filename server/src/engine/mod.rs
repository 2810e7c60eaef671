//! The reasoning engine: puzzles wait in arrival order, share a batch, take one supervision step per turn, and leave
//! as soon as they are finished. Knows neither HTTP nor any task: a model is a [`StepModel`], a task its [`Rules`].

mod error;
mod metrics;
mod queue;
mod request;
mod scheduler;
mod step_model;
mod worker;

pub use error::EngineError;
pub use metrics::MetricsSnapshot;
pub use request::{Answer, Halting, Request, StepTrace, Stopped, Timings};
pub use step_model::{Rules, StepBatch, StepError, StepModel, StepOutcome};
pub use worker::{Engine, EngineOptions, Pending};
