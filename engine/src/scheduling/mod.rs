//! The reasoning engine: puzzles wait in arrival order, share a batch, take one supervision step per turn, and leave
//! as soon as they are finished. Knows neither HTTP nor any task: a model is a [`StepModel`], a task its [`Rules`].

mod clock;
mod error;
mod metrics;
mod policy;
mod queue;
mod request;
mod scheduler;
mod search;
mod step_model;
mod worker;

pub use clock::{Clock, SystemClock};
pub use error::EngineError;
pub use metrics::{HistogramSnapshot, Histograms, MetricsSnapshot};
pub use policy::{Halting, NoiseTarget, Policy, PolicyLimits, Restarts};
pub use request::{Answer, Request, StepTrace, Stopped, Timings};
pub use step_model::{Noise, Rules, StepBatch, StepError, StepModel, StepOutcome, SymmetricCopy, Undo, warm_up};
pub use worker::{Batching, Engine, EngineOptions, Pending};

/// An answer and the way to its client.
type Reply = (tokio::sync::oneshot::Sender<Result<Answer, EngineError>>, Result<Answer, EngineError>);
