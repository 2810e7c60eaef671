//! Puzzles with exactly one solution: random grids, reduced to minimal puzzles or to a number of givens, then eased by
//! revealed clues.
//! Owns the reduction and the search for puzzles on request; leaves proofs of uniqueness to the two solvers.

use super::SudokuRng;
use super::bitboard::Bitboard;
use super::draw::Purpose;
use super::solver::Search;
use super::unavoidable::{CellSet, two_digit_sets};
use super::{Board, SudokuError, SudokuShape, Verdict, solve};

/// Grids tried for one puzzle before giving up. Minimal puzzles need one up to 9×9 and now and then a few on 16×16.
const MAX_GRIDS: u32 = 1_000;
/// Guesses spent on completing a random grid before another one is begun.
const GRID_GUESSES: u32 = 2_000;
/// Guesses spent on one proof of uniqueness (sizes other than 9×9) before the grid is given up.
const PROOF_GUESSES: u32 = 5_000;
/// Guesses spent on showing that too few clues are ambiguous before another clue is added.
const AMBIGUITY_GUESSES: u32 = 500;

/// A puzzle and its only solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Puzzle {
    /// The givens.
    pub puzzle: Board,
    /// The completed grid.
    pub solution: Board,
}

/// What a puzzle on request has to fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PuzzleRequest {
    /// Board shape.
    pub shape: SudokuShape,
    /// Exact number of givens; `None` leaves the puzzle minimal (no given can be spared).
    pub givens: Option<usize>,
    /// Least difficulty, in [`Solutions::guesses`](super::Solutions::guesses).
    pub min_guesses: u32,
    /// Puzzles to draw before giving up.
    pub max_attempts: u32,
}

impl PuzzleRequest {
    /// Any minimal puzzle of a shape.
    pub fn minimal(shape: SudokuShape) -> Self {
        Self { shape, givens: None, min_guesses: 0, max_attempts: 10_000 }
    }
}

/// Puzzle number `index` of a seed: a pure function of its arguments, so that ranges can be drawn in parallel.
///
/// # Errors
/// When `givens` exceeds the board, or no puzzle meets the request within `max_attempts`.
pub fn generate(request: &PuzzleRequest, seed: u64, index: u64) -> Result<Puzzle, SudokuError> {
    let PuzzleRequest { shape, givens, min_guesses, max_attempts } = *request;
    if let Some(givens) = givens.filter(|&givens| givens > shape.cells()) {
        return Err(SudokuError::Option {
            name: "givens",
            expected: format!("at most the board's {} cells", shape.cells()),
            found: givens.to_string(),
        });
    }
    let mut rng = Purpose::Request.stream(seed, shape, index);
    for _ in 0..max_attempts {
        let drawn = match givens {
            None => minimal_puzzle(shape, &mut rng)?,
            Some(givens) => match reduced_grid(shape, givens, &mut rng) {
                Some(drawn) if drawn.puzzle.givens() == givens => drawn,
                _ => continue,
            },
        };
        if min_guesses == 0 || solve(&drawn.puzzle).guesses >= min_guesses {
            return Ok(drawn);
        }
    }
    let givens = givens.map_or_else(String::new, |givens| format!("exactly {givens} givens and "));
    Err(SudokuError::NotFound {
        size: shape.size(),
        wanted: format!("{givens}at least {min_guesses} guesses"),
        attempts: max_attempts,
        advice: "ask for more givens or fewer guesses, or allow more attempts",
    })
}

/// A random puzzle none of whose givens can be spared, with its solution.
///
/// The grid is drawn first; clues are then taken away in random order, each one that uniqueness can do without.
///
/// # Errors
/// When [`SudokuError::NotFound`]: no grid of 1,000 could be reduced within the guess budgets (not seen in practice).
pub fn minimal_puzzle(shape: SudokuShape, rng: &mut SudokuRng) -> Result<Puzzle, SudokuError> {
    let drawn = (0..MAX_GRIDS).find_map(|_| reduced_grid(shape, 0, rng));
    drawn.ok_or_else(|| SudokuError::NotFound {
        size: shape.size(),
        wanted: "a provably unique solution".to_owned(),
        attempts: MAX_GRIDS,
        advice: "use another seed",
    })
}

/// A random puzzle with exactly `givens` givens, and its solution: clues are taken away from a random grid as for
/// [`minimal_puzzle`], until so many are left.
///
/// # Errors
/// When [`SudokuError::NotFound`]: none of 1,000 grids could be reduced so far.
pub(super) fn puzzle_of_givens(shape: SudokuShape, givens: usize, rng: &mut SudokuRng) -> Result<Puzzle, SudokuError> {
    let is_wanted = |drawn: &Puzzle| drawn.puzzle.givens() == givens;
    let drawn = (0..MAX_GRIDS).find_map(|_| reduced_grid(shape, givens, rng).filter(is_wanted));
    drawn.ok_or_else(|| SudokuError::NotFound {
        size: shape.size(),
        wanted: format!("{givens} givens and one solution"),
        attempts: MAX_GRIDS,
        advice: "ask for more givens",
    })
}

/// Whether a board has one solution and more than one as soon as any of its givens is removed.
///
/// A board that the solver's default budget cannot decide counts as not minimal.
pub fn is_minimal(puzzle: &Board) -> bool {
    solve(puzzle).verdict == Verdict::Unique
        && (0..puzzle.cells().len()).filter(|&cell| puzzle.cells()[cell] != 0).all(|cell| {
            let mut cells = puzzle.cells().to_vec();
            cells[cell] = 0;
            solve(&Board::from_solver(puzzle.shape(), cells)).verdict == Verdict::Multiple
        })
}

/// The puzzle with `extra` of its blanks, chosen at random, filled from the solution (all of them if there are fewer).
pub(super) fn reveal(drawn: &Puzzle, extra: usize, rng: &mut SudokuRng) -> Board {
    let mut cells = drawn.puzzle.cells().to_vec();
    let mut blanks: Vec<usize> = (0..cells.len()).filter(|&cell| cells[cell] == 0).collect();
    for chosen in 0..extra.min(blanks.len()) {
        let other = chosen + rng.below((blanks.len() - chosen) as u32) as usize;
        blanks.swap(chosen, other);
        cells[blanks[chosen]] = drawn.solution.cells()[blanks[chosen]];
    }
    Board::from_solver(drawn.puzzle.shape(), cells)
}

/// A random grid as the solution of a puzzle with `givens` givens, or with more where none of them can be spared; `None`
/// when the grid or a proof exceeded its budget.
fn reduced_grid(shape: SudokuShape, givens: usize, rng: &mut SudokuRng) -> Option<Puzzle> {
    let solution = random_grid(shape, rng)?;
    let kept = reduce(shape, &solution, givens, rng)?;
    let puzzle = (0..shape.cells()).map(|cell| if kept.contains(cell) { solution[cell] } else { 0 }).collect();
    Some(Puzzle { puzzle: Board::from_solver(shape, puzzle), solution: Board::from_solver(shape, solution) })
}

/// A complete valid grid; `None` when the random beginning could not be completed cheaply.
fn random_grid(shape: SudokuShape, rng: &mut SudokuRng) -> Option<Vec<u8>> {
    let size = shape.size();
    let mut givens = vec![0; shape.cells()];
    let mut digits: Vec<u8> = (1..=size as u8).collect();
    // Boxes on the diagonal share no unit, so each may be filled at will.
    for nth in 0..(size / shape.box_rows()).min(size / shape.box_cols()) {
        rng.shuffle(&mut digits);
        for (place, &digit) in digits.iter().enumerate() {
            let row = nth * shape.box_rows() + place / shape.box_cols();
            let col = nth * shape.box_cols() + place % shape.box_cols();
            givens[row * size + col] = digit;
        }
    }
    if shape == SudokuShape::NINE {
        return Bitboard::complete_randomly(&givens, rng);
    }
    let mut search = Search::new(shape, 1, GRID_GUESSES).randomly(rng);
    search.run(&givens, None);
    search.found.pop()
}

/// The clues of a puzzle with this solution and `givens` givens, or more where none can be spared; `None` when a proof
/// exceeded its budget.
fn reduce(shape: SudokuShape, solution: &[u8], givens: usize, rng: &mut SudokuRng) -> Option<CellSet> {
    let rivals = Rivals::new(shape, solution);
    let mut order: Vec<usize> = (0..shape.cells()).collect();
    rng.shuffle(&mut order);
    let mut unavoidable = two_digit_sets(shape, solution);

    // Clues are removed from the end of `order` for as long as the rest is unique. The shortest unique beginning is
    // found from below: every set that it misses, known or discovered, says how far it must reach at least.
    let mut length = givens;
    let mut kept: CellSet = order[..length].iter().copied().collect();
    let mut missed: Vec<CellSet> = unavoidable.iter().filter(|set| !set.meets(&kept)).copied().collect();
    loop {
        while !missed.is_empty() {
            kept.insert(order[length]);
            missed.retain(|set| !set.contains(order[length]));
            length += 1;
        }
        match rivals.find(&kept, None, AMBIGUITY_GUESSES) {
            Rival::None => break,
            Rival::DiffersIn(cells) => {
                unavoidable.push(cells);
                missed.push(cells);
            }
            Rival::Undecided => {
                kept.insert(*order.get(length)?);
                length += 1;
            }
        }
    }

    let mut left = length;
    for &cell in order[..length].iter().rev() {
        if left == givens {
            break;
        }
        if unavoidable.iter().any(|set| set.meets_only_in(&kept, cell)) {
            continue;
        }
        match rivals.find(&kept.without(cell), Some(cell), PROOF_GUESSES) {
            Rival::None => {
                kept = kept.without(cell);
                left -= 1;
            }
            Rival::DiffersIn(cells) => unavoidable.push(cells),
            Rival::Undecided => return None,
        }
    }
    Some(kept)
}

/// Finds solutions that rival the intended one.
enum Rivals<'a> {
    Nine(Bitboard),
    Any { shape: SudokuShape, solution: &'a [u8] },
}

/// Another solution, or the lack of one.
enum Rival {
    None,
    /// There is one; these are the cells in which it differs.
    DiffersIn(CellSet),
    /// The budget did not suffice.
    Undecided,
}

impl<'a> Rivals<'a> {
    fn new(shape: SudokuShape, solution: &'a [u8]) -> Self {
        if shape == SudokuShape::NINE {
            Self::Nine(Bitboard::of_solution(solution))
        } else {
            Self::Any { shape, solution }
        }
    }

    /// A rival that shares the `kept` cells and differs in `changed`.
    fn find(&self, kept: &CellSet, changed: Option<usize>, guess_budget: u32) -> Rival {
        match self {
            Self::Nine(board) => board
                .other_solution(kept.bands(), changed)
                .map_or(Rival::None, |cells| Rival::DiffersIn(CellSet::from_bands(cells))),
            Self::Any { shape, solution } => {
                let givens: Vec<u8> =
                    (0..solution.len()).map(|cell| if kept.contains(cell) { solution[cell] } else { 0 }).collect();
                // Without a changed cell one of two solutions may be the intended one.
                let limit = if changed.is_some() { 1 } else { 2 };
                let mut search = Search::new(*shape, limit, guess_budget);
                search.run(&givens, changed.map(|cell| (cell, solution[cell])));
                match search.found.iter().find(|found| found != solution) {
                    Some(rival) => {
                        Rival::DiffersIn((0..solution.len()).filter(|&cell| rival[cell] != solution[cell]).collect())
                    }
                    None if search.exhausted => Rival::Undecided,
                    None => Rival::None,
                }
            }
        }
    }
}
