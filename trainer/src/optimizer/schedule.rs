//! Cosine schedule with linear warm-up (`cosine_schedule_with_warmup_lr_lambda` in the reference's `pretrain.py`).

use std::f64::consts::PI;

/// What every learning rate of a run is scaled by, over its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRateSchedule {
    /// Steps of linear growth from 0.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Share of the base rate that is left at the end; 1 keeps the rate constant.
    pub min_ratio: f64,
}

impl LearningRateSchedule {
    /// Rate at optimizer step `step` (the first is 1).
    pub fn at(&self, step: u64, base_lr: f64) -> f64 {
        cosine_with_warmup(step, base_lr, self.warmup_steps, self.total_steps, self.min_ratio)
    }
}

/// Linear from 0 to `base_lr` over `warmup_steps`, then half a cosine down to `min_ratio · base_lr`.
pub fn cosine_with_warmup(step: u64, base_lr: f64, warmup_steps: u64, total_steps: u64, min_ratio: f64) -> f64 {
    if step < warmup_steps {
        return base_lr * step as f64 / warmup_steps.max(1) as f64;
    }
    let progress = (step - warmup_steps) as f64 / total_steps.saturating_sub(warmup_steps).max(1) as f64;
    base_lr * (min_ratio + ((1.0 - min_ratio) * 0.5 * (1.0 + (PI * progress).cos())).max(0.0))
}
