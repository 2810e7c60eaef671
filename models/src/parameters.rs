//! Where a model's tensors come from: an architecture names each parameter once, with shape and initialisation, and
//! a source answers with a weight of its backend. Creating, loading, exporting and listing a model are four sources.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::ModelError;

/// How a fresh parameter is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal of this standard deviation, truncated at two deviations and rescaled so that the deviation holds after
    /// truncation (`trunc_normal_init_` in the reference's `models/common.py`).
    TruncNormal {
        /// Standard deviation after truncation.
        std: f64,
    },
    /// Uniform between `-bound` and `bound`, as PyTorch draws an LSTM.
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
    /// Every element the same.
    Constant(f32),
}

/// How a parameter takes part in training and in checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Trained by the main optimizer, covered by EMA, float32.
    Weight,
    /// Drawn once and never trained (initial states); stored in the forward dtype.
    Buffer,
    /// The puzzle-embedding table: trained by sparse SignSGD, outside of EMA; its rows reach the model as an input.
    PuzzleTable,
}

/// One tensor of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The reference's state-dict name, without `_orig_mod.model.` (`inner.L_level.layers.0.mlp.down_proj.weight`).
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// How a fresh one is drawn.
    pub init: Init,
    /// Its role.
    pub kind: ParameterKind,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Answers an architecture's demand for tensors.
pub trait ParameterSource {
    /// The backend's weight.
    type Weight;

    /// The weight for `spec`.
    ///
    /// # Errors
    /// When the source has no such tensor, or one of another shape.
    fn parameter(&mut self, spec: ParameterSpec) -> Result<Self::Weight, ModelError>;

    /// A constant that belongs to the architecture, not to the checkpoint (rotary tables): `name`, shape, values.
    fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Self::Weight;
}

/// A source that only writes down what was asked for.
#[derive(Debug, Default)]
pub struct SpecRecorder {
    /// Parameters in the order of construction.
    pub specs: Vec<ParameterSpec>,
}

impl ParameterSource for SpecRecorder {
    type Weight = ();

    fn parameter(&mut self, spec: ParameterSpec) -> Result<(), ModelError> {
        self.specs.push(spec);
        Ok(())
    }

    fn constant(&mut self, _name: &str, _shape: &[usize], _values: Vec<f32>) {}
}

/// Draws fresh parameter values, the same on every machine for the same seed.
///
/// Each tensor has its own stream, derived from its name, so that adding a parameter to an architecture leaves the
/// others as they were.
#[derive(Debug, Clone, Copy)]
pub struct Initializer {
    seed: u64,
}

impl Initializer {
    /// Values are a function of `seed`, the parameter's name and its spec.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Row-major values for `spec`.
    pub fn draw(&self, spec: &ParameterSpec) -> Vec<f32> {
        match spec.init {
            Init::Constant(value) => vec![value; spec.element_count()],
            Init::TruncNormal { std } => {
                let mut rng = self.stream(spec);
                let scale = std / TRUNCATED_STD;
                (0..spec.element_count()).map(|_| (truncated_normal(&mut rng) * scale) as f32).collect()
            }
            Init::Uniform { bound } => {
                let mut rng = self.stream(spec);
                (0..spec.element_count()).map(|_| rng.random_range(-bound..bound) as f32).collect()
            }
        }
    }

    fn stream(self, spec: &ParameterSpec) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream_of(&spec.name));
        rng
    }
}

/// Standard deviation of a standard normal truncated to [-2, 2].
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

fn truncated_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let value: f64 = rng.sample(StandardNormal);
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

fn stream_of(name: &str) -> u64 {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(name.as_bytes());
    u64::from_le_bytes(digest[..8].try_into().expect("a sha256 digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_normal_has_the_deviation_it_was_asked_for() {
        let spec = ParameterSpec {
            name: "w".into(),
            shape: vec![400, 500],
            init: Init::TruncNormal { std: 0.25 },
            kind: ParameterKind::Weight,
        };
        let values = Initializer::new(3).draw(&spec);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // Standard error of the deviation at n = 200,000 is below 0.0004.
        assert!((variance.sqrt() - 0.25).abs() < 0.0015, "std {}", variance.sqrt());
        assert!(values.iter().all(|v| f64::from(v.abs()) <= 2.0 * 0.25 / TRUNCATED_STD + 1e-6));
        assert_eq!(values, Initializer::new(3).draw(&spec));
        assert_ne!(values, Initializer::new(4).draw(&spec));
    }

    #[test]
    fn uniform_values_fill_their_range() {
        let spec = ParameterSpec {
            name: "w".into(),
            shape: vec![20_000],
            init: Init::Uniform { bound: 0.5 },
            kind: ParameterKind::Weight,
        };
        let values = Initializer::new(3).draw(&spec);
        assert!(values.iter().all(|value| value.abs() <= 0.5));
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
        // bound² / 3; its standard error at n = 20,000 is 0.0006.
        assert!((variance - 0.25 / 3.0).abs() < 0.0024, "variance {variance}");
    }

    #[test]
    fn truncated_std_constant_is_the_analytic_value() {
        // Var of N(0,1) | |x| ≤ 2 = 1 - 2·2·φ(2) / (Φ(2) - Φ(-2)).
        let density = (-2.0_f64).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let mass = 0.954_499_736_103_641_6;
        assert!(((1.0 - 4.0 * density / mass).sqrt() - TRUNCATED_STD).abs() < 1e-12);
    }
}
