//! `experiment.json`: what a run was, beside `config.json`, which holds its settings. Owns the facts and their names,
//! which are those of the recursive-reasoning benchmark; the file is written once, and a resumed run leaves it as it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use datasets::store::DatasetMetadata;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::optimizer::OptimizerKind;

/// File in a run's folder.
pub const EXPERIMENT_FILE: &str = "experiment.json";
const UNKNOWN: &str = "unknown";
const NOT_AVAILABLE: &str = "N/A";

/// Facts about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// First 12 digits of the commit of the working tree that the run was started in; `unknown` outside of one.
    pub git_commit: String,
    /// Whether that tree had changes that are not committed.
    pub git_dirty: bool,
    /// First 12 digits of the commit that the program was built from.
    pub build_git_commit: String,
    /// When the run began, in UTC.
    pub timestamp: String,
    /// Name of the machine.
    pub hostname: String,
    /// Operating system and processor.
    pub platform: String,
    /// Version of Rust that the program is built with, at least.
    pub rust_version: String,
    /// Version of libtorch.
    pub torch_version: String,
    /// Version of CUDA; `N/A` on a CPU.
    pub cuda_version: String,
    /// Where it computed.
    pub device: String,
    /// CUDA devices that libtorch sees.
    pub num_gpus: i64,
    /// Processes that trained together.
    pub world_size: usize,
    /// Architecture.
    pub model_type: String,
    /// Trained weights, without the puzzle table.
    pub num_parameters: usize,
    /// Width of an activation.
    pub model_dim: usize,
    /// Updates of the answer in a supervision step, where the architecture has them (`H_cycles`).
    pub recursion_depth_train: Option<u64>,
    /// The same in an evaluation.
    pub recursion_depth_eval: Option<u64>,
    /// Most supervision steps (`halt_max_steps`).
    pub n_sup: usize,
    /// Layers of a block (`L_layers`, else `H_layers` or `num_layers`).
    pub num_layers: Option<u64>,
    /// Attention heads.
    pub num_heads: Option<u64>,
    /// Examples of an epoch; `None` for puzzles that are generated without end.
    pub dataset_size: Option<u64>,
    /// Examples of an evaluation.
    pub test_size: Option<usize>,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Passes over the data, where they end the run.
    pub epochs: Option<u64>,
    /// Optimizer steps.
    pub total_steps: u64,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Update rule.
    pub optimizer: OptimizerKind,
    /// Seed.
    pub seed: u64,
    /// Whether the data set holds transformed copies of its puzzles.
    pub data_augmentation: bool,
    /// `{model}_n{examples}_s{seed}_{hash}`; examples are 0 for generated puzzles.
    pub experiment_id: String,
}

/// What a run knows once its data is open.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// Metadata of the first data folder.
    pub dataset: Option<&'a DatasetMetadata>,
    /// Examples of an evaluation.
    pub test_size: Option<usize>,
    /// Trained weights.
    pub num_parameters: usize,
    /// Optimizer steps.
    pub total_steps: u64,
    /// Where it computes.
    pub device: Device,
    /// Processes that train together.
    pub world_size: usize,
}

/// The machine's name.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| UNKNOWN.to_owned(), |name| name.trim().to_owned())
}

impl Experiment {
    /// The facts about the run of `config`.
    pub fn new(config: &PretrainConfig, facts: RunFacts) -> Self {
        let arch = serde_json::to_value(&config.arch).unwrap_or_default();
        let number = |names: &[&str]| names.iter().find_map(|name| arch.get(name)?.as_u64().filter(|&value| value > 0));
        let depth = number(&["H_cycles"]);
        let model = config.arch.name();
        let dataset_size = facts.dataset.map(examples_of_epoch);
        let torch_version = torch_version();
        let (git_commit, git_dirty) = working_tree();
        Self {
            git_commit,
            git_dirty,
            build_git_commit: option_env!("TRAINER_GIT_COMMIT").unwrap_or(UNKNOWN).to_owned(),
            timestamp: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            hostname: hostname(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            rust_version: env!("CARGO_PKG_RUST_VERSION").to_owned(),
            cuda_version: cuda_version(&torch_version, facts.device),
            torch_version,
            device: match facts.device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".to_owned(),
            },
            num_gpus: tch::Cuda::device_count(),
            world_size: facts.world_size,
            model_type: model.to_owned(),
            num_parameters: facts.num_parameters,
            model_dim: config.arch.hidden_size(),
            recursion_depth_train: depth,
            recursion_depth_eval: depth,
            n_sup: config.arch.halt_max_steps(),
            num_layers: number(&["L_layers", "H_layers", "num_layers"]),
            num_heads: number(&["num_heads"]),
            dataset_size,
            test_size: facts.test_size,
            batch_size: config.global_batch_size,
            epochs: config.max_steps.is_none().then_some(config.epochs),
            total_steps: facts.total_steps,
            learning_rate: config.lr,
            weight_decay: config.weight_decay,
            optimizer: config.optimizer,
            seed: config.seed,
            data_augmentation: facts.dataset.is_some_and(|metadata| metadata.total_puzzles > metadata.total_groups),
            experiment_id: experiment_id(model, dataset_size.unwrap_or(0), config.seed, depth, &[]),
        }
    }

    /// Reads the file of a run.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn read(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(EXPERIMENT_FILE);
        let text = std::fs::read_to_string(&path).map_err(TrainError::io(&path))?;
        serde_json::from_str(&text).map_err(|error| TrainError::state(&path, error.to_string()))
    }

    /// Writes the file of a run that has none yet.
    ///
    /// # Errors
    /// When the disk refuses.
    ///
    /// # Panics
    /// Never: facts are numbers and texts.
    pub fn write_once(&self, run: &Path) -> Result<(), TrainError> {
        let path = run.join(EXPERIMENT_FILE);
        if path.exists() {
            return Ok(());
        }
        let mut text = serde_json::to_string_pretty(self).expect("facts are numbers and texts");
        text.push('\n');
        Ok(files::write(&path, text.as_bytes())?)
    }
}

/// Examples of an epoch: one of each group, as the loader draws them.
fn examples_of_epoch(metadata: &DatasetMetadata) -> u64 {
    (metadata.total_groups as f64 * metadata.mean_puzzle_examples).round() as u64
}

/// The benchmark's id: model, size, seed, and six digits that tell apart whatever else was set.
pub fn experiment_id(
    model: &str,
    dataset_size: u64,
    seed: u64,
    depth: Option<u64>,
    others: &[(&str, Value)],
) -> String {
    let mut text = format!("model={model}_data={dataset_size}_seed={seed}");
    if let Some(depth) = depth {
        let _ = write!(text, "_T={depth}");
    }
    let mut others = others.to_vec();
    others.sort_by(|left, right| left.0.cmp(right.0));
    for (key, value) in &others {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(text, "_{key}={value}");
    }
    let digest = Md5::digest(text.as_bytes());
    let [first, second, third, ..] = digest.0;
    format!("{model}_n{dataset_size}_s{seed}_{first:02x}{second:02x}{third:02x}")
}

/// Commit of the working tree around the current folder, and whether it has changes.
fn working_tree() -> (String, bool) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"]).map(|commit| commit.chars().take(12).collect());
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    (commit.unwrap_or_else(|| UNKNOWN.to_owned()), dirty)
}

/// What the distribution of the loaded libtorch says of itself in `build-version`.
fn torch_version() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let library =
        maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.ends_with("libtorch_cpu.so"));
    let folder = library.and_then(|path| PathBuf::from(path).parent()?.parent().map(Path::to_owned));
    let version = folder.and_then(|folder| std::fs::read_to_string(folder.join("build-version")).ok());
    version.map_or_else(|| UNKNOWN.to_owned(), |version| version.trim().to_owned())
}

/// `2.11.0+cu128` is built for CUDA 12.8.
fn cuda_version(torch_version: &str, device: Device) -> String {
    if !matches!(device, Device::Cuda(_)) {
        return NOT_AVAILABLE.to_owned();
    }
    let digits = torch_version.split_once("+cu").map(|(_, digits)| digits).filter(|digits| digits.len() > 1);
    digits.map_or_else(
        || UNKNOWN.to_owned(),
        |digits| {
            let (major, minor) = digits.split_at(digits.len() - 1);
            format!("{major}.{minor}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first is the benchmark's own.
    #[test]
    fn ids_are_the_benchmarks() {
        assert_eq!(experiment_id("trm", 10_000, 42, Some(8), &[]), "trm_n10000_s42_d48661");
        let sorted = experiment_id("lstm", 5, 1, None, &[("a", 2.into()), ("b", "x".into())]);
        assert_eq!(experiment_id("lstm", 5, 1, None, &[("b", "x".into()), ("a", 2.into())]), sorted);
        assert_ne!(experiment_id("lstm", 5, 1, None, &[("b", "y".into()), ("a", 2.into())]), sorted);
    }

    #[test]
    fn versions_of_cuda_are_read_out_of_torchs() {
        assert_eq!(cuda_version("2.11.0+cu128", Device::Cuda(0)), "12.8");
        assert_eq!(cuda_version("2.11.0+cu128", Device::Cpu), "N/A");
        assert_eq!(cuda_version("2.11.0+cpu", Device::Cuda(0)), "unknown");
    }
}
