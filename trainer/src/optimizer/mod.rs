//! Optimizers over the flat weight buffer, the sparse optimizer of the puzzle table, the learning-rate schedule and
//! EMA. Owns update formulas and their state; leaves gradients to the step and files to `state`.

mod flat;
mod schedule;
mod sign_sgd;

pub use flat::{FlatOptimizer, FlatOptimizerConfig, OptimizerKind};
pub use schedule::{LearningRateSchedule, cosine_with_warmup};
pub use sign_sgd::sign_sgd;

use tch::Tensor;

use crate::kernels;

/// `average ← decay · average + (1 - decay) · weights`, the reference's `EMAHelper` over the flat buffer.
pub fn update_ema(average: &mut Tensor, weights: &Tensor, decay: f64) {
    if [&*average, weights].into_iter().all(kernels::updates) {
        kernels::moving_average(average, weights, decay as f32, (1.0 - decay) as f32);
    } else {
        update_ema_plainly(average, weights, decay);
    }
}

/// [`update_ema`] in libtorch's operations, on any device.
fn update_ema_plainly(average: &mut Tensor, weights: &Tensor, decay: f64) {
    tch::no_grad(|| {
        let _ = average.g_mul_scalar_(decay);
        let _ = average.g_add_(&(weights * (1.0 - decay)));
    });
}

#[cfg(test)]
mod tests;
