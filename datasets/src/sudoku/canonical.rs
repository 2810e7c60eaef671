//! One representative of all symmetric copies of a 9×9 puzzle, by which copies are recognised.
//! Owns the choice; leaves drawing and applying symmetries to [`super::symmetry`].

use std::cmp::Ordering;

use super::generator::Puzzle;
use super::{SudokuError, SudokuShape};

/// What all symmetric copies of a proper 9×9 puzzle share, and no other puzzle has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalPuzzle {
    /// The least of all symmetric copies of the solution, compared as digits in reading order.
    pub grid: [u8; 81],
    /// Bit `c` is set where that copy of the puzzle has a given in cell `c`; of several copies that lead to the same
    /// grid, the least such number.
    pub givens: u128,
}

/// The canonical form of a puzzle, in about a millisecond; with equal [`grid`](CanonicalPuzzle::grid), two puzzles have
/// symmetric solutions, with equal forms they are symmetric copies.
///
/// # Errors
/// When the puzzle is not 9×9.
///
/// # Panics
/// Never for a [`Puzzle`] of this crate, whose solution is complete.
pub fn canonical_form(puzzle: &Puzzle) -> Result<CanonicalPuzzle, SudokuError> {
    if puzzle.puzzle.shape() != SudokuShape::NINE {
        return Err(SudokuError::WrongShape { expected: 9, found: puzzle.puzzle.shape().size() });
    }
    let (cells, solution) = (puzzle.puzzle.cells(), puzzle.solution.cells());
    let mut best = CanonicalPuzzle { grid: [10; 81], givens: u128::MAX };
    let columns = column_orders();
    for transposed in [false, true] {
        let source = |row: usize, col: usize| if transposed { 9 * col + row } else { 9 * row + col };
        let grid: [[u8; 9]; 9] = std::array::from_fn(|row| std::array::from_fn(|col| solution[source(row, col)]));
        for top in 0..9 {
            for order in &columns {
                let arrangement = Arrangement::new(&grid, top, order);
                let order_of_grids = arrangement.compare(&grid, &best.grid);
                if order_of_grids == Ordering::Greater {
                    continue;
                }
                let rows = arrangement.rows;
                let place = |cell: usize| source(rows[cell / 9], order[cell % 9]);
                let givens =
                    (0..81).filter(|&cell| cells[place(cell)] != 0).fold(0_u128, |givens, cell| givens | 1 << cell);
                if order_of_grids == Ordering::Less {
                    let digit = |cell: usize| arrangement.digits[usize::from(solution[place(cell)])];
                    best = CanonicalPuzzle { grid: std::array::from_fn(digit), givens };
                } else {
                    best.givens = best.givens.min(givens);
                }
            }
        }
    }
    Ok(best)
}

/// The copy of a grid with the least digits that has a given row on top and given columns.
struct Arrangement<'a> {
    columns: &'a [usize; 9],
    /// Source row of each row.
    rows: [usize; 9],
    /// New digit of each digit: the top row becomes 1 to 9.
    digits: [u8; 10],
}

impl<'a> Arrangement<'a> {
    fn new(grid: &[[u8; 9]; 9], top: usize, columns: &'a [usize; 9]) -> Self {
        let mut digits = [0; 10];
        for (digit, &col) in (1..).zip(columns) {
            digits[usize::from(grid[top][col])] = digit;
        }
        // Rows sort by their first digit: within the top row's band behind it, within the other bands, and these.
        let first = |row: &usize| digits[usize::from(grid[*row][columns[0]])];
        let sorted = |band: usize| {
            let mut rows = [3 * band, 3 * band + 1, 3 * band + 2];
            rows.sort_unstable_by_key(first);
            rows
        };
        let mut bands = [0, 1, 2].map(sorted);
        bands.sort_unstable_by_key(|rows| if rows.contains(&top) { 0 } else { first(&rows[0]) });
        let mut rows = [0; 9];
        rows.iter_mut().zip(bands.as_flattened()).for_each(|(row, &source)| *row = source);
        Self { columns, rows, digits }
    }

    fn compare(&self, grid: &[[u8; 9]; 9], other: &[u8; 81]) -> Ordering {
        let cells = self.rows.iter().flat_map(|&row| self.columns.iter().map(move |&col| grid[row][col]));
        cells.map(|digit| self.digits[usize::from(digit)]).cmp(other.iter().copied())
    }
}

/// The 1,296 orders of columns that keep stacks together.
fn column_orders() -> Vec<[usize; 9]> {
    const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut orders = Vec::with_capacity(1_296);
    for stacks in PERMUTATIONS {
        for within in 0..216 {
            let inner = [within / 36, within / 6 % 6, within % 6].map(|index| PERMUTATIONS[index]);
            orders.push(std::array::from_fn(|col| 3 * stacks[col / 3] + inner[col / 3][col % 3]));
        }
    }
    orders
}
