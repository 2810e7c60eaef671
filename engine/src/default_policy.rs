//! Partial policies, and the default policy for requests that set none: field by field as the operator says, else as was
//! measured at the checkpoint (its manifest), else as is built in. Owns that order and which source decided.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use models::checkpoint::{InferenceDefaults, NoiseTarget};
use serde::{Deserialize, Serialize};

use crate::task::Task;
use crate::{Halting, Policy, Restarts};

/// A partial policy: what an operator, a manifest or a request says. `None` leaves a field to whatever it is applied to.
///
/// The fields that restarts have are flags of the programs. What no flag names is as the model's manifest says; where that
/// is silent, too: 8 augmentations, no rollouts, sigma 0.25 on the latent states and depth 64 for puzzles with rules, no
/// restarts for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Args)]
pub struct PolicyOverrides {
    /// Most supervision steps of a chain.
    #[arg(skip)]
    pub max_steps: Option<usize>,

    /// When a chain ends earlier.
    #[arg(skip)]
    pub halting: Option<Halting>,

    /// As [`Policy::stable_steps`].
    #[arg(skip)]
    pub stable_steps: Option<usize>,

    /// Further chains on symmetric copies of a puzzle that the first chain has not solved. Default: as the
    /// model's manifest says, else 8.
    #[arg(long, env = "TRM_AUGMENTATIONS", value_name = "COUNT")]
    pub augmentations: Option<usize>,

    /// Further chains on the puzzle itself, which differ by their noise. Default: as the model's manifest says,
    /// else 0.
    #[arg(long, env = "TRM_ROLLOUTS", value_name = "COUNT")]
    pub rollouts: Option<usize>,

    /// Deviation of the noise that further chains add to their state before each step; states have a size of 1.
    /// Default: as the model's manifest says, else 0.25.
    #[arg(long, env = "TRM_SIGMA")]
    pub sigma: Option<f32>,

    /// States that get the noise. Default: as the model's manifest says, else latent.
    #[arg(long, env = "TRM_NOISE", value_parser = noise_target(), value_name = "STATES")]
    pub noise: Option<NoiseTarget>,

    /// Steps of the last chain, on the puzzle as it is, when all others have failed. Default: as the model's
    /// manifest says, else 64.
    #[arg(long, env = "TRM_DEPTH", value_name = "STEPS")]
    pub depth: Option<usize>,

    /// Fixes copies and noise.
    #[arg(skip)]
    pub seed: Option<u64>,
}

/// Who decided on a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySource {
    /// A flag of the server, or its environment variable.
    Flag,
    /// The checkpoint's manifest.
    Manifest,
    /// The program.
    BuiltIn,
}

/// Who decided on each field of a default policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySources {
    /// Of [`Policy::max_steps`].
    pub max_steps: PolicySource,
    /// Of [`Restarts::augmentations`].
    pub augmentations: PolicySource,
    /// Of [`Restarts::rollouts`].
    pub rollouts: PolicySource,
    /// Of [`Restarts::sigma`].
    pub sigma: PolicySource,
    /// Of [`Restarts::noise`].
    pub noise: PolicySource,
    /// Of [`Restarts::depth`].
    pub depth: PolicySource,
}

/// A default policy and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DefaultPolicy {
    /// What a request gets that asks for nothing.
    pub policy: Policy,
    /// Who says so.
    pub sources: PolicySources,
}

impl PolicyOverrides {
    /// Says nothing.
    pub const NONE: Self = Self {
        max_steps: None,
        halting: None,
        stable_steps: None,
        augmentations: None,
        rollouts: None,
        sigma: None,
        noise: None,
        depth: None,
        seed: None,
    };

    /// Every field of `restarts`, and nothing else.
    pub const fn of_restarts(restarts: Restarts) -> Self {
        let Restarts { augmentations, rollouts, sigma, noise, depth } = restarts;
        Self {
            augmentations: Some(augmentations),
            rollouts: Some(rollouts),
            sigma: Some(sigma),
            noise: Some(noise),
            depth: Some(depth),
            ..Self::NONE
        }
    }

    /// `policy` with the fields that are set here. Where another halting rule than the rules of the puzzle is asked for,
    /// the restarts of `policy` fall away: they follow a failure, which only the rules can tell.
    #[must_use]
    pub fn apply_to(&self, policy: &Policy) -> Policy {
        let halting = self.halting.unwrap_or(policy.halting);
        let restarts = if halting == Halting::Verified { policy.restarts } else { Restarts::NONE };
        Policy {
            max_steps: self.max_steps.unwrap_or(policy.max_steps),
            halting,
            stable_steps: self.stable_steps.unwrap_or(policy.stable_steps),
            restarts: Restarts {
                augmentations: self.augmentations.unwrap_or(restarts.augmentations),
                rollouts: self.rollouts.unwrap_or(restarts.rollouts),
                sigma: self.sigma.unwrap_or(policy.restarts.sigma),
                noise: self.noise.unwrap_or(policy.restarts.noise),
                depth: self.depth.unwrap_or(restarts.depth),
            },
            seed: self.seed.unwrap_or(policy.seed),
        }
    }
}

impl From<&InferenceDefaults> for PolicyOverrides {
    fn from(measured: &InferenceDefaults) -> Self {
        let &InferenceDefaults { max_steps, augmentations, rollouts, sigma, noise, depth, .. } = measured;
        let restarts = Restarts { augmentations, rollouts, sigma, noise, depth };
        Self { max_steps: Some(max_steps), ..Self::of_restarts(restarts) }
    }
}

/// Restarts on puzzles with rules, unless a flag or a manifest says otherwise.
const BUILT_IN: Restarts =
    Restarts { augmentations: 8, rollouts: 0, sigma: 0.25, noise: NoiseTarget::Latent, depth: 64 };

/// Steps that an ARC grid gets: on the published weights more than four bring less than further augmentations of the
/// same cost (arXiv 2512.11847).
const ARC_STEPS: usize = 4;

impl DefaultPolicy {
    /// The policy of a model for `task` that was trained with `halt_max_steps`: as `flags` say, else as was `measured` at
    /// the checkpoint, else as is built in.
    pub fn of(
        task: Task,
        halt_max_steps: usize,
        measured: Option<&InferenceDefaults>,
        flags: &PolicyOverrides,
    ) -> Self {
        let mut flags = *flags;
        let mut manifest = measured.map_or(PolicyOverrides::NONE, PolicyOverrides::from);
        let built_in = if matches!(task, Task::Arc) {
            // Without rules nothing tells when to go on; augmentations of ARC are requests of their own.
            let steps_alone =
                |said: PolicyOverrides| PolicyOverrides { max_steps: said.max_steps, ..PolicyOverrides::NONE };
            (flags, manifest) = (steps_alone(flags), steps_alone(manifest));
            Policy { halting: Halting::Fixed, ..Policy::plain(halt_max_steps.min(ARC_STEPS)) }
        } else {
            Policy { restarts: BUILT_IN, ..Policy::plain(halt_max_steps) }
        };
        let source = |by_flag: bool, by_manifest: bool| match (by_flag, by_manifest) {
            (true, _) => PolicySource::Flag,
            (false, true) => PolicySource::Manifest,
            (false, false) => PolicySource::BuiltIn,
        };
        Self {
            policy: flags.apply_to(&manifest.apply_to(&built_in)),
            sources: PolicySources {
                max_steps: source(flags.max_steps.is_some(), manifest.max_steps.is_some()),
                augmentations: source(flags.augmentations.is_some(), manifest.augmentations.is_some()),
                rollouts: source(flags.rollouts.is_some(), manifest.rollouts.is_some()),
                sigma: source(flags.sigma.is_some(), manifest.sigma.is_some()),
                noise: source(flags.noise.is_some(), manifest.noise.is_some()),
                depth: source(flags.depth.is_some(), manifest.depth.is_some()),
            },
        }
    }
}

fn noise_target() -> impl TypedValueParser<Value = NoiseTarget> {
    let names = PossibleValuesParser::new([
        PossibleValue::new("latent").help("the latent states; the only state of a model that has one"),
        PossibleValue::new("answer").help("the state that the answer is read from"),
        PossibleValue::new("all").help("every state"),
    ]);
    names.map(|name| match name.as_str() {
        "answer" => NoiseTarget::Answer,
        "all" => NoiseTarget::All,
        _ => NoiseTarget::Latent,
    })
}
