//! Which kind of puzzle a dataset, a checkpoint or a graph is about.
//! Owns the names and how shapes reveal the task; leaves rules and boards to the task's own module.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::sudoku::SudokuShape;

const MAZE_VOCAB_SIZE: usize = 6;
const ARC_VOCAB_SIZE: usize = 12;
const ARC_SEQ_LEN: usize = 900;

/// A puzzle task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Sudoku of one board shape.
    Sudoku(SudokuShape),
    /// Shortest path through a square maze.
    Maze,
    /// The Abstraction and Reasoning Corpus on 30×30 canvases.
    Arc,
}

/// A task name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown task {found:?}; expected sudoku, sudoku-4x4, sudoku-6x6, sudoku-9x9, sudoku-16x16, maze or arc")]
pub struct ParseTaskError {
    found: String,
}

impl Task {
    /// The task whose examples have these dimensions: Sudoku N×N has `N + 2` tokens on `N²` cells, a maze 6 tokens on
    /// a square, ARC 12 tokens on 900 cells. `None` where nothing fits.
    pub fn infer(vocab_size: usize, seq_len: usize) -> Option<Self> {
        let side = seq_len.isqrt();
        let sudoku =
            SudokuShape::ALL.into_iter().find(|shape| (shape.vocab_size(), shape.cells()) == (vocab_size, seq_len));
        match (vocab_size, sudoku) {
            // A 4×4 maze would look like a 4×4 Sudoku; no dataset has such mazes.
            (_, Some(shape)) => Some(Self::Sudoku(shape)),
            (MAZE_VOCAB_SIZE, None) if side > 0 && side * side == seq_len => Some(Self::Maze),
            (ARC_VOCAB_SIZE, None) if seq_len == ARC_SEQ_LEN => Some(Self::Arc),
            _ => None,
        }
    }
}

impl Display for Task {
    /// `sudoku` for 9×9 boards, `sudoku-4x4` and so on for the others, `maze`, `arc`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sudoku(SudokuShape::NINE) => formatter.pad("sudoku"),
            Self::Sudoku(shape) => formatter.pad(&format!("sudoku-{0}x{0}", shape.size())),
            Self::Maze => formatter.pad("maze"),
            Self::Arc => formatter.pad("arc"),
        }
    }
}

impl FromStr for Task {
    type Err = ParseTaskError;

    fn from_str(name: &str) -> Result<Self, ParseTaskError> {
        match name {
            "sudoku" | "sudoku-9x9" => Ok(Self::Sudoku(SudokuShape::NINE)),
            "sudoku-4x4" => Ok(Self::Sudoku(SudokuShape::FOUR)),
            "sudoku-6x6" => Ok(Self::Sudoku(SudokuShape::SIX)),
            "sudoku-16x16" => Ok(Self::Sudoku(SudokuShape::SIXTEEN)),
            "maze" => Ok(Self::Maze),
            "arc" => Ok(Self::Arc),
            _ => Err(ParseTaskError { found: name.chars().take(64).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_reveal_the_task() {
        for shape in SudokuShape::ALL {
            assert_eq!(Task::infer(shape.vocab_size(), shape.cells()), Some(Task::Sudoku(shape)));
        }
        assert_eq!(Task::infer(6, 900), Some(Task::Maze));
        assert_eq!(Task::infer(12, 900), Some(Task::Arc));
        assert_eq!(Task::infer(6, 901), None);
        assert_eq!(Task::infer(11, 64), None);
        assert_eq!(Task::infer(6, 0), None);
    }

    #[test]
    fn names_are_read_back() {
        let sudoku = SudokuShape::ALL.map(Task::Sudoku);
        for task in sudoku.into_iter().chain([Task::Maze, Task::Arc]) {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        assert_eq!(Task::Sudoku(SudokuShape::NINE).to_string(), "sudoku");
        let error = "chess".parse::<Task>().expect_err("chess is none of ours");
        assert!(error.to_string().contains("chess"), "{error}");
    }
}
