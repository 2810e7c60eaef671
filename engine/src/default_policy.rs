//! How puzzles are thought about that come without wishes of their own: field by field as the operator says, else as
//! was measured at the checkpoint (its manifest), else as is built in. Owns that order and who said what.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use models::checkpoint::{InferenceDefaults, NoiseTarget};
use serde::{Deserialize, Serialize};

use crate::task::Task;
use crate::{Halting, Policy, Restarts};

/// What the operator wants to be tried after the first chain; `None` leaves it to the checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RestartWishes {
    /// As [`Restarts::augmentations`].
    pub augmentations: Option<usize>,
    /// As [`Restarts::rollouts`].
    pub rollouts: Option<usize>,
    /// As [`Restarts::sigma`].
    pub sigma: Option<f32>,
    /// As [`Restarts::noise`].
    pub noise: Option<NoiseTarget>,
    /// As [`Restarts::depth`].
    pub depth: Option<usize>,
}

/// What is tried when the first chain of thought has found no answer that obeys the rules. What is not said here is as
/// the model's manifest says; where that is silent, too: 8 augmentations, no rollouts, sigma 0.25 on the latent states
/// and depth 64 for puzzles with rules, nothing for others.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct RestartArgs {
    /// Further chains of thought on symmetric copies of a puzzle that the first chain has not solved. Default: as the
    /// model's manifest says, else 8.
    #[arg(long, env = "TRM_AUGMENTATIONS", value_name = "COUNT")]
    pub augmentations: Option<usize>,

    /// Further chains of thought on such a puzzle itself, told apart by noise. Default: as the model's manifest says,
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

    /// Steps of the chain that thinks about the puzzle as it is when all others have failed. Default: as the model's
    /// manifest says, else 64.
    #[arg(long, env = "TRM_DEPTH", value_name = "STEPS")]
    pub depth: Option<usize>,
}

impl RestartArgs {
    /// The same for the registry.
    pub fn wishes(&self) -> RestartWishes {
        let Self { augmentations, rollouts, sigma, noise, depth } = *self;
        RestartWishes { augmentations, rollouts, sigma, noise, depth }
    }
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

impl RestartWishes {
    /// One chain of thought and nothing after it, whatever the checkpoint says.
    pub const NO_RESTARTS: Self = Self::all(Restarts::NONE);

    /// Every field as in `restarts`.
    pub const fn all(restarts: Restarts) -> Self {
        let Restarts { augmentations, rollouts, sigma, noise, depth } = restarts;
        Self {
            augmentations: Some(augmentations),
            rollouts: Some(rollouts),
            sigma: Some(sigma),
            noise: Some(noise),
            depth: Some(depth),
        }
    }
}

/// Restarts on puzzles with rules where nobody says otherwise.
const BUILT_IN: Restarts =
    Restarts { augmentations: 8, rollouts: 0, sigma: 0.25, noise: NoiseTarget::Latent, depth: 64 };

/// Steps that an ARC grid gets: on the published weights more than four bring less than further augmentations of the
/// same cost (arXiv 2512.11847).
const ARC_STEPS: usize = 4;

impl DefaultPolicy {
    /// The policy of a model for `task` that was trained with `halt_max_steps`.
    pub fn of(task: Task, halt_max_steps: usize, measured: Option<&InferenceDefaults>, wishes: &RestartWishes) -> Self {
        // Without rules nothing tells when to go on; augmentations of ARC are requests of their own.
        let is_checked = !matches!(task, Task::Arc);
        let (halting, steps, built_in) = if is_checked {
            (Halting::Verified, halt_max_steps, BUILT_IN)
        } else {
            (Halting::Fixed, halt_max_steps.min(ARC_STEPS), Restarts::NONE)
        };
        let (max_steps, max_steps_source) = decide(None, measured.map(|m| m.max_steps), steps);
        let (wishes, measured) = if is_checked { (*wishes, measured) } else { (RestartWishes::default(), None) };
        let (augmentations, augmentations_source) =
            decide(wishes.augmentations, measured.map(|m| m.augmentations), built_in.augmentations);
        let (rollouts, rollouts_source) = decide(wishes.rollouts, measured.map(|m| m.rollouts), built_in.rollouts);
        let (sigma, sigma_source) = decide(wishes.sigma, measured.map(|m| m.sigma), built_in.sigma);
        let (noise, noise_source) = decide(wishes.noise, measured.map(|m| m.noise), built_in.noise);
        let (depth, depth_source) = decide(wishes.depth, measured.map(|m| m.depth), built_in.depth);
        let restarts = Restarts { augmentations, rollouts, sigma, noise, depth };
        Self {
            policy: Policy { halting, restarts, ..Policy::plain(max_steps) },
            sources: PolicySources {
                max_steps: max_steps_source,
                augmentations: augmentations_source,
                rollouts: rollouts_source,
                sigma: sigma_source,
                noise: noise_source,
                depth: depth_source,
            },
        }
    }
}

fn decide<T>(flag: Option<T>, manifest: Option<T>, built_in: T) -> (T, PolicySource) {
    match (flag, manifest) {
        (Some(value), _) => (value, PolicySource::Flag),
        (None, Some(value)) => (value, PolicySource::Manifest),
        (None, None) => (built_in, PolicySource::BuiltIn),
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
