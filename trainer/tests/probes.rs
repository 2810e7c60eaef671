//! Probes against sums by hand in float64, against the recursion that they take apart, and on disk.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;

use datasets::batch::{Batch, IGNORE_LABEL_ID};
use models::{ArchitectureConfig, ForwardDtype, Initializer, ModelDims, TrmConfig};
use process::{succeed, tiny, words};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use trainer::act::{Halting, Reasoner};
use trainer::carry::Carry;
use trainer::losses::LossType;
use trainer::parameters::Parameters;
use trainer::principal::PrincipalComponents;
use trainer::probes::{StateStatistics, trace_recursion, trace_recursion_with};

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 2, sizes: None };
const ROWS: usize = 3;
const WIDTH: usize = 32;
const PUZZLE_POSITIONS: usize = 2;

fn arch(h_cycles: usize) -> ArchitectureConfig {
    ArchitectureConfig::Trm(TrmConfig {
        hidden_size: WIDTH,
        num_heads: 4,
        puzzle_emb_ndim: WIDTH,
        puzzle_emb_len: PUZZLE_POSITIONS,
        H_cycles: h_cycles,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 2,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    })
}

fn batch() -> Batch {
    let cells = ROWS * DIMS.seq_len;
    Batch {
        seq_len: DIMS.seq_len,
        inputs: (0..cells).map(|index| (1 + index * 7 % 5) as i32).collect(),
        labels: (0..cells).map(|i| if i % 5 == 0 { IGNORE_LABEL_ID } else { (1 + i * 3 % 5) as i32 }).collect(),
        puzzle_identifiers: vec![0, 1, 1],
        real_rows: ROWS,
    }
}

/// Fresh weights, those of the blocks `factor` times as large.
fn parameters(arch: &ArchitectureConfig, factor: f32) -> Parameters {
    let initializer = Initializer::new(7);
    Parameters::new(arch, &DIMS, Device::Cpu, |spec| {
        let values = initializer.draw(spec);
        let scale = if spec.name.contains("L_level") { factor } else { 1.0 };
        Ok(values.into_iter().map(|value| value * scale).collect())
    })
    .unwrap()
}

/// `[row][position][channel]` in float64, without the puzzle's positions.
fn cells(state: &Tensor) -> Vec<Vec<Vec<f64>>> {
    let flat: Vec<f64> = Vec::try_from(&state.to_kind(Kind::Double).contiguous().view(-1)).unwrap();
    let positions: Vec<Vec<f64>> = flat.chunks(WIDTH).map(<[f64]>::to_vec).collect();
    positions.chunks(DIMS.seq_len + PUZZLE_POSITIONS).map(|row| row[PUZZLE_POSITIONS..].to_vec()).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The four measures by their definitions.
fn by_hand(state: &Tensor, before: Option<&Tensor>) -> [f64; 4] {
    let (now, before) = (cells(state), before.map(cells));
    let count = (ROWS * DIMS.seq_len) as f64;
    let (mut length, mut cosine, mut delta) = (0.0, 0.0, 0.0);
    for row in 0..ROWS {
        for position in 0..DIMS.seq_len {
            let a = &now[row][position];
            length += norm(a) / count;
            let Some(before) = &before else { continue };
            let b = &before[row][position];
            let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            cosine += product / ((norm(a) + 1e-8) * (norm(b) + 1e-8)) / count;
            let change: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            delta += norm(&change) / (WIDTH as f64).sqrt() / count;
        }
    }
    let mut variance = 0.0;
    let places = (0..DIMS.seq_len).flat_map(|position| (0..WIDTH).map(move |channel| (position, channel)));
    for (position, channel) in places {
        let values: Vec<f64> = now.iter().map(|row| row[position][channel]).collect();
        let mean = values.iter().sum::<f64>() / ROWS as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        variance += squares / (ROWS as f64 - 1.0) / (DIMS.seq_len * WIDTH) as f64;
    }
    [length, cosine, variance, delta]
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{what}: {found}, by hand {expected}");
}

#[test]
fn statistics_are_those_of_their_definitions() {
    tch::set_num_threads(1);
    let one_update = arch(1);
    let parameters = parameters(&one_update, 1.0);
    let found = trace_recursion(&arch(3), &DIMS, &parameters, &batch(), 4).unwrap();
    let reasoner = Reasoner::new(&one_update, &DIMS, &parameters, LossType::SoftmaxCrossEntropy).unwrap();
    let mut carry = Carry::empty(&one_update, ROWS, DIMS.seq_len, Device::Cpu);
    carry.admit(&batch());
    let mut before: Option<Vec<Tensor>> = None;
    for step in &found {
        let act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        carry.halted.fill(false);
        let check = |index: usize, state: &StateStatistics| {
            let expected = by_hand(&carry.state[index], before.as_ref().map(|before| &before[index]));
            assert_close(state.l2_norm, expected[0], "l2_norm");
            assert_close(state.cosine_prev, expected[1], "cosine_prev");
            assert_close(state.batch_variance, expected[2], "batch_variance");
            if before.is_some() {
                assert_close(state.delta, expected[3], "delta");
            }
        };
        check(0, &step.answer);
        check(1, &step.latent.unwrap());
        // Softmax and accuracy over the cells with labels.
        let logits: Vec<f64> = Vec::try_from(&act.logits.to_kind(Kind::Double).contiguous().view(-1)).unwrap();
        let (mut loss, mut right, mut count) = (0.0, 0.0, 0.0);
        for (cell, &label) in batch().labels.iter().enumerate().filter(|(_, label)| **label != IGNORE_LABEL_ID) {
            let cell = &logits[cell * DIMS.vocab_size..(cell + 1) * DIMS.vocab_size];
            loss -= cell[label as usize] - cell.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            right += f64::from(cell.iter().all(|&logit| logit <= cell[label as usize]));
            count += 1.0;
        }
        assert_close(step.loss, loss / count, "loss");
        assert_close(step.accuracy, right / count, "accuracy");
        assert_eq!((step.rows, step.exact), (ROWS as u64, 0));
        before = Some(carry.state.iter().map(Tensor::copy).collect());
    }
    assert!(found[0].answer.delta > 0.0 && found[0].answer.cosine_prev.abs() < f64::EPSILON);
}

/// Three updates are one supervision step of the model that makes three, also past the steps of training.
#[test]
fn updates_compose_to_the_models_own_steps() {
    tch::set_num_threads(1);
    let three_updates = arch(3);
    let parameters = parameters(&three_updates, 1.0);
    let found = trace_recursion(&three_updates, &DIMS, &parameters, &batch(), 12).unwrap();
    let reasoner = Reasoner::new(&three_updates, &DIMS, &parameters, LossType::SoftmaxCrossEntropy).unwrap();
    let mut carry = Carry::empty(&three_updates, ROWS, DIMS.seq_len, Device::Cpu);
    carry.admit(&batch());
    for step in 1..=4 {
        let act = reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
        carry.halted.fill(false);
        let probe = &found[3 * step - 1];
        assert_eq!(probe.recursion_step, 3 * step);
        assert_close(probe.answer.l2_norm, by_hand(&carry.state[0], None)[0], "l2_norm");
        assert_close(probe.answer.batch_variance, by_hand(&carry.state[0], None)[2], "batch_variance");
        let q_halt = act.q_halt.sigmoid().mean(Kind::Double).double_value(&[]);
        assert_close(probe.q_halt, q_halt, "q_halt");
    }
}

/// Blocks without weights only average, and their states settle; large random ones keep the states in motion.
#[test]
fn a_settled_models_changes_vanish_and_a_random_ones_do_not() {
    tch::set_num_threads(1);
    let deltas = |factor: f32| -> Vec<f64> {
        let arch = arch(3);
        let found = trace_recursion(&arch, &DIMS, &parameters(&arch, factor), &batch(), 32).unwrap();
        found.iter().map(|step| step.answer.delta).collect()
    };
    let (settled, random) = (deltas(0.0), deltas(8.0));
    assert!(settled[31] < 1e-3 * settled[1] && settled[1] > 1e-3, "{settled:?}");
    assert!(random[31] > 0.1 && random[31] > 0.2 * random[1], "{random:?}");
}

/// A resumed run writes the same files, and what a killed one wrote past its checkpoint is gone.
#[test]
fn files_hold_each_evaluation_once() {
    let folder = TempDir::new().unwrap();
    let settings = words(
        "eval_interval_steps=4 lr_min_ratio=1.0 log_recursion=True log_latent_stats=True probe_depth=5 probe_rows=8",
    );
    let train = |more: &str| succeed(folder.path(), &[words("pretrain"), words(more)].concat());
    let fresh = |run: &str, steps: u64| {
        let settings = [words("pretrain"), tiny(steps), settings.clone(), vec![format!("checkpoint_path={run}")]];
        succeed(folder.path(), &settings.concat())
    };
    fresh("whole", 12);
    fresh("resumed", 8);
    let path = |run: &str, name: &str| folder.path().join(run).join(name);
    for name in ["recursion_metrics.csv", "latent_stats.csv"] {
        let mut text = fs::read_to_string(path("resumed", name)).unwrap();
        let last = text.lines().last().unwrap().to_owned();
        text += &[last.rsplit_once(',').unwrap().0, ",12\n", &last[..last.len() / 2]].concat();
        fs::write(path("resumed", name), text).unwrap();
    }
    train("resume=resumed max_steps=12");
    for (name, columns) in [("recursion_metrics.csv", 7), ("latent_stats.csv", 11)] {
        let whole = fs::read_to_string(path("whole", name)).unwrap();
        assert_eq!(fs::read_to_string(path("resumed", name)).unwrap(), whole, "{name}");
        let rows: Vec<Vec<f64>> =
            csv::Reader::from_path(path("whole", name)).unwrap().deserialize().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3 * 5, "{name}");
        for (index, row) in rows.iter().enumerate() {
            let evaluation = (index / 5 + 1) as f64;
            assert_eq!(
                (row.len(), row[0], row[1], row[columns - 1]),
                (columns, evaluation, (index % 5 + 1) as f64, 4.0 * evaluation)
            );
        }
    }
    assert!(!path("whole", "step_0").join("recursion_metrics.csv").exists());
}

/// The first two eigenvectors of a covariance by power iteration, with deflation, in float64.
fn components_by_hand(rows: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let (count, width) = (rows.len() as f64, rows[0].len());
    let mean: Vec<f64> = (0..width).map(|channel| rows.iter().map(|row| row[channel]).sum::<f64>() / count).collect();
    let entry = |i: usize, j: usize| {
        rows.iter().map(|row| (row[i] - mean[i]) * (row[j] - mean[j])).sum::<f64>() / (count - 1.0)
    };
    let mut covariance: Vec<Vec<f64>> = (0..width).map(|i| (0..width).map(|j| entry(i, j)).collect()).collect();
    let component = |_: usize| {
        let mut axis: Vec<f64> = (0..width).map(|channel| 1.0 + channel as f64).collect();
        let mut value = 0.0;
        for _ in 0..20_000 {
            let image: Vec<f64> =
                covariance.iter().map(|row| row.iter().zip(&axis).map(|(a, b)| a * b).sum()).collect();
            value = norm(&image);
            axis = image.iter().map(|entry| entry / value).collect();
        }
        for (i, row) in covariance.iter_mut().enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                *entry -= value * axis[i] * axis[j];
            }
        }
        let largest =
            axis.iter().copied().fold(0.0_f64, |most, entry| if entry.abs() > most.abs() { entry } else { most });
        (value, axis.iter().map(|entry| entry * largest.signum()).collect())
    };
    (0..2).map(component).collect()
}

#[test]
fn principal_components_are_eigenvectors_of_the_covariance() {
    tch::set_num_threads(1);
    let arch = arch(3);
    let mut seen = Vec::new();
    trace_recursion_with(&arch, &DIMS, &parameters(&arch, 1.0), &batch(), 5, |states| {
        seen.push(states[0].mean_dim(Some([1].as_slice()), false, Kind::Float));
    })
    .unwrap();
    assert_eq!(seen.len(), 6, "the initial state and one after each update");
    let states = Tensor::stack(&seen, 0);
    let flat: Vec<f64> = Vec::try_from(&states.to_kind(Kind::Double).contiguous().view(-1)).unwrap();
    let rows: Vec<Vec<f64>> = flat.chunks(WIDTH).map(<[f64]>::to_vec).collect();
    let found = PrincipalComponents::of(&states);
    let expected = components_by_hand(&rows);
    let total: f64 = {
        let means = (0..WIDTH).map(|c| rows.iter().map(|row| row[c]).sum::<f64>() / rows.len() as f64);
        let spread = |(c, mean): (usize, f64)| rows.iter().map(|row| (row[c] - mean).powi(2)).sum::<f64>();
        means.enumerate().map(spread).sum::<f64>() / (rows.len() as f64 - 1.0)
    };
    let points = found.project(&states);
    assert_eq!(points.size(), [6, ROWS as i64, 2]);
    for (place, (value, axis)) in expected.iter().enumerate() {
        assert!((found.explained[place] - value / total).abs() < 1e-9, "{:?}", found.explained);
        for (channel, entry) in axis.iter().enumerate() {
            let difference = found.axes.double_value(&[place as i64, channel as i64]) - entry;
            assert!(difference.abs() < 1e-6, "component {place}, channel {channel}: {difference}");
        }
        let mean: Vec<f64> = Vec::try_from(&found.mean).unwrap();
        let along: f64 = rows[0].iter().zip(&mean).zip(axis).map(|((value, mean), axis)| (value - mean) * axis).sum();
        assert!((points.double_value(&[0, 0, place as i64]) - along).abs() < 1e-6);
    }
}

/// States are kept at the 1st, 2nd, 4th … evaluation and at the last one.
#[test]
fn states_are_kept_at_ever_greater_distances() {
    let folder = TempDir::new().unwrap();
    let settings =
        words("eval_interval_steps=1 checkpoint_path=run log_principal_components=True probe_depth=3 probe_rows=5");
    succeed(folder.path(), &[words("pretrain"), tiny(7), settings].concat());
    let states = folder.path().join("run/states");
    let mut steps: Vec<String> =
        fs::read_dir(&states).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    steps.retain(|name| name.ends_with(".safetensors"));
    steps.sort();
    assert_eq!(steps, [1, 2, 4, 7].map(|step| format!("step_{step}.safetensors")));
    let tensors = Tensor::read_safetensors(states.join("step_7.safetensors")).unwrap();
    let size = |name: &str| tensors.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor.size()).unwrap();
    assert_eq!((size("answer"), size("latent")), (vec![4, 5, 32], vec![4, 5, 32]));
    assert_eq!((size("answer.axes"), size("answer.points")), (vec![2, 32], vec![4, 5, 2]));
    assert!(fs::read_to_string(states.join("step_7.svg")).unwrap().contains("% of the variance"));
    assert!(fs::read(states.join("step_7.png")).unwrap().starts_with(b"\x89PNG"));
}
