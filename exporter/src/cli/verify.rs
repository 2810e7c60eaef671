//! `exporter verify`: one checkpoint through every backend, and whether they agree.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use exporter::runtime;
use exporter::verify::{Trainer, VerifyOptions, verify};
use models::Checkpoint;

/// What to verify, and on what.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Folder with manifest.json and model.safetensors.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,

    /// Safetensors file with puzzles to use beside the random inputs: `inputs` (rows × `seq_len`), and
    /// `puzzle_identifiers` (rows) where they have any. Such a file is written by `trainer forward`.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,

    /// Dataset folder with such puzzles, which the trainer reads. Default: generated puzzles, where the task has a
    /// generator and the trainer is at hand.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Rows of each set of inputs.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,

    /// Supervision steps. Default: the checkpoint's `halt_max_steps`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    steps: Option<u32>,

    /// File to write the report to, with all its numbers.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The program that computes with libtorch. Default: `trainer` beside this program or on PATH.
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,

    /// Threads of each backend. 0: one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,

    /// Seed of the random inputs.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Prints the report; fails when a promise was broken.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<ExitCode> {
    runtime::load()?;
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let steps = arguments.steps.map_or(checkpoint.manifest.arch.halt_max_steps(), |steps| steps as usize);
    let trainer = Trainer::find(arguments.trainer.as_deref())?;
    if let Some(trainer) = &trainer {
        eprintln!("libtorch: {}", trainer.program().display());
    }
    let options = VerifyOptions {
        rows: arguments.rows as usize,
        steps,
        inputs: arguments.inputs.clone(),
        data: arguments.data.clone(),
        trainer,
        threads: arguments.threads,
        seed: arguments.seed,
    };
    let report = verify(checkpoint, &options, |what| eprintln!("{what}"))?;
    if let Some(path) = &arguments.json {
        files::write(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    print!("{report}");
    Ok(if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
