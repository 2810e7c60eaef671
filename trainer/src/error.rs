//! The one error type of the crate. Messages name the thing, what was expected, what was found and what to do.

use std::path::PathBuf;

/// What can go wrong in a training run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Model, config or checkpoint.
    #[error(transparent)]
    Model(#[from] models::ModelError),
    /// Data set or generated source.
    #[error(transparent)]
    Data(#[from] datasets::DatasetError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Processes that train together.
    #[error(transparent)]
    Distributed(#[from] crate::distributed::DistributedError),
    /// A setting that is unknown, malformed or impossible.
    #[error("{key}: {problem}")]
    Setting {
        /// The key as the user wrote it.
        key: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// A run folder or training state that cannot be continued.
    #[error("{path}: {problem}")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Expected, found, and what to do.
        problem: String,
    },
    /// A file could not be written whole.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The loss left the numbers.
    #[error(
        "loss is {loss} at step {step}{place}; lower lr, or train with arch.forward_dtype=float32. The last checkpoint is intact"
    )]
    NotFinite {
        /// Optimizer step.
        step: u64,
        /// The loss found.
        loss: f64,
        /// ` on rank 1` where several processes train; empty otherwise.
        place: String,
    },
    /// The weights left the numbers.
    #[error(
        "the weights are no longer finite after step {step}; lower lr, or train with arch.forward_dtype=float32. The last checkpoint is intact"
    )]
    WeightsNotFinite {
        /// Optimizer step.
        step: u64,
    },
}

impl TrainError {
    pub(crate) fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), problem: problem.into() }
    }

    pub(crate) fn state(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::State { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
