//! Why a picture cannot be drawn, written or understood. Files are the business of the callers.

use super::{MAX_FRAMES, MAX_PICTURE_BYTES, MAX_PICTURE_SIDE};

/// Everything that can go wrong with a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Rows of tokens that belong together differ in length.
    #[error("{what} has {found} tokens, the puzzle {expected}")]
    Length {
        /// Which row of tokens.
        what: &'static str,
        /// Tokens of the puzzle.
        expected: usize,
        /// Tokens found.
        found: usize,
    },

    /// There is nothing to draw, or too much.
    #[error("a picture of {what}: expected {expected}, found {found}")]
    Count {
        /// What is drawn.
        what: &'static str,
        /// How many are possible.
        expected: String,
        /// How many were given.
        found: usize,
    },

    /// The encoder failed.
    #[error("cannot encode the picture: {reason}")]
    Encode {
        /// The encoder's words.
        reason: String,
    },

    /// The file has more bytes than any picture of a puzzle.
    #[error("the picture's file has more than {MAX_PICTURE_BYTES} bytes")]
    TooManyBytes,

    /// The bytes are not a PNG, or a broken or huge one.
    #[error("no readable PNG of at most {MAX_PICTURE_SIDE}x{MAX_PICTURE_SIDE} pixels: {reason}")]
    Decode {
        /// The decoder's words.
        reason: String,
    },

    /// The picture is not made of equally large cells.
    #[error(
        "the picture of {width}x{height} pixels is not a grid of equal cells of one colour each ({expected}); crop it to the \
         grid and save it without smoothing"
    )]
    NoGrid {
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
        /// What was looked for.
        expected: &'static str,
    },

    /// A cell whose colour or sign means nothing.
    #[error("the cell at row {row}, column {column} has {found}; expected {expected}")]
    Cell {
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
        /// What the cell looks like.
        found: String,
        /// What it may look like.
        expected: &'static str,
    },
}

impl PictureError {
    /// Too many steps for one animation, or none.
    pub(super) fn frames(found: usize) -> Self {
        Self::Count { what: "the steps of a reasoning", expected: format!("1 to {MAX_FRAMES} steps"), found }
    }
}
