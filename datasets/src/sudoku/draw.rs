//! Random draws that never change: counter-based streams and the few distributions the task needs.
//! Owns every use of randomness in the task; sampling is written out here because a library's may change with its
//! version, and a changed stream would make a resumed run see other puzzles.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::SudokuShape;

/// What a stream is drawn for; streams of different purposes never meet, whatever their seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Base puzzles of the endless training source, by puzzle index.
    TrainingPuzzle,
    /// Symmetry and revealed clues of the endless training source, by example index.
    TrainingExample,
    /// Evaluation puzzles, by puzzle index.
    HeldOut,
    /// Puzzles on request (command line), by puzzle index.
    Request,
}

/// The random numbers of the Sudoku task: `ChaCha8`, the same on every machine and in every version.
#[derive(Debug, Clone)]
pub struct SudokuRng(ChaCha8Rng);

impl SudokuRng {
    /// The stream of a seed, for draws outside the generated data sets.
    pub fn from_seed(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The stream number `index` of a purpose, seed and board size.
    pub(super) fn stream(purpose: Purpose, seed: u64, shape: SudokuShape, index: u64) -> Self {
        let tag: &[u8; 16] = match purpose {
            Purpose::TrainingPuzzle => b"training puzzle ",
            Purpose::TrainingExample => b"training example",
            Purpose::HeldOut => b"held-out puzzle ",
            Purpose::Request => b"requested puzzle",
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..24].copy_from_slice(tag);
        key[24] = shape.size() as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// A uniform number in `0..bound`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "no number is below 0");
        // Multiply-and-shift with rejection of the short last interval (Lemire 2019, arXiv 1805.10941).
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(bound);
            if product as u32 >= unfair {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniform permutation of `items` in place (the Fisher–Yates shuffle).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }

    /// A fair coin.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_purposes_sizes_and_indices_differ() {
        let first = |purpose, shape, index| SudokuRng::stream(purpose, 7, shape, index).below(1 << 30);
        let mut draws = vec![
            first(Purpose::TrainingPuzzle, SudokuShape::NINE, 0),
            first(Purpose::TrainingExample, SudokuShape::NINE, 0),
            first(Purpose::HeldOut, SudokuShape::NINE, 0),
            first(Purpose::Request, SudokuShape::NINE, 0),
            first(Purpose::TrainingPuzzle, SudokuShape::FOUR, 0),
            first(Purpose::TrainingPuzzle, SudokuShape::NINE, 1),
            SudokuRng::from_seed(7).below(1 << 30),
        ];
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 7);
    }

    #[test]
    fn draws_are_uniform_and_shuffles_permute() {
        let mut rng = SudokuRng::from_seed(1);
        let mut count = [0_u32; 6];
        for _ in 0..60_000 {
            count[rng.below(6) as usize] += 1;
        }
        assert!(count.iter().all(|&n| n.abs_diff(10_000) < 500), "{count:?}");
        let mut items: Vec<u8> = (0..20).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..20).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }
}
