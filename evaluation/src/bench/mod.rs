//! `server bench`: what this machine can do, and how much of it the engine makes of it.
//! Owns the arguments and the order of things; leaves clocks to `measure`, tables to `report`, and what a step costs to
//! `models::benchmark`.

mod measure;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use exporter::{Precision, runtime};
use models::benchmark::{BenchmarkConfig, Roofline, forget_peak_memory, peak_memory_bytes, step_cost};
use models::checkpoint::{self, HostTensor};
use models::{ArchitectureConfig, Initializer, Manifest, ModelDims};

pub use self::report::{BenchReport, StepRow};
use crate::report::{Machine, Runtime};
use engine::RuntimeFacts;
use engine::model;
use engine::session_options;

/// What is measured, and for how long.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Models to time, with random weights: sudoku, maze, sudoku-4x4, sudoku-9x9, maze-10x10, small, sudoku-mlp,
    /// sudoku-attention, maze-attention, or all. Default: sudoku, maze and sudoku-mlp.
    #[arg(long = "config", value_delimiter = ',', value_name = "NAME")]
    pub configs: Vec<String>,
    /// Checkpoints to time instead.
    #[arg(long = "checkpoint", value_delimiter = ',', value_name = "DIR", conflicts_with = "configs")]
    pub checkpoints: Vec<PathBuf>,
    /// Puzzles solved together, 1 to 128.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..=128))]
    pub batch: Vec<u16>,
    /// What products are computed in. Default: both on the processor, float32 on a GPU.
    #[arg(long, value_delimiter = ',', value_name = "TYPE", value_parser = precision)]
    pub precision: Vec<Precision>,
    /// Threads of ONNX Runtime; 0: one per physical core.
    #[arg(long, env = "TRM_THREADS", default_value_t = 0, value_name = "COUNT")]
    pub threads: usize,
    /// Steps that are timed of each model, batch and precision, at least; as many more as fit into --seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Time in seconds for each of them.
    #[arg(long, default_value_t = 1.5)]
    pub seconds: f64,
    /// GPU to run on, by its index; needs a build with the feature `cuda`.
    #[arg(long, env = "TRM_CUDA_DEVICE", value_name = "INDEX")]
    pub cuda_device: Option<u16>,
    /// File to write all figures to.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn precision(name: &str) -> Result<Precision, String> {
    Precision::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
        let known = Precision::ALL.map(Precision::name).join(" or ");
        format!("expected {known}")
    })
}

/// What is timed where nothing is named.
const DEFAULT_CONFIGS: [&str; 3] = ["sudoku", "maze", "sudoku-mlp"];

/// A model on disk that is timed.
struct Candidate {
    name: String,
    folder: PathBuf,
    arch: ArchitectureConfig,
    dims: ModelDims,
}

/// Measures and prints.
///
/// # Errors
/// With a message for the user.
pub fn run(args: &BenchArgs) -> Result<()> {
    let options = session_options(args.threads, args.cuda_device);
    let runtime = Runtime::from(RuntimeFacts::new(&runtime::load()?, &options));
    let scratch = tempfile::tempdir().context("cannot make a folder for models with random weights")?;
    let candidates = candidates(args, scratch.path())?;
    let precisions = match (args.precision.as_slice(), args.cuda_device) {
        ([], None) => Precision::ALL.to_vec(),
        ([], Some(_)) => vec![Precision::Float32],
        (named, _) => named.to_vec(),
    };
    let budget = measure::Budget { steps: args.steps as usize, seconds: args.seconds };
    eprintln!("memory bandwidth");
    let memory = measure::memory(&options, &budget)?;
    let mut rows = Vec::new();
    for candidate in &candidates {
        for &precision in &precisions {
            for &batch_size in &args.batch {
                let batch_size = usize::from(batch_size);
                eprintln!("{} {} batch {batch_size}", candidate.name, precision.name());
                let cost = step_cost(&candidate.arch, &candidate.dims, batch_size)?;
                let rates = measure::products(&cost, precision, &options, &budget)?;
                let roofline = Roofline::new(precision.name(), &cost, &rates);
                forget_peak_memory();
                let timing = measure::steps(&candidate.folder, precision, batch_size, &options, &budget)?;
                let name = candidate.name.clone();
                rows.push(StepRow::new(name, precision, &cost, roofline, &memory, &timing, peak_memory_bytes()));
            }
        }
    }
    let report = BenchReport { machine: Machine::here(), runtime, memory, steps: rows };
    if let Some(path) = &args.json {
        files::write(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    print!("{report}");
    Ok(())
}

fn candidates(args: &BenchArgs, scratch: &Path) -> Result<Vec<Candidate>> {
    if !args.checkpoints.is_empty() {
        return args.checkpoints.iter().map(|folder| Ok(of_folder(folder)?)).collect();
    }
    let configs = BenchmarkConfig::selected(&args.configs, &DEFAULT_CONFIGS)?;
    configs.into_iter().map(|config| random(config, scratch)).collect()
}

fn of_folder(folder: &Path) -> Result<Candidate, models::ModelError> {
    let manifest = Manifest::read(&folder.join(checkpoint::MANIFEST_FILE))?;
    let (name, folder) = (model::folder_name(folder), folder.to_owned());
    Ok(Candidate { name, folder, arch: manifest.arch, dims: manifest.dims })
}

/// Writes an untrained model: how long a step takes does not depend on what its weights are.
fn random(config: BenchmarkConfig, scratch: &Path) -> Result<Candidate> {
    let BenchmarkConfig { name, arch, dims, task, .. } = config;
    let initializer = Initializer::new(0);
    let tensors = arch.parameter_specs(&dims)?.into_iter().map(|spec| {
        let values = HostTensor::float32(&spec.shape, &initializer.draw(&spec));
        (spec.name, values)
    });
    let folder = scratch.join(name);
    checkpoint::write(&folder, &Manifest::new(arch.clone(), dims, task), &tensors.collect(), |_| Ok(()))?;
    Ok(Candidate { name: name.to_owned(), folder, arch, dims })
}
