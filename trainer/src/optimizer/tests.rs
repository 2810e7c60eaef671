//! Updates in one pass against the plain operations: to the bit, but for the square root, which libtorch takes from MKL
//! and which does not always round to nearest there.

use tch::{Device, Kind, Tensor};

use super::{FlatOptimizer, FlatOptimizerConfig, OptimizerKind, update_ema, update_ema_plainly};
use crate::seeded::seeded;

/// Ends in the middle of a vector, and is long enough for several threads.
const COUNT: i64 = 3 * 65_536 + 77;

fn normal(seed: i64, scale: f64) -> Tensor {
    seeded(seed, || Tensor::randn([COUNT], (Kind::Float, Device::Cpu))) * scale
}

#[test]
fn adamw_in_one_pass_is_the_plain_one() {
    let config = FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 };
    let mut weights = normal(1, 0.05);
    let mut plain_weights = weights.copy();
    let (mut fused, mut plain) = (FlatOptimizer::new(config, &weights), FlatOptimizer::new(config, &weights));
    for step in 1..=4_i32 {
        let gradient = normal(1 + i64::from(step), 1e-3);
        let _ = gradient.narrow(0, 0, 1000).zero_();
        let lr = 1e-3 / f64::from(step);
        fused.update(&mut weights, &gradient, lr);
        plain.update_plainly(&mut plain_weights, &gradient, lr);
        let difference = (&weights - &plain_weights).abs().max().double_value(&[]);
        let unit = f64::from(f32::EPSILON) * weights.abs().max().double_value(&[]);
        assert!(difference <= unit, "weights of step {step} differ by {difference:e}, a unit is {unit:e}");
        assert!(fused.exp_avg.equal(&plain.exp_avg), "first moments of step {step}");
        assert!(fused.exp_avg_sq.equal(&plain.exp_avg_sq), "second moments of step {step}");
    }
    assert_eq!((fused.step, plain.step), (4, 4));
}

#[test]
fn moving_average_in_one_pass_is_the_plain_one() {
    let (weights, mut average) = (normal(1, 0.05), normal(2, 0.05));
    let mut plain = average.copy();
    for _ in 0..3 {
        update_ema(&mut average, &weights, 0.999);
        update_ema_plainly(&mut plain, &weights, 0.999);
        assert!(average.equal(&plain));
    }
}
