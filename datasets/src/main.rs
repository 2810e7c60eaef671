//! Program `datasets`: builds, generates and shows puzzle datasets, and scores predictions on them.
//! Owns arguments, progress bars and exit codes; leaves the work to the library of the same name.

mod cli;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datasets::DatasetError;

/// Build, generate and look at puzzle datasets for tiny recursive models.
///
/// Datasets have the layout of the reference implementation: {train,test}/dataset.json and .npy files.
#[derive(Parser)]
#[command(name = "datasets", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a published dataset from its puzzle list.
    #[command(subcommand)]
    Build(cli::build::Build),
    /// Generate new puzzles with their solutions: as a dataset folder, a CSV, or lines on standard output.
    #[command(subcommand)]
    Generate(cli::generate::Generate),
    /// Show what a dataset folder holds.
    Show(cli::show::Show),
    /// Score predictions: votes over augmentations and passes, pass@K, accuracies with their intervals.
    Score(cli::score::Score),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build(build) => build.run(),
        Command::Generate(generate) => generate.run(),
        Command::Show(show) => show.run(),
        Command::Score(score) => score.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has seen enough (`datasets generate … | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = match cause.downcast_ref() {
            Some(DatasetError::Io { cause, .. }) => Some(cause),
            _ => cause.downcast_ref::<io::Error>(),
        };
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}
