//! Why a request got no answer.

use std::time::Duration;

/// Everything that [`Engine::submit`](super::Engine::submit) or [`Pending`](super::Pending) can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The waiting room is full.
    #[error("{waiting} puzzles are waiting, more would wait too long; try again in {} s", retry_after.as_secs().max(1))]
    QueueFull {
        /// Puzzles that wait.
        waiting: usize,
        /// When there will be room, as far as the measured rate can tell.
        retry_after: Duration,
    },
    /// The deadline passed before the first step.
    #[error("the deadline passed after {} ms in the queue, before the first step", waited.as_millis())]
    DeadlineExceeded {
        /// Time spent in the queue.
        waited: Duration,
    },
    /// The request does not fit the model.
    #[error("{name}: expected {expected}, found {found}")]
    Request {
        /// The argument.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The model could not compute a step.
    #[error("the model failed in a reasoning step: {0}")]
    Step(String),
    /// The engine no longer accepts requests, or ended before it could answer.
    #[error("the engine is shutting down; send the request to another server or try again after the restart")]
    Stopped,
}
