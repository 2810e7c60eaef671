//! The whole evaluation loop against the Python reference: its metrics and every prediction, padded rows included.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

mod common;

use std::collections::BTreeMap;

use common::{architecture, fixture, integers, json, max_abs_diff, published, tensors};
use datasets::batch::{Batch, IGNORE_LABEL_ID};
use models::{ArchitectureConfig, ModelDims};
use tch::{Device, Tensor};
use trainer::act::{Halting, Reasoner};
use trainer::carry::Carry;
use trainer::evaluate::evaluate;
use trainer::losses::LossType;
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };
const BATCH_SIZE: usize = 8;

fn model() -> (ArchitectureConfig, Parameters) {
    let result = json(&fixture("evaluate").join("result.json"));
    let arch = architecture("trm", &result["config"]["arch"]);
    let parameters = published(&fixture("evaluate").join("step_60"), &arch, &DIMS);
    (arch, parameters)
}

/// Ten puzzles and six rows of padding, as the reference saved them.
fn batches(saved: &BTreeMap<String, Tensor>) -> Vec<Batch> {
    let (inputs, labels) = (integers(&saved["inputs"]), integers(&saved["labels"]));
    let identifiers = integers(&saved["puzzle_identifiers"]);
    let of = |values: &[i32], index: usize, width: usize| -> Vec<i32> {
        values[index * BATCH_SIZE * width..][..BATCH_SIZE * width].to_vec()
    };
    (0..identifiers.len() / BATCH_SIZE)
        .map(|index| {
            let labels = of(&labels, index, DIMS.seq_len);
            let labelled = |row: &&[i32]| row.iter().any(|&label| label != IGNORE_LABEL_ID);
            Batch {
                seq_len: DIMS.seq_len,
                inputs: of(&inputs, index, DIMS.seq_len),
                real_rows: labels.chunks(DIMS.seq_len).filter(labelled).count(),
                labels,
                puzzle_identifiers: of(&identifiers, index, 1),
            }
        })
        .collect()
}

#[test]
fn metrics_are_the_references() {
    let (arch, parameters) = model();
    let reasoner = Reasoner::new(&arch, &DIMS, &parameters, LossType::default()).unwrap();
    let saved = tensors(&fixture("evaluate").join("all_preds.safetensors"));
    let batches = batches(&saved);
    assert_eq!(batches.iter().map(|batch| batch.real_rows).sum::<usize>(), 10);
    let found = evaluate(&reasoner, &arch, &parameters, batches.into_iter().map(Ok), |_| {}).unwrap();

    let expected = json(&fixture("evaluate").join("result.json"));
    let expected = expected["reduced_metrics"]["test"]["all"].as_object().unwrap();
    assert_eq!((found.count, expected.len()), (10, 6));
    for (name, value) in found.entries() {
        // The reference sums float32; a handful of roundings of values below 40.
        let difference = (value - expected[name].as_f64().unwrap()).abs();
        assert!(difference <= 16.0 * 40.0 * f64::from(f32::EPSILON) / 10.0, "{name}: {value}, off by {difference:e}");
    }
}

#[test]
fn predictions_are_the_references() {
    let (arch, parameters) = model();
    let reasoner = Reasoner::new(&arch, &DIMS, &parameters, LossType::default()).unwrap();
    let saved = tensors(&fixture("evaluate").join("all_preds.safetensors"));
    for (index, batch) in batches(&saved).into_iter().enumerate() {
        let mut carry = Carry::empty(&arch, batch.rows(), batch.seq_len, Device::Cpu);
        carry.admit(&batch);
        let mut act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        for _ in 1..arch.halt_max_steps() {
            act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        }
        let of_batch = |name: &str| saved[name].narrow(0, (index * BATCH_SIZE) as i64, BATCH_SIZE as i64);
        assert_eq!(integers(&act.preds), integers(&of_batch("preds")), "batch {index}");
        // Two float32 evaluations of four steps; attention models lie within 1e-5 of float64 (`tests/fixtures/models`).
        for (name, found) in [("logits", &act.logits), ("q_halt_logits", &act.q_halt)] {
            let difference = max_abs_diff(found, &of_batch(name));
            assert!(difference <= 4.0 * 2.4e-5, "batch {index}: {name} differ by {difference:e}");
        }
    }
}

/// As measured on the reference with every Q logit at -5, where a fresh Q head stands: rows of padding pass for right and
/// add BCE(-5, 1) each, but are not counted.
#[test]
fn padding_adds_to_the_halting_loss_and_to_no_count() {
    let (arch, _) = model();
    let parameters = Parameters::initialised(&arch, &DIMS, Device::Cpu, 7).unwrap();
    let reasoner = Reasoner::new(&arch, &DIMS, &parameters, LossType::default()).unwrap();
    for (real_rows, sum) in [(4, 0.026_861_190_795_898_438), (2, 10.026_861_190_795_898)] {
        let mut labels = vec![2; 4 * DIMS.seq_len];
        labels[real_rows * DIMS.seq_len..].fill(IGNORE_LABEL_ID);
        let inputs = vec![1; 4 * DIMS.seq_len];
        let batch = Batch { seq_len: DIMS.seq_len, inputs, labels, puzzle_identifiers: vec![0; 4], real_rows };
        let found = evaluate(&reasoner, &arch, &parameters, std::iter::once(Ok(batch)), |_| {}).unwrap();
        assert_eq!(found.count, real_rows as u64);
        let difference = (found.q_halt_loss * real_rows as f64 - sum).abs();
        // Four float32 terms, two of them 5: the reference adds them in float32.
        assert!(difference <= 4.0 * 10.0 * f64::from(f32::EPSILON), "{real_rows} real rows: off by {difference:e}");
    }
}
