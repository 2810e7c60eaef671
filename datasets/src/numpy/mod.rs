//! NumPy's random streams, draw for draw: what the reference's builders and loader consume.
//! [`LegacyGenerator`] is `np.random.seed` and friends, [`PhiloxGenerator`] is `Generator(Philox(seed))`;
//! both leave the choice of what to shuffle to their callers.

mod legacy;
mod philox;
mod seed_sequence;

pub use legacy::LegacyGenerator;
pub use philox::PhiloxGenerator;
