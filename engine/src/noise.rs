//! Gaussian noise on recursion states. Owns the draws, which depend on nothing but a request's seed and stream, so that
//! a request gives the same answer whatever else is in its batch.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Noise, NoiseTarget};

/// Adds `noise` to one row of state number `state`, `[tokens, hidden_size]`.
pub(crate) fn add(noise: &Noise, state: usize, row: &mut [f32]) {
    let mut rng = ChaCha8Rng::seed_from_u64(noise.seed.wrapping_add(STATE_STRIDE.wrapping_mul(state as u64)));
    rng.set_stream(noise.stream);
    for value in row {
        let draw: f32 = StandardNormal.sample(&mut rng);
        *value += noise.sigma * draw;
    }
}

/// Whether the state of this name gets the noise, among `count` states.
pub(crate) fn reaches(target: NoiseTarget, name: &str, count: usize) -> bool {
    let is_answer = name == ANSWER_STATE;
    match target {
        NoiseTarget::All => true,
        _ if count == 1 => true,
        NoiseTarget::Latent => !is_answer,
        NoiseTarget::Answer => is_answer,
    }
}

/// The state that answers are read from, in every architecture that has several.
const ANSWER_STATE: &str = "z_H";
/// Keeps the draws of a request's states apart: odd, so that the seeds of all states differ.
const STATE_STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_stream_and_state_and_have_the_deviation_asked_for() {
        let draw = |seed, stream, state| {
            let mut row = vec![0.0_f32; 10_000];
            add(&Noise { seed, stream, sigma: 0.5, target: NoiseTarget::All }, state, &mut row);
            row
        };
        let reference = draw(1, 2, 0);
        assert_eq!(reference, draw(1, 2, 0));
        for other in [draw(2, 2, 0), draw(1, 3, 0), draw(1, 2, 1)] {
            assert_ne!(reference, other);
        }
        let mean: f64 = reference.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4;
        let variance: f64 = reference.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e4;
        // Four standard errors of the mean and of the variance of 10,000 draws.
        assert!(mean.abs() < 0.02 && (variance - 0.25).abs() < 0.0142, "{mean} {variance}");
    }

    #[test]
    fn targets_are_found_by_name() {
        use NoiseTarget::{All, Answer, Latent};
        assert!(reaches(Latent, "z_L", 2) && !reaches(Latent, "z_H", 2));
        assert!(reaches(Answer, "z_H", 2) && !reaches(Answer, "z_L", 2));
        assert!(reaches(All, "z_H", 2) && reaches(All, "z_L", 2));
        assert!(reaches(Latent, "z_H", 1) && reaches(Answer, "z_L", 1));
    }
}
