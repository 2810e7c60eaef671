//! `np.random.Generator(np.random.Philox(seed))`: Philox4x64-10; permutations reject by bit mask, integers by Lemire.
//! Owns the block cipher and the draws; leaves seeding to [`super::seed_sequence`]. Salmon et al., SC 2011.

use std::ops::Range;

use super::seed_sequence::SeedSequence;

const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
const KEY_INCREMENTS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 10;

/// NumPy's modern generator over the Philox bit stream.
#[derive(Debug, Clone)]
pub struct PhiloxGenerator {
    key: [u64; 2],
    counter: u64,
    block: [u64; 4],
    /// Words of `block` already handed out.
    used: usize,
    /// Upper half of the last 64-bit word when only its lower half has been handed out.
    upper_half: Option<u32>,
}

impl PhiloxGenerator {
    /// `Generator(Philox(seed=seed))`.
    pub fn new(seed: u64) -> Self {
        let key = SeedSequence::new(seed).generate_u64();
        Self { key, counter: 0, block: [0; 4], used: 4, upper_half: None }
    }

    /// `generator.integers(range.start, range.end)`.
    ///
    /// # Panics
    /// When the range is empty, for which NumPy raises `ValueError`.
    pub fn integers(&mut self, range: Range<u64>) -> u64 {
        assert!(!range.is_empty(), "integers needs low < high, found {range:?}");
        range.start + self.interval(range.end - 1 - range.start)
    }

    /// `generator.permutation(size)`.
    pub fn permutation(&mut self, size: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..size).collect();
        for index in (1..size).rev() {
            let other = self.masked_interval(index as u64) as usize;
            order.swap(index, other);
        }
        order
    }

    /// `random_bounded_uint64` without mask: uniform in `0..=max` by Lemire's multiplication.
    fn interval(&mut self, max: u64) -> u64 {
        match u32::try_from(max) {
            Ok(0) => 0,
            Ok(u32::MAX) => u64::from(self.next_u32()),
            Ok(max) => u64::from(self.bounded_u32(max)),
            Err(_) if max == u64::MAX => self.next_u64(),
            Err(_) => self.bounded_u64(max),
        }
    }

    /// `random_interval`: uniform in `0..=max` (at least 1) by rejecting what the covering bit mask lets through.
    fn masked_interval(&mut self, max: u64) -> u64 {
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let word = if u32::try_from(max).is_ok() { u64::from(self.next_u32()) } else { self.next_u64() };
            if word & mask <= max {
                return word & mask;
            }
        }
    }

    fn bounded_u32(&mut self, max: u32) -> u32 {
        let count = max + 1;
        let threshold = (u32::MAX - max) % count;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(count);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    fn bounded_u64(&mut self, max: u64) -> u64 {
        let count = max + 1;
        let threshold = (u64::MAX - max) % count;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(count);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(upper) = self.upper_half.take() {
            return upper;
        }
        let word = self.next_u64();
        self.upper_half = Some((word >> 32) as u32);
        word as u32
    }

    fn next_u64(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.counter += 1;
            self.block = philox_block([self.counter, 0, 0, 0], self.key);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

/// Philox4x64 with ten rounds.
fn philox_block(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    for _ in 0..ROUNDS {
        let even = u128::from(MULTIPLIERS[0]) * u128::from(counter[0]);
        let odd = u128::from(MULTIPLIERS[1]) * u128::from(counter[2]);
        counter = [
            (odd >> 64) as u64 ^ counter[1] ^ key[0],
            odd as u64,
            (even >> 64) as u64 ^ counter[3] ^ key[1],
            even as u64,
        ];
        key = [key[0].wrapping_add(KEY_INCREMENTS[0]), key[1].wrapping_add(KEY_INCREMENTS[1])];
    }
    counter
}
