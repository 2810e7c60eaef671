//! Tokens of one answer in as few bytes as they need: what votes are kept as.
//! Owns the packing; leaves the meaning of tokens to the scorers.

use crate::arc::{COLOURS, Grid};

/// Vocabularies up to this size need half a byte per token.
const NIBBLE_TOKENS: usize = 16;

/// Tokens packed two to a byte where the vocabulary allows it. Equal if and only if the tokens are, among tokens packed
/// with one vocabulary and one length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    /// Packs tokens below `vocab_size`, at most 256.
    pub(super) fn new(tokens: &[u8], vocab_size: usize) -> Self {
        if vocab_size > NIBBLE_TOKENS {
            return Self(tokens.into());
        }
        let pair = |pair: &[u8]| pair[0] | pair.get(1).map_or(0, |second| second << 4);
        Self(tokens.chunks(2).map(pair).collect())
    }

    /// The `len` tokens that were packed with the same `vocab_size`.
    pub(super) fn unpack(&self, len: usize, vocab_size: usize) -> Vec<u8> {
        if vocab_size > NIBBLE_TOKENS {
            return self.0.to_vec();
        }
        let mut tokens: Vec<u8> = self.0.iter().flat_map(|&pair| [pair & 15, pair >> 4]).collect();
        tokens.truncate(len);
        tokens
    }
}

/// An ARC grid: its sides, then its colours, two to a byte. Equal if and only if the grids are (and so their hashes).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PackedGrid(Box<[u8]>);

impl PackedGrid {
    pub(super) fn new(grid: &Grid) -> Self {
        let sides = [grid.rows() as u8, grid.columns() as u8];
        let Packed(cells) = Packed::new(grid.cells(), COLOURS);
        Self([&sides[..], &cells].concat().into())
    }

    pub(super) fn unpack(&self) -> Grid {
        let (rows, columns) = (usize::from(self.0[0]), usize::from(self.0[1]));
        let cells = Packed(self.0[2..].into()).unpack(rows * columns, COLOURS);
        Grid::from_cells(rows, columns, cells).unwrap_or_else(|_| Grid::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_come_back() {
        let grids = [
            Grid::empty(),
            Grid::from_rows(&[[9]]).expect("a grid"),
            Grid::from_rows(&[[0, 1, 2], [3, 4, 5], [6, 7, 8]]).expect("a grid"),
            Grid::from_rows(&[[0, 1, 2, 3, 4, 5, 6, 7, 8]]).expect("a grid"),
        ];
        let packed = grids.clone().map(|grid| PackedGrid::new(&grid));
        assert_eq!(packed.clone().map(|packed| packed.unpack()), grids);
        assert_eq!(packed[2].0.len(), 2 + 5);
        assert_ne!(packed[2], packed[3], "the same colours in other rows are another grid");
    }

    #[test]
    fn tokens_come_back() {
        for (vocab_size, bytes) in [(16, 4), (12, 4), (18, 7)] {
            let tokens: Vec<u8> = (0..7).map(|index| (index * 5 % vocab_size) as u8).collect();
            let packed = Packed::new(&tokens, vocab_size);
            assert_eq!(packed.0.len(), bytes);
            assert_eq!(packed.unpack(7, vocab_size), tokens);
        }
        assert_ne!(Packed::new(&[1, 2, 3], 11), Packed::new(&[1, 2, 4], 11));
    }
}
