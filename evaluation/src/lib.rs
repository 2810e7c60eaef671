//! Measuring a model on puzzles with known solutions: which puzzles, what the engine makes of them, what to report.
//! Every part of an evaluation (steps of one chain, answers as served, several chains) has a log of its own, from which
//! a killed run resumes and shards are merged. Owns the command line of evaluations and benchmarks, too; leaves solving to
//! `engine`.

pub mod arc_figures;
pub mod bench;
pub mod choose;
pub mod cli;
pub mod curve;
pub mod log;
mod puzzle_lines;
pub mod records;
pub mod report;
pub mod run;
pub mod score;
mod shard;
pub mod source;
pub mod step_view;
pub mod tally;

pub use log::EvaluationLog;
pub use records::{Entry, Skipped};
pub use report::{policy_in_words, with_interval};
pub use shard::Shard;
pub use source::{BoardPuzzle, PuzzleSource};

/// Everything that can go wrong in an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A data set or the hub.
    #[error(transparent)]
    Dataset(#[from] datasets::DatasetError),
    /// The generator.
    #[error(transparent)]
    Sudoku(#[from] datasets::sudoku::SudokuError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] engine::EngineError),
    /// The model.
    #[error(transparent)]
    Step(#[from] engine::StepError),
    /// The report could not be written.
    #[error(transparent)]
    Write(#[from] files::FileError),
    /// The maze generator, or a maze.
    #[error(transparent)]
    Maze(#[from] datasets::maze::MazeError),
    /// A chart.
    #[error(transparent)]
    Picture(#[from] datasets::picture::PictureError),
    /// A log that cannot be used.
    #[error("{}: {problem}", path.display())]
    Log {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// There is no generator for the task.
    #[error("ARC has no generator; name a data set with --data")]
    NoGenerator,
    /// A puzzle of another size.
    #[error("expected {expected} cells, as the model has, found {found}; choose a model of that size")]
    Cells {
        /// Cells of the model's puzzles.
        expected: usize,
        /// Cells of this one.
        found: usize,
    },
    /// The parts of a sharded run do not fit together.
    #[error("cannot merge: {0}")]
    Merge(String),
    /// A file of puzzles could not be read.
    #[error("{}: {problem}", path.display())]
    PuzzleFile {
        /// The file.
        path: std::path::PathBuf,
        /// Expected, found, and what to do.
        problem: String,
    },
}
