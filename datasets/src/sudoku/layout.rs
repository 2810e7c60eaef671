//! Units and peers of each shape as index tables, computed once per process.
//! Owns which cells see each other; leaves the use of that to the rules and the solver.

use std::sync::OnceLock;

use super::SudokuShape;

/// Index tables of one shape.
#[derive(Debug)]
pub(super) struct Layout {
    size: usize,
    /// `[3 * size, size]` cells of the rows, then columns, then boxes.
    units: Vec<u8>,
    /// `[cells, peers_per_cell]` the other cells that share a unit with each cell.
    peers: Vec<u8>,
    peers_per_cell: usize,
    /// `[cells]` row, column and box of each cell as unit indices.
    units_of: Vec<[u8; 3]>,
}

impl Layout {
    /// The tables of a shape.
    pub(super) fn of(shape: SudokuShape) -> &'static Self {
        static LAYOUTS: OnceLock<[Layout; 4]> = OnceLock::new();
        let layouts = LAYOUTS.get_or_init(|| SudokuShape::ALL.map(Layout::new));
        match shape.size() {
            4 => &layouts[0],
            6 => &layouts[1],
            9 => &layouts[2],
            _ => &layouts[3],
        }
    }

    fn new(shape: SudokuShape) -> Self {
        let (size, cells) = (shape.size(), shape.cells());
        let index: [&dyn Fn(usize) -> usize; 3] =
            [&|cell| shape.row_of(cell), &|cell| shape.col_of(cell), &|cell| shape.box_of(cell)];
        let mut units = Vec::with_capacity(3 * cells);
        for unit_index in index {
            for unit in 0..size {
                units.extend((0..cells).filter(|&cell| unit_index(cell) == unit).map(|cell| cell as u8));
            }
        }
        let sees = |cell: usize, other: usize| cell != other && index.iter().any(|unit| unit(cell) == unit(other));
        let peers: Vec<u8> = (0..cells)
            .flat_map(|cell| (0..cells).filter(move |&other| sees(cell, other)).map(|other| other as u8))
            .collect();
        let units_of =
            (0..cells).map(|cell| [0, 1, 2].map(|kind: usize| (kind * size + index[kind](cell)) as u8)).collect();
        Self { size, units, peers_per_cell: peers.len() / cells, peers, units_of }
    }

    /// Rows, columns, then boxes; `size` cells each, in ascending order.
    pub(super) fn units(&self) -> impl Iterator<Item = &[u8]> {
        self.units.chunks_exact(self.size)
    }

    /// Cells of one unit.
    pub(super) fn unit(&self, index: usize) -> &[u8] {
        &self.units[index * self.size..(index + 1) * self.size]
    }

    /// Number of units.
    pub(super) fn unit_count(&self) -> usize {
        3 * self.size
    }

    /// The cells that may not repeat the digit of `cell`.
    pub(super) fn peers(&self, cell: usize) -> &[u8] {
        &self.peers[cell * self.peers_per_cell..(cell + 1) * self.peers_per_cell]
    }

    /// Unit indices of the row, column and box of `cell`.
    pub(super) fn units_of(&self, cell: usize) -> [u8; 3] {
        self.units_of[cell]
    }
}
