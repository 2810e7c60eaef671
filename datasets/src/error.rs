//! The one error type of the crate: every message names the file or argument, what was expected and what was found.
//! Rules of the tasks have their own types, [`SudokuError`] and [`MazeError`].

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::maze::MazeError;
use crate::sudoku::SudokuError;

/// Why a dataset could not be read, built or iterated.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was attempted, as a verb ("read", "create").
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The operating system's answer. (No `source`: the message contains it, a chain of errors would repeat it.)
        cause: std::io::Error,
    },

    /// A file exists but does not hold what its place in the format promises.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The offending file.
        path: PathBuf,
        /// What the format requires there.
        expected: String,
        /// What the file holds.
        found: String,
    },

    /// A row of a puzzle CSV is unusable.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    CsvRow {
        /// The CSV file.
        path: PathBuf,
        /// Line of the row, counted from 1 with the header as line 1.
        line: u64,
        /// What the format requires there.
        expected: String,
        /// What the row holds.
        found: String,
    },

    /// A file of ARC tasks holds something else.
    #[error("{}: {problem}", path.display())]
    ArcFile {
        /// The JSON file or the folder of such files.
        path: PathBuf,
        /// Task, pair and cell, what was expected there and what was found.
        problem: String,
    },

    /// An argument lies outside its domain.
    #[error("{name}: expected {expected}, found {found}")]
    Argument {
        /// Name of the argument as its user knows it.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },

    /// The target of a build is there already.
    #[error("{} already exists; choose another output folder or pass --overwrite to replace it", path.display())]
    AlreadyExists {
        /// The folder that would have been replaced.
        path: PathBuf,
    },

    /// The hub could not deliver a source file.
    #[error("{0}. Without a network, download the CSV files elsewhere and name their folder with --source-dir")]
    Hub(#[from] hub::HubError),

    /// The operating system refused a thread for the generator.
    #[error("cannot start the puzzle generator's thread: {reason}; free some processes or raise the limit (ulimit -u)")]
    GeneratorThread {
        /// The operating system's answer.
        reason: String,
    },

    /// The background thread that draws puzzles is gone.
    #[error("the puzzle generator's thread stopped unexpectedly at example {example}; resume from the last checkpoint")]
    GeneratorStopped {
        /// Global index of the example that was due.
        example: u64,
    },

    /// A puzzle breaks the rules of Sudoku or cannot be made.
    #[error(transparent)]
    Sudoku(#[from] SudokuError),

    /// A maze is none or cannot be made.
    #[error(transparent)]
    Maze(#[from] MazeError),
}

impl From<files::FileError> for DatasetError {
    fn from(error: files::FileError) -> Self {
        Self::Io { action: error.action, path: error.path, cause: error.cause }
    }
}

impl DatasetError {
    /// Wraps an I/O error with the attempted action and the path it concerns.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { action, path, cause }
    }

    /// A [`Format`](Self::Format) error.
    pub(crate) fn format(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// An [`Argument`](Self::Argument) error.
    pub(crate) fn argument(name: &'static str, expected: impl Into<String>, found: impl Display) -> Self {
        Self::Argument { name, expected: expected.into(), found: found.to_string() }
    }
}
