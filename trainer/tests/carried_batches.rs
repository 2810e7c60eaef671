//! With `carried_batches`, batches take turns: a row's next step comes when every other batch has had one.

#![allow(clippy::unwrap_used, reason = "a test that cannot make a learner has failed")]

use datasets::batch::Batch;
use models::{ArchitectureConfig, ModelDims, PosEncodings, TrmConfig};
use tch::Device;
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, LossWeights};
use trainer::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 5, seq_len: 16, num_puzzle_identifiers: 1, sizes: None };
const ROWS: usize = 2;
const TURNS: usize = 3;

#[test]
fn a_batch_goes_on_when_its_turn_comes_again() {
    let mut learner = learner();
    for index in 0..8 {
        assert_eq!(learner.carries().count(), TURNS);
        let carry = &learner.carry;
        // Two steps halt a row, so that a batch's third turn takes new examples.
        let goes_on = index / TURNS == 1;
        assert_eq!(carry.halted, [!goes_on; ROWS], "before step {index}");
        if goes_on {
            assert_eq!((carry.steps.as_slice(), &carry.current), ([1; ROWS].as_slice(), &batch(index - TURNS)));
        }
        learner.train_step(&batch(index)).unwrap();
    }
    let steps: Vec<&[u32]> = learner.carries().map(|carry| carry.steps.as_slice()).collect();
    assert_eq!(steps, [[2; ROWS], [1; ROWS], [1; ROWS]], "the next batch's rows have halted, the others have begun");
}

/// Rows that all hold one number, another for every batch.
fn batch(index: usize) -> Batch {
    let cells = vec![1 + (index % 4) as i32; ROWS * DIMS.seq_len];
    Batch {
        seq_len: DIMS.seq_len,
        inputs: cells.clone(),
        labels: cells,
        puzzle_identifiers: vec![0; ROWS],
        real_rows: ROWS,
    }
}

fn learner() -> Learner {
    let arch = ArchitectureConfig::Trm(TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 0,
        pos_encodings: PosEncodings::None,
        H_cycles: 1,
        L_cycles: 1,
        L_layers: 1,
        halt_max_steps: 2,
        ..TrmConfig::default()
    });
    let parameters = Parameters::initialised(&arch, &DIMS, Device::Cpu, 7).unwrap();
    let config = LearnerConfig {
        arch,
        dims: DIMS,
        loss_type: LossType::default(),
        loss_weights: LossWeights::default(),
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.0 },
        lr: 1e-4,
        puzzle_emb_lr: 1e-4,
        puzzle_emb_weight_decay: 0.0,
        schedule: LearningRateSchedule { warmup_steps: 1, total_steps: 10, min_ratio: 1.0 },
        ema_rate: None,
        freeze_weights: false,
        grad_clip: None,
        micro_batch_size: None,
        global_batch_size: ROWS,
        local_batch_size: ROWS,
        carried_batches: TURNS,
        rank: 0,
        seed: 0,
    };
    Learner::new(config, parameters, DIMS.seq_len).unwrap()
}
