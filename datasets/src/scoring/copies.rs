//! Symmetric copies of puzzles: predict on each, undo the symmetry, vote.
//! Owns which copy a puzzle gets and undoing it on tokens; leaves symmetries to the tasks and votes to the scorers.

use crate::sudoku::Symmetry;
use crate::{Batch, DatasetError, Dihedral, Task};

/// `count` copies of every puzzle of a test set; the first is the puzzle itself.
///
/// A Sudoku gets random symmetries (digits renamed, bands, rows, stacks and columns permuted, transposed), drawn from
/// the seed, the example's number and the copy's number; a maze its rotations and reflections, of which there are 8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymmetricCopies {
    task: Task,
    count: usize,
    seed: u64,
}

enum Map {
    Sudoku(Symmetry),
    Maze { transform: Dihedral, side: usize },
}

impl SymmetricCopies {
    /// Most copies of a Sudoku.
    pub const MAX_COUNT: usize = 1 << 20;

    /// Copies of the puzzles of a task.
    ///
    /// # Errors
    /// When the task has no such symmetries (ARC, whose datasets hold their augmentations) or not as many.
    pub fn new(task: Task, count: usize, seed: u64) -> Result<Self, DatasetError> {
        let most = match task {
            Task::Sudoku(_) => Self::MAX_COUNT,
            Task::Maze(_) => Dihedral::COUNT,
            Task::Arc => 1,
        };
        if (1..=most).contains(&count) {
            return Ok(Self { task, count, seed });
        }
        let expected = match task {
            Task::Arc => "1 for ARC, whose datasets hold their augmentations".to_owned(),
            _ => format!("1 to {most} copies of a {task}"),
        };
        Err(DatasetError::argument("--augmentations", expected, count))
    }

    /// Copies per puzzle.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The batch seen through the symmetries of copy number `copy`; `first_example` is the number of its first row in
    /// the test set. Padding rows stay.
    ///
    /// # Panics
    /// When `copy` is not below the count or the rows are not of the task.
    #[must_use]
    pub fn apply(&self, batch: &Batch, copy: usize, first_example: u64) -> Batch {
        let mut copied = batch.clone();
        for row in 0..batch.real_rows {
            let Some(map) = self.map(copy, first_example + row as u64) else { continue };
            let cells = row * batch.seq_len..(row + 1) * batch.seq_len;
            copied.inputs[cells.clone()].copy_from_slice(&map.apply(&batch.inputs[cells.clone()]));
            copied.labels[cells.clone()].copy_from_slice(&map.apply(&batch.labels[cells]));
        }
        copied
    }

    /// Takes `[rows, seq_len]` predictions of a copy back to the puzzles themselves, in place.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
    pub fn undo(&self, preds: &mut [i32], seq_len: usize, copy: usize, first_example: u64) {
        for (row, pred) in preds.chunks_exact_mut(seq_len).enumerate() {
            if let Some(map) = self.map(copy, first_example + row as u64) {
                let undone = map.inverse().apply(pred);
                pred.copy_from_slice(&undone);
            }
        }
    }

    /// The symmetry of one copy of one example; `None` where it changes nothing.
    fn map(&self, copy: usize, example: u64) -> Option<Map> {
        assert!(copy < self.count, "copy {copy} of {}", self.count);
        if copy == 0 {
            return None;
        }
        match self.task {
            Task::Sudoku(shape) => {
                let number = (copy as u64) << 40 | example & ((1 << 40) - 1);
                Some(Map::Sudoku(Symmetry::numbered(shape, self.seed, number)))
            }
            Task::Maze(shape) => Some(Map::Maze { transform: Dihedral::ALL[copy], side: shape.side() }),
            Task::Arc => None,
        }
    }
}

impl Map {
    fn apply(&self, tokens: &[i32]) -> Vec<i32> {
        match self {
            Self::Sudoku(symmetry) => symmetry.apply_to_tokens(tokens),
            Self::Maze { transform, side } => transform.apply(tokens, *side, *side),
        }
    }

    fn inverse(&self) -> Self {
        match self {
            Self::Sudoku(symmetry) => Self::Sudoku(symmetry.inverse()),
            Self::Maze { transform, side } => Self::Maze { transform: transform.inverse(), side: *side },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IGNORE_LABEL_ID;
    use crate::maze::{Maze, MazeShape};
    use crate::sudoku::{Board, SudokuShape, solve};

    fn batch(inputs: Vec<i32>, labels: Vec<i32>, seq_len: usize, real_rows: usize) -> Batch {
        let puzzle_identifiers = vec![0; inputs.len() / seq_len];
        Batch { seq_len, inputs, labels, puzzle_identifiers, real_rows }
    }

    #[test]
    fn copies_of_a_sudoku_are_puzzles_with_their_solutions_and_predictions_come_back() {
        for shape in [SudokuShape::NINE, SudokuShape::SIX] {
            let mut givens = Board::empty(shape);
            let solution = solve(&givens).first.expect("an empty board has solutions");
            givens = Board::from_cells(
                shape,
                solution.cells().iter().enumerate().map(|(i, &d)| d * u8::from(i % 2 == 0)).collect(),
            )
            .expect("every other digit");
            let mut inputs = givens.to_tokens().repeat(2);
            inputs.extend(vec![0; shape.cells()]);
            let mut labels = solution.to_tokens().repeat(2);
            labels.extend(vec![IGNORE_LABEL_ID; shape.cells()]);
            let plain = batch(inputs, labels, shape.cells(), 2);
            let copies = SymmetricCopies::new(Task::Sudoku(shape), 5, 3).expect("symmetries");
            assert_eq!(copies.apply(&plain, 0, 7), plain, "the first copy is the puzzle itself");
            let mut seen = vec![plain.inputs[..shape.cells()].to_vec()];
            for copy in 1..5 {
                let copied = copies.apply(&plain, copy, 7);
                for row in 0..2 {
                    let cells = row * shape.cells()..(row + 1) * shape.cells();
                    let givens = Board::from_tokens(&copied.inputs[cells.clone()]).expect("a board");
                    let answer = Board::from_tokens(&copied.labels[cells.clone()]).expect("a board");
                    assert!(answer.is_solution_of(&givens));
                    assert!(
                        !seen.contains(&copied.inputs[cells.clone()].to_vec()),
                        "each row has a symmetry of its own"
                    );
                    seen.push(copied.inputs[cells].to_vec());
                }
                assert_eq!(copied.inputs[2 * shape.cells()..], plain.inputs[2 * shape.cells()..], "padding stays");
                let mut preds = copied.labels[..2 * shape.cells()].to_vec();
                // A pad token, which is no digit, moves with its cell.
                let wrong = preds.iter().position(|&token| token == 3).expect("a 2 on the board");
                preds[wrong] = 0;
                copies.undo(&mut preds, shape.cells(), copy, 7);
                let differing: Vec<i32> =
                    preds.iter().zip(&plain.labels).filter(|(a, b)| a != b).map(|(a, _)| *a).collect();
                assert_eq!(differing, [0]);
            }
        }
    }

    #[test]
    fn a_maze_has_eight_copies() {
        let maze = Maze::parse("S #\n# #\nG  \n").expect("a maze");
        let tokens = maze.to_tokens();
        let task = Task::Maze(MazeShape::from_side(3).expect("a side"));
        let copies = SymmetricCopies::new(task, 8, 0).expect("eight");
        let plain = batch(tokens.clone(), tokens.clone(), 9, 1);
        let mut seen = Vec::new();
        for copy in 0..8 {
            let copied = copies.apply(&plain, copy, 0).inputs;
            assert!(!seen.contains(&copied));
            let mut undone = copied.clone();
            copies.undo(&mut undone, 9, copy, 0);
            assert_eq!(undone, tokens, "copy {copy}");
            seen.push(copied);
        }
        let error = SymmetricCopies::new(task, 9, 0).expect_err("only eight").to_string();
        assert_eq!(error, "--augmentations: expected 1 to 8 copies of a maze-3x3, found 9");
        assert!(SymmetricCopies::new(Task::Arc, 2, 0).is_err());
    }
}
