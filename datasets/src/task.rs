//! Which kind of puzzle a dataset, a checkpoint or a graph is about.
//! Owns the names and how shapes reveal the task; leaves rules and boards to the task's own module.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::arc;
use crate::maze::MazeShape;
use crate::sudoku::SudokuShape;

/// A puzzle task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Sudoku of one board shape.
    Sudoku(SudokuShape),
    /// Shortest path through a square maze of one size.
    Maze(MazeShape),
    /// The Abstraction and Reasoning Corpus on 30×30 canvases.
    Arc,
}

/// An unknown task name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown task {found:?}; expected sudoku, sudoku-4x4, sudoku-6x6, sudoku-9x9, sudoku-16x16, maze, maze-NxN (such as \
     maze-10x10) or arc"
)]
pub struct ParseTaskError {
    found: String,
}

impl Task {
    /// The task whose examples have these dimensions: Sudoku N×N has `N + 2` tokens on `N²` cells, a maze 6 tokens on
    /// a square (sides 2 to 255), ARC 12 tokens on 900 cells. `None` where nothing fits.
    pub fn infer(vocab_size: usize, seq_len: usize) -> Option<Self> {
        let sudoku =
            SudokuShape::ALL.into_iter().find(|shape| (shape.vocab_size(), shape.cells()) == (vocab_size, seq_len));
        match (vocab_size, sudoku) {
            // A 4×4 maze would look like a 4×4 Sudoku; no dataset has such mazes.
            (_, Some(shape)) => Some(Self::Sudoku(shape)),
            (MazeShape::VOCAB_SIZE, None) => MazeShape::from_cells(seq_len).ok().map(Self::Maze),
            (arc::VOCAB_SIZE, None) if seq_len == arc::SEQ_LEN => Some(Self::Arc),
            _ => None,
        }
    }

    /// `(vocab_size, seq_len)` of the task's examples.
    pub fn dims(self) -> (usize, usize) {
        match self {
            Self::Sudoku(shape) => (shape.vocab_size(), shape.cells()),
            Self::Maze(shape) => (MazeShape::VOCAB_SIZE, shape.cells()),
            Self::Arc => (arc::VOCAB_SIZE, arc::SEQ_LEN),
        }
    }
}

impl Display for Task {
    /// `sudoku` for 9×9 boards, `sudoku-4x4` and so on for the others; `maze` for 30×30, `maze-10x10` and so on for the
    /// others; `arc`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sudoku(SudokuShape::NINE) => formatter.pad("sudoku"),
            Self::Sudoku(shape) => formatter.pad(&format!("sudoku-{0}x{0}", shape.size())),
            Self::Maze(MazeShape::HARD) => formatter.pad("maze"),
            Self::Maze(shape) => formatter.pad(&format!("maze-{shape}")),
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
            "maze" => Ok(Self::Maze(MazeShape::HARD)),
            "arc" => Ok(Self::Arc),
            _ => name
                .strip_prefix("maze-")
                .and_then(maze_of_name)
                .ok_or_else(|| ParseTaskError { found: name.chars().take(64).collect() }),
        }
    }
}

/// `10x10` of `maze-10x10`.
fn maze_of_name(size: &str) -> Option<Task> {
    let (rows, columns) = size.split_once('x')?;
    let shape = MazeShape::from_side(rows.parse().ok()?).ok()?;
    // Exactly as displayed: no signs, no leading zeros, as many columns as rows.
    (rows == columns && shape.to_string() == size).then_some(Task::Maze(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_reveal_the_task() {
        for shape in SudokuShape::ALL {
            assert_eq!(Task::infer(shape.vocab_size(), shape.cells()), Some(Task::Sudoku(shape)));
        }
        assert_eq!(Task::infer(6, 900), Some(Task::Maze(MazeShape::HARD)));
        assert_eq!(Task::infer(6, 100).map(|task| task.to_string()).as_deref(), Some("maze-10x10"));
        assert_eq!(Task::infer(12, 900), Some(Task::Arc));
        assert_eq!(Task::infer(6, 901), None);
        assert_eq!(Task::infer(11, 64), None);
        assert_eq!(Task::infer(6, 0), None);
    }

    #[test]
    fn names_are_read_back() {
        let sudoku = SudokuShape::ALL.map(Task::Sudoku);
        let mazes = [5, 30, 40].map(|side| Task::Maze(MazeShape::from_side(side).expect("a side")));
        for task in sudoku.into_iter().chain(mazes).chain([Task::Arc]) {
            assert_eq!(task.to_string().parse(), Ok(task));
            let (vocab_size, seq_len) = task.dims();
            assert_eq!(Task::infer(vocab_size, seq_len), Some(task));
        }
        assert_eq!(Task::Sudoku(SudokuShape::NINE).to_string(), "sudoku");
        assert_eq!("maze-30x30".parse(), Ok(Task::Maze(MazeShape::HARD)));
        for wrong in ["maze-", "maze-10", "maze-10x11", "maze-010x010", "maze-+9x+9", "maze-0x0", "maze-256x256"] {
            assert!(wrong.parse::<Task>().is_err(), "{wrong}");
        }
        let error = "chess".parse::<Task>().expect_err("chess is none of ours");
        assert!(error.to_string().contains("chess"), "{error}");
    }
}
