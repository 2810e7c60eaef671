//! Square maze grids of every side: sizes, places and vocabulary.
//! Owns the geometry of a cell index; leaves contents to [`super::Maze`].

use std::fmt::{self, Display};

use super::MazeError;

/// A square grid of `side * side` cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MazeShape {
    side: usize,
}

impl MazeShape {
    /// 30×30, the grid of Maze-Hard.
    pub const HARD: Self = Self { side: 30 };
    /// Cells per side at least: start and goal need a cell each.
    pub const MIN_SIDE: usize = 2;
    /// Cells per side at most.
    pub const MAX_SIDE: usize = 255;
    /// Distinct tokens of any maze: pad, then `#`, space, `S`, `G`, `o`.
    pub const VOCAB_SIZE: usize = 6;

    /// The grid with `side` cells per side.
    ///
    /// # Errors
    /// When `side` lies outside [`MIN_SIDE`](Self::MIN_SIDE) to [`MAX_SIDE`](Self::MAX_SIDE).
    pub fn from_side(side: usize) -> Result<Self, MazeError> {
        if (Self::MIN_SIDE..=Self::MAX_SIDE).contains(&side) {
            Ok(Self { side })
        } else {
            Err(MazeError::Side { found: side })
        }
    }

    /// The grid with `cells` cells in all.
    ///
    /// # Errors
    /// When `cells` is not a square, or its root not a side.
    pub fn from_cells(cells: usize) -> Result<Self, MazeError> {
        let side = cells.isqrt();
        if side * side == cells && (Self::MIN_SIDE..=Self::MAX_SIDE).contains(&side) {
            Ok(Self { side })
        } else {
            Err(MazeError::CellCount { found: cells })
        }
    }

    /// Cells per side.
    pub const fn side(self) -> usize {
        self.side
    }

    /// Cells of the grid: the sequence length of a model.
    pub const fn cells(self) -> usize {
        self.side * self.side
    }

    /// Row and column of a cell, from 0.
    pub const fn place_of(self, cell: usize) -> (usize, usize) {
        (cell / self.side, cell % self.side)
    }

    /// The cells above, left, right and below that lie on the grid.
    pub fn neighbours(self, cell: usize) -> impl Iterator<Item = usize> {
        let (row, column) = self.place_of(cell);
        let last = self.side - 1;
        [
            (row > 0, cell.wrapping_sub(self.side)),
            (column > 0, cell.wrapping_sub(1)),
            (column < last, cell + 1),
            (row < last, cell + self.side),
        ]
        .into_iter()
        .filter_map(|(exists, neighbour)| exists.then_some(neighbour))
    }
}

impl Display for MazeShape {
    /// `30x30`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{0}x{0}", self.side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_have_two_neighbours_edges_three_and_others_four() {
        let shape = MazeShape::from_side(3).unwrap();
        let neighbours = |cell| shape.neighbours(cell).collect::<Vec<_>>();
        assert_eq!(neighbours(0), [1, 3]);
        assert_eq!(neighbours(8), [5, 7]);
        assert_eq!(neighbours(5), [2, 4, 8]);
        assert_eq!(neighbours(4), [1, 3, 5, 7]);
    }

    #[test]
    fn only_squares_within_bounds_are_mazes() {
        assert_eq!(MazeShape::from_cells(900), Ok(MazeShape::HARD));
        assert_eq!(MazeShape::from_cells(901), Err(MazeError::CellCount { found: 901 }));
        assert_eq!(MazeShape::from_cells(1), Err(MazeError::CellCount { found: 1 }));
        assert_eq!(MazeShape::from_side(256), Err(MazeError::Side { found: 256 }));
        assert_eq!(MazeShape::from_side(255).map(MazeShape::cells), Ok(65_025));
    }
}
