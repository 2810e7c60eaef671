//! `trainer bench`: what this machine can do, and how much of it a training step makes of it.
//! Owns the arguments and the order of things; leaves clocks to `measure`, tables to `report`, and what a step costs to
//! `models::benchmark`.

mod measure;
mod report;

use std::path::PathBuf;

use clap::Args;
use models::benchmark::{BenchmarkConfig, Roofline, forget_peak_memory, peak_memory_bytes, processor_name, step_cost};
use models::checkpoint::MANIFEST_FILE;
use models::{ForwardDtype, Manifest};
use tch::Kind;

pub use self::report::{BenchReport, PhaseShare, TrainRow};
use crate::TrainError;
use crate::config::DeviceKind;
use crate::pretrain::{device, set_threads};

/// What is measured, and for how long.
#[derive(Debug, Clone, Args)]
pub struct BenchArguments {
    /// Configurations: sudoku, maze, sudoku-4x4, sudoku-9x9, maze-10x10, small, sudoku-mlp, sudoku-attention,
    /// maze-attention [default: all]
    #[arg(long = "config", value_delimiter = ',', value_name = "NAME")]
    pub configs: Vec<String>,
    /// Checkpoint whose architecture is timed instead, with fresh weights
    #[arg(long, value_name = "DIR", conflicts_with = "configs")]
    pub checkpoint: Option<PathBuf>,
    /// Rows of a batch; that of the configuration where not given, 64 for a checkpoint
    #[arg(long, value_name = "ROWS")]
    pub batch_size: Option<std::num::NonZeroUsize>,
    /// Rows that are computed at a time, as `micro_batch_size` of a run; all where not given
    #[arg(long, value_name = "ROWS")]
    pub micro_batch_size: Option<std::num::NonZeroUsize>,
    /// Replay recorded steps on a GPU, as `cuda_graphs=True` of a run; on a processor nothing is recorded
    #[arg(long)]
    pub cuda_graphs: bool,
    /// Timed steps of each configuration
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Seconds for which each product is repeated
    #[arg(long, default_value_t = 0.1)]
    pub seconds: f64,
    /// Where to compute: cpu or cuda
    #[arg(long, default_value = "cpu", value_parser = DeviceKind::parse)]
    pub device: DeviceKind,
    /// Threads; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// File to write all figures to
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A model that is timed.
struct Candidate {
    name: String,
    arch: models::ArchitectureConfig,
    dims: models::ModelDims,
    batch_size: usize,
    micro_batch_size: Option<usize>,
}

/// Measures and prints.
///
/// # Errors
/// When a configuration is unknown, the device is not there, or the file cannot be written.
pub fn run(arguments: &BenchArguments) -> Result<(), TrainError> {
    set_threads(arguments.threads);
    let device = device(arguments.device)?;
    let candidates = candidates(arguments)?;
    eprintln!("memory bandwidth");
    let memory = measure::memory(device, arguments.seconds);
    let mut rows = Vec::new();
    for candidate in &candidates {
        eprintln!("{} batch {}", candidate.name, candidate.batch_size);
        let cost = step_cost(&candidate.arch, &candidate.dims, candidate.batch_size)?;
        let forward_kind = crate::backend::kind_of(candidate.arch.forward_dtype());
        let mut kinds = vec![forward_kind];
        kinds.extend((forward_kind != Kind::Float).then_some(Kind::Float));
        let roofline = |&kind: &Kind| {
            let rates = measure::products(&cost, kind, device, arguments.seconds);
            Roofline::new(report::name_of(kind), &cost, &rates)
        };
        let rooflines: Vec<Roofline> = kinds.iter().map(roofline).collect();
        forget_peak_memory();
        let steps = measure::steps(candidate, device, arguments.steps as usize, arguments.cuda_graphs)?;
        let activation_bytes = match candidate.arch.forward_dtype() {
            ForwardDtype::BFloat16 => 2,
            ForwardDtype::Float32 => 4,
        };
        let name = candidate.name.clone();
        rows.push(TrainRow::new(name, &cost, activation_bytes, rooflines, &memory, &steps, peak_memory_bytes()));
    }
    let report = BenchReport {
        processor: processor_name(),
        device: format!("{device:?}"),
        threads: tch::get_num_threads() as usize,
        memory,
        steps: rows,
    };
    if let Some(path) = &arguments.json {
        let json = serde_json::to_vec_pretty(&report).map_err(|e| TrainError::state(path, e.to_string()))?;
        files::write(path, &json)?;
    }
    print!("{report}");
    Ok(())
}

fn candidates(arguments: &BenchArguments) -> Result<Vec<Candidate>, TrainError> {
    let batch_size = |default: usize| arguments.batch_size.map_or(default, usize::from);
    let micro_batch_size = arguments.micro_batch_size.map(usize::from);
    if let Some(folder) = &arguments.checkpoint {
        let Manifest { arch, dims, .. } = Manifest::read(&folder.join(MANIFEST_FILE))?;
        // Of a size-free model the largest boards that it was trained on.
        let dims = dims.sizes.map_or(dims, |sizes| arch.dims_at(&dims, sizes.greatest));
        let (name, batch_size) = (folder.display().to_string(), batch_size(64));
        return Ok(vec![Candidate { name, arch, dims, batch_size, micro_batch_size }]);
    }
    let configs = BenchmarkConfig::selected(&arguments.configs, &BenchmarkConfig::NAMES)?;
    let candidate = |BenchmarkConfig { name, arch, dims, batch_size: rows, .. }| Candidate {
        name: str::to_owned(name),
        arch,
        dims,
        batch_size: batch_size(rows),
        micro_batch_size,
    };
    Ok(configs.into_iter().map(candidate).collect())
}
