//! How often a training step brings values to the host, which waits for a GPU each time: counted here on the processor,
//! where the same calls are made.

#![allow(clippy::unwrap_used, reason = "a test that cannot make a learner has failed")]

mod common;

use common::learner_config;
use datasets::batch::Batch;
use models::{
    ArchitectureConfig, ForwardDtype, HrmConfig, Mixer, ModelDims, PosEncodings, QHeadInput, SizeRange, TrmConfig,
};
use tch::Device;
use trainer::learner::{Learner, LearnerConfig};
use trainer::parameters::Parameters;
use trainer::transfer::host_syncs;

const ROWS: usize = 8;
const SEQ_LEN: usize = 16;

fn trm() -> TrmConfig {
    TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        puzzle_emb_len: 1,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 4,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    }
}

fn learner(arch: ArchitectureConfig, micro_batch_size: Option<usize>, grad_clip: Option<f64>) -> Learner {
    let sizes = Some(SizeRange { least: 4, greatest: 4 }).filter(|_| arch.mixer() == Mixer::Units);
    let dims = ModelDims { vocab_size: 6, seq_len: SEQ_LEN, num_puzzle_identifiers: 4, sizes };
    let parameters = Parameters::initialised(&arch, &dims, Device::Cpu, 7).unwrap();
    let config = LearnerConfig { grad_clip, micro_batch_size, ..learner_config(arch, dims, ROWS) };
    Learner::new(config, parameters, SEQ_LEN).unwrap()
}

/// Of each of three steps.
fn syncs(mut learner: Learner) -> [u64; 3] {
    let token = |index: usize, factor: usize| (1 + index * factor % 5) as i32;
    let batch = Batch {
        seq_len: SEQ_LEN,
        inputs: (0..ROWS * SEQ_LEN).map(|index| token(index, 7)).collect(),
        labels: (0..ROWS * SEQ_LEN).map(|index| token(index, 3)).collect(),
        puzzle_identifiers: (0..ROWS).map(|row| (row % 4) as i32).collect(),
        real_rows: ROWS,
    };
    [(); 3].map(|()| {
        let before = host_syncs();
        learner.train_step(&batch).unwrap();
        host_syncs() - before
    })
}

#[test]
fn a_step_waits_for_the_device_once_for_its_rows() {
    tch::set_num_threads(1);
    let of_trm =
        |micro_batch_size, grad_clip| syncs(learner(ArchitectureConfig::Trm(trm()), micro_batch_size, grad_clip));
    assert_eq!(of_trm(None, None), [1; 3], "who halts is decided on the host");
    assert_eq!(of_trm(Some(3), None), [3; 3], "once for each of three micro-batches");
    assert_eq!(of_trm(None, Some(1.0)), [2; 3], "a gradient is clipped by a norm that the host compares");
    let hrm = HrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        H_layers: 1,
        L_layers: 1,
        halt_max_steps: 4,
        forward_dtype: ForwardDtype::Float32,
        ..HrmConfig::default()
    };
    assert_eq!(syncs(learner(ArchitectureConfig::Hrm(hrm), None, None)), [1; 3], "also with a target for q_continue");
}

/// Structured mixers read from the tokens, on the host, where sites lie.
#[test]
fn sites_cost_a_structured_model_one_more() {
    tch::set_num_threads(1);
    let units = TrmConfig {
        mixer: Some(Mixer::Units),
        pool_size: 8,
        puzzle_emb_ndim: 0,
        puzzle_emb_len: 0,
        pos_encodings: PosEncodings::None,
        q_head_input: QHeadInput::Mean,
        ..trm()
    };
    assert_eq!(syncs(learner(ArchitectureConfig::Trm(units), None, None)), [2; 3]);
}

/// What is asked for between steps is counted, too, but is not part of a step.
#[test]
fn norms_stay_on_the_device_until_they_are_logged() {
    tch::set_num_threads(1);
    let mut learner = learner(ArchitectureConfig::Trm(trm()), None, None);
    assert_eq!(learner.gradient_norm(), None);
    let batch = Batch {
        seq_len: SEQ_LEN,
        inputs: vec![1; ROWS * SEQ_LEN],
        labels: vec![2; ROWS * SEQ_LEN],
        puzzle_identifiers: vec![0; ROWS],
        real_rows: ROWS,
    };
    learner.train_step(&batch).unwrap();
    let before = host_syncs();
    assert!(learner.gradient_norm().unwrap() > 0.0 && learner.parameter_norm() > 0.0);
    assert_eq!(host_syncs() - before, 2);
}
