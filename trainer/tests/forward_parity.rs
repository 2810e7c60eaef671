//! The trainer's backend against the Python reference: logits, Q values and states over four supervision steps.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod common;

use std::collections::BTreeMap;

use common::{architecture, batch, device, dims, fixture, json, max_abs_diff, published, tensors};
use models::{ArchitectureConfig, ForwardDtype, ModelDims};
use tch::Tensor;
use trainer::act::{Halting, Reasoner};
use trainer::backend::TchBackend;
use trainer::carry::Carry;
use trainer::losses::LossType;
use trainer::parameters::Parameters;

/// Two float32 evaluations of one function differ by at most the sum of their distances to float64; ours is taken to
/// be as long as the reference's, and rounding differs by chance from run to run, hence twice the sum.
const FLOAT64_ERROR_FACTOR: f64 = 4.0;
/// What a single rounding of a value of the size of a logit (below 16) costs in float32; below it an error estimate
/// means nothing.
const FLOAT32_FLOOR: f64 = 16.0 * f32::EPSILON as f64;

fn check(case: &str) {
    let folder = fixture("models").join(case);
    let config = json(&folder.join("config.json"));
    let arch = architecture(config["arch"].as_str().unwrap(), &config["config"]);
    let dims = dims(&config["config"]);
    let io = tensors(&folder.join("io.safetensors"));

    let parameters = published(&folder.join("step_1"), &arch, &dims);
    let reasoner = Reasoner::new(&arch, &dims, &parameters, LossType::StablemaxCrossEntropy).unwrap();
    let examples = batch(&io, "");
    let mut carry = Carry::empty(&arch, examples.rows(), dims.seq_len, device());
    carry.admit(&examples);

    if arch.forward_dtype() == ForwardDtype::BFloat16 {
        return check_bfloat16(case, &arch, &dims, &parameters, &io);
    }
    let errors = &config["max_abs_diff_vs_forward_dtype_float64_per_step"];
    for step in 1..=4 {
        let act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        let tolerance = |what: &str| FLOAT64_ERROR_FACTOR * errors[step - 1][what].as_f64().unwrap().max(FLOAT32_FLOOR);
        let reference = |what: &str| &io[&format!("step{step}.{what}")];
        let logits = max_abs_diff(&act.logits, reference("logits"));
        assert!(logits <= tolerance("logits"), "{case} step {step}: logits differ by {logits}");
        for (found, name) in [(&act.q_halt, "q_halt_logits"), (&act.q_continue, "q_continue_logits")] {
            let q = max_abs_diff(found, reference(name));
            assert!(q <= tolerance("q_halt").max(tolerance("logits")), "{case} step {step}: {name} differs by {q}");
        }
        for (name, state) in arch.state_names().iter().zip(&carry.state) {
            let recorded = if step == 4 { format!("final.{name}") } else { format!("step{step}.{name}") };
            if let Some(expected) = io.get(&recorded) {
                let difference = max_abs_diff(state, expected);
                assert!(difference <= tolerance("logits"), "{case} {recorded}: differs by {difference}");
            }
        }
    }
}

/// One step in bfloat16, whose error the fixtures do not record: it is measured against float64 here. The plain path,
/// which rounds where the reference does, has its very numbers or those of another summation; the fused path may lie
/// as far away as both are from float64.
fn check_bfloat16(
    case: &str,
    arch: &ArchitectureConfig,
    dims: &ModelDims,
    parameters: &Parameters,
    io: &BTreeMap<String, Tensor>,
) {
    let run = |backend: TchBackend| {
        let reasoner = Reasoner::on_backend(backend, arch, dims, parameters, LossType::StablemaxCrossEntropy).unwrap();
        let examples = batch(io, "");
        let mut carry = Carry::empty(arch, examples.rows(), dims.seq_len, device());
        carry.admit(&examples);
        let act = reasoner.step_without_gradient(&mut carry, parameters, Halting::AtLimit);
        let mut found = BTreeMap::from([
            ("logits".to_owned(), act.logits),
            ("q_halt_logits".to_owned(), act.q_halt),
            ("q_continue_logits".to_owned(), act.q_continue),
        ]);
        found.extend(arch.state_names().iter().map(|name| (*name).to_owned()).zip(carry.state));
        found
    };
    let dtype = ForwardDtype::BFloat16;
    let (fused, plain, exact) =
        (run(TchBackend::new(dtype)), run(TchBackend::plain(dtype)), run(TchBackend::float64()));
    let mut compared = 0;
    for (name, exact) in &exact {
        let Some(reference) = io.get(&format!("step1.{name}")) else { continue };
        let error = max_abs_diff(reference, exact);
        let (of_plain, of_fused) = (max_abs_diff(&plain[name], reference), max_abs_diff(&fused[name], reference));
        println!("{case} {name}: reference {error:.3}, plain {of_plain:.3}, fused {of_fused:.3}");
        assert!(of_plain <= 0.15, "{case} {name}: the plain path differs by {of_plain}");
        assert!(of_fused <= 2.0 * error, "{case} {name}: differs by {of_fused}, at most {}", 2.0 * error);
        compared += 1;
    }
    assert!(compared >= 3, "{case}: the fixture has only {compared} of the step's results");
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => { $( #[test] fn $case() { check(stringify!($case)); } )* };
}

cases!(
    hrm_att_learned_l2,
    hrm_att_rope,
    hrm_mlpt,
    transformers_baseline_learned,
    transformers_baseline_rope,
    trm_att_learned_noemb,
    trm_att_learned_pel16,
    trm_att_none_pel0,
    trm_att_rope_bf16,
    trm_att_rope_noemb,
    trm_att_rope_pel0,
    trm_att_rope_pel0_ndim80,
    trm_att_rope_pel0_ndim96,
    trm_att_rope_pel16,
    trm_hier6_att_rope,
    trm_hier6_att_rope_l2,
    trm_mlpt_none_bf16,
    trm_mlpt_none_noemb,
    trm_mlpt_none_pel0,
    trm_mlpt_none_pel16,
    trm_mlpt_rope_seq36,
    trm_singlez_att_rope,
    trm_singlez_mlpt,
);

#[test]
fn every_golden_case_is_checked() {
    let folders = std::fs::read_dir(fixture("models")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(folders.filter(|path| path.is_dir()).count(), 23);
}
