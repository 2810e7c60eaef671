//! The solver for every board size, and the difficulty rating that follows from its search.
//! Owns singles, branching and the guess budget; leaves the generator's fast path for 9×9 to [`super::bitboard`].

use super::SudokuRng;
use super::layout::Layout;
use super::{Board, SudokuShape};

/// Guesses after which [`solve`] gives up: far beyond any proper 9×9 puzzle, a fraction of a second on 16×16.
pub const DEFAULT_GUESS_BUDGET: u32 = 100_000;

/// How many solutions a board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The givens allow no solution.
    None,
    /// Exactly one solution: a proper puzzle.
    Unique,
    /// At least two solutions.
    Multiple,
    /// The search was cut short; [`Solutions::first`] may hold a solution, of which there may be more.
    BudgetExhausted,
}

/// What the search for up to two solutions found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solutions {
    /// How many solutions there are.
    pub verdict: Verdict,
    /// The first solution found, if any.
    pub first: Option<Board>,
    /// A second, different solution when there is one.
    pub second: Option<Board>,
    /// Difficulty: guesses taken until the tree was searched to its end or a second solution appeared.
    ///
    /// Naked and hidden singles are free. When they lead nowhere, one digit is assumed in one cell, which is one guess:
    /// the cell with the fewest candidates (the first in reading order, its lowest digit), or, if every open cell has
    /// three or more, the first place of a digit with two places in a unit (rows, then columns, then boxes). A refuted
    /// guess is crossed out and singles go on, at no further cost. A puzzle that singles solve is rated 0. The rating
    /// depends on the arrangement: symmetric copies of a puzzle may differ by a few guesses.
    pub guesses: u32,
}

impl Solutions {
    /// The solution of a proper puzzle: present only where it is unique.
    pub fn unique(&self) -> Option<&Board> {
        self.first.as_ref().filter(|_| self.verdict == Verdict::Unique)
    }
}

/// Searches for up to two solutions within [`DEFAULT_GUESS_BUDGET`] guesses.
pub fn solve(board: &Board) -> Solutions {
    solve_with_budget(board, DEFAULT_GUESS_BUDGET)
}

/// Searches for up to two solutions and gives up after `guess_budget` guesses.
///
/// Contradictory boards of any kind are [`Verdict::None`], never an error.
pub fn solve_with_budget(board: &Board, guess_budget: u32) -> Solutions {
    let mut search = Search::new(board.shape(), 2, guess_budget);
    search.run(board.cells(), None);
    let mut found = search.found.into_iter().map(|cells| Board::from_solver(board.shape(), cells));
    let (first, second) = (found.next(), found.next());
    let verdict = match (&first, &second) {
        (Some(_), Some(_)) => Verdict::Multiple,
        _ if search.exhausted => Verdict::BudgetExhausted,
        (Some(_), None) => Verdict::Unique,
        (None, _) => Verdict::None,
    };
    Solutions { verdict, first, second, guesses: search.guesses }
}

/// A depth-first search over binary decisions "this digit here, or not".
#[derive(Debug)]
pub(super) struct Search<'a> {
    layout: &'static Layout,
    size: usize,
    cells: usize,
    solution_limit: usize,
    guess_budget: u32,
    /// Draws the guessed digit instead of taking the lowest.
    rng: Option<&'a mut SudokuRng>,
    /// Cells that have just got their digit and must tell their peers.
    fresh: Vec<u8>,
    pub(super) guesses: u32,
    pub(super) exhausted: bool,
    pub(super) found: Vec<Vec<u8>>,
}

/// Candidates of every cell at one node of the tree.
#[derive(Clone)]
struct Node {
    /// Bit `d - 1` stands for digit `d`.
    candidates: [u16; 256],
    /// Bit set of units in which a candidate has vanished since they were last looked at.
    stale_units: u64,
}

/// Why propagation stopped: some cell or digit has no place left.
struct DeadEnd;

impl<'a> Search<'a> {
    /// A search that stops after `solution_limit` solutions or `guess_budget` guesses.
    pub(super) fn new(shape: SudokuShape, solution_limit: usize, guess_budget: u32) -> Self {
        Self {
            layout: Layout::of(shape),
            size: shape.size(),
            cells: shape.cells(),
            solution_limit,
            guess_budget,
            rng: None,
            fresh: Vec::with_capacity(shape.cells()),
            guesses: 0,
            exhausted: false,
            found: Vec::new(),
        }
    }

    /// Lets `rng` choose among the candidates of a guess.
    pub(super) fn randomly(mut self, rng: &'a mut SudokuRng) -> Self {
        self.rng = Some(rng);
        self
    }

    /// Searches from row-major givens (0 = blank); `forbidden` is a `(cell, digit)` that no solution may hold.
    pub(super) fn run(&mut self, givens: &[u8], forbidden: Option<(usize, u8)>) {
        let full = u16::MAX >> (16 - self.size);
        let mut root = Node { candidates: [full; 256], stale_units: u64::MAX >> (64 - self.layout.unit_count()) };
        if self.place_givens(&mut root, givens, forbidden).is_ok() {
            self.descend(root);
        }
    }

    fn place_givens(&mut self, root: &mut Node, givens: &[u8], forbidden: Option<(usize, u8)>) -> Result<(), DeadEnd> {
        self.fresh.clear();
        for (cell, &digit) in givens.iter().enumerate().filter(|(_, digit)| **digit != 0) {
            self.restrict(root, cell, 1 << (digit - 1))?;
        }
        if let Some((cell, digit)) = forbidden {
            self.restrict(root, cell, !(1 << (digit - 1)))?;
        }
        Ok(())
    }

    /// Explores everything below a node; recursion is as deep as guesses stand at once, at most one per cell.
    fn descend(&mut self, mut node: Node) {
        while self.propagate(&mut node).is_ok() {
            let Some((cell, digit)) = self.choose(&node) else {
                self.found
                    .push(node.candidates[..self.cells].iter().map(|bits| bits.trailing_zeros() as u8 + 1).collect());
                return;
            };
            if self.guesses == self.guess_budget {
                self.exhausted = true;
                return;
            }
            self.guesses += 1;
            let mut assumed = node.clone();
            self.fresh.clear();
            if self.restrict(&mut assumed, cell, digit).is_ok() {
                self.descend(assumed);
            }
            if self.exhausted || self.found.len() >= self.solution_limit {
                return;
            }
            self.fresh.clear();
            if self.restrict(&mut node, cell, !digit).is_err() {
                return;
            }
        }
    }

    /// Keeps only the candidates in `allowed`.
    #[inline]
    fn restrict(&mut self, node: &mut Node, cell: usize, allowed: u16) -> Result<(), DeadEnd> {
        let before = node.candidates[cell];
        let after = before & allowed;
        if after == before {
            return Ok(());
        }
        if after == 0 {
            return Err(DeadEnd);
        }
        node.candidates[cell] = after;
        for unit in self.layout.units_of(cell) {
            node.stale_units |= 1 << unit;
        }
        if after.is_power_of_two() {
            self.fresh.push(cell as u8);
        }
        Ok(())
    }

    /// Applies naked and hidden singles until nothing changes.
    fn propagate(&mut self, node: &mut Node) -> Result<(), DeadEnd> {
        loop {
            while let Some(cell) = self.fresh.pop() {
                let digit = node.candidates[usize::from(cell)];
                for &peer in self.layout.peers(usize::from(cell)) {
                    self.restrict(node, usize::from(peer), !digit)?;
                }
            }
            if node.stale_units == 0 {
                return Ok(());
            }
            let unit = node.stale_units.trailing_zeros();
            node.stale_units &= node.stale_units - 1;
            self.hidden_singles(node, unit as usize)?;
        }
    }

    fn hidden_singles(&mut self, node: &mut Node, unit: usize) -> Result<(), DeadEnd> {
        let cells = self.layout.unit(unit);
        let (mut once, mut twice) = (0, 0);
        for &cell in cells {
            let bits = node.candidates[usize::from(cell)];
            twice |= once & bits;
            once |= bits;
        }
        if u32::from(once) != (1 << self.size) - 1 {
            return Err(DeadEnd);
        }
        let hidden = once & !twice;
        if hidden == 0 {
            return Ok(());
        }
        for &cell in cells {
            let only_here = node.candidates[usize::from(cell)] & hidden;
            if only_here != 0 {
                if !only_here.is_power_of_two() {
                    return Err(DeadEnd);
                }
                self.restrict(node, usize::from(cell), only_here)?;
            }
        }
        Ok(())
    }

    /// The cell and digit (as a bit) to assume next; `None` when every cell has its digit.
    fn choose(&mut self, node: &Node) -> Option<(usize, u16)> {
        let mut fewest = (u32::MAX, 0);
        for (cell, bits) in node.candidates[..self.cells].iter().enumerate() {
            let count = bits.count_ones();
            if count > 1 && count < fewest.0 {
                fewest = (count, cell);
                if count == 2 {
                    break;
                }
            }
        }
        let (count, cell) = fewest;
        if count == u32::MAX {
            return None;
        }
        if count > 2
            && let Some(choice) = self.digit_with_two_places(node)
        {
            return Some(choice);
        }
        let mut bits = node.candidates[cell];
        if let Some(rng) = self.rng.as_deref_mut() {
            for _ in 0..rng.below(count) {
                bits &= bits - 1;
            }
        }
        Some((cell, bits & bits.wrapping_neg()))
    }

    fn digit_with_two_places(&self, node: &Node) -> Option<(usize, u16)> {
        self.layout.units().find_map(|cells| {
            let (mut once, mut twice, mut thrice) = (0_u16, 0_u16, 0_u16);
            for &cell in cells {
                let bits = node.candidates[usize::from(cell)];
                thrice |= twice & bits;
                twice |= once & bits;
                once |= bits;
            }
            let in_two_places = twice & !thrice;
            let digit = in_two_places & in_two_places.wrapping_neg();
            cells
                .iter()
                .find(|&&cell| digit != 0 && node.candidates[usize::from(cell)] & digit != 0)
                .map(|&cell| (usize::from(cell), digit))
        })
    }
}
