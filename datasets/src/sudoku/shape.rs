//! The four board shapes and what follows from them: sizes, cell indices, vocabulary.
//! Owns the geometry of a cell index; leaves contents to [`super::Board`].

use serde::{Deserialize, Serialize};

use super::SudokuError;

/// Dimensions of one box; the board is square with `box_rows * box_cols` cells per side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BoxDimensions")]
pub struct SudokuShape {
    box_rows: usize,
    box_cols: usize,
}

/// What a serialized [`SudokuShape`] holds before it is checked.
#[derive(Deserialize)]
struct BoxDimensions {
    box_rows: usize,
    box_cols: usize,
}

impl SudokuShape {
    /// 4×4 board with 2×2 boxes.
    pub const FOUR: Self = Self { box_rows: 2, box_cols: 2 };
    /// 6×6 board with boxes of 2 rows and 3 columns.
    pub const SIX: Self = Self { box_rows: 2, box_cols: 3 };
    /// The newspaper's 9×9 board.
    pub const NINE: Self = Self { box_rows: 3, box_cols: 3 };
    /// 16×16 board with 4×4 boxes.
    pub const SIXTEEN: Self = Self { box_rows: 4, box_cols: 4 };
    /// All supported shapes, smallest first.
    pub const ALL: [Self; 4] = [Self::FOUR, Self::SIX, Self::NINE, Self::SIXTEEN];

    /// The shape with these box dimensions.
    ///
    /// # Errors
    /// When the dimensions are not 2×2, 2×3, 3×3 or 4×4.
    pub fn new(box_rows: usize, box_cols: usize) -> Result<Self, SudokuError> {
        Self::ALL
            .into_iter()
            .find(|shape| (shape.box_rows, shape.box_cols) == (box_rows, box_cols))
            .ok_or(SudokuError::BoxSize { box_rows, box_cols })
    }

    /// The shape with `size` cells per side.
    ///
    /// # Errors
    /// When `size` is not 4, 6, 9 or 16.
    pub fn from_size(size: usize) -> Result<Self, SudokuError> {
        Self::ALL.into_iter().find(|shape| shape.size() == size).ok_or(SudokuError::Size { found: size })
    }

    /// The shape with `cells` cells in all.
    ///
    /// # Errors
    /// When `cells` is not 16, 36, 81 or 256.
    pub fn from_cells(cells: usize) -> Result<Self, SudokuError> {
        Self::ALL.into_iter().find(|shape| shape.cells() == cells).ok_or(SudokuError::CellCount { found: cells })
    }

    /// Rows of one box.
    pub const fn box_rows(self) -> usize {
        self.box_rows
    }

    /// Columns of one box.
    pub const fn box_cols(self) -> usize {
        self.box_cols
    }

    /// Cells per side, which is also the largest digit.
    pub const fn size(self) -> usize {
        self.box_rows * self.box_cols
    }

    /// Cells of the board: the sequence length of a model.
    pub const fn cells(self) -> usize {
        self.size() * self.size()
    }

    /// Distinct tokens: pad 0, blank 1, digit `d` as `d + 1`.
    pub const fn vocab_size(self) -> usize {
        self.size() + 2
    }

    /// Row of a cell, from 0.
    pub const fn row_of(self, cell: usize) -> usize {
        cell / self.size()
    }

    /// Column of a cell, from 0.
    pub const fn col_of(self, cell: usize) -> usize {
        cell % self.size()
    }

    /// Box of a cell, from 0, counted row by row.
    pub const fn box_of(self, cell: usize) -> usize {
        // A band of boxes is `box_rows` rows high and holds `size / box_cols = box_rows` boxes.
        self.row_of(cell) / self.box_rows * self.box_rows + self.col_of(cell) / self.box_cols
    }
}

impl TryFrom<BoxDimensions> for SudokuShape {
    type Error = SudokuError;

    fn try_from(dimensions: BoxDimensions) -> Result<Self, SudokuError> {
        Self::new(dimensions.box_rows, dimensions.box_cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_has_size_cells_of_its_rectangle() {
        for shape in SudokuShape::ALL {
            let mut count = vec![0; shape.size()];
            for cell in 0..shape.cells() {
                count[shape.box_of(cell)] += 1;
            }
            assert_eq!(count, vec![shape.size(); shape.size()]);
        }
        assert_eq!(
            SudokuShape::SIX.box_of(6 * 2 + 3),
            3,
            "6x6: row 2, column 3 lies in the second box of the second band"
        );
        assert_eq!(SudokuShape::NINE.box_of(80), 8);
    }

    #[test]
    fn serde_checks_the_dimensions() {
        let json = serde_json::to_string(&SudokuShape::SIX).unwrap();
        assert_eq!(json, r#"{"box_rows":2,"box_cols":3}"#);
        assert_eq!(serde_json::from_str::<SudokuShape>(&json).unwrap(), SudokuShape::SIX);
        let error = serde_json::from_str::<SudokuShape>(r#"{"box_rows":3,"box_cols":2}"#).unwrap_err();
        assert!(error.to_string().contains("found 3x2"), "{error}");
    }

    #[test]
    fn unknown_sizes_are_errors() {
        assert_eq!(SudokuShape::from_size(9), Ok(SudokuShape::NINE));
        assert_eq!(SudokuShape::from_size(8), Err(SudokuError::Size { found: 8 }));
        assert_eq!(SudokuShape::from_cells(256), Ok(SudokuShape::SIXTEEN));
        assert_eq!(SudokuShape::from_cells(80), Err(SudokuError::CellCount { found: 80 }));
    }
}
