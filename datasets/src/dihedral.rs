//! The eight symmetries of a rectangle of cells, numbered as in the reference (`dataset/common.py`).
//! Owns where each cell comes from; leaves what the cells mean to ARC and maze.

use std::ops::Range;

/// A rotation or reflection; its number is the `t` of an augmented ARC puzzle's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dihedral(u8);

impl Dihedral {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// Leaves everything in place.
    pub const IDENTITY: Self = Self(0);
    /// All of them by number: identity, quarter turns counter-clockwise (1, 2, 3), left-right and up-down reflection
    /// (4, 5), reflection along the main diagonal (6) and along the other one (7).
    pub const ALL: [Self; Self::COUNT] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5), Self(6), Self(7)];

    /// The transform of a number; `None` from 8 on.
    pub fn from_id(id: usize) -> Option<Self> {
        Self::ALL.get(id).copied()
    }

    /// The reference's number.
    pub const fn id(self) -> usize {
        self.0 as usize
    }

    /// The transform that undoes this one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self.0 {
            1 => Self(3),
            3 => Self(1),
            _ => self,
        }
    }

    /// Whether rows become columns.
    pub const fn swaps_sides(self) -> bool {
        matches!(self.0, 1 | 3 | 6 | 7)
    }

    /// `(rows, columns)` of the result for a source of these sides.
    pub const fn shape(self, rows: usize, columns: usize) -> (usize, usize) {
        if self.swaps_sides() { (columns, rows) } else { (rows, columns) }
    }

    /// Transforms `[rows, columns]` cells; the result has the [`shape`](Self::shape) of the sides.
    ///
    /// # Panics
    /// When there are not `rows * columns` cells.
    pub fn apply<T: Copy>(self, cells: &[T], rows: usize, columns: usize) -> Vec<T> {
        assert_eq!(cells.len(), rows * columns, "{rows} rows of {columns} cells");
        let (new_rows, new_columns) = self.shape(rows, columns);
        let path = self.path(rows, columns);
        (0..new_rows).flat_map(|row| path.row(row, 0..new_columns)).map(|source| cells[source]).collect()
    }

    /// Where the cells of the result lie in a source of these sides.
    pub(crate) fn path(self, rows: usize, columns: usize) -> SourcePath {
        let (height, width) = (rows as isize, columns as isize);
        let (start, row_step, column_step) = match self.0 {
            0 => (0, width, 1),
            1 => (width - 1, -1, width),
            2 => (height * width - 1, -width, -1),
            3 => ((height - 1) * width, 1, -width),
            4 => (width - 1, width, -1),
            5 => ((height - 1) * width, -width, 1),
            6 => (0, 1, width),
            _ => (height * width - 1, -1, -width),
        };
        SourcePath { start, row_step, column_step }
    }
}

/// A walk through a source in the order of the transformed cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourcePath {
    start: isize,
    row_step: isize,
    column_step: isize,
}

impl SourcePath {
    /// Source indices of some columns of a row of the result.
    pub(crate) fn row(self, row: usize, columns: Range<usize>) -> impl Iterator<Item = usize> {
        let first = self.start + row as isize * self.row_step;
        columns.map(move |column| (first + column as isize * self.column_step) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows and columns of a 2×3 picture after each transform, written out by hand.
    #[test]
    fn transforms_move_cells_as_drawn() {
        let source = [1, 2, 3, 4, 5, 6];
        let expected: [((usize, usize), [i32; 6]); Dihedral::COUNT] = [
            ((2, 3), [1, 2, 3, 4, 5, 6]),
            ((3, 2), [3, 6, 2, 5, 1, 4]),
            ((2, 3), [6, 5, 4, 3, 2, 1]),
            ((3, 2), [4, 1, 5, 2, 6, 3]),
            ((2, 3), [3, 2, 1, 6, 5, 4]),
            ((2, 3), [4, 5, 6, 1, 2, 3]),
            ((3, 2), [1, 4, 2, 5, 3, 6]),
            ((3, 2), [6, 3, 5, 2, 4, 1]),
        ];
        for (transform, (shape, cells)) in Dihedral::ALL.into_iter().zip(expected) {
            assert_eq!((transform.shape(2, 3), &transform.apply(&source, 2, 3)[..]), (shape, &cells[..]));
            let (rows, columns) = shape;
            assert_eq!(transform.inverse().apply(&cells, rows, columns), source, "{transform:?}");
            assert!(transform.apply::<u8>(&[], 0, 0).is_empty());
        }
        assert_eq!(Dihedral::from_id(8), None);
    }
}
