//! Local search for hard 9×9 puzzles: an annealed walk from a random minimal puzzle, through puzzles a few clues apart,
//! towards more work of refutation. Owns the walk; leaves its moves to [`super::vicinity`], ratings to
//! [`super::hardness`], and which puzzles are worth keeping to [`super::search`].

use super::bitboard::Bitboard;
use super::generator::minimal_puzzle;
use super::hardness::refutation_work;
use super::vicinity::{Clues, random_neighbour};
use super::{SudokuError, SudokuRng, SudokuShape};

/// Temperature at the beginning and at the end, in logarithms of work: higher ones wander, lower ones get stuck
/// (docs/datasets/hard-sudoku.md has the figures).
const TEMPERATURES: (f64, f64) = (0.2, 0.1);
/// Of ten moves, those that take one clue out, and those that take two; the rest takes three.
const MOVES_OF_TEN: (u32, u32) = (8, 1);
/// Score of every puzzle that needs nested assumptions: a plateau, so that the walk goes on among them. Far above what
/// the others reach (3.5 or so).
const NESTED_SCORE: f64 = 6.0;

/// Walks `steps` moves and shows every puzzle that the walk enters, which is proper and minimal.
pub(super) fn climb(steps: u32, rng: &mut SudokuRng, mut visit: impl FnMut(&Clues)) -> Result<(), SudokuError> {
    let mut current = Clues::of(&minimal_puzzle(SudokuShape::NINE, rng)?);
    let mut score = score(&current);
    let (start, end) = TEMPERATURES;
    for step in 0..steps {
        let removed = match rng.below(10) {
            draw if draw < MOVES_OF_TEN.0 => 1,
            draw if draw < MOVES_OF_TEN.0 + MOVES_OF_TEN.1 => 2,
            _ => 3,
        };
        let Some(next) = random_neighbour(&current, removed, rng) else { continue };
        let next_score = self::score(&next);
        let temperature = start + (end - start) * f64::from(step) / f64::from(steps);
        // A uniform draw in (0, 1].
        let uniform = f64::from(rng.below(1 << 24) + 1) / f64::from(1 << 24);
        if next_score >= score + temperature * uniform.ln() {
            (current, score) = (next, next_score);
            visit(&current);
        }
    }
    Ok(())
}

fn score(clues: &Clues) -> f64 {
    let work = refutation_work(Bitboard::of_givens(&clues.cells), &Bitboard::of_solution(&clues.solution));
    work.ln_1p().min(NESTED_SCORE)
}
