//! How many steps an adaptation takes, and the settings that follow from it. Without a bound on time the number is given;
//! with one it is measured, and may change while the run goes on.

use serde::{Deserialize, Serialize};

use super::{AdaptRequest, DEFAULT_SCRATCH_STEPS, DEFAULT_STEPS, MOST_STEPS};
use crate::config::{Override, PretrainConfig};

/// Share of the steps in which the trunk stands still.
const FROZEN_SHARE: u64 = 4;
/// Steps of warm-up, at most.
const WARMUP: u64 = 200;
/// Share of the steps that warm-up takes, at most.
const WARMUP_SHARE: u64 = 20;
/// Decay of the moving average in long runs.
const EMA_RATE: f64 = 0.999;
/// Share of the steps that the moving average looks back over, in short ones.
const EMA_SHARE: f64 = 0.08;

/// A number of steps and where the trunk begins to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Steps in all.
    pub(super) steps: u64,
    /// Steps in which only embeddings are trained.
    pub(super) frozen: u64,
    /// Most steps, however fast the machine is.
    pub(super) most: u64,
}

impl Plan {
    /// The plan of a run that has not begun.
    pub(super) fn first(request: &AdaptRequest, freezes: bool) -> Self {
        let default = match (request.time, freezes) {
            (Some(_), _) => MOST_STEPS,
            (None, true) => DEFAULT_STEPS,
            (None, false) => DEFAULT_SCRATCH_STEPS,
        };
        let most = request.steps.unwrap_or(default);
        Self { steps: most, frozen: if freezes { most / FROZEN_SHARE } else { 0 }, most }
    }

    /// The plan with `steps` in all, made at `step`: a trunk that moves already goes on moving, and none moves twice.
    pub(super) fn changed(self, steps: u64, step: u64) -> Self {
        let is_frozen = step < self.frozen;
        Self { steps, frozen: if is_frozen { (steps / FROZEN_SHARE).max(step) } else { self.frozen }, ..self }
    }

    /// `config` for this number of steps; what the user has set stays.
    pub(super) fn apply(self, config: &PretrainConfig, overrides: &[Override]) -> PretrainConfig {
        let mut config = PretrainConfig { max_steps: Some(self.steps), ..config.clone() };
        let is_free = |key: &str| !overrides.iter().any(|change| change.key == key);
        if is_free("freeze_weights_steps") {
            config.freeze_weights_steps = self.frozen;
        }
        if is_free("lr_warmup_steps") {
            config.lr_warmup_steps = WARMUP.min(self.steps / WARMUP_SHARE);
        }
        if is_free("ema_rate") {
            config.ema_rate = (1.0 - 1.0 / (EMA_SHARE * self.steps as f64).max(1.0)).min(EMA_RATE);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_plan_freezes_shorter_but_never_again() {
        let plan = Plan { steps: 400, frozen: 100, most: 400 };
        assert_eq!(plan.changed(200, 20), Plan { steps: 200, frozen: 50, most: 400 });
        assert_eq!(plan.changed(200, 70), Plan { steps: 200, frozen: 70, most: 400 });
        assert_eq!(plan.changed(200, 100), Plan { steps: 200, frozen: 100, most: 400 });
        assert_eq!(plan.changed(800, 150), Plan { steps: 800, frozen: 100, most: 400 });
        assert_eq!(Plan { frozen: 0, ..plan }.changed(800, 0).frozen, 0, "what begins with nothing is never frozen");
    }
}
