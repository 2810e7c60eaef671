//! Steps over tensors that stay where they are, as a CUDA graph replays them, train what other steps train. A processor
//! records nothing and does the same work again; the tensors, and what is copied into and out of them, are the same.

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

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 4, sizes: None };
const ROWS: usize = 8;

fn trm(forward_dtype: ForwardDtype) -> TrmConfig {
    TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        puzzle_emb_len: 1,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 4,
        halt_exploration_prob: 0.5,
        forward_dtype,
        ..TrmConfig::default()
    }
}

fn learner(arch: &ArchitectureConfig, micro_batch_size: Option<usize>) -> Learner {
    let sizes = arch.mixer().is_size_free().then_some(SizeRange { least: 4, greatest: 4 });
    let dims = ModelDims { sizes, ..DIMS };
    let parameters = Parameters::initialised(arch, &dims, Device::Cpu, 7).unwrap();
    let config =
        LearnerConfig { lr: 1e-2, carried_batches: 2, micro_batch_size, ..learner_config(arch.clone(), dims, ROWS) };
    Learner::new(config, parameters, DIMS.seq_len).unwrap()
}

fn batch(step: usize) -> Batch {
    let tokens = |factor: usize| -> Vec<i32> {
        (0..ROWS * DIMS.seq_len).map(|index| (1 + (step * 11 + index * factor) % 5) as i32).collect()
    };
    Batch {
        seq_len: DIMS.seq_len,
        inputs: tokens(7),
        labels: tokens(3),
        puzzle_identifiers: (0..ROWS).map(|row| ((row + step) % 4) as i32).collect(),
        real_rows: ROWS,
    }
}

fn bits(tensor: &tch::Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(tensor.detach().view(-1)).unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn replayed_steps_train_the_same_weights() {
    tch::set_num_threads(1);
    let hrm = HrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        H_layers: 1,
        L_layers: 1,
        halt_max_steps: 4,
        halt_exploration_prob: 0.5,
        forward_dtype: ForwardDtype::Float32,
        ..HrmConfig::default()
    };
    let architectures = [
        (ArchitectureConfig::Trm(trm(ForwardDtype::Float32)), None),
        (ArchitectureConfig::Trm(trm(ForwardDtype::Float32)), Some(3)),
        (ArchitectureConfig::Trm(trm(ForwardDtype::BFloat16)), None),
        (ArchitectureConfig::Hrm(hrm), None),
    ];
    for (arch, micro_batch_size) in architectures {
        let (mut plain, mut replayed) = (learner(&arch, micro_batch_size), learner(&arch, micro_batch_size));
        replayed.replay_steps().unwrap();
        for step in 0..12 {
            let expected = plain.train_step(&batch(step)).unwrap();
            let before = host_syncs();
            let found = replayed.train_step(&batch(step)).unwrap();
            assert_eq!(host_syncs() - before, if micro_batch_size.is_some() { 3 } else { 1 });
            assert_eq!(expected, found, "{} step {step}", arch.name());
            assert_eq!((&plain.carry.steps, &plain.carry.halted), (&replayed.carry.steps, &replayed.carry.halted));
        }
        assert_eq!(bits(plain.parameters.flat()), bits(replayed.parameters.flat()), "{}", arch.name());
        let tables = [&plain, &replayed].map(|learner| bits(learner.parameters.puzzle_table().unwrap()));
        assert_eq!(tables[0], tables[1], "{}", arch.name());
    }
}

#[test]
fn a_model_whose_sites_are_read_on_the_host_is_refused() {
    let units = TrmConfig {
        mixer: Some(Mixer::Units),
        pool_size: 8,
        puzzle_emb_ndim: 0,
        puzzle_emb_len: 0,
        pos_encodings: PosEncodings::None,
        q_head_input: QHeadInput::Mean,
        ..trm(ForwardDtype::Float32)
    };
    let message = learner(&ArchitectureConfig::Trm(units), None).replay_steps().unwrap_err().to_string();
    assert!(message.contains("cuda_graphs") && message.contains("structured"), "{message}");
}
