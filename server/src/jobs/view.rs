//! A job as clients see it, and why there is none.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::JobId;
use crate::http::ArcResponse;

/// Why jobs cannot be run, or a task cannot be adapted to.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The program is missing.
    #[error("{}: no such program; build it (cargo build --release -p trainer) or name it with --trainer", .0.display())]
    NoTrainer(PathBuf),
    /// No room for another job.
    #[error("{waiting} tasks wait to be learned, as many as this server lets wait; send this one again later")]
    QueueFull {
        /// Jobs that wait.
        waiting: usize,
        /// When one of them may have begun.
        retry_after: Duration,
    },
    /// The same job was cancelled just now.
    #[error("the job that learned this task is being ended; send the task again in a moment")]
    Ending {
        /// When it will be gone.
        retry_after: Duration,
    },
    /// The model cannot answer such tasks.
    #[error("{0}")]
    Unfit(String),
    /// A file or folder cannot be used.
    #[error(transparent)]
    Files(#[from] files::FileError),
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Others come first.
    Queued,
    /// The model is learning the task.
    Running,
    /// The answer is there.
    Done,
    /// It ended without an answer.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// A job as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// Its name in `/jobs/{id}`; also that of the task in its answer.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// Training steps done.
    pub step: u64,
    /// Training steps in all, as far as is known; 0 before the first.
    pub steps: u64,
    /// Seconds that training has taken.
    pub elapsed_seconds: f64,
    /// Seconds to go, once they can be estimated.
    pub eta_seconds: Option<f64>,
    /// Jobs that come first, while it is queued.
    pub ahead: Option<usize>,
    /// What `POST /solve/arc` answers, when the job is done: at most two attempts for each test input.
    #[schema(value_type = Option<ArcResponse>)]
    pub answer: Option<Value>,
    /// Why there is no answer, when it has failed.
    pub problem: Option<String>,
}

impl JobView {
    /// A job of which nothing else is known.
    pub(super) fn new(id: JobId, state: JobState) -> Self {
        let (step, steps, elapsed_seconds) = (0, 0, 0.0);
        Self { id, state, step, steps, elapsed_seconds, eta_seconds: None, ahead: None, answer: None, problem: None }
    }

    /// Whether nothing will change any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, JobState::Done | JobState::Failed | JobState::Cancelled)
    }
}
