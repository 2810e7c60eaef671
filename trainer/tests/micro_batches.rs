//! Micro-batches sum to the gradient of the whole batch, and a clipped gradient has the norm that was asked for.

#![allow(clippy::unwrap_used, reason = "a test that cannot make a learner has failed")]

use datasets::batch::Batch;
use models::{ArchitectureConfig, ForwardDtype, ModelDims, TrmConfig};
use tch::{Device, Tensor};
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, LossWeights};
use trainer::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 4, sizes: None };
const ROWS: usize = 8;

fn batch() -> Batch {
    let cells = ROWS * DIMS.seq_len;
    Batch {
        seq_len: DIMS.seq_len,
        inputs: (0..cells).map(|index| (1 + index * 7 % 5) as i32).collect(),
        labels: (0..cells).map(|index| (1 + index * 3 % 5) as i32).collect(),
        puzzle_identifiers: (0..ROWS).map(|row| (row % 4) as i32).collect(),
        real_rows: ROWS,
    }
}

fn learner(micro_batch_size: Option<usize>, grad_clip: Option<f64>) -> Learner {
    let arch = ArchitectureConfig::Trm(TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        puzzle_emb_len: 1,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 6,
        halt_exploration_prob: 0.5,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    });
    let parameters = Parameters::initialised(&arch, &DIMS, Device::Cpu, 7).unwrap();
    let config = LearnerConfig {
        arch,
        dims: DIMS,
        loss_type: LossType::default(),
        loss_weights: LossWeights::default(),
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.0 },
        lr: 1e-3,
        puzzle_emb_lr: 1e-2,
        puzzle_emb_weight_decay: 0.0,
        schedule: LearningRateSchedule { warmup_steps: 1, total_steps: 10, min_ratio: 1.0 },
        ema_rate: None,
        freeze_weights: false,
        grad_clip,
        micro_batch_size,
        global_batch_size: ROWS,
        local_batch_size: ROWS,
        carried_batches: 1,
        rank: 0,
        seed: 3,
    };
    Learner::new(config, parameters, DIMS.seq_len).unwrap()
}

fn norm(values: &Tensor) -> f64 {
    values.norm().double_value(&[])
}

#[test]
fn micro_batches_sum_to_the_whole_batch() {
    tch::set_num_threads(1);
    // Three and three and two rows.
    let (mut whole, mut parts) = (learner(None, None), learner(Some(3), None));
    for step in 1..=4 {
        let (expected, found) = (whole.train_step(&batch()).unwrap(), parts.train_step(&batch()).unwrap());
        assert_eq!((whole.carry.halted.clone(), &whole.carry.steps), (parts.carry.halted.clone(), &parts.carry.steps));
        assert_eq!((expected.rows, expected.count), (found.rows, found.count), "step {step}");
        assert!((expected.lm_loss - found.lm_loss).abs() < 1e-4 * expected.lm_loss, "{expected:?} {found:?}");
        let (one, other) = (whole.gradient_norm().unwrap(), parts.gradient_norm().unwrap());
        assert!(one > 1e-3 && (one - other).abs() < 1e-4 * one, "step {step}: {one} {other}");
        let difference = norm(&(&whole.optimizer.exp_avg - &parts.optimizer.exp_avg));
        assert!(
            difference < 1e-4 * norm(&whole.optimizer.exp_avg),
            "step {step}: first moments differ by {difference}"
        );
        // Signs of summed gradients: any row that the parts counted twice or not at all would move elsewhere.
        let tables = [&whole, &parts].map(|learner| learner.parameters.puzzle_table().unwrap().shallow_clone());
        assert!(norm(&(&tables[0] - &tables[1])) < 0.1 * norm(&tables[0]), "step {step}");
    }
    // Exploration let some rows halt and not others, by the same draws.
    assert!(whole.carry.steps.iter().any(|&steps| steps != whole.carry.steps[0]) || whole.carry.steps[0] == 4);
}

#[test]
fn a_long_gradient_is_scaled_down_and_a_short_one_stays() {
    tch::set_num_threads(1);
    let mut free = learner(None, None);
    free.train_step(&batch()).unwrap();
    let length = free.gradient_norm().unwrap();
    // After one step the first moment is a tenth of the gradient.
    let moment = |learner: &Learner| 10.0 * norm(&learner.optimizer.exp_avg);
    assert!((moment(&free) - length).abs() < 1e-4 * length);
    for (clip, expected) in [(0.5 * length, 0.5 * length), (2.0 * length, length)] {
        let mut clipped = learner(None, Some(clip));
        clipped.train_step(&batch()).unwrap();
        assert!((clipped.gradient_norm().unwrap() - length).abs() < 1e-6 * length, "logged before it is clipped");
        assert!((moment(&clipped) - expected).abs() < 1e-4 * expected, "{} for {expected}", moment(&clipped));
    }
    let sum: f64 = free.parameters.flat().square().sum(tch::Kind::Double).double_value(&[]);
    assert!((free.parameter_norm() - sum.sqrt()).abs() < 1e-9 * sum.sqrt());
}
