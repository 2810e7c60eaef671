//! Sets of cells, and the unavoidable sets of a solved grid: cells whose digits can be exchanged for another solution.
//! A puzzle with a unique solution has a given in each of them, which spares the generator most uniqueness proofs.

use super::SudokuShape;

/// A set of cells of a board of up to 256 cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CellSet([u64; 4]);

impl CellSet {
    /// Adds a cell.
    pub(super) fn insert(&mut self, cell: usize) {
        self.0[cell / 64] |= 1 << (cell % 64);
    }

    /// The set without `cell`.
    pub(super) fn without(mut self, cell: usize) -> Self {
        self.0[cell / 64] &= !(1 << (cell % 64));
        self
    }

    /// Whether the set holds `cell`.
    pub(super) fn contains(&self, cell: usize) -> bool {
        self.0[cell / 64] >> (cell % 64) & 1 == 1
    }

    /// Whether both sets have a cell in common.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    /// Whether `cell` is all that both sets have in common.
    pub(super) fn meets_only_in(&self, other: &Self, cell: usize) -> bool {
        let mut lonely = [0; 4];
        lonely[cell / 64] = 1 << (cell % 64);
        (0..4).all(|word| self.0[word] & other.0[word] == lonely[word])
    }

    /// The first 81 cells as three bands of 27 bits.
    pub(super) fn bands(&self) -> [u32; 3] {
        let bits = u128::from(self.0[0]) | u128::from(self.0[1]) << 64;
        [0, 27, 54].map(|shift| (bits >> shift) as u32 & 0x7FF_FFFF)
    }

    /// The inverse of [`bands`](Self::bands).
    pub(super) fn from_bands(bands: [u32; 3]) -> Self {
        let bits = u128::from(bands[0]) | u128::from(bands[1]) << 27 | u128::from(bands[2]) << 54;
        Self([bits as u64, (bits >> 64) as u64, 0, 0])
    }
}

impl FromIterator<usize> for CellSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cells: I) -> Self {
        let mut set = Self::default();
        for cell in cells {
            set.insert(cell);
        }
        set
    }
}

/// The unavoidable sets of two digits: wherever two digits can be swapped within some of their cells alone.
///
/// The cells of two digits fall into components linked by shared rows, columns and boxes (each of which holds both
/// digits once); swapping the digits inside one component leaves a valid grid.
pub(super) fn two_digit_sets(shape: SudokuShape, solution: &[u8]) -> Vec<CellSet> {
    let size = shape.size();
    // [digit, row]: the cell of each digit in each row.
    let mut cell_of = vec![0; size * size];
    for (cell, &digit) in solution.iter().enumerate() {
        cell_of[usize::from(digit - 1) * size + shape.row_of(cell)] = cell;
    }
    let mut sets = Vec::new();
    for low in 0..size {
        for high in low + 1..size {
            components(shape, &cell_of[low * size..][..size], &cell_of[high * size..][..size], &mut sets);
        }
    }
    sets
}

/// Appends the components of two digits, whose cells are given by row.
fn components(shape: SudokuShape, low: &[usize], high: &[usize], sets: &mut Vec<CellSet>) {
    // A row holds one cell of each digit, so components are sets of rows; columns and boxes link them.
    let size = shape.size();
    let mut high_row_by_col = [0; 16];
    let mut high_row_by_box = [0; 16];
    for (row, &cell) in high.iter().enumerate() {
        high_row_by_col[shape.col_of(cell)] = row;
        high_row_by_box[shape.box_of(cell)] = row;
    }
    let mut links = [0_u16; 16];
    for (row, &cell) in low.iter().enumerate() {
        for other in [high_row_by_col[shape.col_of(cell)], high_row_by_box[shape.box_of(cell)]] {
            links[row] |= 1 << other;
            links[other] |= 1 << row;
        }
    }
    let mut seen = 0_u16;
    for row in 0..size {
        if seen >> row & 1 == 1 {
            continue;
        }
        let (mut rows, mut frontier) = (0_u16, 1_u16 << row);
        while frontier != 0 {
            let next = frontier.trailing_zeros() as usize;
            rows |= 1 << next;
            frontier = (frontier | links[next]) & !rows;
        }
        seen |= rows;
        let members = (0..size).filter(|row| rows >> row & 1 == 1);
        sets.push(members.flat_map(|row| [low[row], high[row]]).collect());
    }
}
