//! `inference` in a manifest: the inference policy that was measured for these weights, as defaults for the program that runs
//! them. Owns the fields and their bounds; leaves measuring to `evaluation`.

use serde::{Deserialize, Serialize};

/// Which recursion states noise is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseTarget {
    /// The latent states (`z_L` and its kin); the only state of a model that has one.
    #[default]
    Latent,
    /// The state that the answer is read from (`z_H`); the only state of a model that has one.
    Answer,
    /// Every state.
    All,
}

/// Default inference policy for requests that set none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceDefaults {
    /// Most supervision steps of a chain.
    pub max_steps: usize,
    /// Further chains on symmetric copies of a puzzle that the first chain has not solved.
    #[serde(default)]
    pub augmentations: usize,
    /// Further chains on the puzzle itself, which differ by their noise.
    #[serde(default)]
    pub rollouts: usize,
    /// Deviation of the noise on the states of further chains, which have a root mean square of 1.
    #[serde(default)]
    pub sigma: f32,
    /// States that get the noise.
    #[serde(default)]
    pub noise: NoiseTarget,
    /// Steps in all that the first chain may take while further ones are tried; of no effect up to `max_steps`.
    #[serde(default)]
    pub depth: usize,
    /// Steps up to which more of them were not seen to cost accuracy; `None` where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_max_steps: Option<usize>,
    /// What these numbers rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// What these numbers come to where products are computed in 8-bit integers; `None` where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<MeasuredInt8>,
}

/// The evaluation that chose the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The puzzles, in words.
    pub data: String,
    /// How many there were.
    pub puzzles: u64,
    /// Hex sha256 of the weights that were measured.
    pub weights_sha256: String,
    /// The rule that chose among the candidates.
    pub rule: String,
    /// Share of puzzles whose prediction after `halt_max_steps` steps equals the label.
    pub exact_accuracy: f64,
    /// Share of puzzles solved by the rules within the first chain's `halt_max_steps` steps.
    pub verified_accuracy_plain: f64,
    /// Share of puzzles solved by the rules with these defaults.
    pub verified_accuracy: f64,
    /// Supervision steps per puzzle, of all its chains, with these defaults.
    pub mean_steps: f64,
}

/// The evaluation in 8-bit integers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredInt8 {
    /// The puzzles, in words.
    pub data: String,
    /// How many there were.
    pub puzzles: u64,
    /// Hex sha256 of the weights that were measured, before they were quantised.
    pub weights_sha256: String,
    /// Share of puzzles solved by the rules with the manifest's defaults.
    pub verified_accuracy: f64,
}

impl InferenceDefaults {
    /// Most steps of a chain that a manifest may ask for.
    pub const MAX_STEPS: usize = 1024;
    /// Most chains besides the first that a manifest may ask for.
    pub const MAX_CHAINS: usize = 128;
    /// Largest deviation that a manifest may ask for: noise ten times as large as the state leaves nothing of it.
    pub const MAX_SIGMA: f32 = 10.0;

    /// All steps, one chain, nothing measured.
    pub fn of_steps(max_steps: usize) -> Self {
        Self {
            max_steps,
            augmentations: 0,
            rollouts: 0,
            sigma: 0.0,
            noise: NoiseTarget::default(),
            depth: 0,
            safe_max_steps: None,
            measured: None,
            int8: None,
        }
    }

    /// Whether 8-bit integers were seen to solve as many of the same puzzles, with the weights of this hash, as float32.
    pub fn int8_is_as_accurate(&self, weights_sha256: &str) -> bool {
        self.measured.as_ref().zip(self.int8.as_ref()).is_some_and(|(float32, int8)| {
            (&float32.data, float32.puzzles) == (&int8.data, int8.puzzles)
                && [&float32.weights_sha256, &int8.weights_sha256].iter().all(|found| *found == weights_sha256)
                && int8.verified_accuracy >= float32.verified_accuracy
        })
    }

    /// What lies outside its bounds, in words: a manifest from elsewhere must not keep a machine busy for ever.
    pub(super) fn problem(&self) -> Option<String> {
        let Self { max_steps, augmentations, rollouts, sigma, depth, .. } = *self;
        let chains = augmentations.saturating_add(rollouts);
        let bounded = |name: &str, found: usize, least: usize, most: usize| {
            (!(least..=most).contains(&found))
                .then(|| format!("inference.{name}: expected {least} to {most}, found {found}"))
        };
        bounded("max_steps", max_steps, 1, Self::MAX_STEPS)
            .or_else(|| bounded("depth", depth, 0, Self::MAX_STEPS))
            .or_else(|| bounded("augmentations + rollouts", chains, 0, Self::MAX_CHAINS))
            .or_else(|| {
                (!(0.0..=Self::MAX_SIGMA).contains(&sigma))
                    .then(|| format!("inference.sigma: expected 0 to {}, found {sigma}", Self::MAX_SIGMA))
            })
            .or_else(|| {
                (rollouts > 0 && sigma == 0.0).then(|| {
                    "inference.sigma: expected a number above 0, since nothing but noise tells rollouts apart, found 0"
                        .into()
                })
            })
    }
}
