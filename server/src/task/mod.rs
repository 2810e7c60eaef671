//! Tasks as the engine sees them: what a checkpoint solves, and its rules as a check on predictions.
//! Leaves the rules themselves, symmetries and pictures to `datasets`, and the forms of a puzzle to `http`.

mod arc;
mod maze;
mod sudoku;

use std::sync::Arc;

pub use arc::Unchecked;
pub use datasets::Task;
pub use maze::{MazeRules, maze_from_tokens};
use models::Manifest;
pub use sudoku::{SudokuRules, board_from_tokens, tokens_of};

use crate::engine::Rules;

/// What the checkpoint of `manifest` solves; `None` when it is nothing that is served.
pub fn task_of(manifest: &Manifest) -> Option<Task> {
    let task = Task::infer(manifest.dims.vocab_size, manifest.dims.seq_len)?;
    // Other puzzles may have a known task's dimensions; the manifest says what the tokens mean.
    let family = match task {
        Task::Sudoku(_) => "sudoku",
        Task::Maze(_) => "maze",
        Task::Arc => "arc",
    };
    manifest.task.starts_with(family).then_some(task)
}

/// Side length of the task's boards.
pub fn side(task: Task) -> usize {
    match task {
        Task::Sudoku(shape) => shape.size(),
        Task::Maze(shape) => shape.side(),
        Task::Arc => datasets::arc::MAX_SIDE,
    }
}

/// What can be checked about answers of `task`, and its symmetries.
pub fn rules(task: Task) -> Arc<dyn Rules> {
    match task {
        Task::Sudoku(shape) => Arc::new(SudokuRules(shape)),
        Task::Maze(shape) => Arc::new(MazeRules(shape)),
        Task::Arc => Arc::new(Unchecked),
    }
}
