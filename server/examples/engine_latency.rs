//! Milliseconds per ACT step of the engine, and what of it is ONNX Runtime's:
//! `cargo run --release -p server --example engine_latency -- --checkpoint DIR [--threads N] [--seconds S]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use datasets::sudoku::{GeneratorOptions, held_out};
use server::config::session_options;
use server::engine::{Halting, Policy, Request};
use server::model::{checkpoints_in, shipped_directory};
use server::registry::{EngineLimits, ServedModel};
use server::task::{self, tokens_of};

/// Measures the engine's step at fixed numbers of puzzles that think together.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of the checkpoint; default: every shipped model.
    #[arg(long = "checkpoint")]
    checkpoints: Vec<PathBuf>,
    /// Threads of ONNX Runtime; 0: one per physical core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Puzzles that think together.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    batch: Vec<usize>,
    /// Time for each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

const STEPS: usize = 16;

fn main() -> Result<()> {
    let args = Args::parse();
    let checkpoints =
        if args.checkpoints.is_empty() { checkpoints_in(&shipped_directory(None)?)? } else { args.checkpoints };
    println!("| model | batch | ms per step | ms per step and puzzle | of it outside ONNX Runtime |");
    println!("|---|---|---|---|---|");
    for directory in checkpoints {
        for &slots in &args.batch {
            let limits = EngineLimits::plain(slots, 4 * slots, STEPS);
            let model = ServedModel::load(&directory, &session_options(args.threads, None), limits)?;
            measure(&model, slots, Duration::from_secs_f64(args.seconds))?;
        }
    }
    Ok(())
}

fn measure(model: &ServedModel, slots: usize, time: Duration) -> Result<()> {
    let options = GeneratorOptions { size: task::side(model.task), ..GeneratorOptions::default() };
    let puzzles: Vec<Vec<i64>> =
        held_out(&options, slots)?.iter().map(|held_out| tokens_of(&held_out.puzzle)).collect();
    let run_all = || -> Result<()> {
        let policy = Policy { halting: Halting::Fixed, ..Policy::plain(STEPS) };
        let request = |tokens: &Vec<i64>| Request::new(tokens.clone()).with_policy(policy);
        for pending in model.engine.submit_all(puzzles.iter().map(request).collect())? {
            pending.wait()?;
        }
        Ok(())
    };
    // The first batch of a size allocates.
    run_all()?;
    let (before, start) = (model.engine.metrics(), Instant::now());
    while start.elapsed() < time {
        run_all()?;
    }
    let after = model.engine.metrics();
    let turns = after.turns.checked_sub(before.turns).filter(|&turns| turns > 0).context("no step was run")?;
    let busy = (after.busy_seconds - before.busy_seconds) * 1e3 / turns as f64;
    let outside = 1.0 - (after.model_seconds - before.model_seconds) / (after.busy_seconds - before.busy_seconds);
    println!("| {} | {slots} | {busy:.3} | {:.3} | {:.2} % |", model.card.name, busy / slots as f64, 100.0 * outside);
    Ok(())
}
