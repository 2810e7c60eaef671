//! The global generator of `np.random`: MT19937 with masked rejection sampling.
//! Owns how NumPy turns 32-bit words into numbers; leaves the raw stream to the crate `rand_mt`.

use std::ops::Range;

use rand_mt::Mt;

/// `np.random.RandomState(seed)`, which is also what `np.random.seed(seed)` sets up.
#[derive(Debug, Clone)]
pub struct LegacyGenerator {
    words: Mt,
}

impl LegacyGenerator {
    /// Starts the stream of `np.random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        Self { words: Mt::new(seed) }
    }

    /// `np.random.rand()`: a double in [0, 1) from 53 bits of two words.
    pub fn rand(&mut self) -> f64 {
        let high = self.words.next_u32() >> 5;
        let low = self.words.next_u32() >> 6;
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `np.random.randint(range.start, range.end)`.
    ///
    /// # Panics
    /// When the range is empty, for which NumPy raises `ValueError`.
    pub fn randint(&mut self, range: Range<u64>) -> u64 {
        assert!(!range.is_empty(), "randint needs low < high, found {range:?}");
        range.start + self.interval(range.end - 1 - range.start)
    }

    /// `np.random.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = self.interval(index as u64) as usize;
            items.swap(index, other);
        }
    }

    /// `np.random.permutation(size)`.
    pub fn permutation(&mut self, size: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..size).collect();
        self.shuffle(&mut order);
        order
    }

    /// `np.random.choice(population, size, replace=False)`.
    ///
    /// # Panics
    /// When `size` exceeds `population`, for which NumPy raises `ValueError`.
    pub fn choice_without_replacement(&mut self, population: usize, size: usize) -> Vec<usize> {
        assert!(size <= population, "cannot choose {size} of {population} without replacement");
        let mut chosen = self.permutation(population);
        chosen.truncate(size);
        chosen
    }

    /// `random_interval`: uniform in `0..=max`, rejecting what the smallest covering bit mask lets through.
    fn interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let value = if u32::try_from(max).is_ok() {
                u64::from(self.words.next_u32()) & mask
            } else {
                let high = u64::from(self.words.next_u32());
                (high << 32 | u64::from(self.words.next_u32())) & mask
            };
            if value <= max {
                return value;
            }
        }
    }
}
