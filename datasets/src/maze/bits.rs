//! Open cells of a grid as bits, and a breadth-first search that moves whole rows at once.
//! Owns the bits and the search; leaves what is drawn from them to [`super::hard`].

use super::MazeShape;
use crate::random::PuzzleRng;

/// Cells per side at most: a row is a word.
pub(super) const MAX_SIDE: usize = u64::BITS as usize;
/// Rows of the grid, with a closed one above and one below, so that a search needs no bounds.
const ROWS: usize = MAX_SIDE + 2;

/// Cells of a square grid, one bit each.
#[derive(Debug, Clone)]
pub(super) struct CellBits {
    side: usize,
    /// Row `r` of the grid is word `r + 1`.
    rows: [u64; ROWS],
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Reach {
    /// Moves to the farthest cell.
    pub moves: u32,
    /// One of the farthest cells.
    pub farthest: usize,
    /// Cells that are at least as far as was asked.
    pub far: CellBits,
}

impl CellBits {
    fn none(side: usize) -> Self {
        Self { side, rows: [0; ROWS] }
    }

    /// Random cells: each is in the set with probability `share` / 256, independently of the others.
    pub(super) fn random(shape: MazeShape, share: u8, rng: &mut PuzzleRng) -> Self {
        let mut cells = Self::none(shape.side());
        for row in &mut cells.rows[1..=shape.side()] {
            *row = random_bits(share, rng) >> (MAX_SIDE - shape.side());
        }
        cells
    }

    /// Whether a cell is in the set.
    pub(super) fn contains(&self, cell: usize) -> bool {
        self.rows[cell / self.side + 1] >> (cell % self.side) & 1 == 1
    }

    /// Puts a cell into the set or takes it out.
    pub(super) fn set(&mut self, cell: usize, is_in: bool) {
        let (row, bit) = (&mut self.rows[cell / self.side + 1], 1 << (cell % self.side));
        *row = if is_in { *row | bit } else { *row & !bit };
    }

    /// Number of cells in the set.
    pub(super) fn count(&self) -> u32 {
        self.rows.iter().map(|row| row.count_ones()).sum()
    }

    /// The cell that `skipped` others of the set come before, row by row.
    pub(super) fn nth(&self, mut skipped: u32) -> Option<usize> {
        for (row, &bits) in self.rows.iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                if skipped == 0 {
                    return Some((row - 1) * self.side + bits.trailing_zeros() as usize);
                }
                skipped -= 1;
                bits &= bits - 1;
            }
        }
        None
    }

    /// Walks from a cell of the set through the set, a move at a time in all directions; cells that take `far` moves or
    /// more are collected.
    pub(super) fn search(&self, from: usize, far: u32) -> Reach {
        let side = self.side;
        let mut reach = Reach { moves: 0, farthest: from, far: Self::none(side) };
        let mut unseen = self.rows;
        let mut front = [0_u64; ROWS];
        let (mut first, mut last) = (from / side + 1, from / side + 1);
        front[first] = 1 << (from % side);
        unseen[first] &= !front[first];
        loop {
            (first, last) = ((first - 1).max(1), (last + 1).min(side));
            let (mut above, mut latest) = (0, None);
            for row in first..=last {
                let here = front[row];
                let next = (here << 1 | here >> 1 | above | front[row + 1]) & unseen[row];
                above = here;
                front[row] = next;
                unseen[row] ^= next;
                if next != 0 {
                    latest = Some(row);
                }
            }
            let Some(latest) = latest else { return reach };
            reach.moves += 1;
            reach.farthest = (latest - 1) * side + front[latest].trailing_zeros() as usize;
            if reach.moves >= far {
                for (far, &cells) in reach.far.rows[first..=latest].iter_mut().zip(&front[first..=latest]) {
                    *far |= cells;
                }
            }
            last = latest;
            while front[first] == 0 {
                first += 1;
            }
        }
    }
}

/// 64 bits that are each set with probability `share` / 256.
fn random_bits(share: u8, rng: &mut PuzzleRng) -> u64 {
    // Each binary digit of the share, the lowest first, halves the probability so far and adds a half if it is set.
    (0..8).fold(0, |bits, digit| if share >> digit & 1 == 1 { bits | rng.word() } else { bits & rng.word() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maze::path::{UNREACHED, measure};

    #[test]
    fn searches_find_the_distances_of_the_plain_search() {
        let mut rng = PuzzleRng::from_seed(1);
        for side in [4, 5, 30, 31, 63, 64] {
            let shape = MazeShape::from_side(side).unwrap();
            for share in [100, 160, 220, 255] {
                let mut open = CellBits::random(shape, share, &mut rng);
                let from = rng.below(shape.cells() as u32) as usize;
                open.set(from, true);
                let (mut distances, mut order) = (vec![UNREACHED; shape.cells()], Vec::new());
                measure(shape, |cell| open.contains(cell), from, &mut distances, &mut order);
                let most = distances[order[order.len() - 1]];
                let threshold = (most / 2).max(1);
                let reach = open.search(from, threshold);
                assert_eq!((reach.moves, distances[reach.farthest]), (most, most), "{side}, {share}");
                let is_far = |&cell: &usize| distances[cell] != UNREACHED && distances[cell] >= threshold;
                let far: Vec<usize> = (0..reach.far.count()).map(|skipped| reach.far.nth(skipped).unwrap()).collect();
                assert_eq!(far, (0..shape.cells()).filter(is_far).collect::<Vec<_>>(), "{side}, {share}");
                assert_eq!(reach.far.nth(reach.far.count()), None);
            }
        }
    }

    #[test]
    fn shares_of_random_cells_are_as_asked() {
        let mut rng = PuzzleRng::from_seed(2);
        for share in [0, 1, 128, 150, 255] {
            let set: u32 =
                (0..40).map(|_| CellBits::random(MazeShape::from_side(50).unwrap(), share, &mut rng).count()).sum();
            let found = f64::from(set) / 100_000.0;
            assert!((found - f64::from(share) / 256.0).abs() < 0.006, "{share}/256: {found}");
        }
    }
}
