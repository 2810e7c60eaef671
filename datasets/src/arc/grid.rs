//! A rectangle of colours. Owns the limits of ARC (30×30, ten colours); leaves symmetries to [`super::augmentation`]
//! and tokens to [`super::canvas`].

use std::fmt::{self, Display};

use super::error::ArcError;
use crate::Dihedral;

/// Most rows and columns of a grid.
pub const MAX_SIDE: usize = 30;
const COLOURS: u8 = 10;

/// A grid of at most 30×30 colours from 0 to 9, row by row.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grid {
    rows: u8,
    columns: u8,
    cells: Box<[u8]>,
}

impl Grid {
    /// The grid without cells: what [`crop`](super::crop) finds when a prediction starts with no colour. Tasks hold
    /// no such grid.
    pub fn empty() -> Self {
        Self { rows: 0, columns: 0, cells: Box::default() }
    }

    /// A grid of 1 to 30 rows of 1 to 30 colours each.
    pub fn from_rows<R: AsRef<[u8]>>(rows: &[R]) -> Result<Self, ArcError> {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        check_side("rows", rows.len())?;
        check_side("columns", columns)?;
        let mut cells = Vec::with_capacity(rows.len() * columns);
        for (index, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            if row.len() != columns {
                return Err(ArcError::Ragged { row: index + 1, expected: columns, found: row.len() });
            }
            cells.extend_from_slice(row);
        }
        Self::from_cells(rows.len(), columns, cells)
    }

    /// A grid of `[rows, columns]` colours in one piece.
    pub fn from_cells(rows: usize, columns: usize, cells: Vec<u8>) -> Result<Self, ArcError> {
        check_side("rows", rows)?;
        check_side("columns", columns)?;
        if cells.len() != rows * columns {
            let row = cells.len() / columns + 1;
            return Err(ArcError::Ragged { row, expected: columns, found: cells.len() % columns });
        }
        if let Some(index) = cells.iter().position(|&cell| cell >= COLOURS) {
            let found = cells[index].to_string();
            return Err(ArcError::Colour { row: index / columns + 1, column: index % columns + 1, found });
        }
        Ok(Self::from_valid(rows, columns, cells))
    }

    /// A grid whose caller has checked the promises of the type.
    pub(super) fn from_valid(rows: usize, columns: usize, cells: Vec<u8>) -> Self {
        debug_assert!(rows <= MAX_SIDE && columns <= MAX_SIDE && cells.len() == rows * columns);
        Self { rows: rows as u8, columns: columns as u8, cells: cells.into_boxed_slice() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        usize::from(self.rows)
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    /// `[rows, columns]` colours.
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// The colours row by row.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.cells.chunks_exact(self.columns().max(1))
    }

    /// The grid turned or reflected.
    #[must_use]
    pub fn transformed(&self, transform: Dihedral) -> Self {
        let (rows, columns) = transform.shape(self.rows(), self.columns());
        Self::from_valid(rows, columns, transform.apply(&self.cells, self.rows(), self.columns()))
    }
}

impl fmt::Debug for Grid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Grid({self})")
    }
}

impl Display for Grid {
    /// `012/345`: rows of digits, one behind the other.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                formatter.write_str("/")?;
            }
            line.iter().try_for_each(|cell| write!(formatter, "{cell}"))?;
        }
        Ok(())
    }
}

fn check_side(sides: &'static str, found: usize) -> Result<(), ArcError> {
    if (1..=MAX_SIDE).contains(&found) { Ok(()) } else { Err(ArcError::Size { sides, found: found.to_string() }) }
}
