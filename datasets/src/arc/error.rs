//! What can be wrong with a single grid or name; files add their own path and task around it.

/// Why something is not an ARC grid, or not an augmented name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArcError {
    /// A grid has too few or too many rows or columns.
    #[error("expected 1 to 30 {sides}, found {found}")]
    Size {
        /// "rows" or "columns".
        sides: &'static str,
        /// How many there are.
        found: String,
    },
    /// Rows differ in length.
    #[error("expected {expected} cells in row {row}, as in row 1, found {found}")]
    Ragged {
        /// The offending row, from 1.
        row: usize,
        /// Cells of the first row.
        expected: usize,
        /// Cells of the offending row.
        found: usize,
    },
    /// A cell is not a colour.
    #[error("expected a colour from 0 to 9 in row {row}, column {column}, found {found}")]
    Colour {
        /// Row of the cell, from 1.
        row: usize,
        /// Column of the cell, from 1.
        column: usize,
        /// What stands there.
        found: String,
    },
    /// A puzzle's name carries the separator, but no augmentation behind it.
    #[error(
        "puzzle name {name:?}: expected an augmentation like \"|||t3|||0123456789\" (a transform t0 to t7 and a \
         permutation of the ten colours) behind the task's name"
    )]
    Name {
        /// The beginning of the name.
        name: String,
    },
}
