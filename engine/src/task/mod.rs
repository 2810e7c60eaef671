//! Tasks as the engine sees them: what a checkpoint solves, and its rules as a check on predictions.
//! Leaves the rules themselves, symmetries and pictures to `datasets`, and the forms of a puzzle to `http`.

mod maze;
mod sudoku;

use std::sync::Arc;

pub use datasets::Task;
use datasets::maze::MazeShape;
use datasets::sudoku::SudokuShape;
pub use maze::{MazeRules, maze_from_tokens};
use models::{ArchitectureConfig, Manifest, Mixer};
pub use sudoku::{SudokuRules, board_from_tokens, tokens_of};

use crate::Rules;

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

/// Sides of the square boards that mazes of any size are set into.
const MAZE_SIDES: [usize; 6] = [10, 16, 22, 30, 40, 60];

/// Every task that the checkpoint of `manifest` solves, smallest boards first: one, unless its boards may have any size.
pub fn tasks_of(manifest: &Manifest) -> Vec<Task> {
    match task_of(manifest) {
        Some(Task::Sudoku(_)) if manifest.dims.sizes.is_some() => SudokuShape::ALL.map(Task::Sudoku).to_vec(),
        Some(Task::Maze(_)) if manifest.dims.sizes.is_some() => {
            MAZE_SIDES.into_iter().filter_map(|side| MazeShape::from_side(side).ok()).map(Task::Maze).collect()
        }
        task => task.into_iter().collect(),
    }
}

/// Side length of the task's boards.
pub fn side(task: Task) -> usize {
    match task {
        Task::Sudoku(shape) => shape.size(),
        Task::Maze(shape) => shape.side(),
        Task::Arc => datasets::arc::MAX_SIDE,
    }
}

/// What can be checked about answers of `task`, and what further chains of a model of `arch` see.
pub fn rules(task: Task, arch: &ArchitectureConfig) -> Arc<dyn Rules> {
    match task {
        Task::Sudoku(shape) => Arc::new(SudokuRules { shape, is_equivariant: arch.mixer() == Mixer::Units }),
        Task::Maze(shape) => Arc::new(MazeRules(shape)),
        Task::Arc => Arc::new(Unchecked),
    }
}

/// The rules of ARC: nothing can be checked without the label. Its augmentations have puzzle embeddings of their own, so that
/// they are requests of their own, whose votes their caller counts.
#[derive(Debug, Clone, Copy)]
pub struct Unchecked;

impl Rules for Unchecked {
    fn obeyed(&self, _: &[i64], _: &[i64]) -> bool {
        false
    }
}
