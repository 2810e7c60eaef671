//! How hard a 9×9 puzzle is: the weakest logic that solves it, and the guesses that a solver needs on average.
//! Owns the measure; leaves propagation to [`super::bitboard`] and [`super::eliminations`].

use serde::{Deserialize, Serialize};

use super::bitboard::{Bitboard, State};
use super::eliminations::{eliminate_pairs, propagate};
use super::{Board, SudokuError, SudokuRng, SudokuShape, solve};

/// Branching orders that [`hardness`] averages over.
pub const HARDNESS_ORDERS: u32 = 16;
/// Seed of the branching orders: a constant, so that a puzzle has one rating everywhere.
const ORDER_SEED: u64 = 0x5EED;

/// The weakest of four ever stronger logics that solves a puzzle. The same for all symmetric copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogicLevel {
    /// Naked and hidden singles.
    Singles,
    /// Also locked candidates, and naked and hidden pairs.
    Pairs,
    /// Also refutation: a candidate goes when assuming it makes singles and locked candidates contradict themselves.
    /// Most chains and fish of published solving techniques are special cases.
    Refutation,
    /// None of these: assumptions must be nested. Of 20,000 random minimal puzzles none was.
    Nested,
}

impl LogicLevel {
    /// All levels, easiest first.
    pub const ALL: [Self; 4] = [Self::Singles, Self::Pairs, Self::Refutation, Self::Nested];

    /// The level's name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Singles => "singles",
            Self::Pairs => "pairs",
            Self::Refutation => "refutation",
            Self::Nested => "nested",
        }
    }
}

/// The rating of a puzzle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hardness {
    /// The weakest logic that solves it.
    pub level: LogicLevel,
    /// Guesses until the only solution is found and proved, the mean over [`HARDNESS_ORDERS`] random branching orders.
    ///
    /// Between guesses the solver knows singles and locked candidates. It guesses in a random cell of two candidates
    /// (of three where there is none, else in any), a random one of them; a refuted guess is crossed out. The mean of
    /// 16 orders differs between symmetric copies by a tenth or so; one order alone differs by half.
    pub guesses: f64,
}

/// Rates a proper 9×9 puzzle: about a tenth of a millisecond for a random minimal one, milliseconds for the hardest.
///
/// # Errors
/// [`SudokuError::WrongShape`] for other sizes, [`SudokuError::NotProper`] without exactly one solution.
pub fn hardness(puzzle: &Board) -> Result<Hardness, SudokuError> {
    if puzzle.shape() != SudokuShape::NINE {
        return Err(SudokuError::WrongShape { expected: 9, found: puzzle.shape().size() });
    }
    let board = Bitboard::of_givens(puzzle.cells());
    let mut solutions = 0;
    board.descend(&mut |_| {
        solutions += 1;
        solutions > 1
    });
    if solutions != 1 {
        return Err(SudokuError::NotProper { several: solutions > 1 });
    }
    let level = logic_level(puzzle, board);
    let guesses = if level == LogicLevel::Singles { 0.0 } else { mean_guesses(board, HARDNESS_ORDERS) };
    Ok(Hardness { level, guesses })
}

/// The mean over branching orders of the guesses that search a board to its end.
pub(super) fn mean_guesses(mut board: Bitboard, orders: u32) -> f64 {
    if propagate(&mut board) != State::Open {
        return 0.0;
    }
    let mut rng = SudokuRng::from_seed(ORDER_SEED);
    let total: u32 = (0..orders).map(|_| count_guesses(board, &mut rng)).sum();
    f64::from(total) / f64::from(orders)
}

/// The work of refuting a proper puzzle: assumptions to try, on average, until one is refuted, summed over rounds that
/// each remove all candidates refuted at once; 0 where pairs suffice, infinite where a round refutes nothing.
///
/// The narrowest passage dominates it, as it does what people call hard: the slope that local search climbs.
pub(super) fn refutation_work(mut board: Bitboard, solution: &Bitboard) -> f64 {
    let mut work = 0.0;
    let mut state = propagate_with_pairs(&mut board);
    while state == State::Open {
        let (next, wrong) = refuted_at_once(&board, solution);
        let refuted = wrong - wrong_candidates(&next, solution);
        work += f64::from(wrong) / f64::from(refuted);
        if refuted == 0 {
            break;
        }
        board = next;
        state = propagate(&mut board);
    }
    work
}

/// The board without the candidates that one assumption refutes, and the number of wrong candidates before.
fn refuted_at_once(board: &Bitboard, solution: &Bitboard) -> (Bitboard, u32) {
    let mut next = *board;
    for (band, digit) in (0..27).map(|pair| (pair / 9, pair % 9)) {
        let mut untried = board.places(band, digit) & !solution.places(band, digit);
        while untried != 0 {
            let cell = untried & untried.wrapping_neg();
            let mut assumed = *board;
            assumed.assume(band, cell, digit);
            if propagate(&mut assumed) == State::Dead {
                next.exclude(band, cell, digit);
            }
            untried &= !cell;
        }
    }
    (next, wrong_candidates(board, solution))
}

fn wrong_candidates(board: &Bitboard, solution: &Bitboard) -> u32 {
    let wrong = |pair: usize| board.places(pair / 9, pair % 9) & !solution.places(pair / 9, pair % 9);
    (0..27).map(|pair| wrong(pair).count_ones()).sum()
}

fn propagate_with_pairs(board: &mut Bitboard) -> State {
    let mut state = propagate(board);
    while state == State::Open && eliminate_pairs(board) {
        state = propagate(board);
    }
    state
}

fn logic_level(puzzle: &Board, mut board: Bitboard) -> LogicLevel {
    if solve(puzzle).guesses == 0 {
        return LogicLevel::Singles;
    }
    match propagate_with_pairs(&mut board) {
        State::Dead | State::Solved => LogicLevel::Pairs,
        State::Open if refute(&mut board) == State::Open => LogicLevel::Nested,
        State::Open => LogicLevel::Refutation,
    }
}

/// Guesses of one random branching order below a board.
fn count_guesses(mut board: Bitboard, rng: &mut SudokuRng) -> u32 {
    let mut guesses = 0;
    while propagate(&mut board) == State::Open {
        let (band, cell, digit) = random_branch(&board, rng);
        let mut assumed = board;
        assumed.assume(band, cell, digit);
        guesses += 1 + count_guesses(assumed, rng);
        board.exclude(band, cell, digit);
    }
    guesses
}

/// A random candidate of a random cell among those of fewest candidates (more than three count alike).
fn random_branch(board: &Bitboard, rng: &mut SudokuRng) -> (usize, u32, usize) {
    // [candidates - 2, band]: cells with two candidates, with three, with more.
    let mut cells = [[0_u32; 3]; 3];
    let [twos, threes, more] = &mut cells;
    for (band, ((twos, threes), more)) in twos.iter_mut().zip(threes).zip(more).enumerate() {
        let (mut one, mut two, mut three, mut four) = (0, 0, 0, 0);
        for digit in 0..9 {
            let places = board.places(band, digit);
            four |= three & places;
            three |= two & places;
            two |= one & places;
            one |= places;
        }
        (*twos, *threes, *more) = (two & !three, three & !four, four);
    }
    let fewest = cells.into_iter().find(|bands| *bands != [0; 3]).unwrap_or_default();
    let mut nth = rng.below(fewest.iter().map(|cells| cells.count_ones()).sum());
    let (mut band, mut bits) = (0, fewest[0]);
    while nth >= bits.count_ones() {
        nth -= bits.count_ones();
        band += 1;
        bits = fewest[band];
    }
    for _ in 0..nth {
        bits &= bits - 1;
    }
    let cell = bits & bits.wrapping_neg();
    let mut candidates = (0..9).filter(|&digit| board.places(band, digit) & cell != 0);
    let nth = rng.below(candidates.clone().count() as u32) as usize;
    (band, cell, candidates.nth(nth).unwrap_or_default())
}

/// Removes every candidate whose assumption propagates to a contradiction, until none does.
fn refute(board: &mut Bitboard) -> State {
    let mut state = propagate(board);
    // Candidates looked at since the last one that fell: once all have been, none can fall any more.
    let mut stable = false;
    while state == State::Open && !stable {
        stable = true;
        for (band, digit) in (0..27).map(|pair| (pair / 9, pair % 9)) {
            let mut untried = board.places(band, digit);
            while untried != 0 && state == State::Open {
                let cell = untried & untried.wrapping_neg();
                let mut assumed = *board;
                assumed.assume(band, cell, digit);
                if assumed != *board && propagate(&mut assumed) == State::Dead {
                    board.exclude(band, cell, digit);
                    state = propagate(board);
                    stable = false;
                }
                untried &= !cell & board.places(band, digit);
            }
        }
    }
    state
}
