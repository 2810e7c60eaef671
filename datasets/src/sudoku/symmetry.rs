//! The symmetries of a Sudoku board: digits renamed, rows and columns permuted within and across boxes, transposed.
//! Owns drawing, applying and inverting them; leaves NumPy's augmentation stream of the reference to the builder.

use super::board::token_of;
use super::draw::Purpose;
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

    /// The symmetry of a number, uniformly drawn from a stream that nothing else is drawn from.
    pub fn numbered(shape: SudokuShape, seed: u64, number: u64) -> Self {
        Self::random(shape, &mut Purpose::Copy.stream(seed, shape, number))
    }

    /// The board seen through this symmetry.
    ///
    /// # Errors
    /// When the board has another shape.
    pub fn apply(&self, board: &Board) -> Result<Board, SudokuError> {
        if board.shape() != self.shape {
            return Err(SudokuError::WrongShape { expected: self.shape.size(), found: board.shape().size() });
        }
        let cells = self.sources().map(|source| self.digits[usize::from(board.cells()[source])]).collect();
        Ok(Board::from_solver(self.shape, cells))
    }

    /// The same for `[cells]` tokens that need not be a board: what is neither blank nor digit moves unchanged.
    ///
    /// # Panics
    /// When there are not as many tokens as cells.
    pub fn apply_to_tokens<T: Copy + Into<i64> + From<i32>>(&self, tokens: &[T]) -> Vec<T> {
        assert_eq!(tokens.len(), self.shape.cells(), "a token per cell");
        let renamed = |token: T| {
            let value = token.into().checked_sub(token_of(0).into()).and_then(|value| usize::try_from(value).ok());
            value.and_then(|value| self.digits.get(value)).map_or(token, |&value| token_of(value).into())
        };
        self.sources().map(|source| renamed(tokens[source])).collect()
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

    /// Where each cell of the result comes from.
    fn sources(&self) -> impl Iterator<Item = usize> {
        let source = |(row, col): (u8, u8)| {
            let (row, col) = if self.transpose { (col, row) } else { (row, col) };
            usize::from(row) * self.shape.size() + usize::from(col)
        };
        self.rows.iter().flat_map(|&row| self.cols.iter().map(move |&col| (row, col))).map(source)
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
