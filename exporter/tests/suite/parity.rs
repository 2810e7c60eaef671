//! The exported graphs compute what the Python reference computed: golden cases, through ONNX Runtime.
//!
//! Tolerances follow from how far the reference's own float32 lies from float64 (`error_floor`), which is what rounding
//! does to that model. Ours is another float32 evaluation, so its distance to the golden numbers is bounded by both
//! errors: `FLOORS x` the largest floor up to that step (errors are carried along with the state), plus `ULPS` units in
//! the last place of the largest value, because a floor measured on few numbers can be small by luck.

use crate::common::{Case, Outputs, case_names, slice_step};
use exporter::{Flavor, GraphKind};

/// One floor for the reference's error, four for ours: another order of summation, and kernels that approximate `exp`.
const FLOORS: f64 = 5.0;
/// The same on processors with AVX2 alone, whose kernels in ONNX Runtime sum in yet another order: 5.4 was measured.
const FLOORS_WITHOUT_AVX512: f64 = 6.0;
/// Units in the last place on top.
const ULPS: f64 = 8.0;
const STEPS: usize = 4;
/// From the rounding of float32 to that of bfloat16: 24 against 8 significant bits.
const BFLOAT16_OVER_FLOAT32: f64 = 65536.0;

#[test]
fn step_graphs_match_the_reference() {
    for flavor in [Flavor::Fused, Flavor::Portable] {
        for case in float32_cases() {
            let results = case.graph(GraphKind::Step, flavor).run_steps(&case, 0..case.batch, STEPS);
            let what = format!("{} step graph, {}", case.name, flavor.name());
            for (step, outputs) in results.iter().enumerate() {
                check_step(&case, &what, step, outputs);
            }
            check_states(&case, &what, &results[STEPS - 1]);
        }
    }
}

#[test]
fn unrolled_graphs_match_the_reference() {
    for flavor in [Flavor::Fused, Flavor::Portable] {
        for case in float32_cases() {
            let graph = GraphKind::Unrolled { halt_steps: STEPS };
            let outputs = case.graph(graph, flavor).run(&case, 0..case.batch, None);
            for step in 0..STEPS {
                let what = format!("{} unrolled, {}", case.name, flavor.name());
                check_step(&case, &what, step, &slice_step(&outputs, case.batch, STEPS, step));
            }
        }
    }
}

/// The reference rounds every activation to bfloat16, the graph does not: the floor of the float32 case of the same
/// structure, times the ratio of the two types' roundings, is what that does to one step.
#[test]
fn bfloat16_references_are_met_at_the_first_step() {
    for (name, sibling) in [("trm_att_rope_bf16", "trm_att_rope_pel16"), ("trm_mlpt_none_bf16", "trm_mlpt_none_pel16")]
    {
        let case = Case::load(name);
        assert!(!case.is_float32());
        let floor = Case::load(sibling).error_floor[0][0] * BFLOAT16_OVER_FLOAT32;
        for flavor in [Flavor::Fused, Flavor::Portable] {
            let outputs = case.graph(GraphKind::Step, flavor).run_steps(&case, 0..case.batch, 1).swap_remove(0);
            let what = format!("{name} {}", flavor.name());
            let compare = |what: &str, found: &[f32], golden: &str| {
                let golden = case.golden(golden).unwrap();
                assert_close(what, found, golden, floor);
                // The floor is a maximum: over many numbers, which four Q values are not, the deviation lies well inside.
                if golden.len() <= case.batch {
                    return;
                }
                let deviation = root_mean_square(&differences(found, golden));
                assert!(deviation <= floor / 4.0, "{what}: rms deviation {deviation:.2e}, allowed {:.2e}", floor / 4.0);
            };
            compare(&format!("{what} logits"), &outputs.logits, "step1.logits");
            compare(&format!("{what} q_halt_logits"), &outputs.q_halt, "step1.q_halt_logits");
            compare(&format!("{what} z_H"), &outputs.state[0], "step1.z_H");
            compare(&format!("{what} z_L"), &outputs.state[1], "step1.z_L");
            assert_preds(&what, &case, 0, &outputs, floor);
        }
    }
}

fn float32_cases() -> impl Iterator<Item = Case> {
    let cases: Vec<Case> = case_names().iter().map(|name| Case::load(name)).filter(Case::is_float32).collect();
    assert_eq!(cases.len(), 21, "golden float32 cases");
    cases.into_iter()
}

fn check_step(case: &Case, what: &str, step: usize, outputs: &Outputs) {
    let golden = |name: &str| case.golden(&format!("step{}.{name}", step + 1)).unwrap();
    let what = format!("{what}, step {}", step + 1);
    let tolerance = tolerance(floor(case, step, 0), golden("logits"));
    assert_close(&format!("{what}, logits"), &outputs.logits, golden("logits"), tolerance);
    assert_preds(&what, case, step, outputs, tolerance);
    let uses_q_continue = case.checkpoint.manifest.arch.uses_q_continue();
    assert_eq!(outputs.q_continue.len(), if uses_q_continue { case.batch } else { 0 });
    for (name, found) in [("q_halt_logits", &outputs.q_halt), ("q_continue_logits", &outputs.q_continue)] {
        if !found.is_empty() {
            let golden = golden(name);
            let tolerance = self::tolerance(floor(case, step, 1), golden);
            assert_close(&format!("{what}, {name}"), found, golden, tolerance);
        }
    }
}

/// No floor was recorded for states. Logits are products of `z_H` with rows of about unit norm, so theirs is the same
/// but for being the largest of many more numbers, which doubles it.
fn check_states(case: &Case, what: &str, outputs: &Outputs) {
    for (state, name) in outputs.state.iter().zip(case.checkpoint.manifest.arch.state_names()) {
        let golden = case.golden(&format!("final.{name}")).unwrap();
        let tolerance = tolerance(2.0 * floor(case, STEPS - 1, 0), golden);
        assert_close(&format!("{what}, {name}"), state, golden, tolerance);
    }
}

fn floor(case: &Case, step: usize, quantity: usize) -> f64 {
    case.error_floor[..=step].iter().map(|floor| floor[quantity]).fold(0.0, f64::max)
}

fn tolerance(floor: f64, golden: &[f32]) -> f64 {
    let largest = golden.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let floors = if kernels::is_supported() { FLOORS } else { FLOORS_WITHOUT_AVX512 };
    floors * floor + ULPS * f64::from(f32::EPSILON) * f64::from(largest)
}

/// Predicted tokens must agree wherever the two best logits lie further apart than rounding can move them.
fn assert_preds(what: &str, case: &Case, step: usize, outputs: &Outputs, tolerance: f64) {
    let logits = case.golden(&format!("step{}.logits", step + 1)).unwrap();
    let golden = case.golden(&format!("step{}.preds", step + 1)).unwrap();
    let vocab_size = case.checkpoint.manifest.dims.vocab_size;
    assert_eq!(outputs.preds.len(), golden.len(), "{what}");
    let mut decided = 0;
    for (position, row) in logits.chunks(vocab_size).enumerate() {
        let mut sorted = row.to_vec();
        sorted.sort_by(f32::total_cmp);
        if f64::from(sorted[vocab_size - 1] - sorted[vocab_size - 2]) > 2.0 * tolerance {
            assert_eq!(outputs.preds[position], golden[position] as i64, "{what}, prediction {position}");
            decided += 1;
        }
    }
    assert!(decided * 10 >= golden.len(), "{what}: only {decided} of {} predictions are decided", golden.len());
}

fn assert_close(what: &str, found: &[f32], golden: &[f32], tolerance: f64) {
    assert!(found.iter().all(|value| value.is_finite()), "{what}: not finite");
    let largest = differences(found, golden).into_iter().fold(0.0, f64::max);
    assert!(largest <= tolerance, "{what}: differs by {largest:.2e}, allowed {tolerance:.2e}");
}

fn differences(found: &[f32], golden: &[f32]) -> Vec<f64> {
    assert_eq!(found.len(), golden.len());
    found.iter().zip(golden).map(|(found, golden)| f64::from((found - golden).abs())).collect()
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}
