//! The symmetries of a Sudoku board: digits renamed, rows and columns permuted within and across boxes, transposed.
//! Owns drawing, applying and inverting them; leaves NumPy's augmentation stream of the reference to the builder.

use super::{Board, SudokuError, SudokuRng, SudokuShape};

/// A mapping of boards onto boards that preserves rules, number of solutions and minimality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symmetry {
    shape: SudokuShape,
    /// Whether rows and columns are exchanged before they are permuted.
    transpose: bool,
    /// `[size]` source row of each row, after the transposition.
    rows: Vec<u8>,
    /// `[size]` source column of each column, after the transposition.
    cols: Vec<u8>,
    /// `[size + 1]` new digit of each digit; blank stays blank.
    digits: Vec<u8>,
}

impl Symmetry {
    /// The mapping that changes nothing.
    pub fn identity(shape: SudokuShape) -> Self {
        let size = shape.size() as u8;
        Self {
            shape,
            transpose: false,
            rows: (0..size).collect(),
            cols: (0..size).collect(),
            digits: (0..=size).collect(),
        }
    }

    /// A uniformly drawn symmetry; boxes that are not square rule out transposition.
    pub fn random(shape: SudokuShape, rng: &mut SudokuRng) -> Self {
        let mut symmetry = Self::identity(shape);
        symmetry.transpose = shape.box_rows() == shape.box_cols() && rng.coin();
        symmetry.rows = shuffled_in_blocks(shape.size(), shape.box_rows(), rng);
        symmetry.cols = shuffled_in_blocks(shape.size(), shape.box_cols(), rng);
        rng.shuffle(&mut symmetry.digits[1..]);
        symmetry
    }

    /// The board seen through this symmetry.
    ///
    /// # Errors
    /// When the board has another shape.
    pub fn apply(&self, board: &Board) -> Result<Board, SudokuError> {
        if board.shape() != self.shape {
            return Err(SudokuError::WrongShape { expected: self.shape.size(), found: board.shape().size() });
        }
        let size = self.shape.size();
        let mut cells = Vec::with_capacity(self.shape.cells());
        for &row in &self.rows {
            for &col in &self.cols {
                let (row, col) = if self.transpose { (col, row) } else { (row, col) };
                let value = board.cells()[usize::from(row) * size + usize::from(col)];
                cells.push(self.digits[usize::from(value)]);
            }
        }
        Ok(Board::from_solver(self.shape, cells))
    }

    /// The symmetry that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let (rows, cols) = (inverted(&self.rows), inverted(&self.cols));
        // Undoing "transpose, then permute" is "permute back, then transpose": the same as transposing first and
        // permuting columns the way rows were.
        let (rows, cols) = if self.transpose { (cols, rows) } else { (rows, cols) };
        Self { shape: self.shape, transpose: self.transpose, rows, cols, digits: inverted(&self.digits) }
    }
}

/// A random permutation of `0..size` that keeps blocks of `block` together: blocks and their members are shuffled.
fn shuffled_in_blocks(size: usize, block: usize, rng: &mut SudokuRng) -> Vec<u8> {
    let mut blocks: Vec<usize> = (0..size / block).collect();
    rng.shuffle(&mut blocks);
    let mut order = Vec::with_capacity(size);
    for nth in blocks {
        let start = order.len();
        order.extend((nth * block..(nth + 1) * block).map(|line| line as u8));
        rng.shuffle(&mut order[start..]);
    }
    order
}

fn inverted(permutation: &[u8]) -> Vec<u8> {
    let mut inverse = vec![0; permutation.len()];
    for (index, &image) in permutation.iter().enumerate() {
        inverse[usize::from(image)] = index as u8;
    }
    inverse
}
