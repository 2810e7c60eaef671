//! Five optimizer steps against the Python reference: gradients, losses, rates, carry, weights, EMA; and the units.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{architecture, batch, device, fixture, integers, json, max_abs_diff, tensors, values};
use datasets::batch::Batch;
use models::{ArchitectureConfig, ForwardDtype, ModelDims, ParameterKind};
use serde_json::Value;
use tch::Tensor;
use trainer::act::{Halting, Reasoner};
use trainer::backend::TchBackend;
use trainer::carry::Carry;
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, LossWeights};
use trainer::optimizer::{
    FlatOptimizer, FlatOptimizerConfig, LearningRateSchedule, OptimizerKind, cosine_with_warmup, sign_sgd,
};
use trainer::parameters::Parameters;

/// Bounds on the distance between two evaluations of one trajectory.
///
/// `logits`: the fixtures of `tests/fixtures/models` record how far the reference's float32 logits lie from float64
/// after 1 to 4 supervision steps: at most 2.4e-5 for attention, 3e-3 for token mixing, most of it after step 2. Two
/// float32 evaluations may lie twice that apart. A loss moves at most by the logits' error (its gradient with respect
/// to a row's logits sums to at most 2), times the rows.
///
/// `weights`: an element's update is `lr` times the direction of (m, sqrt v), so it errs by `lr` times the relative
/// error of that element's own gradient. Elements down to a thousandth of the largest gradient are held to this.
struct Tolerance {
    loss: f64,
    weights: f64,
}

impl Tolerance {
    fn of(arch: &ArchitectureConfig, lr: f64) -> Self {
        let mlp_t = matches!(arch, ArchitectureConfig::Trm(config) if config.mlp_t);
        match (arch.forward_dtype(), mlp_t) {
            // bfloat16 keeps 8 bits: 2^-8 per rounding. Bit-equal kernels on one machine, not promised on another;
            // directions of small gradients may turn round, so that weights may differ by whole updates.
            (ForwardDtype::BFloat16, _) => Self { loss: 0.25, weights: 5.0 * 2.0 * lr },
            (ForwardDtype::Float32, false) => Self { loss: 2.0 * 4.0 * 2.4e-5, weights: 5.0 * lr * 2e-3 },
            (ForwardDtype::Float32, true) => Self { loss: 2.0 * 4.0 * 3e-3, weights: 5.0 * lr * 2e-2 },
        }
    }
}

fn run(case: &str) {
    let folder = fixture("training").join(case);
    let run = json(&folder.join("run.json"));
    let batches = tensors(&folder.join("batches.safetensors"));
    let first = batch(&batches, "step1.");
    let config = learner_config(&run, &first);
    let tolerance = Tolerance::of(&config.arch, config.lr);
    let initial = tensors(&folder.join("initial.safetensors"));
    let mut parameters =
        Parameters::new(&config.arch, &config.dims, device(), |spec| Ok(values(&initial[&spec.name]))).unwrap();
    check_gradients(&folder, &config, &mut parameters, &first);

    let has_ema = config.ema_rate.is_some();
    let seq_len = config.dims.seq_len;
    let mut learner = Learner::new(config, parameters, seq_len).unwrap();
    for (index, expected) in run["steps"].as_array().unwrap().iter().enumerate() {
        let step = index + 1;
        let metrics = learner.train_step(&batch(&batches, &format!("step{step}."))).unwrap();
        let raw = &expected["raw_metrics_sum"];
        let q_continue_loss = metrics.q_continue_loss.map(|loss| ("q_continue_loss", loss));
        assert_eq!(q_continue_loss.is_some(), raw.get("q_continue_loss").is_some(), "{case} step {step}");
        let losses = [("lm_loss", metrics.lm_loss), ("q_halt_loss", metrics.q_halt_loss)];
        for (name, found) in losses.into_iter().chain(q_continue_loss) {
            let difference = (found - raw[name].as_f64().unwrap()).abs();
            assert!(difference <= tolerance.loss, "{case} step {step}: {name} differs by {difference:.2e}");
        }
        // Token counts of a bfloat16 trajectory may differ by near-ties.
        if learner.config.arch.forward_dtype() == ForwardDtype::Float32 {
            for (name, found) in [
                ("count", metrics.count),
                ("accuracy", metrics.accuracy),
                ("exact_accuracy", metrics.exact_accuracy),
                ("q_halt_accuracy", metrics.q_halt_accuracy),
                ("steps", metrics.steps),
            ] {
                let expected = raw[name].as_f64().unwrap();
                assert!((found - expected).abs() < 1e-6, "{case} step {step}: {name} is {found}, expected {expected}");
            }
        }
        let steps: Vec<u32> = serde_json::from_value(expected["carry_steps"].clone()).unwrap();
        let halted: Vec<bool> = serde_json::from_value(expected["carry_halted"].clone()).unwrap();
        assert_eq!((&learner.carry.steps, &learner.carry.halted), (&steps, &halted), "{case} step {step}");
        let rates: Vec<f64> = serde_json::from_value(expected["lr_per_optimizer"].clone()).unwrap();
        let lr = learner.learning_rates(learner.step).0;
        assert!((lr - rates[rates.len() - 1]).abs() < 1e-15, "{case}: lr {lr}, expected {rates:?}");
    }
    check_carry(&folder, &learner, &tolerance);
    check_weights(case, &learner.parameters, &folder.join("after_step5.safetensors"), &tolerance);
    let ema = folder.join("ema_after_step5.safetensors");
    if has_ema && case == "trm_att_stablemax" {
        check_weights(case, &learner.weights_to_use(), &ema, &tolerance);
    }
}

fn learner_config(run: &Value, first: &Batch) -> LearnerConfig {
    let number = |key: &str| run["config"][key].as_f64().unwrap();
    LearnerConfig {
        arch: reference_architecture(&run["config"]["arch"]),
        dims: ModelDims { vocab_size: 11, seq_len: first.seq_len, num_puzzle_identifiers: 5, sizes: None },
        loss_type: serde_json::from_value(run["config"]["arch"]["loss"]["loss_type"].clone()).unwrap(),
        loss_weights: LossWeights::default(),
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
        grad_clip: None,
        micro_batch_size: None,
        global_batch_size: first.rows(),
        local_batch_size: first.rows(),
        carried_batches: 1,
        rank: 0,
        seed: 0,
    }
}

/// `recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1` names the module that the fields belong to.
fn reference_architecture(fields: &Value) -> ArchitectureConfig {
    let name = fields["name"].as_str().unwrap();
    architecture(name.split('@').next().unwrap().rsplit('.').next().unwrap(), fields)
}

/// Gradients of the first step against the reference's. Two float32 (bfloat16) evaluations may lie as far apart as the
/// sum of their distances to float64; ours is measured here, the reference's is taken to be as long, and rounding
/// differs by chance from run to run, hence twice the sum.
fn check_gradients(folder: &Path, config: &LearnerConfig, parameters: &mut Parameters, first: &Batch) {
    if !golden_gradients(folder) {
        return;
    }
    let found = gradients(TchBackend::new(config.arch.forward_dtype()), config, parameters, first);
    let exact = gradients(TchBackend::float64(), config, parameters, first);
    let relative = |left: &Tensor, right: &Tensor| max_abs_diff(left, right) / right.abs().max().double_value(&[]);
    let error = found.iter().map(|(name, gradient)| relative(gradient, &exact[name])).fold(0.0, f64::max);
    let tolerance = 4.0 * error.max(f64::from(f32::EPSILON));
    let expected = tensors(&folder.join("grads_step1.safetensors"));
    for (name, gradient) in &found {
        let difference = relative(gradient, &expected[name]);
        assert!(
            difference <= tolerance,
            "{}: gradient of {name} differs by {difference:.2e} of its largest element (at most {tolerance:.2e})",
            folder.display()
        );
    }
}

/// Whether the case has gradients: one of each architecture and loss, the others were left out for their size.
fn golden_gradients(folder: &Path) -> bool {
    let case = folder.file_name().unwrap().to_str().unwrap();
    let found = folder.join("grads_step1.safetensors.gz").exists();
    let expected = [
        "hrm_att_stablemax",
        "transformers_baseline_stablemax",
        "trm_att_softmax",
        "trm_att_stablemax",
        "trm_hier6_att_stablemax",
        "trm_mlpt_stablemax",
        "trm_singlez_att_stablemax",
    ];
    assert_eq!(found, expected.contains(&case), "{case}");
    found
}

fn gradients(
    backend: TchBackend,
    config: &LearnerConfig,
    parameters: &mut Parameters,
    first: &Batch,
) -> BTreeMap<String, Tensor> {
    let reasoner = Reasoner::on_backend(backend, &config.arch, &config.dims, parameters, config.loss_type).unwrap();
    let mut carry = Carry::empty(&config.arch, first.rows(), config.dims.seq_len, device());
    carry.admit(first);
    let act = reasoner.step(&mut carry, parameters, Halting::Explore { seed: 0, step: 1, first_row: 0 });
    (act.loss / first.rows() as f64).backward();
    let trained = parameters.specs().iter().filter(|spec| spec.kind == ParameterKind::Weight);
    let mut found: BTreeMap<String, Tensor> =
        trained.map(|spec| (spec.name.clone(), parameters.get(&spec.name).unwrap().grad().copy())).collect();
    found.extend(act.puzzle_rows.map(|rows| ("inner.puzzle_emb.local_weights".to_owned(), rows.grad())));
    parameters.weights_changed();
    found
}

fn check_carry(folder: &Path, learner: &Learner, tolerance: &Tolerance) {
    let has_carry = folder.join("carry_after_step5.safetensors.gz").exists();
    // One case of each architecture; the others were left out for their size.
    assert!(has_carry || matches!(learner.config.arch, ArchitectureConfig::Trm(_)), "{}", folder.display());
    if !has_carry {
        return;
    }
    let expected = tensors(&folder.join("carry_after_step5.safetensors"));
    let current = &learner.carry.current;
    assert_eq!(current.inputs, integers(&expected["current_data.inputs"]));
    assert_eq!(current.labels, integers(&expected["current_data.labels"]));
    assert_eq!(current.puzzle_identifiers, integers(&expected["current_data.puzzle_identifiers"]));
    if learner.config.arch.forward_dtype() == ForwardDtype::Float32 {
        for (name, state) in learner.config.arch.state_names().iter().zip(&learner.carry.state) {
            let difference = max_abs_diff(state, &expected[*name]);
            assert!(difference <= tolerance.loss, "{}: {name} differs by {difference:.2e}", folder.display());
        }
    }
}

fn check_weights(case: &str, found: &Parameters, expected: &Path, tolerance: &Tolerance) {
    let expected = tensors(expected);
    for spec in found.specs() {
        // EMA files hold parameters only.
        let Some(expected) = expected.get(&spec.name) else { continue };
        let difference = max_abs_diff(found.get(&spec.name).unwrap(), expected);
        let bound = if spec.kind == ParameterKind::Buffer { 0.0 } else { tolerance.weights };
        assert!(difference <= bound, "{case}: {} differs by {difference:.2e} (at most {bound:.2e})", spec.name);
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
    trm_singlez_att_stablemax,
    trm_hier6_att_stablemax,
    hrm_att_stablemax,
    transformers_baseline_stablemax,
);

/// The reference's optimizer, six updates of one tensor; each is a handful of float32 roundings.
#[test]
fn adam_atan2_follows_the_reference() {
    let unit = tensors(&fixture("training").join("adam_atan2_unit.safetensors"));
    let mut weights = unit["param0"].to_device(device()).copy();
    let config = FlatOptimizerConfig { kind: OptimizerKind::AdamATan2, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 };
    let mut optimizer = FlatOptimizer::new(config, &weights);
    for step in 1..=6 {
        optimizer.update(&mut weights, &unit[&format!("grad{step}")].to_device(device()), 3e-3);
        for (name, found) in [("param", &weights), ("m", &optimizer.exp_avg), ("v", &optimizer.exp_avg_sq)] {
            let expected = &unit[&format!("{name}{step}")];
            let scale = expected.abs().max().double_value(&[]).max(1.0);
            let difference = max_abs_diff(found, expected) / scale;
            assert!(
                difference <= 4.0 * f64::from(f32::EPSILON),
                "{name}{step} differs by {difference:.2e} of its scale"
            );
        }
    }
}

#[test]
fn sign_sgd_follows_the_reference() {
    let unit = tensors(&fixture("training").join("sign_sgd_unit.safetensors"));
    let mut table = unit["weights0"].to_device(device()).copy();
    for step in 1..=3 {
        let identifiers = integers(&unit[&format!("ids{step}")]);
        sign_sgd(&mut table, &unit[&format!("grad{step}")].to_device(device()), &identifiers, 0.01, 0.1);
        let difference = max_abs_diff(&table, &unit[&format!("weights{step}")]);
        assert!(difference <= 4.0 * f64::from(f32::EPSILON), "weights{step} differs by {difference:.2e}");
    }
}

#[test]
fn losses_follow_the_reference() {
    let unit = tensors(&fixture("training").join("loss_unit.safetensors"));
    let labels = unit["labels"].to_device(device()).to_kind(tch::Kind::Int64);
    for (loss_type, name) in
        [(LossType::StablemaxCrossEntropy, "stablemax"), (LossType::SoftmaxCrossEntropy, "softmax")]
    {
        let logits = unit["logits"].to_device(device()).copy().set_requires_grad(true);
        let loss = loss_type.per_position(&logits, &labels);
        let reference = unit.get(&format!("{name}_loss_f64")).unwrap_or_else(|| &unit[&format!("{name}_loss")]);
        let difference = max_abs_diff(&loss, reference);
        let bound = if name == "stablemax" { 1e-12 } else { 8.0 * f64::from(f32::EPSILON) };
        assert!(difference <= bound, "{name}: loss differs by {difference:.2e}");
        loss.sum(None).backward();
        let difference = max_abs_diff(&logits.grad(), &unit[&format!("{name}_grad")]);
        assert!(difference <= 4.0 * f64::from(f32::EPSILON), "{name}: gradient differs by {difference:.2e}");
    }
}

#[test]
fn schedule_follows_the_reference() {
    for vector in json(&fixture("training").join("lr_schedule_vectors.json")).as_array().unwrap() {
        let integer = |key: &str| vector[key].as_u64().unwrap();
        let float = |key: &str| vector[key].as_f64().unwrap();
        let found = cosine_with_warmup(
            integer("step"),
            float("base_lr"),
            integer("num_warmup_steps"),
            integer("num_training_steps"),
            float("min_ratio"),
        );
        assert!((found - float("lr")).abs() <= 1e-15 * float("base_lr").max(1e-3), "{vector}: {found}");
    }
}

/// A logit of exactly 1 makes the untaken branch of stablemax divide by its epsilon.
#[test]
fn stablemax_gradient_is_finite_at_one() {
    let logits = Tensor::from_slice(&[1.0_f32, -1.0, 0.0]).view([1, 1, 3]).set_requires_grad(true);
    let labels = Tensor::from_slice(&[2_i64]).view([1, 1]);
    LossType::StablemaxCrossEntropy.per_position(&logits, &labels).sum(None).backward();
    assert!(values(&logits.grad()).iter().all(|gradient| gradient.is_finite()));
}
