//! Search for 9×9 puzzles of few clues: one clue out, another in, over and over, and down whenever a clue can be spared.
//! Owns the walk; leaves listing completions to [`super::vicinity`].

use super::generator::minimal_puzzle;
use super::vicinity::{Clues, Completions};
use super::{SudokuError, SudokuRng, SudokuShape};

/// Grids that the clues may leave after one is taken out; more cost time and hold no more single deciding clues.
const COMPLETIONS: usize = 2_000;
/// Exchanges of one clue that are looked at from one puzzle; the last one is walked to if none spares a clue.
const EXCHANGES: usize = 48;
/// Moves in vain after which the walk goes back up.
const PATIENCE: u32 = 40;

/// Walks `steps` moves and shows every proper, minimal puzzle of at most `max_givens` clues that it enters.
pub(super) fn descend(
    steps: u32,
    max_givens: usize,
    rng: &mut SudokuRng,
    mut visit: impl FnMut(&Clues),
) -> Result<(), SudokuError> {
    let mut trail = vec![Clues::of(&minimal_puzzle(SudokuShape::NINE, rng)?)];
    let mut vain = 0;
    for _ in 0..steps {
        let Some(current) = trail.last() else { break };
        let Some(next) = exchange(current, rng) else {
            vain += 1;
            if vain > PATIENCE && trail.len() > 1 {
                trail.pop();
                vain = 0;
            }
            continue;
        };
        vain = 0;
        if next.count() == current.count() {
            trail.pop();
        }
        if next.count() <= max_givens {
            visit(&next);
        }
        trail.push(next);
    }
    Ok(())
}

/// A puzzle with one clue exchanged: the first found that can spare a clue, made minimal, else any.
fn exchange(clues: &Clues, rng: &mut SudokuRng) -> Option<Clues> {
    let mut base = *clues;
    let places = clues.places();
    let taken = places[rng.below(places.len() as u32) as usize];
    base.cells[taken] = 0;
    let completions = Completions::of(&base.cells, COMPLETIONS);
    if completions.truncated {
        return None;
    }
    let mut deciding = completions.deciding_clues();
    deciding.retain(|&(cell, grid)| cell != taken || completions.grids[grid] != clues.solution);
    rng.shuffle(&mut deciding);
    let mut last = None;
    for &(cell, grid) in deciding.iter().take(EXCHANGES) {
        let mut next = Clues { solution: completions.grids[grid], ..base };
        next.cells[cell] = next.solution[cell];
        if next.minimise(rng) > 0 {
            return Some(next);
        }
        last = Some(next);
    }
    last
}
