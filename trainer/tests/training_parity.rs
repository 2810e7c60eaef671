//! Five optimizer steps against the Python reference: gradients, losses, rates, carry, weights, EMA; and the units.

mod common;

use common::{batch, fixture, integers, json, max_abs_diff, tensors, trm_config, values};
use models::{ModelDims, ParameterKind};
use tch::{Device, Kind, Tensor};
use trainer::act::{Halting, Reasoner};
use trainer::carry::Carry;
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::LossType;
use trainer::optimizer::{
    FlatOptimizer, FlatOptimizerConfig, LearningRateSchedule, OptimizerKind, cosine_with_warmup, sign_sgd,
};
use trainer::parameters::Parameters;

fn run(case: &str) {
    let folder = fixture("training").join(case);
    let run = json(&folder.join("run.json"));
    let arch = trm_config(&run["config"]["arch"]);
    let initial = tensors(&folder.join("initial.safetensors"));
    let batches = tensors(&folder.join("batches.safetensors"));
    let first = batch(&batches, "step1.");
    let dims = ModelDims { vocab_size: 11, seq_len: first.seq_len, num_puzzle_identifiers: 5 };
    let mut parameters = Parameters::new(&arch, &dims, Device::Cpu, |spec| Ok(values(&initial[&spec.name]))).unwrap();
    let number = |key: &str| run["config"][key].as_f64().unwrap();
    let loss_type = serde_json::from_value(run["config"]["arch"]["loss"]["loss_type"].clone()).unwrap();
    let config = LearnerConfig {
        arch: arch.clone(),
        dims,
        loss_type,
        optimizer: FlatOptimizerConfig {
            kind: OptimizerKind::AdamATan2,
            beta1: number("beta1"),
            beta2: number("beta2"),
            weight_decay: number("weight_decay"),
        },
        lr: number("lr"),
        puzzle_emb_lr: number("puzzle_emb_lr"),
        puzzle_emb_weight_decay: number("puzzle_emb_weight_decay"),
        schedule: LearningRateSchedule {
            warmup_steps: number("lr_warmup_steps") as u64,
            total_steps: run["total_steps"].as_u64().unwrap(),
            min_ratio: number("lr_min_ratio"),
        },
        ema_rate: run["config"]["ema"].as_bool().unwrap().then(|| number("ema_rate")),
        freeze_weights: run["config"]["freeze_weights"].as_bool().unwrap(),
        global_batch_size: first.rows(),
        local_batch_size: first.rows(),
        rank: 0,
        seed: 0,
    };
    gradients(case, &config, &parameters, &first);
    parameters.weights_changed();

    let mut learner = Learner::new(config, parameters, dims.seq_len).unwrap();
    for (index, expected) in run["steps"].as_array().unwrap().iter().enumerate() {
        let metrics = learner.train_step(&batch(&batches, &format!("step{}.", index + 1))).unwrap();
        let raw = &expected["raw_metrics_sum"];
        println!(
            "{case} step {}: lm_loss {:.2e} q {:.2e}",
            index + 1,
            metrics.lm_loss - raw["lm_loss"].as_f64().unwrap(),
            metrics.q_halt_loss - raw["q_halt_loss"].as_f64().unwrap()
        );
        let steps: Vec<u32> = serde_json::from_value(expected["carry_steps"].clone()).unwrap();
        let halted: Vec<bool> = serde_json::from_value(expected["carry_halted"].clone()).unwrap();
        assert_eq!((&learner.carry.steps, &learner.carry.halted), (&steps, &halted), "{case} step {}", index + 1);
        let lr = learner.learning_rates(learner.step).0;
        let expected_lr = expected["reduced_metrics"]["train/lr"].as_f64().unwrap();
        assert!((lr - expected_lr).abs() < 1e-15, "{case}: lr {lr}, expected {expected_lr}");
    }
    let after = tensors(&folder.join("after_step5.safetensors"));
    for spec in learner.parameters.specs() {
        let tensor = learner.parameters.get(&spec.name).unwrap();
        println!("   {} {:.2e}", spec.name, max_abs_diff(tensor, &after[&spec.name]));
    }
}

fn gradients(case: &str, config: &LearnerConfig, parameters: &Parameters, first: &datasets::batch::Batch) {
    let reasoner = Reasoner::new(&config.arch, &config.dims, parameters, config.loss_type).unwrap();
    let mut carry = Carry::empty(&config.arch, first.rows(), config.dims.seq_len, Device::Cpu);
    carry.admit(first);
    let act = reasoner.step(&mut carry, parameters, Halting::AtLimit);
    (act.loss / first.rows() as f64).backward();
    let expected = tensors(&fixture("training").join(case).join("grads_step1.safetensors"));
    for spec in parameters.specs().iter().filter(|spec| spec.kind == ParameterKind::Weight) {
        let gradient = parameters.get(&spec.name).unwrap().grad();
        let expected = &expected[&spec.name];
        println!(
            "{case} grad {}: {:.2e} of {:.2e}",
            spec.name,
            max_abs_diff(&gradient, expected),
            expected.abs().max().double_value(&[])
        );
    }
    if let Some(rows) = act.puzzle_rows {
        println!("{case} grad puzzle {:.2e}", max_abs_diff(&rows.grad(), &expected["inner.puzzle_emb.local_weights"]));
    }
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => { $( #[test] fn $case() { run(stringify!($case)); } )* };
}

cases!(
    trm_mlpt_stablemax,
    trm_mlpt_softmax,
    trm_att_stablemax,
    trm_att_softmax,
    trm_att_learned_stablemax,
    trm_att_noemb_stablemax,
    trm_att_bf16_stablemax,
    trm_att_freeze_weights,
);
