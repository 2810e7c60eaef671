//! How many steps, chains and how much noise a puzzle gets.
//! Owns the dials of test-time compute and their limits; leaves acting on them to searches and chains.

use models::checkpoint::InferenceDefaults;
pub use models::checkpoint::NoiseTarget;
use serde::{Deserialize, Serialize};

use super::EngineError;

/// When a chain ends before its step budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Halting {
    /// At the first answer that obeys the task's rules.
    #[default]
    Verified,
    /// When the model takes its answer for right (`q_halt > 0`).
    Q,
    /// When [`Policy::stable_steps`] steps in a row have given the same answer.
    Stable,
    /// Never: all steps run, as the reference evaluates.
    Fixed,
}

/// How a puzzle is solved.
///
/// An engine solves in *chains*: the supervision steps of one attempt, each a row of the batch with its own recursion
/// state. The first chain sees the puzzle as it is. Under [`Halting::Verified`] the others begin only when it has spent
/// `max_steps` without an answer that obeys the rules: first the symmetric copies, then the rollouts, no more at a time
/// than the engine allows, and at last one on the puzzle as it is for [`Restarts::depth`] steps. The first answer that
/// obeys the rules ends the search. Under the other rules, which cannot tell a right answer from a wrong one, all chains
/// but the deep one begin at once and vote.
///
/// Noise before every step is that of Probabilistic TRM (arXiv 2605.19943), chains on symmetric copies are those of
/// "Speed is Confidence" (arXiv 2601.19085).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Most supervision steps of a chain.
    pub max_steps: usize,
    /// When a chain ends earlier.
    pub halting: Halting,
    /// Equal answers in a row that [`Halting::Stable`] waits for.
    pub stable_steps: usize,
    /// The chains besides the first.
    pub restarts: Restarts,
    /// Fixes copies and noise: the same request in a batch of the same size gets the same answer.
    pub seed: u64,
}

/// What is tried besides one chain on the puzzle as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restarts {
    /// Further chains on symmetric copies of the puzzle.
    pub augmentations: usize,
    /// Further chains on the puzzle itself, which differ by their noise.
    pub rollouts: usize,
    /// Deviation of the Gaussian noise that the further chains add to their state before every step but the first.
    /// States have a root mean square of 1.
    pub sigma: f32,
    /// Where the noise goes.
    pub noise: NoiseTarget,
    /// Steps of the last chain, on the puzzle as it is, when all others have failed; none up to `max_steps`.
    pub depth: usize,
}

impl Restarts {
    /// Nothing but the first chain.
    pub const NONE: Self = Self { augmentations: 0, rollouts: 0, sigma: 0.0, noise: NoiseTarget::Latent, depth: 0 };

    /// Chains besides the first and the deep one.
    pub fn chains(&self) -> usize {
        self.augmentations.saturating_add(self.rollouts)
    }
}

impl Default for Restarts {
    fn default() -> Self {
        Self::NONE
    }
}

/// What an engine allows its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PolicyLimits {
    /// Most steps of one chain.
    pub max_steps: usize,
    /// Most chains of one request besides the first.
    pub chains: usize,
}

impl Policy {
    /// One chain of at most `max_steps` steps that ends at the first answer that obeys the rules.
    pub fn plain(max_steps: usize) -> Self {
        Self { max_steps, halting: Halting::Verified, stable_steps: 3, restarts: Restarts::NONE, seed: 0 }
    }

    /// Supervision steps that a request can cost at most.
    pub fn most_steps(&self) -> usize {
        let deep = self.deep_chain().map_or(0, |index| self.steps_of(index));
        let others = self.chains() - usize::from(self.deep_chain().is_some());
        deep.saturating_add(others.saturating_mul(self.max_steps))
    }

    /// All chains that a request can have.
    pub(super) fn chains(&self) -> usize {
        let deep = usize::from(self.deep_chain().is_some_and(|index| index > 0));
        self.restarts.chains().saturating_add(1 + deep)
    }

    /// The chain that may take [`Restarts::depth`] steps. Where there are no others, that is the first, which goes on.
    pub(super) fn deep_chain(&self) -> Option<usize> {
        let goes_deep = self.halting == Halting::Verified && self.restarts.depth > self.max_steps;
        goes_deep.then(|| if self.restarts.chains() == 0 { 0 } else { 1 + self.restarts.chains() })
    }

    /// Most steps of chain number `index`.
    pub(super) fn steps_of(&self, index: usize) -> usize {
        if self.deep_chain() == Some(index) { self.restarts.depth } else { self.max_steps }
    }

    /// Checks every field against `limits`.
    ///
    /// # Errors
    /// [`EngineError::Request`] that names the field.
    pub(super) fn check(&self, limits: &PolicyLimits, has_symmetries: bool) -> Result<(), EngineError> {
        let Restarts { augmentations, rollouts, sigma, depth, .. } = self.restarts;
        in_range("max_steps", self.max_steps, 1, limits.max_steps)?;
        in_range("stable_steps", self.stable_steps, 1, limits.max_steps)?;
        in_range("depth", depth, 0, limits.max_steps)?;
        in_range("augmentations + rollouts", self.restarts.chains(), 0, limits.chains)?;
        if !(0.0..=MAX_SIGMA).contains(&sigma) {
            return Err(refusal("sigma", format!("0 to {MAX_SIGMA}"), sigma.to_string()));
        }
        if rollouts > 0 && sigma == 0.0 {
            let expected = "a number above 0, since nothing but noise tells rollouts apart".to_owned();
            return Err(refusal("sigma", expected, sigma.to_string()));
        }
        if augmentations > 0 && !has_symmetries {
            let expected = "0, since this task has no symmetric copies".to_owned();
            return Err(refusal("augmentations", expected, augmentations.to_string()));
        }
        Ok(())
    }
}

/// Manifests have the same bound.
const MAX_SIGMA: f32 = InferenceDefaults::MAX_SIGMA;

pub(super) fn in_range(name: &'static str, found: usize, least: usize, most: usize) -> Result<(), EngineError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(refusal(name, format!("{least} to {most}"), found.to_string()))
}

fn refusal(name: &'static str, expected: String, found: String) -> EngineError {
    EngineError::Request { name, expected, found }
}
