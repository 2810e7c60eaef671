//! Measuring a model on puzzles with known solutions: which puzzles, what the model makes of them, what to report.
//! Knows the engine and the step model; leaves the command line and the progress bar to the program.

pub mod measure;
pub mod puzzle_set;
pub mod report;
pub mod score;
pub mod thinking;

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
    Engine(#[from] crate::engine::EngineError),
    /// The model.
    #[error(transparent)]
    Step(#[from] crate::engine::StepError),
    /// The report could not be written.
    #[error(transparent)]
    Write(#[from] models::ModelError),
    /// A file of puzzles could not be read.
    #[error("{}: {problem}", path.display())]
    PuzzleFile {
        /// The file.
        path: std::path::PathBuf,
        /// Expected, found, and what to do.
        problem: String,
    },
}
