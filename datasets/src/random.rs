//! Random draws that never change: counter-based streams and the few distributions that puzzles need.
//! Owns every use of randomness of the generators; sampling is written out here because a library's may change with its
//! version, and a changed stream would make a resumed run see other puzzles. NumPy's streams are in [`crate::numpy`].

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Random numbers for puzzles: `ChaCha8`, the same on every machine and in every version.
#[derive(Debug, Clone)]
pub struct PuzzleRng(ChaCha8Rng);

impl PuzzleRng {
    /// The stream of a seed, for draws outside the generated data sets.
    pub fn from_seed(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The stream number `index` of a seed, a board size and the purpose that `tag` names: streams that differ in any
    /// of them never meet.
    pub(crate) fn stream(tag: &[u8; 16], seed: u64, size: usize, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..24].copy_from_slice(tag);
        key[24] = size as u8;
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

    /// 64 uniform bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
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
    fn draws_are_uniform_and_shuffles_permute() {
        let mut rng = PuzzleRng::from_seed(1);
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
