//! The command `exporter`: published weights in, checkpoints and ONNX files out.
//! Owns the choice of subcommand; everything else is in `cli` and in the library.

mod cli;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cli::export::{self, ExportArguments};

/// Writes a checkpoint's model as an ONNX graph.
///
/// The step graph computes one supervision step, with the recursion state as input and output: it is what `server`
/// runs. The unrolled graph computes a fixed number of steps from fresh states: it needs nothing but an ONNX runtime.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    export: Option<ExportArguments>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a checkpoint's model as an ONNX graph; may be left out.
    Export(ExportArguments),
}

fn main() -> Result<()> {
    let Cli { command, export } = Cli::parse();
    match command.or(export.map(Command::Export)) {
        Some(Command::Export(arguments)) => export::run(&arguments),
        // Not reached: without a subcommand, clap insists on the arguments of `export`.
        None => Ok(()),
    }
}
