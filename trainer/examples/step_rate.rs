//! Milliseconds per training step of the configurations in PEERS.md, on random tokens, through the whole learner.
//! Owns the configurations and the clock; leaves data, files and evaluation out.
//!
//! ```text
//! cargo run --release -p trainer --example step_rate -- --threads 1
//! TRAINER_PLAIN=1 cargo run --release -p trainer --example step_rate -- shipped
//! ```

use std::time::Instant;

use clap::{Parser, ValueEnum};
use datasets::batch::Batch;
use models::{ArchitectureConfig, ModelDims, PosEncodings, QHeadInput, TrmConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Device;
use trainer::learner::{Learner, LearnerConfig};
use trainer::losses::{LossType, Q_LOSS_WEIGHT};
use trainer::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use trainer::parameters::Parameters;
use trainer::pretrain::set_threads;

#[derive(Parser)]
#[command(about = "Times training steps; TRAINER_PLAIN=1 times them without fused operations")]
struct Arguments {
    /// What to time; everything when nothing is named
    cases: Vec<Case>,
    /// Threads; 0 takes all cores
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Timed steps per case
    #[arg(long, default_value_t = 8)]
    steps: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Case {
    /// Hidden 128, H3 L6, 81 tokens, batch 64
    Small,
    /// Hidden 128, H2 L3, 81 tokens, batch 64: the recipe of the shipped 9×9 model
    Shipped,
    /// Hidden 512, H3 L6, 81 + 16 tokens, batch 16: the published sudoku MLP
    Sudoku,
    /// The same with attention
    Attention,
}

fn main() -> anyhow::Result<()> {
    let Arguments { cases, threads, steps } = Arguments::parse();
    set_threads(threads);
    println!("{:<10} {:>10} {:>10} {:>12}", "case", "wall ms", "cpu ms", "samples/s");
    for case in if cases.is_empty() { Case::value_variants() } else { &cases } {
        let (arch, batch_size) = case.architecture();
        let mut learner = learner(arch, batch_size)?;
        let batch = random_batch(batch_size, learner.config.dims);
        for _ in 0..2 {
            learner.train_step(&batch)?;
        }
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..steps.max(1) {
            let (start, cpu_start) = (Instant::now(), cpu_milliseconds());
            learner.train_step(&batch)?;
            wall.push(start.elapsed().as_secs_f64() * 1e3);
            cpu.push(cpu_milliseconds() - cpu_start);
        }
        let (wall, cpu) = (median(wall), median(cpu));
        let name = case.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("{name:<10} {wall:>10.1} {cpu:>10.1} {:>12.1}", batch_size as f64 * 1e3 / wall);
    }
    Ok(())
}

impl Case {
    fn architecture(self) -> (TrmConfig, usize) {
        let published =
            TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, puzzle_emb_len: 16, ..TrmConfig::default() };
        let small = TrmConfig {
            hidden_size: 128,
            num_heads: 4,
            puzzle_emb_ndim: 0,
            puzzle_emb_len: 0,
            q_head_input: QHeadInput::Mean,
            ..published.clone()
        };
        match self {
            Self::Small => (small, 64),
            Self::Shipped => (TrmConfig { H_cycles: 2, L_cycles: 3, ..small }, 64),
            Self::Sudoku => (published, 16),
            Self::Attention => (TrmConfig { mlp_t: false, pos_encodings: PosEncodings::Rope, ..published }, 16),
        }
    }
}

fn learner(arch: TrmConfig, batch_size: usize) -> anyhow::Result<Learner> {
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1 };
    let arch = ArchitectureConfig::Trm(arch);
    let parameters = Parameters::initialised(&arch, &dims, Device::Cpu, 0)?;
    let config = LearnerConfig {
        arch,
        dims,
        loss_type: LossType::StablemaxCrossEntropy,
        q_loss_weight: Q_LOSS_WEIGHT,
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 },
        lr: 1e-4,
        puzzle_emb_lr: 1e-4,
        puzzle_emb_weight_decay: 0.1,
        schedule: LearningRateSchedule { warmup_steps: 0, total_steps: 1_000_000, min_ratio: 1.0 },
        ema_rate: Some(0.999),
        freeze_weights: false,
        global_batch_size: batch_size,
        local_batch_size: batch_size,
        rank: 0,
        seed: 0,
    };
    Ok(Learner::new(config, parameters, dims.seq_len)?)
}

fn random_batch(rows: usize, dims: ModelDims) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tokens = |first: i32| (0..rows * dims.seq_len).map(|_| rng.random_range(first..11)).collect();
    Batch {
        seq_len: dims.seq_len,
        inputs: tokens(1),
        labels: tokens(2),
        puzzle_identifiers: vec![0; rows],
        real_rows: rows,
    }
}

/// Time that the main thread has spent on a processor: what it takes on a machine that others use too. 0 where the
/// kernel does not say.
fn cpu_milliseconds() -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|fields| fields.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()));
    nanoseconds.unwrap_or(0.0) / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
