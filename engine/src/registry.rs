//! The models that are served, each with its own engine: a registry is one set of them, and [`Models`] holds the set
//! that new requests see. Leaves loading a checkpoint to `model` and inference to the engines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use exporter::runtime::SessionOptions;

use crate::LoadError;
use crate::arc::TaskIndex;
use crate::default_policy::{DefaultPolicy, PolicyOverrides};
use crate::model::{self, LoadedModel, ModelCard};
use crate::task::{self, Task};
use crate::{Batching, Engine, EngineOptions, PolicyLimits, Quantize, Restarts, StepModel, warm_up};

/// A model and the engine that runs it. Dropping it waits for the engine's thread: not on a thread that must not block.
#[derive(Debug)]
pub struct ServedModel {
    /// What it is.
    pub card: ModelCard,
    /// What it solves.
    pub task: Task,
    /// Folder of its checkpoint, where there is one.
    pub directory: Option<PathBuf>,
    /// Default policy for requests that set none, and where it comes from.
    pub default_policy: DefaultPolicy,
    /// Nodes of its graph by the execution provider that really computes them; empty when it is not a graph.
    pub providers: BTreeMap<String, usize>,
    /// ARC: the tasks that its puzzle-embedding table belongs to, where they are known.
    pub arc_tasks: Option<Arc<TaskIndex>>,
    /// What runs it.
    pub engine: Engine,
}

/// One set of models with names of their own.
#[derive(Debug)]
pub struct Registry {
    models: Vec<Arc<ServedModel>>,
}

/// The registry that new requests see. Requests in flight keep the models that they began with.
#[derive(Debug)]
pub struct Models(RwLock<Arc<Registry>>);

/// Limits that every engine of a server gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineLimits {
    /// Puzzles solved at the same time.
    pub slots: usize,
    /// Puzzles that may wait.
    pub queue_capacity: usize,
    /// Longest time that a puzzle may have to wait, as far as the measured rate can tell.
    pub max_wait: Duration,
    /// How the slots are shared out.
    pub batching: Batching,
    /// As [`EngineOptions::chains_at_once`].
    pub chains_at_once: usize,
    /// What a request may ask for; the default policy may always go further.
    pub policy: PolicyLimits,
    /// What the operator sets of the default policy.
    pub overrides: PolicyOverrides,
}

impl EngineLimits {
    /// Limits of an engine whose requests get one chain, unless they ask for more.
    pub const fn plain(slots: usize, queue_capacity: usize, max_steps: usize) -> Self {
        Self {
            slots,
            queue_capacity,
            max_wait: Duration::MAX,
            batching: Batching::Continuous,
            chains_at_once: 1,
            policy: PolicyLimits { max_steps, chains: 128 },
            overrides: PolicyOverrides::of_restarts(Restarts::NONE),
        }
    }
}

impl ServedModel {
    /// Starts an engine on `step_model`.
    ///
    /// # Errors
    /// When a limit lies outside its range.
    pub fn start(
        card: ModelCard,
        task: Task,
        step_model: impl StepModel + 'static,
        limits: EngineLimits,
    ) -> Result<Self, LoadError> {
        let halt_max_steps = card.arch.halt_max_steps();
        let default_policy = DefaultPolicy::of(task, halt_max_steps, card.inference.as_ref(), &limits.overrides);
        let policy = default_policy.policy;
        let max_steps = limits.policy.max_steps.max(halt_max_steps).max(policy.max_steps).max(policy.restarts.depth);
        let chains = limits.policy.chains.max(policy.restarts.chains());
        let options = EngineOptions {
            slots: limits.slots,
            queue_capacity: limits.queue_capacity,
            max_wait: limits.max_wait,
            batching: limits.batching,
            chains_at_once: limits.chains_at_once,
            default_policy: policy,
            limits: PolicyLimits { max_steps, chains },
        };
        let engine = Engine::start(step_model, task::rules(task, &card.arch), options)?;
        Ok(Self { card, task, directory: None, default_policy, providers: BTreeMap::new(), arc_tasks: None, engine })
    }

    /// Loads the checkpoint in `directory` and starts its engine.
    ///
    /// # Errors
    /// As [`model::load`] and [`start`](Self::start).
    pub fn load(directory: &Path, session: &SessionOptions, limits: EngineLimits) -> Result<Self, LoadError> {
        Self::start_loaded(directory, model::load(directory, session)?, limits)
    }

    /// As [`load`](Self::load) in what `quantize` chooses for every board that the model takes, one served model for each, which
    /// share their weights. Runs every batch size of the engines once, so that the first request waits for no
    /// allocation; boards larger than any that the model was trained on are left out of that.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`model::load_as`]; also when the model cannot compute a step.
    pub fn load_warm(
        directory: &Path,
        quantize: Quantize,
        session: &SessionOptions,
        limits: EngineLimits,
    ) -> Result<Vec<Self>, LoadError> {
        let loaded = model::load_as(directory, quantize, session)?;
        let trained = task::side(loaded.task);
        let start = |mut loaded: LoadedModel| {
            if task::side(loaded.task) <= trained {
                warm_up(&mut loaded.step_model, limits.slots)?;
            }
            Self::start_loaded(directory, loaded, limits)
        };
        loaded.for_every_task().into_iter().map(start).collect()
    }

    fn start_loaded(directory: &Path, loaded: LoadedModel, limits: EngineLimits) -> Result<Self, LoadError> {
        let LoadedModel { card, task, providers, step_model, .. } = loaded;
        let served = Self::start(card, task, step_model, limits)?;
        Ok(Self { directory: Some(directory.to_owned()), providers, ..served })
    }
}

impl Registry {
    /// No model: what a server has until its models are loaded.
    pub const fn empty() -> Self {
        Self { models: Vec::new() }
    }

    /// The given models. Where several solve the same puzzles, the first is asked unless a request names another.
    ///
    /// # Errors
    /// When there is none, or two have the same name.
    pub fn new(models: Vec<ServedModel>) -> Result<Self, LoadError> {
        if models.is_empty() {
            return Err(LoadError::NoModel { searched: "the list of checkpoints is empty".into() });
        }
        for (index, model) in models.iter().enumerate() {
            let is_same = |other: &ServedModel| other.card.name == model.card.name && other.task == model.task;
            if models[..index].iter().any(is_same) {
                return Err(LoadError::SameName { name: model.card.name.clone() });
            }
        }
        Ok(Self { models: models.into_iter().map(Arc::new).collect() })
    }

    /// All models in the order given.
    pub fn models(&self) -> &[Arc<ServedModel>] {
        &self.models
    }

    /// All models, taken out.
    pub fn into_models(self) -> Vec<Arc<ServedModel>> {
        self.models
    }

    /// The first model that `fits`.
    pub fn find(&self, mut fits: impl FnMut(&ServedModel) -> bool) -> Option<&Arc<ServedModel>> {
        self.models.iter().find(|model| fits(model))
    }

    /// The model of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<ServedModel>> {
        self.find(|model| model.card.name == name)
    }
}

impl Models {
    /// Holds `registry`.
    pub fn new(registry: Registry) -> Self {
        Self(RwLock::new(Arc::new(registry)))
    }

    /// What a request that begins now sees, and keeps to its end.
    pub fn current(&self) -> Arc<Registry> {
        // No code that can panic runs under the lock, so a poisoned holder is still a consistent one.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `registry` in its place and gives back the old one, whose last holder ends its engines.
    pub fn swap(&self, registry: Registry) -> Arc<Registry> {
        std::mem::replace(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(registry))
    }
}

/// Gives every ARC model the index of those among `folders` whose number of identifiers is that of its table, else the one
/// that lies in its checkpoint's folder.
///
/// # Errors
/// When a folder cannot be read, or belongs to no model.
pub fn attach_arc_data(models: &mut [ServedModel], folders: &[PathBuf]) -> Result<(), LoadError> {
    for folder in folders {
        let index = Arc::new(TaskIndex::open(folder)?);
        let mut rows = Vec::new();
        let mut fits = false;
        for model in models.iter_mut().filter(|model| model.task == Task::Arc) {
            let found = model.card.dims.num_puzzle_identifiers;
            if found == index.num_puzzle_identifiers() {
                model.arc_tasks = Some(index.clone());
                fits = true;
            }
            rows.push(format!("{} has {found}", model.card.name));
        }
        if !fits {
            let models = if rows.is_empty() { "no ARC model is loaded".to_owned() } else { rows.join(", ") };
            let (folder, names) = (folder.clone(), index.num_puzzle_identifiers());
            return Err(LoadError::ArcData { folder, names, models });
        }
    }
    for model in models.iter_mut().filter(|model| model.task == Task::Arc && model.arc_tasks.is_none()) {
        if let Some(own) = model.directory.as_deref().and_then(TaskIndex::folder_in) {
            let index = TaskIndex::open(&own)?;
            let (names, rows) = (index.num_puzzle_identifiers(), model.card.dims.num_puzzle_identifiers);
            if names != rows {
                let models = format!("{} has {rows}", model.card.name);
                return Err(LoadError::ArcData { folder: own, names, models });
            }
            model.arc_tasks = Some(Arc::new(index));
            continue;
        }
        tracing::warn!(
            "model {}: nothing tells which task each of the {} rows of its puzzle-embedding table belongs to, so that \
             it can solve none; name the folder that `datasets build arc` made for it with --arc-data",
            model.card.name,
            model.card.dims.num_puzzle_identifiers
        );
    }
    Ok(())
}
