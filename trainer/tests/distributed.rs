//! Ranks in the threads of one process: what several of them train is what one trains, to the order of sums; two runs of
//! them are equal to the bit; and a rank that was started otherwise is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot make a learner has failed")]

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use datasets::batch::Batch;
use models::{ArchitectureConfig, ForwardDtype, HrmConfig, ModelDims, TransformersBaselineConfig, TrmConfig};
use serde_json::json;
use tch::Device;
use trainer::distributed::{DistributedError, Environment, Peers, ProcessGroup, Store};
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, LossWeights};
use trainer::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use trainer::parameters::Parameters;

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 9, num_puzzle_identifiers: 5, sizes: None };
/// Divisible by 2 and by 3.
const ROWS: usize = 6;
const STEPS: usize = 50;
const TIMEOUT: Duration = Duration::from_mins(1);

/// What a rank knows at the end.
#[derive(Debug, Clone, PartialEq)]
struct Trained {
    weights: Vec<f32>,
    table: Vec<f32>,
    /// Supervision steps of this rank's rows.
    steps: Vec<u32>,
    losses: Vec<f64>,
}

/// Calls `body` as each of `size` ranks, which meet at a free port; gives what each gave.
fn on_ranks<R: Send>(size: usize, body: impl Fn(Environment) -> R + Sync) -> Vec<R> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    thread::scope(|scope| {
        let ranks = (0..size).map(|rank| {
            let environment = Environment {
                rank,
                world_size: size,
                local_rank: rank,
                local_world_size: size,
                master_addr: "127.0.0.1".to_owned(),
                master_port: port,
                run_id: "test".to_owned(),
                restart_count: 0,
                agent_holds_store: false,
            };
            let body = &body;
            scope.spawn(move || body(environment))
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// The rows of `rank` in the global batch of a step.
fn batch(step: usize, rank: usize, size: usize) -> Batch {
    let rows = ROWS / size;
    let token = |row: usize, cell: usize, factor: usize| (1 + (step * 13 + row * 7 + cell * factor) % 5) as i32;
    let all = |factor: usize| -> Vec<i32> {
        let rows = rank * rows..(rank + 1) * rows;
        rows.flat_map(|row| (0..DIMS.seq_len).map(move |cell| token(row, cell, factor))).collect()
    };
    Batch {
        seq_len: DIMS.seq_len,
        inputs: all(3),
        labels: all(2),
        // Some rows of a batch share an identifier, also across ranks.
        puzzle_identifiers: (rank * rows..(rank + 1) * rows).map(|row| ((row * row + step) % 5) as i32).collect(),
        real_rows: rows,
    }
}

fn learner(arch: &ArchitectureConfig, rank: usize, size: usize, micro_batch_size: Option<usize>) -> Learner {
    let parameters = Parameters::initialised(arch, &DIMS, Device::Cpu, 7).unwrap();
    let config = LearnerConfig {
        arch: arch.clone(),
        dims: DIMS,
        loss_type: LossType::default(),
        loss_weights: LossWeights::default(),
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 },
        lr: 1e-3,
        puzzle_emb_lr: 1e-2,
        puzzle_emb_weight_decay: 0.1,
        schedule: LearningRateSchedule { warmup_steps: 5, total_steps: STEPS as u64, min_ratio: 0.1 },
        ema_rate: None,
        freeze_weights: false,
        grad_clip: Some(1.0),
        micro_batch_size,
        global_batch_size: ROWS,
        local_batch_size: ROWS / size,
        carried_batches: 1,
        rank: rank as u64,
        seed: 3,
    };
    Learner::new(config, parameters, DIMS.seq_len).unwrap()
}

fn train(mut learner: Learner, rank: usize, size: usize) -> Trained {
    let losses = (0..STEPS).map(|step| learner.train_step(&batch(step, rank, size)).unwrap().lm_loss).collect();
    let values = |tensor: &tch::Tensor| Vec::<f32>::try_from(tensor.detach().view(-1)).unwrap();
    Trained {
        weights: values(learner.parameters.flat()),
        table: learner.parameters.puzzle_table().map(values).unwrap_or_default(),
        steps: learner.carry.steps.clone(),
        losses,
    }
}

fn alone(arch: &ArchitectureConfig, micro_batch_size: Option<usize>) -> Trained {
    train(learner(arch, 0, 1, micro_batch_size), 0, 1)
}

fn together(arch: &ArchitectureConfig, size: usize) -> Vec<Trained> {
    on_ranks(size, |environment| {
        let rank = environment.rank;
        let mut learner = learner(arch, rank, size, None);
        learner.ranks = Peers::join(environment, TIMEOUT).unwrap().connect(Device::Cpu).unwrap();
        train(learner, rank, size)
    })
}

/// ‖left − right‖ / ‖left‖
fn distance(left: &[f32], right: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut left.iter().zip(right).map(|(left, right)| f64::from(left - right)));
    difference / norm(&mut left.iter().map(|&value| f64::from(value))).max(f64::MIN_POSITIVE)
}

/// Every architecture, with a puzzle table and without.
fn architectures() -> Vec<(String, ArchitectureConfig)> {
    let trm = |puzzle_emb_ndim: usize| TrmConfig {
        hidden_size: 16,
        num_heads: 2,
        puzzle_emb_ndim,
        puzzle_emb_len: 1,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        halt_max_steps: 3,
        halt_exploration_prob: 0.5,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    };
    let hrm = |puzzle_emb_ndim: usize| HrmConfig {
        hidden_size: 16,
        num_heads: 2,
        puzzle_emb_ndim,
        H_cycles: 1,
        L_cycles: 2,
        H_layers: 1,
        L_layers: 1,
        halt_max_steps: 3,
        forward_dtype: ForwardDtype::Float32,
        ..HrmConfig::default()
    };
    let baseline = |puzzle_emb_ndim: usize| TransformersBaselineConfig {
        hidden_size: 16,
        num_heads: 2,
        puzzle_emb_ndim,
        H_layers: 1,
        halt_max_steps: 3,
        forward_dtype: ForwardDtype::Float32,
        ..TransformersBaselineConfig::default()
    };
    let mut all = Vec::new();
    for width in [0, 16] {
        for arch in [
            ArchitectureConfig::Trm(trm(width)),
            ArchitectureConfig::TrmSinglez(trm(width)),
            ArchitectureConfig::TrmHier6(trm(width)),
            ArchitectureConfig::Hrm(hrm(width)),
            ArchitectureConfig::TransformersBaseline(baseline(width)),
        ] {
            all.push((format!("{} with a table {width} wide", arch.name()), arch));
        }
    }
    all
}

/// One process that sums a batch in pieces differs from one that does not by the order of sums alone: that is the measure.
#[test]
fn ranks_train_what_one_process_trains() {
    tch::set_num_threads(1);
    for (name, arch) in architectures() {
        let whole = alone(&arch, None);
        for size in [2, 3] {
            let pieces = alone(&arch, Some(ROWS / size));
            let ranks = together(&arch, size);
            for (rank, found) in ranks.iter().enumerate() {
                let rows = rank * ROWS / size..(rank + 1) * ROWS / size;
                assert_eq!(found.steps, whole.steps[rows], "{name}, rank {rank} of {size}: steps of its rows");
                assert_eq!(
                    found.weights, ranks[0].weights,
                    "{name}: rank {rank} of {size} has other weights than rank 0"
                );
                assert_eq!(found.table, ranks[0].table, "{name}: rank {rank} of {size} has another table than rank 0");
                assert_eq!(found.losses, ranks[0].losses, "{name}: every rank knows the sums over all");
            }
            let found = &ranks[0];
            let order = distance(&whole.weights, &pieces.weights);
            let difference = distance(&whole.weights, &found.weights);
            println!("{name}, {size} ranks: {difference:.1e}, pieces of one process: {order:.1e}");
            // Two summands have one order.
            if size == 2 {
                assert!(
                    found.weights == pieces.weights,
                    "{name}: two ranks are not two pieces: {difference:e}, {order:e}"
                );
                assert_eq!(found.table, pieces.table, "{name}: the tables of two ranks and two pieces");
            }
            assert!(difference <= MOST_TIMES_THE_ORDER * order.max(LEAST_ORDER), "{name}: {difference:e}, {order:e}");
            let (first, last) = (whole.losses[0], whole.losses[STEPS - 1]);
            assert!((found.losses[0] - first).abs() < 1e-5 * first, "{name}: {first} {}", found.losses[0]);
            assert!((found.losses[STEPS - 1] - last).abs() < 1e-2 * last, "{name}: {last} {}", found.losses[STEPS - 1]);
            assert!(last < 0.9 * first, "{name}: nothing was learned: {first} {last}");
        }
    }
}

/// Three summands have several orders, none better than the other.
const MOST_TIMES_THE_ORDER: f64 = 10.0;
/// About a unit of float32: pieces may happen to sum to the same bits.
const LEAST_ORDER: f64 = 1e-7;

#[test]
fn two_runs_of_two_ranks_are_equal_to_the_bit() {
    tch::set_num_threads(1);
    let (_, arch) = architectures().into_iter().last().unwrap();
    assert!(together(&arch, 2) == together(&arch, 2));
}

#[test]
fn collectives_move_values_between_ranks() {
    let found = on_ranks(3, |environment| {
        let rank = environment.rank;
        let store = Store::join(&environment, TIMEOUT).unwrap();
        let group = ProcessGroup::connect(&environment, store, Device::Cpu, TIMEOUT).unwrap();
        let tensor = tch::Tensor::from_slice(&[rank as f32, 1.0]);
        group.all_reduce(&tensor).unwrap();
        let gathered = group.all_gather(&tch::Tensor::from_slice(&[rank as i64])).unwrap();
        let numbers: Vec<i64> = gathered.iter().map(|tensor| tensor.int64_value(&[0])).collect();
        let first = tch::Tensor::from_slice(&[10.0 + rank as f32]);
        group.broadcast(&first, 0).unwrap();
        let strided = tch::Tensor::zeros([4, 4], (tch::Kind::Float, Device::Cpu)).transpose(0, 1);
        let refused = group.all_reduce(&strided).unwrap_err().to_string();
        let received = if rank == 0 {
            (1..3).map(|from| group.receive(from).unwrap()).collect()
        } else {
            group.send(&vec![rank as u8; rank - 1], 0).unwrap();
            Vec::new()
        };
        group.barrier().unwrap();
        let sums = Vec::<f32>::try_from(&tensor).unwrap();
        (sums, numbers, first.double_value(&[0]), refused, received)
    });
    for (rank, (sums, numbers, first, refused, received)) in found.into_iter().enumerate() {
        assert_eq!((sums, numbers, first), (vec![3.0, 3.0], vec![0, 1, 2], 10.0));
        assert!(refused.contains(&format!("rank {rank}:")) && refused.contains("not contiguous"), "{refused}");
        assert_eq!(received, if rank == 0 { vec![vec![], vec![2]] } else { vec![] });
    }
}

#[test]
fn ranks_that_were_started_otherwise_are_named_on_every_rank() {
    let settings = on_ranks(3, |environment| {
        let rank = environment.rank;
        let peers = Peers::join(environment, TIMEOUT).unwrap();
        let settings = json!({"config": {"lr": if rank == 2 { 0.5 } else { 0.1 }, "threads": rank}});
        let message = peers.check_settings(&settings).unwrap_err().to_string();
        // Rank 0 holds the store that the others still read.
        let _ = peers.connect(Device::Cpu);
        message
    });
    for message in settings {
        assert!(
            message.contains("rank 2 was started otherwise than rank 0: lr is 0.5, and 0.1 on rank 0"),
            "{message}"
        );
    }
    let sizes = on_ranks(2, |environment| {
        let world_size = 2 + environment.rank;
        Peers::join(Environment { world_size, ..environment }, TIMEOUT).map(|peers| {
            // The other one says that it will not come.
            peers.check_settings(&json!({})).unwrap_err()
        })
    });
    let messages: Vec<String> =
        sizes.into_iter().map(|found| found.unwrap_or_else(|error| error).to_string()).collect();
    assert!(messages.iter().all(|message| message.contains("WORLD_SIZE is")), "{messages:?}");
}

#[test]
fn a_rank_that_leaves_is_named_with_its_reason() {
    let found = on_ranks(2, |environment| {
        let (rank, size) = (environment.rank, environment.world_size);
        let peers = Peers::join(environment, TIMEOUT).unwrap();
        let ranks = peers.connect(Device::Cpu).unwrap();
        if rank == 1 {
            peers.post_failure("the data is gone");
            return None;
        }
        assert_eq!(ranks.size(), size);
        Some(ranks.sum(&tch::Tensor::from_slice(&[1.0_f32])).unwrap_err())
    });
    let Some(DistributedError::Failed { message }) = &found[0] else { panic!("{found:?}") };
    assert_eq!(message, "rank 1 failed: the data is gone");
}
