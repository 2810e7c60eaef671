//! Who halts when: the rules of the architectures, in training and in evaluation.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::sync::atomic::{AtomicBool, Ordering};

use datasets::batch::Batch;
use models::{ArchitectureConfig, ForwardDtype, HrmConfig, ModelDims, TransformersBaselineConfig, TrmConfig};
use tch::Device;
use trainer::act::{Halting, Reasoner};
use trainer::carry::Carry;
use trainer::evaluate::{Evaluation, evaluate, evaluate_until};
use trainer::losses::LossType;
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 1, sizes: None };
const ROWS: usize = 4;

fn trm(no_act_continue: bool) -> ArchitectureConfig {
    ArchitectureConfig::Trm(TrmConfig {
        hidden_size: 32,
        num_heads: 2,
        L_layers: 1,
        puzzle_emb_ndim: 0,
        halt_max_steps: 4,
        halt_exploration_prob: 0.0,
        no_ACT_continue: no_act_continue,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    })
}

fn hrm() -> ArchitectureConfig {
    ArchitectureConfig::Hrm(HrmConfig {
        hidden_size: 32,
        num_heads: 2,
        H_layers: 1,
        L_layers: 1,
        puzzle_emb_ndim: 0,
        halt_max_steps: 4,
        halt_exploration_prob: 0.0,
        forward_dtype: ForwardDtype::Float32,
        ..HrmConfig::default()
    })
}

fn baseline(act_enabled: bool, act_inference: bool) -> ArchitectureConfig {
    ArchitectureConfig::TransformersBaseline(TransformersBaselineConfig {
        hidden_size: 32,
        num_heads: 2,
        H_layers: 1,
        puzzle_emb_ndim: 0,
        halt_max_steps: 4,
        halt_exploration_prob: 0.0,
        act_enabled,
        act_inference,
        forward_dtype: ForwardDtype::Float32,
        ..TransformersBaselineConfig::default()
    })
}

fn batch() -> Batch {
    let cells = ROWS * DIMS.seq_len;
    Batch {
        seq_len: DIMS.seq_len,
        inputs: (0..cells).map(|index| (2 + index * 7 % 4) as i32).collect(),
        labels: (0..cells).map(|index| (2 + index * 3 % 4) as i32).collect(),
        puzzle_identifiers: vec![0; ROWS],
        real_rows: ROWS,
    }
}

/// A fresh model, whose Q head says `[q_halt, q_continue]` whatever it reads.
fn parameters(arch: &ArchitectureConfig, q: [f32; 2]) -> Parameters {
    let fresh = Parameters::initialised(arch, &DIMS, Device::Cpu, 7).unwrap();
    Parameters::new(arch, &DIMS, Device::Cpu, |spec| {
        let values = tch::no_grad(|| fresh.get(&spec.name).unwrap().reshape(-1));
        Ok(if spec.name == "inner.q_head.bias" { q.to_vec() } else { Vec::try_from(&values).unwrap() })
    })
    .unwrap()
}

/// Whether the rows have halted after one training step; they all say the same.
fn halt_at_once(arch: &ArchitectureConfig, q: [f32; 2]) -> bool {
    let parameters = parameters(arch, q);
    let reasoner = Reasoner::new(arch, &DIMS, &parameters, LossType::default()).unwrap();
    let mut carry = Carry::empty(arch, ROWS, DIMS.seq_len, Device::Cpu);
    carry.admit(&batch());
    reasoner.step(&mut carry, &parameters, Halting::Explore { seed: 0, step: 1, first_row: 0 });
    assert!(carry.halted.iter().all(|halted| *halted == carry.halted[0]), "{:?}", carry.halted);
    carry.halted[0]
}

fn evaluated(arch: &ArchitectureConfig, q: [f32; 2]) -> Evaluation {
    let parameters = parameters(arch, q);
    let reasoner = Reasoner::new(arch, &DIMS, &parameters, LossType::default()).unwrap();
    evaluate(&reasoner, arch, &parameters, [batch()].into_iter().map(Ok), |_| {}).unwrap()
}

#[test]
fn training_rows_halt_by_the_rule_of_their_architecture() {
    let (doubtful, sure, eager_to_go_on) = ([-1.0, -5.0], [1.0, -5.0], [1.0, 2.0]);
    for (arch, expected) in [
        (trm(true), [false, true, true]),
        (trm(false), [true, true, false]),
        (hrm(), [true, true, false]),
        (baseline(true, false), [true, true, false]),
        (baseline(false, true), [false, false, false]),
    ] {
        let found = [doubtful, sure, eager_to_go_on].map(|q| halt_at_once(&arch, q));
        assert_eq!(found, expected, "{arch:?}");
    }
}

/// Under `act_inference` rows are scored at the step at which they halt, which is not the last.
#[test]
fn evaluation_takes_all_steps_unless_the_architecture_says_otherwise() {
    let (halt, go_on) = ([1.0, -5.0], [-5.0, 1.0]);
    for arch in [trm(true), trm(false), hrm(), baseline(true, false)] {
        assert!((evaluated(&arch, halt).steps - 4.0).abs() < 1e-12, "{arch:?}");
    }
    let arch = baseline(true, true);
    let (first_step, all_steps) = (evaluated(&arch, halt), evaluated(&arch, go_on));
    assert!((first_step.steps - 1.0).abs() < 1e-12 && (all_steps.steps - 4.0).abs() < 1e-12);
    assert_eq!((first_step.count, all_steps.count), (ROWS as u64, ROWS as u64));
    assert!((first_step.lm_loss - all_steps.lm_loss).abs() > 1e-6);
    assert!((all_steps.lm_loss - evaluated(&baseline(true, false), go_on).lm_loss).abs() < 1e-12);
}

/// A stop flag that is set while a batch is being answered ends the evaluation with that batch: it has no result, and no
/// further batch is read.
#[test]
fn an_evaluation_ends_after_the_batch_in_which_it_is_stopped() {
    let arch = trm(true);
    let parameters = parameters(&arch, [-5.0, 1.0]);
    let reasoner = Reasoner::new(&arch, &DIMS, &parameters, LossType::default()).unwrap();
    let evaluated = |stopped_after: usize| {
        let stop = AtomicBool::new(false);
        let (mut read, mut answered) = (0, 0);
        let batches = (0..4).map(|_| {
            read += 1;
            Ok(batch())
        });
        let found = evaluate_until(&stop, &reasoner, &arch, &parameters, batches, |_, answer| {
            answered += answer.preds.size()[0] as usize;
            stop.store(answered / ROWS == stopped_after, Ordering::Relaxed);
            Ok(())
        });
        (found.unwrap().map(|found| found.count), read, answered)
    };
    // The third batch is read, and no step of it is made.
    assert_eq!(evaluated(2), (None, 3, 2 * ROWS));
    assert_eq!(evaluated(5), (Some(4 * ROWS as u64), 4, 4 * ROWS));
}
