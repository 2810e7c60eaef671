//! Sudoku as the engine sees it: boards to tokens and back, and the rules as a check on predictions.

use datasets::Task;
use datasets::sudoku::{Board, SudokuShape, pinned};

use crate::{Rules, SymmetricCopy};

/// The rules of one board size, and what further chains see.
#[derive(Debug, Clone, Copy)]
pub struct SudokuRules {
    /// The board.
    pub shape: SudokuShape,
    /// Whether the model's answers commute with the symmetries of the board, so that a symmetric copy says nothing new:
    /// further chains then see the puzzle with a guess pinned ([`pinned`]).
    pub is_equivariant: bool,
}

impl Rules for SudokuRules {
    fn obeyed(&self, inputs: &[i64], answer: &[i64]) -> bool {
        board_from_tokens(self.shape, answer).is_solution_of(&board_from_tokens(self.shape, inputs))
    }

    fn has_symmetries(&self) -> bool {
        true
    }

    fn copy(&self, inputs: &[i64], seed: u64, index: u64) -> Option<SymmetricCopy> {
        if self.is_equivariant {
            let board = pinned(&board_from_tokens(self.shape, inputs), seed, index.saturating_sub(1))?;
            // What solves the pinned puzzle solves the puzzle, and no answer is taken that does not.
            return Some(SymmetricCopy { tokens: tokens_of(&board), undo: Box::new(<[i64]>::to_vec) });
        }
        SymmetricCopy::of(Task::Sudoku(self.shape), inputs, seed, index)
    }
}

/// `[cells]` tokens of a board.
pub fn tokens_of(board: &Board) -> Vec<i64> {
    board.to_tokens().into_iter().map(i64::from).collect()
}

/// The board that `[cells]` predicted tokens show. A prediction that is not a digit of the board shows as a blank, which
/// no rule check accepts.
///
/// # Panics
/// When there are not as many tokens as cells.
pub fn board_from_tokens(shape: SudokuShape, tokens: &[i64]) -> Board {
    let size = shape.size() as i64;
    let cells = tokens
        .iter()
        .map(|token| token.saturating_sub(1))
        .map(|value| if (1..=size).contains(&value) { value as u8 } else { 0 });
    Board::from_cells(shape, cells.collect()).expect("values lie within the board, and there is one per cell")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUZZLE: &str = "7.....8....2..5....3..6..9..7.6....1...1.3.7.....7.9.....4.2....9..3..1..2..1643.";

    #[test]
    fn further_chains_see_symmetric_copies_or_of_equivariant_models_the_puzzle_with_a_pin() {
        let shape = SudokuShape::NINE;
        let inputs = tokens_of(&Board::parse(PUZZLE).unwrap());
        let changed = |tokens: &[i64]| tokens.iter().zip(&inputs).filter(|(one, other)| one != other).count();
        let copy = SudokuRules { shape, is_equivariant: false }.copy(&inputs, 0, 1).unwrap();
        assert!(changed(&copy.tokens) > 20 && changed(&(copy.undo)(&copy.tokens)) == 0);
        let rules = SudokuRules { shape, is_equivariant: true };
        let pinned: Vec<SymmetricCopy> = (1..=8).map(|index| rules.copy(&inputs, 0, index).unwrap()).collect();
        for (index, copy) in pinned.iter().enumerate() {
            assert_eq!((changed(&copy.tokens), (copy.undo)(&copy.tokens)), (1, copy.tokens.clone()));
            assert!(pinned[..index].iter().all(|other| other.tokens != copy.tokens), "pin {index} came before");
        }
    }
}
