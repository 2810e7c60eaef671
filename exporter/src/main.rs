//! The command `exporter`: published weights in, checkpoints and ONNX files out.
//! Owns the choice of subcommand; everything else is in `cli` and in the library.

mod cli;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cli::export::{self, ExportArguments};
use crate::cli::import::{self, ImportArguments};
use crate::cli::registry;
use crate::cli::safetensors::{self, SafetensorsArguments};
use crate::cli::verify::{self, VerifyArguments};

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
    /// Write the weights under the reference's names, for Python.
    Safetensors(SafetensorsArguments),
    /// Run a checkpoint through every backend and compare.
    Verify(VerifyArguments),
    /// Make a checkpoint out of published weights: torch.save or safetensors, from disk or from the hub.
    Import(ImportArguments),
    /// List the published checkpoints and data sets that have short names.
    Registry,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        // One sentence: a backtrace, which the environment may ask for, says nothing about the user's files.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let Cli { command, export } = Cli::parse();
    match command.or(export.map(Command::Export)) {
        Some(Command::Export(arguments)) => export::run(&arguments)?,
        Some(Command::Safetensors(arguments)) => safetensors::run(&arguments)?,
        Some(Command::Verify(arguments)) => return verify::run(&arguments),
        Some(Command::Import(arguments)) => import::run(&arguments)?,
        Some(Command::Registry) => registry::run(),
        // Not reached: without a subcommand, clap insists on the arguments of `export`.
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}
