//! Configurations on which the reference crashes (`tests/fixtures/models/crashes.json`), one by one: each works as
//! evidently meant or is refused with a sentence that says what to change.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod common;

use common::{fixture, json, learner_config};
use datasets::batch::{Batch, IGNORE_LABEL_ID};
use models::{
    ArchitectureConfig, ForwardDtype, HrmConfig, ModelDims, PosEncodings, TransformersBaselineConfig, TrmConfig,
};
use tch::Device;
use trainer::act::Reasoner;
use trainer::evaluate::evaluate;
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, LossWeights};
use trainer::metrics::StepMetrics;
use trainer::optimizer::{FlatOptimizerConfig, OptimizerKind};
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 11, seq_len: 16, num_puzzle_identifiers: 5, sizes: None };

fn trm() -> TrmConfig {
    TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 4,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    }
}

fn hrm() -> HrmConfig {
    HrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        H_layers: 1,
        L_layers: 1,
        halt_max_steps: 4,
        forward_dtype: ForwardDtype::Float32,
        ..HrmConfig::default()
    }
}

fn baseline() -> TransformersBaselineConfig {
    TransformersBaselineConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        H_layers: 1,
        halt_max_steps: 4,
        forward_dtype: ForwardDtype::Float32,
        ..TransformersBaselineConfig::default()
    }
}

/// A batch of `rows` rows whose labels have gaps.
fn batch(rows: usize) -> Batch {
    let cells = rows * DIMS.seq_len;
    let token = |index: usize, factor: usize| (1 + index * factor % 10) as i32;
    Batch {
        seq_len: DIMS.seq_len,
        inputs: (0..cells).map(|index| token(index, 7)).collect(),
        labels: (0..cells).map(|i| if i % 5 == 0 { IGNORE_LABEL_ID } else { token(i, 3) }).collect(),
        puzzle_identifiers: (0..rows).map(|row| (row % DIMS.num_puzzle_identifiers) as i32).collect(),
        real_rows: rows,
    }
}

/// Three optimizer steps on batches of `rows` rows: every loss and every weight stays a number, and weights move.
fn trains_with(arch: ArchitectureConfig, loss_type: LossType, rows: usize) -> StepMetrics {
    let parameters = Parameters::initialised(&arch, &DIMS, Device::Cpu, 7).unwrap();
    let before = parameters.flat().copy();
    let optimizer = FlatOptimizerConfig { kind: OptimizerKind::AdamATan2, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 };
    let config = LearnerConfig { loss_type, optimizer, ema_rate: None, seed: 0, ..learner_config(arch, DIMS, rows) };
    let mut learner = Learner::new(config, parameters, DIMS.seq_len).unwrap();
    let metrics = (0..3).map(|_| learner.train_step(&batch(rows)).unwrap()).last().unwrap();
    assert!(metrics.loss(LossWeights::default()).is_finite() && learner.is_finite());
    assert!(!learner.parameters.flat().equal(&before), "nothing was learned");
    metrics
}

fn trains(arch: ArchitectureConfig) -> StepMetrics {
    trains_with(arch, LossType::default(), 4)
}

/// Evaluates a fresh model; gives the mean number of steps.
fn evaluates(arch: &ArchitectureConfig) -> f64 {
    let parameters = Parameters::initialised(arch, &DIMS, Device::Cpu, 7).unwrap();
    let reasoner = Reasoner::new(arch, &DIMS, &parameters, LossType::default()).unwrap();
    let found = evaluate(&reasoner, arch, &parameters, [batch(4), batch(4)].into_iter().map(Ok), |_| {}).unwrap();
    assert!(found.lm_loss.is_finite() && found.count == 8, "{found:?}");
    found.steps
}

fn refused(arch: &ArchitectureConfig, field: &str, says: &str) {
    let message = arch.validate(&DIMS).unwrap_err().to_string();
    assert!(message.starts_with(&format!("arch.{field}: is ")) && message.contains(says), "{message}");
}

fn check(case: &str) {
    use ArchitectureConfig::{Hrm, TransformersBaseline, Trm, TrmHier6, TrmSinglez};
    let with_continue = || TrmConfig { no_ACT_continue: false, ..trm() };
    let without_embedding = || TrmConfig { puzzle_emb_ndim: 0, puzzle_emb_len: 16, ..trm() };
    let learns_to_continue = |metrics: StepMetrics| assert!(metrics.q_continue_loss.is_some_and(f64::is_finite));
    let only_halts = |metrics: StepMetrics| assert_eq!(metrics.q_continue_loss, None);
    match case {
        "trm puzzle_emb_ndim=0 with default puzzle_emb_len=16 (attention, rope)" => {
            only_halts(trains(Trm(without_embedding())));
        }
        "trm puzzle_emb_ndim=0 with default puzzle_emb_len=16 (mlp_t, none)" => {
            only_halts(trains(Trm(TrmConfig {
                mlp_t: true,
                pos_encodings: PosEncodings::None,
                ..without_embedding()
            })));
        }
        "trm puzzle_emb_ndim=0 with puzzle_emb_len=16 (learned)" => {
            only_halts(trains(Trm(TrmConfig { pos_encodings: PosEncodings::Learned, ..without_embedding() })));
        }
        "trm puzzle_emb_ndim=64 > puzzle_emb_len*hidden=32 (puzzle_emb_len 1)" => {
            let config = TrmConfig { puzzle_emb_ndim: 64, puzzle_emb_len: 1, ..trm() };
            refused(&Trm(config), "puzzle_emb_ndim", "raise puzzle_emb_len or set it to 0");
        }
        "trm no_ACT_continue=False, eval" => assert!((evaluates(&Trm(with_continue())) - 4.0).abs() < 1e-12),
        "trm no_ACT_continue=False, train" => learns_to_continue(trains(Trm(with_continue()))),
        // A single step leaves nothing to continue: the reference trains no Q value then, and neither do we.
        "trm no_ACT_continue=False, train, halt_max_steps=1" => {
            only_halts(trains(Trm(TrmConfig { halt_max_steps: 1, ..with_continue() })));
        }
        "trm_singlez no_ACT_continue=False, train" => learns_to_continue(trains(TrmSinglez(with_continue()))),
        "trm_hier6 no_ACT_continue=False, train" => learns_to_continue(trains(TrmHier6(with_continue()))),
        "trm_hier6 L_cycles=7" => {
            refused(&TrmHier6(TrmConfig { L_cycles: 7, ..trm() }), "L_cycles", "set it to 6 or less");
        }
        "trm_hier6 train backward" => only_halts(trains(TrmHier6(trm()))),
        "trm_singlez train backward" => only_halts(trains(TrmSinglez(trm()))),
        "hrm train backward (second inner call)" => learns_to_continue(trains(Hrm(hrm()))),
        "hrm puzzle_emb_ndim=0" => learns_to_continue(trains(Hrm(HrmConfig { puzzle_emb_ndim: 0, ..hrm() }))),
        "transformers_baseline pos_encodings=none" => {
            let config = TransformersBaselineConfig { pos_encodings: PosEncodings::None, ..baseline() };
            refused(&TransformersBaseline(config), "pos_encodings", "set it to rope or learned");
        }
        "transformers_baseline yaml shape: hidden 512 heads 12 (head_dim 42, q/k/v width 504)" => {
            let config =
                TransformersBaselineConfig { hidden_size: 512, num_heads: 12, puzzle_emb_ndim: 512, ..baseline() };
            only_halts(trains(TransformersBaseline(config)));
        }
        "transformers_baseline train backward (target_q never computed)" => {
            only_halts(trains(TransformersBaseline(baseline())));
        }
        // Halting by q_halt > q_continue, which start equal: no row halts before the limit, and none before its time.
        "transformers_baseline act_inference=True eval" => {
            let config = TransformersBaselineConfig { act_inference: true, ..baseline() };
            assert!((evaluates(&TransformersBaseline(config)) - 4.0).abs() < 1e-12);
        }
        "odd head_dim: hidden 36 heads 4 (head_dim 9) rope" => {
            let config = TrmConfig { hidden_size: 36, puzzle_emb_ndim: 36, ..trm() };
            refused(&Trm(config), "num_heads", "heads of odd width 9");
        }
        "softmax_cross_entropy via ACTLossHead (float32)"
        | "softmax_cross_entropy direct, float32 logits sliced [:, 16:]" => {
            only_halts(trains_with(Trm(trm()), LossType::SoftmaxCrossEntropy, 4));
        }
        "softmax_cross_entropy via ACTLossHead (bfloat16)"
        | "softmax_cross_entropy direct, bf16 logits sliced [:, 16:]" => {
            let config = TrmConfig { forward_dtype: ForwardDtype::BFloat16, ..trm() };
            only_halts(trains_with(Trm(config), LossType::SoftmaxCrossEntropy, 4));
        }
        "train with batch smaller than config.batch_size (2 < 4), puzzle emb on" => {
            only_halts(trains_with(Trm(trm()), LossType::default(), 2));
        }
        "train with batch of 1 (broadcasts into local_weights of 4)" => {
            only_halts(trains_with(Trm(trm()), LossType::default(), 1));
        }
        "train with batch smaller than config.batch_size, puzzle emb off" => {
            only_halts(trains_with(Trm(without_embedding()), LossType::default(), 2));
        }
        "train forward_dtype bfloat16 backward" => {
            only_halts(trains(Trm(TrmConfig { forward_dtype: ForwardDtype::BFloat16, ..trm() })));
        }
        unknown => panic!("nothing says what `{unknown}` does here"),
    }
}

#[test]
fn every_crash_of_the_reference_works_or_is_refused_with_a_sentence() {
    // Tiny models: threads would wait for each other.
    tch::set_num_threads(1);
    let document = json(&fixture("models").join("crashes.json"));
    let entries = document.as_array().unwrap();
    assert_eq!(entries.len(), 27);
    for entry in entries {
        let case = entry["case"].as_str().unwrap();
        println!("{case}");
        check(case);
    }
}
