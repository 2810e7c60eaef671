//! A board as nested arrays and tokens, and how it is printed.
//! Leaves forms of text to [`super::text`], what a board means to [`super::rules`] and [`super::solver`].

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SudokuError, SudokuShape};

/// Token of an empty cell; a digit `d` is `d + BLANK_TOKEN`, and 0 is the pad token.
const BLANK_TOKEN: i32 = 1;

/// A Sudoku board, complete or not, possibly contradictory; cells are row-major, 0 = blank.
///
/// Serialized as its compact text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Board {
    shape: SudokuShape,
    cells: Vec<u8>,
}

impl Board {
    /// A board without givens.
    pub fn empty(shape: SudokuShape) -> Self {
        Self { shape, cells: vec![0; shape.cells()] }
    }

    /// A board from its rows, 0 = blank.
    ///
    /// # Errors
    /// When the number of rows or the length of one fits no board, or a value exceeds the size.
    pub fn from_rows<R: AsRef<[u8]>>(rows: &[R]) -> Result<Self, SudokuError> {
        let shape = SudokuShape::from_size(rows.len())?;
        for (index, row) in rows.iter().enumerate() {
            let found = row.as_ref().len();
            if found != shape.size() {
                return Err(SudokuError::RowLength { row: index + 1, found, size: shape.size() });
            }
        }
        Self::from_cells(shape, rows.iter().flat_map(AsRef::as_ref).copied().collect())
    }

    /// A board from its row-major cells, 0 = blank.
    ///
    /// # Errors
    /// When the number of cells is not that of `shape` or a value exceeds the size.
    pub fn from_cells(shape: SudokuShape, cells: Vec<u8>) -> Result<Self, SudokuError> {
        if cells.len() != shape.cells() {
            return Err(SudokuError::CellCount { found: cells.len() });
        }
        if let Some(cell) = cells.iter().position(|&value| usize::from(value) > shape.size()) {
            return Err(SudokuError::Digit {
                row: shape.row_of(cell) + 1,
                column: shape.col_of(cell) + 1,
                found: u32::from(cells[cell]),
                size: shape.size(),
            });
        }
        Ok(Self { shape, cells })
    }

    /// A board from a row of tokens; the length decides the shape.
    ///
    /// # Errors
    /// When the length fits no board or a token is neither blank nor one of its digits (a pad token included).
    pub fn from_tokens(tokens: &[i32]) -> Result<Self, SudokuError> {
        let shape = SudokuShape::from_cells(tokens.len())?;
        let cells = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| {
                u8::try_from(i64::from(token) - i64::from(BLANK_TOKEN))
                    .ok()
                    .filter(|&value| usize::from(value) <= shape.size())
                    .ok_or(SudokuError::Token { position, found: token, size: shape.size() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shape, cells })
    }

    /// Trusted cells of a board that this module's engines made.
    pub(super) fn from_solver(shape: SudokuShape, cells: Vec<u8>) -> Self {
        debug_assert_eq!(cells.len(), shape.cells());
        Self { shape, cells }
    }

    /// The board's shape.
    pub fn shape(&self) -> SudokuShape {
        self.shape
    }

    /// All cells, row-major, 0 = blank.
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// The digit at a row and column (from 0), `None` where blank.
    ///
    /// # Panics
    /// When `row` or `col` lies outside the board.
    pub fn get(&self, row: usize, col: usize) -> Option<u8> {
        assert!(row < self.shape.size() && col < self.shape.size(), "row {row}, column {col} lies outside the board");
        Some(self.cells[row * self.shape.size() + col]).filter(|&value| value != 0)
    }

    /// Cells that hold a digit.
    pub fn givens(&self) -> usize {
        self.cells.iter().filter(|&&value| value != 0).count()
    }

    /// The cells as rows, 0 = blank.
    pub fn to_rows(&self) -> Vec<Vec<u8>> {
        self.cells.chunks(self.shape.size()).map(<[u8]>::to_vec).collect()
    }

    /// `[cells]` tokens: blank 1, digit `d` as `d + 1`.
    pub fn to_tokens(&self) -> Vec<i32> {
        self.cells.iter().map(|&value| token_of(value)).collect()
    }

    /// The board as a drawing with box borders, a text line per row, ending in a newline.
    pub fn to_grid(&self) -> String {
        let (box_rows, box_cols) = (self.shape.box_rows(), self.shape.box_cols());
        let rule = vec!["-".repeat(2 * box_cols + 1); box_rows].join("+");
        let mut grid = String::new();
        for (row_index, row) in self.cells.chunks(self.shape.size()).enumerate() {
            if row_index > 0 && row_index % box_rows == 0 {
                grid.push_str(&rule);
                grid.push('\n');
            }
            let boxes: Vec<String> = row
                .chunks(box_cols)
                .map(|cells| cells.iter().flat_map(|&value| [' ', character_of(value)]).chain([' ']).collect())
                .collect();
            grid.push_str(boxes.join("|").trim_end());
            grid.push('\n');
        }
        grid
    }
}

impl Display for Board {
    /// The compact text: one character per cell, `.` for blanks, no line breaks.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.cells.iter().map(|&value| character_of(value)).collect();
        formatter.pad(&text)
    }
}

impl FromStr for Board {
    type Err = SudokuError;

    fn from_str(text: &str) -> Result<Self, SudokuError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Board {
    type Error = SudokuError;

    fn try_from(text: String) -> Result<Self, SudokuError> {
        Self::parse(&text)
    }
}

impl From<Board> for String {
    fn from(board: Board) -> Self {
        board.to_string()
    }
}

impl TryFrom<Vec<Vec<u8>>> for Board {
    type Error = SudokuError;

    fn try_from(rows: Vec<Vec<u8>>) -> Result<Self, SudokuError> {
        Self::from_rows(&rows)
    }
}

/// The token of a cell value, 0 = blank.
pub(super) fn token_of(value: u8) -> i32 {
    i32::from(value) + BLANK_TOKEN
}

fn character_of(value: u8) -> char {
    match value {
        0 => '.',
        1..=9 => char::from(b'0' + value),
        _ => char::from(b'A' + value - 10),
    }
}
