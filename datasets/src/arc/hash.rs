//! SHA-256 of grids and puzzles as the reference computes them, so that equal things meet across runs and programs.
//! Owns the hashed bytes; leaves sets and votes to their owners.

use std::fmt::{self, Display};

use sha2::{Digest as _, Sha256};

use super::grid::Grid;

/// A SHA-256 digest; ordered as its hexadecimal text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> [u8; 64] {
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        text
    }
}

impl Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// The reference's `grid_hash`: one byte each for rows and columns, then the colours.
pub fn grid_hash(grid: &Grid) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([grid.rows() as u8, grid.columns() as u8]);
    hasher.update(grid.cells());
    Digest(hasher.finalize().into())
}

/// The reference's `puzzle_hash` of the grid hashes of all `(input, output)` pairs: their order does not matter, nor
/// whether they are for training or testing.
pub fn puzzle_hash(pairs: impl IntoIterator<Item = (Digest, Digest)>) -> Digest {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable();
    let mut hasher = Sha256::new();
    for (index, (input, output)) in pairs.iter().enumerate() {
        if index > 0 {
            hasher.update(b"|");
        }
        hasher.update(input.hex());
        hasher.update(b"|");
        hasher.update(output.hex());
    }
    Digest(hasher.finalize().into())
}
