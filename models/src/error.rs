//! The one error type of the crate. Every message names the thing, what was expected, what was found and what to do.

use std::path::PathBuf;

/// What can go wrong with configs, parameters and checkpoints.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A config field, or a combination of fields, that no model can be built from.
    #[error("arch.{field}: {problem}")]
    Config {
        /// Field as the user wrote it.
        field: &'static str,
        /// What is wrong and what to change.
        problem: String,
    },
    /// A tensor that the architecture needs is absent.
    #[error(
        "{origin}: tensor `{name}` {shape:?} is missing; the file belongs to another architecture or is incomplete"
    )]
    MissingTensor {
        /// File or object that should have held it.
        origin: String,
        /// Parameter name.
        name: String,
        /// Expected shape.
        shape: Vec<usize>,
    },
    /// A tensor has another shape than the architecture asks for.
    #[error(
        "{origin}: tensor `{name}` has shape {found:?}, the architecture expects {expected:?}; check hidden_size, expansion, seq_len and vocab_size"
    )]
    TensorShape {
        /// File or object that holds it.
        origin: String,
        /// Parameter name.
        name: String,
        /// Shape the architecture asks for.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a type that no backend reads.
    #[error("{origin}: tensor `{name}` has dtype {found}, expected F32, BF16, F16 or F64; convert it first")]
    TensorDtype {
        /// File or object that holds it.
        origin: String,
        /// Parameter name.
        name: String,
        /// Stored dtype.
        found: String,
    },
    /// A row that a tensor does not have.
    #[error("{origin}: tensor `{name}` has rows 0 to {last}, row {found} was asked for; check the puzzle identifiers", last = .rows.saturating_sub(1))]
    TensorRow {
        /// File or object that holds it.
        origin: String,
        /// Parameter name.
        name: String,
        /// Row asked for.
        found: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {problem}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        problem: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Expected, found, and what to do.
        problem: String,
    },
}

impl From<files::FileError> for ModelError {
    fn from(error: files::FileError) -> Self {
        Self::io(error.path, &format!("cannot {}", error.action))(error.cause)
    }
}

impl ModelError {
    pub(crate) fn config(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Config { field, problem: problem.into() }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Format { path: path.into(), problem: problem.into() }
    }

    /// Adapter for `map_err`: names the path and what was tried with it.
    pub(crate) fn io(path: impl Into<PathBuf>, problem: &str) -> impl FnOnce(std::io::Error) -> Self {
        let (path, problem) = (path.into(), problem.to_owned());
        move |source| Self::Io { path, problem: format!("{problem}: {source}"), source }
    }
}
