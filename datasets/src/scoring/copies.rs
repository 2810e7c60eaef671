//! Symmetric copies of puzzles: predict on each, undo the symmetry, vote. The engine's chains and the trainer's evaluations
//! see the same copies. Owns which copy a puzzle gets and undoing it on tokens; leaves symmetries to the tasks and votes to
//! the ballot.

use crate::sudoku::Symmetry;
use crate::{Batch, DatasetError, Dihedral, Task};

/// `count` copies of every puzzle of a test set; the first is the puzzle itself.
///
/// Which one copy number `copy` gets says [`BoardSymmetry::of_copy`], with the [`puzzle_seed`] of the example's number; a maze
/// has 8 with itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymmetricCopies {
    task: Task,
    count: usize,
    seed: u64,
}

/// A symmetry of a board, by which a model sees a copy of a puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardSymmetry {
    /// Digits renamed, bands, rows, stacks and columns permuted, transposed.
    Sudoku(Symmetry),
    /// A rotation or reflection of a square of `side` cells.
    Maze {
        /// Which.
        transform: Dihedral,
        /// Cells a side.
        side: usize,
    },
}

/// The seed of the copies (and of the noise) of puzzle number `number`, so that chance does not strike all puzzles alike.
pub fn puzzle_seed(seed: u64, number: u64) -> u64 {
    seed.wrapping_add(number)
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
    fn map(&self, copy: usize, example: u64) -> Option<BoardSymmetry> {
        assert!(copy < self.count, "copy {copy} of {}", self.count);
        if copy == 0 {
            return None;
        }
        BoardSymmetry::of_copy(self.task, puzzle_seed(self.seed, example), copy as u64)
    }
}

impl BoardSymmetry {
    /// The symmetry of copy number `copy`, from 1, of those that `seed` draws: of a Sudoku any, of a maze one of the seven
    /// rotations and reflections besides itself, in an order that the seed shifts. ARC's data sets hold their augmentations.
    pub fn of_copy(task: Task, seed: u64, copy: u64) -> Option<Self> {
        const OTHERS: u64 = Dihedral::COUNT as u64 - 1;
        match task {
            Task::Sudoku(shape) => Some(Self::Sudoku(Symmetry::numbered(shape, seed, copy))),
            Task::Maze(shape) => {
                let number = 1 + (seed % OTHERS + copy % OTHERS) % OTHERS;
                Some(Self::Maze { transform: Dihedral::ALL[number as usize], side: shape.side() })
            }
            Task::Arc => None,
        }
    }

    /// `[cells]` tokens seen through it.
    ///
    /// # Panics
    /// When there are not as many tokens as cells.
    pub fn apply<T: Copy + Into<i64> + From<i32>>(&self, tokens: &[T]) -> Vec<T> {
        match self {
            Self::Sudoku(symmetry) => symmetry.apply_to_tokens(tokens),
            Self::Maze { transform, side } => transform.apply(tokens, *side, *side),
        }
    }

    /// The symmetry that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
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
                // A pad token, which is not a digit, moves with its cell.
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
