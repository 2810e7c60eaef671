//! AdamATan2 and AdamW in one pass over a contiguous buffer.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::kernels::{self, AdamWStep};

/// Which update rule moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam with `atan2(m, sqrt(v))` in place of `m / (sqrt(v) + eps)`: the reference's.
    #[default]
    #[serde(rename = "adam_atan2")]
    AdamATan2,
    /// Adam with decoupled weight decay, as PyTorch computes it with `eps` 1e-8.
    #[serde(rename = "adamw")]
    AdamW,
}

/// Settings that stay the same over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatOptimizerConfig {
    /// Update rule.
    pub kind: OptimizerKind,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

const ADAMW_EPS: f64 = 1e-8;

/// An optimizer with its moments.
#[derive(Debug)]
pub struct FlatOptimizer {
    config: FlatOptimizerConfig,
    /// `[weight_count]` first moment.
    pub exp_avg: Tensor,
    /// `[weight_count]` second moment.
    pub exp_avg_sq: Tensor,
    /// Updates done.
    pub step: u64,
}

impl FlatOptimizer {
    /// Zero moments in the shape of `weights`.
    pub fn new(config: FlatOptimizerConfig, weights: &Tensor) -> Self {
        let zeros = || weights.detach().zeros_like();
        Self { config, exp_avg: zeros(), exp_avg_sq: zeros(), step: 0 }
    }

    /// One update of `weights` `[weight_count]` in place.
    ///
    /// `AdamATan2` follows the CUDA kernel of the package the reference uses: bias correction 1 stands outside of the
    /// arc tangent, so the first step moves every weight by about `0.9967 · lr`.
    pub fn update(&mut self, weights: &mut Tensor, gradient: &Tensor, lr: f64) {
        let fused = self.config.kind == OptimizerKind::AdamW
            && [weights, gradient, &self.exp_avg, &self.exp_avg_sq].into_iter().all(kernels::updates);
        if fused {
            self.update_in_one_pass(weights, gradient, lr);
        } else {
            self.update_plainly(weights, gradient, lr);
        }
    }

    fn update_in_one_pass(&mut self, weights: &Tensor, gradient: &Tensor, lr: f64) {
        self.step += 1;
        let FlatOptimizerConfig { beta1, beta2, weight_decay, .. } = self.config;
        let [correction1, correction2] = self.corrections();
        let step = AdamWStep {
            shrink: (1.0 - lr * weight_decay) as f32,
            share1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            share2: (1.0 - beta2) as f32,
            correction2: correction2.sqrt() as f32,
            eps: ADAMW_EPS as f32,
            rate: (lr / correction1) as f32,
        };
        kernels::adamw(&step, weights, [&self.exp_avg, &self.exp_avg_sq], gradient);
    }

    /// In libtorch's operations, on any device.
    pub(super) fn update_plainly(&mut self, weights: &mut Tensor, gradient: &Tensor, lr: f64) {
        self.step += 1;
        let FlatOptimizerConfig { kind, beta1, beta2, weight_decay } = self.config;
        let [correction1, correction2] = self.corrections();
        tch::no_grad(|| {
            let _ = weights.g_mul_scalar_(1.0 - lr * weight_decay);
            let _ = self.exp_avg.lerp_(gradient, 1.0 - beta1);
            let _ = self.exp_avg_sq.g_mul_scalar_(beta2);
            let _ = self.exp_avg_sq.g_add_(&(gradient * gradient * (1.0 - beta2)));
            let deviation = self.exp_avg_sq.sqrt() / correction2.sqrt();
            let direction = match kind {
                OptimizerKind::AdamATan2 => self.exp_avg.atan2(&deviation),
                OptimizerKind::AdamW => &self.exp_avg / (deviation + ADAMW_EPS),
            };
            let _ = weights.g_sub_(&(direction * (lr / correction1)));
        });
    }

    /// Of the moments' bias towards their zero beginning.
    fn corrections(&self) -> [f64; 2] {
        let steps = self.step as f64;
        [self.config.beta1, self.config.beta2].map(|beta| 1.0 - beta.powf(steps))
    }
}
