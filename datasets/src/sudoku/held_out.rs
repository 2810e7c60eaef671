//! Evaluation puzzles that no training seed can produce as a stream, with their difficulty.
//! Owns the fixed stream and the rating; leaves scoring to the evaluation.

use super::draw::Purpose;
use super::generator::reveal;
use super::source::GeneratorOptions;
use super::{Board, SudokuError, solve};

/// An evaluation puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOutPuzzle {
    /// The givens.
    pub puzzle: Board,
    /// The only solution.
    pub solution: Board,
    /// Difficulty, as [`Solutions::guesses`](super::Solutions::guesses).
    pub guesses: u32,
    /// Number of givens.
    pub givens: usize,
}

/// The first `count` evaluation puzzles for `size`, `seed`, `givens` and `extra_clues` of the options.
///
/// They come from streams of their own: no seed of a [`GeneratedSource`](super::GeneratedSource) reaches them, so on
/// 9×9 and 16×16 a puzzle seen in training is as good as impossible. There are only 288 complete 4×4 grids, which any
/// training run sees all of. Puzzle `i` does not depend on `count`. Givens and extra clues
/// are as in training: their numbers are drawn from `givens` and `extra_clues` for each puzzle; equal bounds fix them.
///
/// # Errors
/// When the options are invalid.
pub fn held_out(options: &GeneratorOptions, count: usize) -> Result<Vec<HeldOutPuzzle>, SudokuError> {
    options.validate()?;
    (0..count as u64).map(|index| held_out_at(options, index)).collect()
}

/// Puzzle number `index` of [`held_out`].
///
/// # Errors
/// When the options are invalid.
pub fn held_out_at(options: &GeneratorOptions, index: u64) -> Result<HeldOutPuzzle, SudokuError> {
    let shape = options.validate()?;
    let mut rng = Purpose::HeldOut.stream(options.seed, shape, index);
    let drawn = options.draw_puzzle(shape, &mut rng)?;
    let puzzle = reveal(&drawn, options.draw_extra_clues(&mut rng), &mut rng);
    let guesses = solve(&puzzle).guesses;
    Ok(HeldOutPuzzle { givens: puzzle.givens(), puzzle, solution: drawn.solution, guesses })
}
