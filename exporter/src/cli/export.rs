//! `exporter --checkpoint …` and `exporter export …`: a checkpoint in, an ONNX file out, checked by running it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args, ValueEnum};
use exporter::runtime::{self, SessionOptions};
use exporter::{ExportOptions, ExportedGraph, Flavor, GraphKind, check, export};
use models::Checkpoint;
use models::checkpoint::write_file_atomically;
use sha2::{Digest, Sha256};

/// What to export, and where to.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("graph").required(true).args(["halt_steps", "step"]))]
pub(crate) struct ExportArguments {
    /// Folder with manifest.json and model.safetensors.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,

    /// Unroll this many supervision steps into one graph.
    #[arg(long, value_name = "STEPS")]
    halt_steps: Option<usize>,

    /// Export one supervision step.
    #[arg(long)]
    step: bool,

    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Operators to use.
    #[arg(long, value_enum, default_value_t = FlavorName::Fused)]
    flavor: FlavorName,

    /// Make the logits an output too.
    #[arg(long)]
    logits: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FlavorName {
    /// ONNX Runtime's fused operators: fastest there, on CPU and CUDA.
    Fused,
    /// Standard operators only: any runtime.
    Portable,
}

impl ExportArguments {
    fn options(&self) -> ExportOptions {
        ExportOptions {
            graph: match self.halt_steps {
                Some(halt_steps) => GraphKind::Unrolled { halt_steps },
                None => GraphKind::Step,
            },
            flavor: match self.flavor {
                FlavorName::Fused => Flavor::Fused,
                FlavorName::Portable => Flavor::Portable,
            },
            logits: self.logits,
        }
    }
}

/// Exports, checks and writes the graph, and prints what it consists of.
pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    // Before the work: without ONNX Runtime the result could not be checked.
    runtime::load()?;
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let exported = export(&checkpoint, &arguments.options())?;
    let mut session = runtime::open_bytes(&exported.bytes, &SessionOptions::default())?;
    check::run_once(&mut session).context("the graph was not written: it fails its own check")?;
    write_file_atomically(&arguments.out, &exported.bytes)?;
    print!("{}", report(arguments, &exported));
    Ok(())
}

fn report(arguments: &ExportArguments, exported: &ExportedGraph) -> String {
    let summary = &exported.summary;
    let mut lines = vec![
        format!("wrote {}, which ran in ONNX Runtime", arguments.out.display()),
        format!("  sha256   {}", hex(&Sha256::digest(&exported.bytes))),
        format!("  bytes    {}", summary.bytes),
        format!("  nodes    {}, {} initializers, opset {}", summary.nodes, summary.initializers, summary.opset),
    ];
    lines.extend(summary.inputs.iter().map(|input| format!("  input    {input}")));
    lines.extend(summary.outputs.iter().map(|output| format!("  output   {output}")));
    let kernels: Vec<String> = summary.kernels.iter().map(|(name, count)| format!("{count} {name}")).collect();
    lines.push(format!("  kernels  {}", kernels.join(", ")));
    lines.join("\n") + "\n"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
