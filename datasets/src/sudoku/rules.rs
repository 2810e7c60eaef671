//! What makes a board legal, complete, or the answer to a puzzle.
//! Owns the rules as checks on finished boards; leaves finding answers to [`super::solver`].

use std::fmt::{self, Display};

use super::layout::Layout;
use super::{Board, SudokuShape};

/// A row, column or box, each counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A row, from the top.
    Row(usize),
    /// A column, from the left.
    Column(usize),
    /// A box, row by row.
    Box(usize),
}

/// Two cells that hold the same digit and share a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contradiction {
    /// The digit that stands twice.
    pub digit: u8,
    /// Where both cells lie.
    pub unit: Unit,
    /// `(row, column)` of the first cell, from 0.
    pub first: (usize, usize),
    /// `(row, column)` of the second cell, from 0.
    pub second: (usize, usize),
}

impl Board {
    /// Whether no digit stands twice in a row, column or box; blanks are allowed.
    pub fn is_valid(&self) -> bool {
        let layout = Layout::of(self.shape());
        layout.units().all(|unit| {
            let mut seen = 0_u32;
            unit.iter().all(|&cell| {
                let bit = (1_u32 << self.cells()[usize::from(cell)]) & !1;
                let fresh = seen & bit == 0;
                seen |= bit;
                fresh
            })
        })
    }

    /// Whether every cell holds a digit.
    pub fn is_complete(&self) -> bool {
        !self.cells().contains(&0)
    }

    /// Whether this board holds every given of `givens` in its place.
    pub fn agrees_with(&self, givens: &Board) -> bool {
        self.shape() == givens.shape()
            && self.cells().iter().zip(givens.cells()).all(|(&value, &given)| given == 0 || value == given)
    }

    /// Whether this board is complete, valid, and agrees with `givens`.
    pub fn is_solution_of(&self, givens: &Board) -> bool {
        self.agrees_with(givens) && self.is_complete() && self.is_valid()
    }

    /// Every pair of cells that contradict each other, each pair once, under the first unit (rows, then columns,
    /// then boxes) that they share.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let shape = self.shape();
        let place = |cell: u8| (shape.row_of(usize::from(cell)), shape.col_of(usize::from(cell)));
        let mut found: Vec<Contradiction> = Vec::new();
        for (index, cells) in Layout::of(shape).units().enumerate() {
            let unit = unit_of(shape, index);
            for (position, &first) in cells.iter().enumerate() {
                let digit = self.cells()[usize::from(first)];
                for &second in &cells[position + 1..] {
                    let (first, second) = (place(first), place(second));
                    let is_pair = digit != 0 && digit == self.cells()[second.0 * shape.size() + second.1];
                    // Two cells of one row or column may share a box, too.
                    if is_pair && !found.iter().any(|pair| (pair.first, pair.second) == (first, second)) {
                        found.push(Contradiction { digit, unit, first, second });
                    }
                }
            }
        }
        found
    }
}

impl Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(index) => write!(formatter, "row {}", index + 1),
            Self::Column(index) => write!(formatter, "column {}", index + 1),
            Self::Box(index) => write!(formatter, "box {}", index + 1),
        }
    }
}

impl Display for Contradiction {
    /// Counts rows and columns from 1, as people do.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digit, unit, first, second } = self;
        write!(
            formatter,
            "digit {digit} stands twice in {unit}: at row {}, column {} and at row {}, column {}",
            first.0 + 1,
            first.1 + 1,
            second.0 + 1,
            second.1 + 1
        )
    }
}

/// The unit at an index of [`Layout::units`].
fn unit_of(shape: SudokuShape, index: usize) -> Unit {
    match (index / shape.size(), index % shape.size()) {
        (0, row) => Unit::Row(row),
        (1, col) => Unit::Column(col),
        (_, nth) => Unit::Box(nth),
    }
}
