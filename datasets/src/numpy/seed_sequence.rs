//! `np.random.SeedSequence`: spreads an integer seed over a pool of four words.
//! Owns the hash; leaves what the words key to [`super::philox`]. After O'Neill's `seed_seq_fe`.

const POOL_SIZE: usize = 4;
const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_MULT_LEFT: u32 = 0xca01_f9dd;
const MIX_MULT_RIGHT: u32 = 0x4973_f715;

/// The entropy pool of `np.random.SeedSequence(seed)`.
pub(super) struct SeedSequence {
    pool: [u32; POOL_SIZE],
}

impl SeedSequence {
    /// `SeedSequence(seed)` for a seed of at most 64 bits (NumPy takes more).
    pub(super) fn new(seed: u64) -> Self {
        let mut hash = Hash { constant: INIT_A, multiplier: MULT_A };
        let entropy = [seed as u32, (seed >> 32) as u32, 0, 0];
        let mut pool = entropy.map(|word| hash.next(word));
        for source in 0..POOL_SIZE {
            for target in (0..POOL_SIZE).filter(|&target| target != source) {
                pool[target] = mix(pool[target], hash.next(pool[source]));
            }
        }
        Self { pool }
    }

    /// `generate_state(N, np.uint64)`.
    pub(super) fn generate_u64<const N: usize>(&self) -> [u64; N] {
        let mut hash = Hash { constant: INIT_B, multiplier: MULT_B };
        let mut words = self.pool.iter().cycle().map(|&word| u64::from(hash.next(word)));
        let mut next = || words.next().expect("a cycle over a non-empty pool never ends");
        std::array::from_fn(|_| next() | next() << 32)
    }
}

/// The multiplicative hash whose constant moves on with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn next(&mut self, word: u32) -> u32 {
        let mixed = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let product = mixed.wrapping_mul(self.constant);
        product ^ product >> 16
    }
}

fn mix(left: u32, right: u32) -> u32 {
    let result = left.wrapping_mul(MIX_MULT_LEFT).wrapping_sub(right.wrapping_mul(MIX_MULT_RIGHT));
    result ^ result >> 16
}
