//! The settings of a training run: the reference's keys and defaults (`config/cfg_pretrain.yaml`, `config/arch/*.yaml`)
//! plus our own, from TOML files and Hydra-style overrides. Past [`PretrainConfig::resolve`] everything is checked.

mod overrides;
mod tree;

use std::path::{Path, PathBuf};

use datasets::batch::TrainingSource;
use datasets::loader::{FolderSource, LoaderOptions};
use models::ArchitectureConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use overrides::Override;

use crate::TrainError;
use crate::generator::Generator;
use crate::losses::{LossType, Q_LOSS_WEIGHT};
use crate::optimizer::OptimizerKind;

/// Where the computation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// All cores, or `threads` of them.
    Cpu,
    /// The first CUDA device; libtorch must have been built with CUDA.
    Cuda,
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
            _ => Err(format!("`{text}` is neither cpu nor cuda")),
        }
    }
}

/// A resolved training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Architecture; `loss` among its keys is taken out into [`loss_type`](Self::loss_type).
    pub arch: ArchitectureConfig,
    /// Token loss (`arch.loss.loss_type`).
    pub loss_type: LossType,
    /// Weight of the halting losses beside the token loss: 0.5 in the reference. A tenth of that suffices where answers
    /// can be checked, and leaves more of the gradient to the tokens.
    #[serde(default = "reference_q_loss_weight")]
    pub q_loss_weight: f64,
    /// Folders in the reference's format; empty with a generator.
    pub data_paths: Vec<PathBuf>,
    /// Folders whose test split is evaluated; empty: those of `data_paths`.
    pub data_paths_test: Vec<PathBuf>,
    /// Endless generated puzzles in place of folders.
    pub generator: Option<Generator>,
    /// Sizes that puzzles are generated in, each a source of its own; empty: the generator's one size. Written as a list
    /// in `generator.size`.
    #[serde(default)]
    pub generator_sizes: Vec<usize>,
    /// Weight of each size, `generator.weights`; empty: 1 each.
    #[serde(default)]
    pub generator_weights: Vec<usize>,
    /// Weight of each folder of `data_paths`, which then is a source of its own; empty: all of them are one source of
    /// weight 1.
    #[serde(default)]
    pub data_weights: Vec<usize>,
    /// Rows of a batch over all ranks; with boards of several sizes, of the largest. Smaller ones get more rows, so that
    /// steps cost about the same.
    pub global_batch_size: usize,
    /// Batches whose rows are being worked on at a time and take turns, a step each: 1 in the reference. With more, a
    /// row's next step comes after other rows have changed the weights, so that it is not learned by heart.
    #[serde(default = "one_carried_batch")]
    pub carried_batches: usize,
    /// Passes over the data (folders).
    pub epochs: u64,
    /// Optimizer steps; overrides `epochs`, required with a generator.
    pub max_steps: Option<u64>,
    /// Epochs between evaluations.
    pub eval_interval: Option<u64>,
    /// No evaluation before this epoch.
    pub min_eval_interval: u64,
    /// Optimizer steps between evaluations; overrides `eval_interval`.
    pub eval_interval_steps: Option<u64>,
    /// Held-out puzzles of an evaluation with a generator, or the most rows of a test split that are looked at.
    pub eval_count: Option<usize>,
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
    /// Seed of initial weights, data order and exploration.
    pub seed: u64,
    /// Groups runs: a folder between `checkpoints` and the run.
    pub project_name: Option<String>,
    /// Name of the run's folder.
    pub run_name: Option<String>,
    /// Folder of the run; default `checkpoints[/project_name]/run_name`.
    pub checkpoint_path: Option<PathBuf>,
    /// Start from the weights of this checkpoint folder.
    pub load_checkpoint: Option<PathBuf>,
    /// Where to compute.
    pub device: DeviceKind,
    /// Threads; 0 takes all cores.
    pub threads: usize,
}

impl PretrainConfig {
    /// Defaults, then TOML files in order, then overrides in order, checked.
    ///
    /// # Errors
    /// [`TrainError::Setting`] naming the key, with the nearest known key where it is unknown.
    pub fn resolve(files: &[PathBuf], overrides: &[Override]) -> Result<Self, TrainError> {
        let files = files.iter().map(|path| tree::ConfigFile::read(path)).collect::<Result<Vec<_>, _>>()?;
        let mut tree = tree::ConfigTree::new(defaults(&chosen_architecture(&files, overrides)?));
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
                && other != config.arch.name()
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
        let mut path = PathBuf::from("checkpoints");
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
        root.as_object_mut().expect("the root is a table").remove("evaluators");
        let root_table = root.as_object_mut().expect("the root is a table");
        root_table.remove("eval_save_outputs");
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
        let mut config: Self = serde_path(&root)?;
        config.validate()?;
        if let Some(Generator::Sudoku(options)) = &mut config.generator {
            options.pin_pools()?;
        }
        Ok(config)
    }

    fn to_tree(&self) -> Value {
        let mut root = serde_json::to_value(self).expect("a config holds only JSON types");
        let defaults = defaults(&self.arch);
        let loss_type = root.as_object_mut().and_then(|table| table.remove("loss_type"));
        root["arch"]["loss"] = json!({"name": "losses@ACTLossHead", "loss_type": loss_type});
        root["evaluators"] = defaults["evaluators"].clone();
        root["eval_save_outputs"] = defaults["eval_save_outputs"].clone();
        let own = root["generator"].as_object().cloned().unwrap_or_default();
        root["generator"] = defaults["generator"].clone();
        for (key, value) in own {
            root["generator"][key] = value;
        }
        let table = root.as_object_mut().expect("a config is a table");
        let (sizes, weights) = (table.remove("generator_sizes"), table.remove("generator_weights"));
        if let Some(sizes) = sizes.filter(|sizes| *sizes != json!([])) {
            root["generator"]["size"] = sizes;
        }
        root["generator"]["weights"] = weights.unwrap_or_else(|| json!([]));
        root
    }

    fn validate(&self) -> Result<(), TrainError> {
        let positive = [
            ("global_batch_size", self.global_batch_size as u64),
            ("carried_batches", self.carried_batches as u64),
            ("epochs", self.epochs),
            ("checkpoint_interval", self.checkpoint_interval),
            ("log_interval", self.log_interval),
            ("eval_interval", self.eval_interval.unwrap_or(1)),
            ("eval_interval_steps", self.eval_interval_steps.unwrap_or(1)),
            ("max_steps", self.max_steps.unwrap_or(1)),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(TrainError::setting(key, "is 0, must be at least 1"));
            }
        }
        let rates = [
            ("lr", self.lr, f64::INFINITY),
            ("puzzle_emb_lr", self.puzzle_emb_lr, f64::INFINITY),
            ("weight_decay", self.weight_decay, f64::INFINITY),
            ("q_loss_weight", self.q_loss_weight, f64::INFINITY),
            ("puzzle_emb_weight_decay", self.puzzle_emb_weight_decay, f64::INFINITY),
            ("lr_min_ratio", self.lr_min_ratio, 1.0),
            ("ema_rate", self.ema_rate, 1.0),
            ("beta1", self.beta1, 0.999_999_9),
            ("beta2", self.beta2, 0.999_999_9),
        ];
        for (key, value, most) in rates {
            if !(0.0..=most).contains(&value) || !value.is_finite() {
                return Err(TrainError::setting(key, format!("is {value}, must lie between 0 and {most}")));
            }
        }
        let lists = [
            ("generator.weights", self.generator_weights.len(), self.generator_sizes.len()),
            ("data_weights", self.data_weights.len(), self.data_paths.len()),
        ];
        for (key, found, expected) in lists {
            if found != 0 && found != expected {
                return Err(TrainError::setting(
                    key,
                    format!("has {found} weights for {expected} sources; give one each"),
                ));
            }
        }
        if self.generator_weights.iter().chain(&self.data_weights).any(|&weight| weight == 0) {
            return Err(TrainError::setting("data_weights", "and generator.weights must be at least 1"));
        }
        match &self.generator {
            Some(_) if !self.data_paths.is_empty() && !self.arch.mixer().is_size_free() => {
                Err(TrainError::setting("generator", "and data_paths are both set; unset one (data_paths=\"[]\")"))
            }
            Some(_) if self.max_steps.is_none() => Err(TrainError::setting(
                "max_steps",
                "is unset; generated puzzles never end, say how many steps to take",
            )),
            Some(_) => self.generators().iter().try_for_each(|(generator, _)| Ok(generator.validate()?)),
            None if self.data_paths.is_empty() => Err(TrainError::setting(
                "data_paths",
                "is empty; name a data set folder (data_paths=\"[data/sudoku]\") or a generator (generator.size=9)",
            )),
            None => Ok(()),
        }
    }
}

/// Runs from before there was a choice.
fn reference_q_loss_weight() -> f64 {
    Q_LOSS_WEIGHT
}

/// Runs from before there was a choice.
fn one_carried_batch() -> usize {
    1
}

/// The architecture that files and overrides choose, the last of them first: as in Hydra the choice comes before all
/// other settings, wherever it stands, because it decides which keys there are.
fn chosen_architecture(files: &[tree::ConfigFile], overrides: &[Override]) -> Result<ArchitectureConfig, TrainError> {
    let by_override = overrides.iter().rev().find_map(|change| tree::architecture_name(&change.key, &change.value));
    let by_file = || files.iter().rev().find_map(tree::ConfigFile::architecture_name);
    let name = by_override.or_else(by_file).unwrap_or(ArchitectureConfig::NAMES[0]);
    ArchitectureConfig::default_of(name).map_err(|_| tree::no_architecture(name))
}

/// All keys with their defaults under the architecture of `arch`: what may be set at all.
fn defaults(arch: &ArchitectureConfig) -> Value {
    let default = ArchitectureConfig::default_of(arch.name()).expect("the name of an architecture");
    let follows_hidden_size = default.puzzle_emb_ndim() > 0;
    let mut arch = serde_json::to_value(default).expect("plain JSON types");
    if follows_hidden_size {
        arch["puzzle_emb_ndim"] = Value::Null;
    }
    arch["loss"] = json!({"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"});
    let mut generator = Generator::defaults();
    generator.insert("weights".into(), json!([]));
    json!({
        "arch": arch,
        "data_paths": [],
        "data_paths_test": [],
        "data_weights": [],
        "generator": generator,
        "evaluators": [],
        "global_batch_size": 768,
        "carried_batches": 1,
        "epochs": 100_000,
        "max_steps": null,
        "eval_interval": 10_000,
        "min_eval_interval": 0,
        "eval_interval_steps": null,
        "eval_count": null,
        "eval_save_outputs": [],
        "checkpoint_every_eval": false,
        "checkpoint_interval": 500,
        "log_interval": 50,
        "q_loss_weight": Q_LOSS_WEIGHT,
        "lr": 1e-4,
        "lr_min_ratio": 1.0,
        "lr_warmup_steps": 2000,
        "optimizer": "adam_atan2",
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "puzzle_emb_lr": 1e-2,
        "puzzle_emb_weight_decay": 0.1,
        "ema": false,
        "ema_rate": 0.999,
        "freeze_weights": false,
        "seed": 0,
        "project_name": null,
        "run_name": null,
        "checkpoint_path": null,
        "load_checkpoint": null,
        "device": "cpu",
        "threads": 0,
    })
}

/// Settings that a structured mixer has one value for, where they stand at another one's default.
fn leave_no_choice(root: &mut Map<String, Value>) {
    let Some(arch) = root.get_mut("arch").and_then(Value::as_object_mut) else { return };
    if matches!(arch.get("mixer").and_then(Value::as_str), Some("units" | "local")) {
        for (key, value) in
            [("pos_encodings", json!("none")), ("q_head_input", json!("mean")), ("puzzle_emb_ndim", json!(0))]
        {
            arch.insert(key.into(), value);
        }
    }
}

/// Deserialises table by table, so that a wrong value is reported under its full key.
fn serde_path(root: &Value) -> Result<PretrainConfig, TrainError> {
    let table = root.as_object().expect("the root is a table");
    for (section, build) in [
        ("arch", check::<ArchitectureConfig> as fn(&Map<String, Value>) -> _),
        ("generator", check::<Generator> as fn(&Map<String, Value>) -> _),
    ] {
        if let Some(Value::Object(values)) = table.get(section)
            && let Err((key, problem)) = build(values)
        {
            return Err(TrainError::setting(format!("{section}.{key}"), problem));
        }
    }
    serde_json::from_value(root.clone()).map_err(|whole| {
        // Name the first key that is at fault on its own: replace the others by their defaults, one at a time.
        let defaults = defaults(&ArchitectureConfig::Trm(models::TrmConfig::default()));
        for (key, value) in table {
            let mut single = root.clone();
            single[key] = defaults[key].clone();
            if key != "arch" && key != "generator" && serde_json::from_value::<PretrainConfig>(single).is_ok() {
                return TrainError::setting(key, format!("{value}: {whole}"));
            }
        }
        TrainError::setting("config", whole.to_string())
    })
}

fn check<T: serde::de::DeserializeOwned>(values: &Map<String, Value>) -> Result<(), (String, String)> {
    let whole = match serde_json::from_value::<T>(Value::Object(values.clone())) {
        Ok(_) => return Ok(()),
        Err(error) => error.to_string(),
    };
    for key in values.keys().filter(|key| *key != "name") {
        let mut without = values.clone();
        without.remove(key);
        if serde_json::from_value::<T>(Value::Object(without)).is_ok() {
            return Err((key.clone(), format!("{}: {whole}", values[key])));
        }
    }
    Err(("name".to_owned(), whole))
}

#[cfg(test)]
mod tests;
