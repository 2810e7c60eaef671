//! The trainer's backend against the Python reference: logits, Q values and states over four supervision steps.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod common;

use common::{batch, dims, fixture, json, max_abs_diff, tensors, trm_config, values};
use models::ForwardDtype;
use tch::Device;
use trainer::act::{Halting, Reasoner};
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
    let arch = trm_config(&config["config"]);
    let dims = dims(&config["config"]);
    let weights = tensors(&folder.join("weights.safetensors"));
    let io = tensors(&folder.join("io.safetensors"));

    let parameters = Parameters::new(&arch, &dims, Device::Cpu, |spec| Ok(values(&weights[&spec.name]))).unwrap();
    let reasoner = Reasoner::new(&arch, &dims, &parameters, LossType::StablemaxCrossEntropy).unwrap();
    let examples = batch(&io, "");
    let mut carry = Carry::empty(&arch, examples.rows(), dims.seq_len, Device::Cpu);
    carry.admit(&examples);

    let errors = &config["max_abs_diff_vs_forward_dtype_float64_per_step"];
    // Logits of these random models stay below 8, where bfloat16 values lie 2^-5 apart; activations of RMS 1 are
    // rounded some hundred times on the way, each time by at most 2^-9 of their size.
    let bfloat16_tolerance = 0.15;
    let steps = if arch.forward_dtype() == ForwardDtype::BFloat16 { 1 } else { 4 };
    for step in 1..=steps {
        let act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        let tolerance = |what: &str| match errors[step - 1][what].as_f64() {
            Some(error) => FLOAT64_ERROR_FACTOR * error.max(FLOAT32_FLOOR),
            None => bfloat16_tolerance,
        };
        let reference = |what: &str| &io[&format!("step{step}.{what}")];
        let logits = max_abs_diff(&act.logits, reference("logits"));
        let q_halt = max_abs_diff(&act.q_halt, reference("q_halt_logits"));
        assert!(logits <= tolerance("logits"), "{case} step {step}: logits differ by {logits}");
        assert!(q_halt <= tolerance("q_halt").max(tolerance("logits")), "{case} step {step}: q differs by {q_halt}");
        for (name, state) in arch.state_names().iter().zip(&carry.state) {
            let recorded = if step == 4 { format!("final.{name}") } else { format!("step{step}.{name}") };
            if let Some(expected) = io.get(&recorded) {
                let difference = max_abs_diff(state, expected);
                assert!(difference <= tolerance("logits"), "{case} {recorded}: differs by {difference}");
            }
        }
    }
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => { $( #[test] fn $case() { check(stringify!($case)); } )* };
}

cases!(
    trm_att_learned_noemb,
    trm_att_learned_pel16,
    trm_att_none_pel0,
    trm_att_rope_bf16,
    trm_att_rope_noemb,
    trm_att_rope_pel0,
    trm_att_rope_pel0_ndim80,
    trm_att_rope_pel0_ndim96,
    trm_att_rope_pel16,
    trm_mlpt_none_bf16,
    trm_mlpt_none_noemb,
    trm_mlpt_none_pel0,
    trm_mlpt_none_pel16,
    trm_mlpt_rope_seq36,
);
