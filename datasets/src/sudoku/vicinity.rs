//! Puzzles near a puzzle: some clues out, others in, unique and minimal again. Owns these moves for 9×9 boards;
//! leaves where to go with them to [`super::local_search`] and [`super::few_clues`].

use super::bitboard::Bitboard;
use super::generator::Puzzle;
use super::unavoidable::CellSet;
use super::{Board, SudokuRng, SudokuShape};

/// Cells of a 9×9 board, row-major, 0 = blank.
pub(super) type Cells = [u8; 81];

/// A proper puzzle under change: clues and the only grid that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Clues {
    pub(super) cells: Cells,
    pub(super) solution: Cells,
}

impl Clues {
    /// The clues of a 9×9 puzzle.
    pub(super) fn of(puzzle: &Puzzle) -> Self {
        let mut clues = Self { cells: [0; 81], solution: [0; 81] };
        clues.cells.copy_from_slice(puzzle.puzzle.cells());
        clues.solution.copy_from_slice(puzzle.solution.cells());
        clues
    }

    /// The puzzle as boards.
    pub(super) fn to_puzzle(self) -> Puzzle {
        let board = |cells: Cells| Board::from_solver(SudokuShape::NINE, cells.to_vec());
        Puzzle { puzzle: board(self.cells), solution: board(self.solution) }
    }

    /// Number of clues.
    pub(super) fn count(&self) -> usize {
        self.cells.iter().filter(|&&digit| digit != 0).count()
    }

    /// The cells that hold a clue.
    pub(super) fn places(&self) -> Vec<usize> {
        (0..81).filter(|&cell| self.cells[cell] != 0).collect()
    }

    /// Removes, in random order, every clue that uniqueness can do without; says how many went.
    ///
    /// What has been found unavoidable on the way settles most questions without a search.
    pub(super) fn minimise(&mut self, rng: &mut SudokuRng) -> usize {
        let grid = Bitboard::of_solution(&self.solution);
        let mut order = self.places();
        rng.shuffle(&mut order);
        let mut kept: CellSet = order.iter().copied().collect();
        let mut unavoidable: Vec<CellSet> = Vec::new();
        let mut removed = 0;
        for &cell in &order {
            if unavoidable.iter().any(|set| set.meets_only_in(&kept, cell)) {
                continue;
            }
            let without = kept.without(cell);
            if let Some(rival) = grid.other_solution(without.bands(), Some(cell)) {
                unavoidable.push(CellSet::from_bands(rival));
            } else {
                kept = without;
                self.cells[cell] = 0;
                removed += 1;
            }
        }
        removed
    }
}

/// All grids that agree with some givens, up to a limit.
pub(super) struct Completions {
    pub(super) grids: Vec<Cells>,
    /// Whether the limit cut the list short.
    pub(super) truncated: bool,
}

impl Completions {
    /// The first `limit` grids that agree with the givens.
    pub(super) fn of(givens: &Cells, limit: usize) -> Self {
        let mut grids = Vec::new();
        let mut truncated = false;
        Bitboard::of_givens(givens).descend(&mut |board| {
            truncated = grids.len() == limit;
            if !truncated {
                grids.push(board.to_cells());
            }
            truncated
        });
        Self { grids, truncated }
    }

    /// Clues that single out one grid: `(cell, index of the grid)`. All of them if the list is whole.
    pub(super) fn deciding_clues(&self) -> Vec<(usize, usize)> {
        let mut counts = [[0_u32; 10]; 81];
        let mut last = [[0_usize; 10]; 81];
        for (index, grid) in self.grids.iter().enumerate() {
            for (cell, &digit) in grid.iter().enumerate() {
                counts[cell][usize::from(digit)] += 1;
                last[cell][usize::from(digit)] = index;
            }
        }
        let decides = |&(cell, digit): &(usize, usize)| counts[cell][digit] == 1;
        (0..81)
            .flat_map(|cell| (1..=9).map(move |digit| (cell, digit)))
            .filter(decides)
            .map(|(cell, digit)| (cell, last[cell][digit]))
            .collect()
    }
}

/// A random neighbour: `removed` clues out, a random grid of those that the rest allows, clues of that grid in until it
/// is the only one, and the clues out again that are not needed. `None` when nothing has changed.
pub(super) fn random_neighbour(clues: &Clues, removed: usize, rng: &mut SudokuRng) -> Option<Clues> {
    let mut next = *clues;
    let mut places = clues.places();
    rng.shuffle(&mut places);
    places.iter().take(removed).for_each(|&cell| next.cells[cell] = 0);
    next.solution.copy_from_slice(&Bitboard::complete_randomly(&next.cells, rng)?);
    let grid = Bitboard::of_solution(&next.solution);
    let mut kept: CellSet = next.places().into_iter().collect();
    while let Some(differing) = grid.other_solution(kept.bands(), None) {
        let differing = CellSet::from_bands(differing);
        let telling: Vec<usize> = (0..81).filter(|&cell| differing.contains(cell)).collect();
        let cell = telling[rng.below(telling.len() as u32) as usize];
        next.cells[cell] = next.solution[cell];
        kept.insert(cell);
    }
    next.minimise(rng);
    (next.cells != clues.cells).then_some(next)
}
