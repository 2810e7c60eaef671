//! The settings of a training run: the reference's keys and defaults (`config/cfg_pretrain.yaml`, `config/arch/*.yaml`)
//! plus our own, from TOML files and Hydra-style overrides. Past [`PretrainConfig::resolve`] everything is checked.

mod defaults;
mod evaluators;
mod learner;
mod names;
mod overrides;
mod tree;
mod validate;
mod yaml;

use std::path::{Path, PathBuf};

use datasets::batch::TrainingSource;
use datasets::loader::{FolderSource, LoaderOptions};
use datasets::scoring::predictions::PredictionArray;
use models::{ArchitectureConfig, TrmConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use defaults::{defaults, from_value, leave_no_choice};
pub use evaluators::{EvaluatorConfig, EvaluatorName};
pub use overrides::Override;
pub use tree::read_settings;

use crate::TrainError;
use crate::generator::Generator;
use crate::losses::{LossType, MOVE_LOSS_WEIGHT, Q_LOSS_WEIGHT};
use crate::optimizer::OptimizerKind;

/// Folder of runs without a path of their own.
const CHECKPOINTS: &str = "checkpoints";

/// Where the computation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// All cores, or `threads` of them.
    Cpu,
    /// The first CUDA device, or that of `LOCAL_RANK`; libtorch must have been built with CUDA.
    Cuda,
    /// The first CUDA device where there is one, else the CPU.
    Auto,
}

impl DeviceKind {
    /// By its name on the command line.
    ///
    /// # Errors
    /// A sentence that says what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "auto" => Ok(Self::Auto),
            _ => Err(format!("`{text}` is none of cpu, cuda, auto")),
        }
    }
}

/// A resolved training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are the keys of a file, each on its own")]
pub struct PretrainConfig {
    /// Architecture; `loss` among its keys is taken out into [`loss_type`](Self::loss_type).
    pub arch: ArchitectureConfig,
    /// Token loss (`arch.loss.loss_type`).
    pub loss_type: LossType,
    /// Weight of the halting losses beside the token loss: 0.5 in the reference. A tenth of that suffices where answers
    /// can be checked, and leaves more of the gradient to the tokens.
    pub q_loss_weight: f64,
    /// Weight of the loss of moves beside the token loss, under `arch.move_head`.
    pub move_loss_weight: f64,
    /// Folders in the reference's format; empty with a generator.
    pub data_paths: Vec<PathBuf>,
    /// Folders whose test split is evaluated; empty: those of `data_paths`.
    pub data_paths_test: Vec<PathBuf>,
    /// Endless generated puzzles in place of folders.
    pub generator: Option<Generator>,
    /// Sizes that puzzles are generated in, each a source of its own; empty: the generator's one size. Written as a list
    /// in `generator.size`.
    pub generator_sizes: Vec<usize>,
    /// Weight of each size, `generator.weights`; empty: 1 each.
    pub generator_weights: Vec<usize>,
    /// Weight of each folder of `data_paths`, which then is a source of its own; empty: all of them are one source of
    /// weight 1.
    pub data_weights: Vec<usize>,
    /// Rows of a batch over all ranks; with boards of several sizes, of the largest. Smaller ones get more rows, so that
    /// steps cost about the same.
    pub global_batch_size: usize,
    /// Rows that a process computes at a time, their gradients summed: a batch then needs the memory of so many rows. All
    /// where it is not set.
    pub micro_batch_size: Option<usize>,
    /// Batches whose rows are being worked on at a time and take turns, a step each: 1 in the reference. With more, a
    /// row's next step comes after other rows have changed the weights, so that it is not learned by heart.
    pub carried_batches: usize,
    /// Passes over the data (folders).
    pub epochs: u64,
    /// Optimizer steps; overrides `epochs`, required with a generator.
    pub max_steps: Option<u64>,
    /// Epochs between evaluations.
    pub eval_interval: Option<u64>,
    /// Evaluation intervals that pass without an evaluation, as the reference counts: 3 makes the fourth the first one
    /// with an evaluation. The last step of a run is always evaluated.
    pub min_eval_interval: u64,
    /// Optimizer steps between evaluations; overrides `eval_interval`.
    pub eval_interval_steps: Option<u64>,
    /// Held-out puzzles of an evaluation with a generator, or the most rows of a test split that are looked at; with 0
    /// nothing is evaluated.
    pub eval_count: Option<usize>,
    /// What votes on the answers of an evaluation: `[{name: arc@ARC}]`, or nothing.
    pub evaluators: Vec<EvaluatorConfig>,
    /// What each evaluation saves into the run, for `datasets score`: any of `inputs`, `labels`, `preds`, `q_halt_logits`,
    /// `puzzle_identifiers`, of which scoring needs all but `labels`.
    pub eval_save_outputs: Vec<PredictionArray>,
    /// Write `recursion_metrics.csv` at each evaluation: loss and accuracy after each update of the answer.
    pub log_recursion: bool,
    /// Write `latent_stats.csv` at each evaluation: norms, cosines, variances and changes of the states.
    pub log_latent_stats: bool,
    /// Write `states/step_N.safetensors` and a figure of its principal components at the 1st, 2nd, 4th, 8th … evaluation
    /// and the last: each board's states after every update, averaged over its cells.
    pub log_principal_components: bool,
    /// Updates of the answer that these three look at, also beyond those of training.
    pub probe_depth: usize,
    /// Rows of the test set that they look at, from the first; always the same.
    pub probe_rows: usize,
    /// Keep the checkpoint of every evaluation, not just the last and the best.
    pub checkpoint_every_eval: bool,
    /// Optimizer steps between resumable checkpoints.
    pub checkpoint_interval: u64,
    /// Optimizer steps between rows of `metrics.csv`.
    pub log_interval: u64,
    /// Base learning rate.
    pub lr: f64,
    /// Share of the learning rate that is left at the end; 1 keeps it constant.
    pub lr_min_ratio: f64,
    /// Steps of linear warm-up.
    pub lr_warmup_steps: u64,
    /// Update rule of the weights.
    pub optimizer: OptimizerKind,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Greatest norm of the gradient of all weights; a longer gradient is scaled down to it. Unset: as it is.
    pub grad_clip: Option<f64>,
    /// Learning rate of the puzzle table.
    pub puzzle_emb_lr: f64,
    /// Decoupled weight decay of the puzzle table.
    pub puzzle_emb_weight_decay: f64,
    /// Keep, evaluate and ship a moving average of the weights.
    pub ema: bool,
    /// Decay of that average.
    pub ema_rate: f64,
    /// Train the puzzle table alone.
    pub freeze_weights: bool,
    /// Train the puzzle table alone for so many steps, then everything: new puzzles find their place in a trained model
    /// before it gives way to them.
    pub freeze_weights_steps: u64,
    /// Begin each row of the puzzle table with the mean of those of `load_checkpoint`, also where there are as many.
    pub mean_puzzle_emb: bool,
    /// Seed of initial weights, data order and exploration.
    pub seed: u64,
    /// Groups runs: a folder between `checkpoints` and the run.
    pub project_name: Option<String>,
    /// Name of the run's folder.
    pub run_name: Option<String>,
    /// Write an offline run of Weights & Biases, with the environment variables of its client (`WANDB_PROJECT`, `WANDB_DIR`, …).
    pub use_wandb: bool,
    /// Folder of the run; default `checkpoints[/project_name]/run_name`.
    pub checkpoint_path: Option<PathBuf>,
    /// Start from these weights: a checkpoint folder, a file of `torch.save` or safetensors, a short name of
    /// `exporter registry`, or `owner/name/file` of the hub.
    pub load_checkpoint: Option<PathBuf>,
    /// Where to compute.
    pub device: DeviceKind,
    /// Record the GPU's work of a step once, and replay it as one launch.
    pub cuda_graphs: bool,
    /// Threads; 0 takes all cores, which the processes of a machine share evenly.
    pub threads: usize,
    /// Seconds that a rank waits for the others, at most: in a collective, and for rank 0 to evaluate or save.
    pub collective_timeout: u64,
}

impl Default for PretrainConfig {
    /// The reference's defaults, and ours for our own keys. Runs from before a key was there had its default.
    fn default() -> Self {
        Self {
            arch: ArchitectureConfig::Trm(TrmConfig::default()),
            loss_type: LossType::default(),
            q_loss_weight: Q_LOSS_WEIGHT,
            move_loss_weight: MOVE_LOSS_WEIGHT,
            data_paths: Vec::new(),
            data_paths_test: Vec::new(),
            generator: None,
            generator_sizes: Vec::new(),
            generator_weights: Vec::new(),
            data_weights: Vec::new(),
            global_batch_size: 768,
            micro_batch_size: None,
            carried_batches: 1,
            epochs: 100_000,
            max_steps: None,
            eval_interval: Some(10_000),
            min_eval_interval: 0,
            eval_interval_steps: None,
            eval_count: None,
            evaluators: Vec::new(),
            eval_save_outputs: Vec::new(),
            log_recursion: false,
            log_latent_stats: false,
            log_principal_components: false,
            probe_depth: 32,
            probe_rows: 64,
            checkpoint_every_eval: true,
            checkpoint_interval: 500,
            log_interval: 50,
            lr: 1e-4,
            lr_min_ratio: 1.0,
            lr_warmup_steps: 2000,
            optimizer: OptimizerKind::default(),
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            grad_clip: None,
            puzzle_emb_lr: 1e-2,
            puzzle_emb_weight_decay: 0.1,
            ema: false,
            ema_rate: 0.999,
            freeze_weights: false,
            freeze_weights_steps: 0,
            mean_puzzle_emb: false,
            seed: 0,
            project_name: None,
            run_name: None,
            use_wandb: false,
            checkpoint_path: None,
            load_checkpoint: None,
            device: DeviceKind::Cpu,
            cuda_graphs: false,
            threads: 0,
            collective_timeout: 600,
        }
    }
}

impl PretrainConfig {
    /// Defaults, then TOML files in order, then overrides in order, checked.
    ///
    /// # Errors
    /// [`TrainError::Setting`] naming the key, with the nearest known key where it is unknown.
    pub fn resolve(files: &[PathBuf], overrides: &[Override]) -> Result<Self, TrainError> {
        let files = files.iter().map(|path| tree::ConfigFile::read(path)).collect::<Result<Vec<_>, _>>()?;
        let (architecture, variant) = chosen_architecture(&files, overrides)?;
        let mut tree = tree::ConfigTree::new(defaults(&architecture));
        for (key, value) in variant {
            tree.set(key, value)?;
        }
        for file in &files {
            tree.merge_file(file)?;
        }
        for change in overrides {
            tree.set(&change.key, change.value.clone())?;
        }
        Self::from_tree(tree)
    }

    /// The settings of an earlier run with overrides on top, for `resume`.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and when the file is not a run's `config.json`.
    pub fn resolve_resumed(saved: &Path, overrides: &[Override]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(saved).map_err(TrainError::io(saved))?;
        let config: Self = serde_json::from_str(&text).map_err(|e| TrainError::state(saved, e.to_string()))?;
        let mut tree = tree::ConfigTree::new(config.to_tree());
        for change in overrides {
            if let Some(other) = tree::architecture_name(&change.key, &change.value)
                && tree::variant_of(other).map_or(other, |(base, _)| base) != config.arch.name()
            {
                let problem =
                    format!("is {} in the run and cannot become {other}; start a new run", config.arch.name());
                return Err(TrainError::setting("arch", problem));
            }
            tree.set(&change.key, change.value.clone())?;
        }
        Self::from_tree(tree)
    }

    /// The folder that the run writes.
    pub fn run_directory(&self) -> PathBuf {
        if let Some(path) = &self.checkpoint_path {
            return path.clone();
        }
        let mut path = PathBuf::from(CHECKPOINTS);
        path.extend(&self.project_name);
        path.push(self.run_name.as_deref().unwrap_or(self.arch.name()));
        path
    }

    /// The generators, one for each size, with their weights.
    pub fn generators(&self) -> Vec<(Generator, usize)> {
        let Some(generator) = &self.generator else { return Vec::new() };
        if self.generator_sizes.is_empty() {
            return vec![(generator.clone(), 1)];
        }
        let weights = self.generator_weights.iter().copied().chain(std::iter::repeat(1));
        self.generator_sizes.iter().zip(weights).map(|(&size, weight)| (generator.of_size(size), weight)).collect()
    }

    /// The folders of each source that reads some, with their weights.
    pub fn folder_groups(&self) -> Vec<(Vec<PathBuf>, usize)> {
        if self.data_weights.is_empty() {
            let all = (!self.data_paths.is_empty()).then(|| (self.data_paths.clone(), 1));
            return all.into_iter().collect();
        }
        self.data_paths.iter().map(|path| vec![path.clone()]).zip(self.data_weights.iter().copied()).collect()
    }

    /// Rows of a batch of boards of `seq_len` tokens: as many as cost what `global_batch_size` of the largest do, up to
    /// 16 times as many.
    ///
    /// # Errors
    /// When the folders cannot be read.
    pub fn rows_at(&self, seq_len: usize) -> Result<usize, TrainError> {
        if !self.arch.mixer().is_size_free() {
            return Ok(self.global_batch_size);
        }
        let mut largest = seq_len;
        for (paths, _) in self.folder_groups() {
            let source = FolderSource::open(&paths, LoaderOptions::new(1))?;
            largest = largest.max(source.metadata().seq_len);
        }
        for (generator, _) in self.generators() {
            largest = largest.max(generator.source(0, 1)?.metadata().seq_len);
        }
        let sites = |seq_len| self.arch.state_tokens(seq_len);
        Ok((self.global_batch_size * sites(largest) / sites(seq_len)).min(16 * self.global_batch_size))
    }

    fn from_tree(tree: tree::ConfigTree) -> Result<Self, TrainError> {
        let mut root = tree.into_value();
        let arch = root["arch"].as_object_mut().expect("the default tree has arch, and set() keeps tables tables");
        let loss = arch.remove("loss").unwrap_or_default();
        if arch.get("puzzle_emb_ndim") == Some(&Value::Null) {
            // The reference's `${.hidden_size}`.
            match arch["hidden_size"].clone() {
                width @ Value::Number(_) => arch.insert("puzzle_emb_ndim".into(), width),
                // Its own fault is reported, not that of what follows from it.
                _ => arch.remove("puzzle_emb_ndim"),
            };
        }
        root["loss_type"] = loss["loss_type"].clone();
        let root_table = root.as_object_mut().expect("the root is a table");
        EvaluatorConfig::check(&root_table["evaluators"])?;
        let mut generator = root_table["generator"].as_object().cloned().unwrap_or_default();
        root_table.insert("generator_weights".into(), generator.remove("weights").unwrap_or_else(|| json!([])));
        let sizes = match generator["size"].clone() {
            Value::Array(sizes) => {
                let greatest = sizes.iter().max_by_key(|size| size.as_u64()).cloned().unwrap_or_default();
                generator.insert("size".into(), greatest);
                Value::Array(sizes)
            }
            _ => json!([]),
        };
        root_table.insert("generator_sizes".into(), sizes);
        let generator = Generator::select(generator)?.map_or(Value::Null, Value::Object);
        root_table.insert("generator".into(), generator);
        leave_no_choice(root_table);
        let mut config: Self = from_value(&root)?;
        config.validate()?;
        if let Some(Generator::Sudoku(options)) = &mut config.generator {
            options.pin_pools()?;
        }
        Ok(config)
    }

    /// All settings in the form of config files.
    pub(crate) fn to_tree(&self) -> Value {
        let mut root = serde_json::to_value(self).expect("a config holds only JSON types");
        let table = root.as_object_mut().expect("a config is a table");
        let mut take = |key: &str| table.remove(key).unwrap_or_default();
        let (loss_type, own) = (take("loss_type"), take("generator"));
        let (sizes, weights) = (take("generator_sizes"), take("generator_weights"));
        let mut generator = Generator::defaults();
        generator.extend(own.as_object().cloned().unwrap_or_default());
        if sizes != json!([]) {
            generator.insert("size".into(), sizes);
        }
        generator.insert("weights".into(), weights);
        root["arch"]["loss"] = json!({"name": "losses@ACTLossHead", "loss_type": loss_type});
        root["generator"] = generator.into();
        root
    }
}

/// The architecture that files and overrides choose, the last of them first: as in Hydra the choice comes before all
/// other settings, wherever it stands, because it decides which keys there are. With what a variant of it sets.
fn chosen_architecture(
    files: &[tree::ConfigFile],
    overrides: &[Override],
) -> Result<(ArchitectureConfig, tree::VariantSettings), TrainError> {
    let by_override = overrides.iter().rev().find_map(|change| tree::architecture_name(&change.key, &change.value));
    let by_file = || files.iter().rev().find_map(tree::ConfigFile::architecture_name);
    let name = by_override.or_else(by_file).unwrap_or(ArchitectureConfig::NAMES[0]);
    let (base, variant) = tree::variant_of(name).unwrap_or((name, Vec::new()));
    let architecture = ArchitectureConfig::default_of(base).map_err(|_| tree::no_architecture(name))?;
    Ok((architecture, variant))
}

#[cfg(test)]
mod tests;
