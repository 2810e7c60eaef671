//! `exporter --checkpoint …` and `exporter export …`: a checkpoint in, an ONNX file or a model repository for Triton out,
//! checked by running it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{ArgGroup, Args, ValueEnum};
use exporter::runtime::{self, SessionOptions};
use exporter::triton::{self, Device, TritonOptions};
use exporter::{ExportOptions, ExportedGraph, Flavor, GraphKind, Quantization, check, export};
use models::Checkpoint;
use sha2::{Digest, Sha256};

/// Heading of the options that a repository has.
const TRITON: &str = "With --triton";

/// What to export, and where to.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("graph").required(true).multiple(true).args(["halt_steps", "step", "triton"]),
    group = ArgGroup::new("target").required(true).args(["out", "triton"]),
)]
pub(crate) struct ExportArguments {
    /// Folder with manifest.json and model.safetensors.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,

    /// Unroll this many supervision steps into one graph. Default with --triton: the checkpoint's `halt_max_steps`.
    #[arg(long, value_name = "STEPS", conflicts_with = "step")]
    halt_steps: Option<usize>,

    /// Export one supervision step.
    #[arg(long, conflicts_with = "triton")]
    step: bool,

    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Model repository of Triton to put the unrolled graph into, with its configuration and a guide.
    #[arg(long, value_name = "DIR")]
    triton: Option<PathBuf>,

    /// Operators to use.
    #[arg(long, value_enum, default_value_t = FlavorName::Fused)]
    flavor: FlavorName,

    /// Compute products in integers, with weights quantised to them: faster on processors, and nearly the same answers
    /// (`exporter verify` tells how near). Not for GPUs. Default: float32.
    #[arg(long, value_enum, value_name = "TYPE")]
    quantize: Option<Quantization>,

    /// Make the logits an output too.
    #[arg(long)]
    logits: bool,

    /// Name of the model, which its clients use. Default: the name of the checkpoint's folder, and `-int8` where it is
    /// quantised.
    #[arg(long, help_heading = TRITON, conflicts_with = "out", value_name = "NAME")]
    name: Option<String>,

    /// Most puzzles in one run of the graph.
    #[arg(long, help_heading = TRITON, conflicts_with = "out", value_name = "COUNT", default_value_t = TritonOptions::default().max_batch_size)]
    max_batch_size: usize,

    /// Copies of the model that run side by side, on each GPU or on the processor.
    #[arg(long, help_heading = TRITON, conflicts_with = "out", value_name = "COUNT", default_value_t = TritonOptions::default().instances)]
    instances: usize,

    /// Where the model runs.
    #[arg(long, help_heading = TRITON, conflicts_with = "out", value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,

    /// Microseconds that a request may wait for others to share a batch with.
    #[arg(long, help_heading = TRITON, conflicts_with = "out", value_name = "MICROSECONDS", default_value_t = TritonOptions::default().max_queue_delay_us)]
    max_queue_delay_us: u64,

    /// Replace a model of that name in the repository.
    #[arg(long, help_heading = TRITON, conflicts_with = "out")]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceName {
    /// On the GPUs where there are any, else on the processor.
    Auto,
    /// On the processor.
    Cpu,
    /// On the GPUs, or not at all.
    Gpu,
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
            flavor: self.flavor.flavor(),
            precision: self.quantize.into(),
            logits: self.logits,
        }
    }

    fn triton_options(&self) -> TritonOptions {
        TritonOptions {
            name: self.name.clone(),
            halt_steps: self.halt_steps,
            flavor: self.flavor.flavor(),
            precision: self.quantize.into(),
            logits: self.logits,
            max_batch_size: self.max_batch_size,
            instances: self.instances,
            device: match self.device {
                DeviceName::Auto => Device::Auto,
                DeviceName::Cpu => Device::Cpu,
                DeviceName::Gpu => Device::Gpu,
            },
            max_queue_delay_us: self.max_queue_delay_us,
            overwrite: self.overwrite,
        }
    }
}

impl FlavorName {
    fn flavor(self) -> Flavor {
        match self {
            Self::Fused => Flavor::Fused,
            Self::Portable => Flavor::Portable,
        }
    }
}

/// Exports, checks and writes the graph, and prints what it consists of.
pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    // Before the work: without ONNX Runtime the result could not be checked.
    runtime::load()?;
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    if let Some(repository) = &arguments.triton {
        let model = triton::write_repository(checkpoint, repository, &arguments.triton_options())?;
        print!("{}", report(&model.folder, &model.graph));
        println!("  ask it   POST /v2/models/{}/infer; {} says how", model.name, triton::GUIDE_FILE);
        return Ok(());
    }
    let out = arguments.out.as_deref().expect("clap insists on --out where there is no --triton");
    let exported = export(&checkpoint, &arguments.options())?;
    let mut session = runtime::open_bytes(&exported.bytes, &SessionOptions::default())?;
    check::run_once(&mut session).context("the graph was not written: it fails its own check")?;
    files::write(out, &exported.bytes)?;
    print!("{}", report(out, &exported));
    Ok(())
}

fn report(written: &Path, exported: &ExportedGraph) -> String {
    let summary = &exported.summary;
    let mut lines = vec![
        format!("wrote {}, which ran in ONNX Runtime", written.display()),
        format!("  sha256   {}", hex::encode(Sha256::digest(&exported.bytes))),
        format!("  bytes    {}", summary.bytes),
        format!("  nodes    {}, {} initializers, opset {}", summary.nodes, summary.initializers, summary.opset),
    ];
    lines.extend(summary.inputs.iter().map(|input| format!("  input    {input}")));
    lines.extend(summary.outputs.iter().map(|output| format!("  output   {output}")));
    let kernels: Vec<String> = summary.kernels.iter().map(|(name, count)| format!("{count} {name}")).collect();
    lines.push(format!("  kernels  {}", kernels.join(", ")));
    lines.join("\n") + "\n"
}
