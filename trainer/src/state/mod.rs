//! What a run needs to continue as if it had never stopped, saved inside a checkpoint folder beside the weights to use:
//! raw weights, moving average, moments, carry, step count and data position. All of it as exact bytes.

mod rank;
mod sharing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::batch::SourcePosition;
use models::checkpoint::{Dtype, HostTensor, WeightFile, WeightsKind};
use models::{Manifest, ParameterKind};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::learner::Learner;
use rank::RankCounters;
pub(crate) use rank::{RankState, weights_crc32};
pub(crate) use sharing::share;

const TENSORS_FILE: &str = "training_state.safetensors";
const COUNTERS_FILE: &str = "training_state.json";

/// The parts of the state that are not tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counters {
    step: u64,
    optimizer_step: u64,
    position: SourcePosition,
    /// Of the second and further sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_positions: Vec<SourcePosition>,
    carry_steps: Vec<u32>,
    carry_halted: Vec<bool>,
    best: Option<Best>,
    /// The evaluation of this step was interrupted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    evaluation_due: bool,
    /// Ranks that trained; those past the first have files of their own.
    #[serde(default = "one_rank", skip_serializing_if = "is_one")]
    world_size: usize,
}

/// What a run knows besides what its learner knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// An evaluation belongs to this step and has not been made.
    pub evaluation_due: bool,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step it was taken at.
    pub step: u64,
    /// Its exact accuracy.
    pub exact_accuracy: f64,
    /// Its token accuracy, which decides while nothing is solved yet.
    pub accuracy: f64,
}

/// Writes the checkpoint folder `directory`: weights to use, manifest, and the state to resume from.
///
/// # Errors
/// When the disk refuses; the folder is then absent or as it was.
///
/// # Panics
/// Never: the counters hold only what JSON can say.
pub fn save(directory: &Path, learner: &Learner, manifest: Manifest, standing: Standing) -> Result<(), TrainError> {
    save_with(directory, learner, manifest, standing, &[])
}

/// As [`save`], with the states of the ranks from 1 on as they sent them.
pub(crate) fn save_with(
    directory: &Path,
    learner: &Learner,
    mut manifest: Manifest,
    standing: Standing,
    others: &[Vec<u8>],
) -> Result<(), TrainError> {
    let names = learner.config.arch.state_names();
    let own_weights = weights_crc32_where_needed(learner, others)?;
    for (bytes, rank) in others.iter().zip(1..) {
        let (_, theirs) = RankState::from_bytes(bytes, names, learner.carries().count(), &rank_file(rank))?;
        if Some(theirs) != own_weights {
            let problem = format!(
                "rank {rank} has other weights than rank 0 after step {}: the ranks' processors or libraries differ; \
                 train on machines of one kind",
                learner.step
            );
            return Err(TrainError::state(directory, problem));
        }
    }
    manifest.step = learner.step;
    manifest.weights = if learner.ema.is_some() { WeightsKind::Ema } else { WeightsKind::Raw };
    let to_use = learner.weights_to_use();
    let mut to_use_on_host = BTreeMap::new();
    for spec in to_use.specs() {
        if let Some(tensor) = to_use.get(&spec.name) {
            to_use_on_host.insert(spec.name.clone(), host_tensor(tensor)?);
        }
    }

    let mut state = BTreeMap::new();
    state.insert("weights".to_owned(), host_tensor(learner.parameters.flat())?);
    state.insert("exp_avg".to_owned(), host_tensor(&learner.optimizer.exp_avg)?);
    state.insert("exp_avg_sq".to_owned(), host_tensor(&learner.optimizer.exp_avg_sq)?);
    if let Some(ema) = &learner.ema {
        state.insert("ema".to_owned(), host_tensor(ema)?);
    }
    let own = RankState::of(learner)?;
    own.add_to(&mut state, names);
    let RankCounters { carry_steps, carry_halted, .. } = own.counters(0);
    let counters = Counters {
        step: learner.step,
        optimizer_step: learner.optimizer.step,
        position: learner.positions[0].clone(),
        more_positions: learner.positions[1..].to_vec(),
        carry_steps,
        carry_halted,
        best: standing.best,
        evaluation_due: standing.evaluation_due,
        world_size: 1 + others.len(),
    };
    let counters = serde_json::to_vec_pretty(&counters).expect("counters hold only JSON types");

    models::checkpoint::write(directory, &manifest, &to_use_on_host, |folder| {
        models::checkpoint::write_tensors(&folder.join(TENSORS_FILE), &state)?;
        for (bytes, rank) in others.iter().zip(1..) {
            files::write(&folder.join(rank_file(rank)), bytes)?;
        }
        Ok(files::write(&folder.join(COUNTERS_FILE), &counters)?)
    })?;
    Ok(())
}

/// Puts a fresh `learner` where the one that wrote `directory` stood; gives what else its run knew.
///
/// # Errors
/// When the folder holds no training state, or one of another model, batch size, optimizer or number of ranks.
pub fn restore(directory: &Path, learner: &mut Learner) -> Result<Standing, TrainError> {
    let restored = Restored::read(directory, learner)?;
    let states = restored.for_ranks(1, &[], false)?;
    restored.apply_first(&states, learner)?;
    Ok(restored.standing)
}

/// A training state that has been read, rows of all ranks included.
#[derive(Debug)]
pub(crate) struct Restored {
    /// What the run knew.
    pub(crate) standing: Standing,
    path: PathBuf,
    states: Vec<RankState>,
    /// Carried rows that this run has on each rank.
    expected_rows: usize,
}

impl Restored {
    /// Reads `directory` and puts what all ranks have in common into `learner`.
    pub(crate) fn read(directory: &Path, learner: &mut Learner) -> Result<Self, TrainError> {
        let counters_path = directory.join(COUNTERS_FILE);
        let text = std::fs::read_to_string(&counters_path).map_err(TrainError::io(&counters_path))?;
        let counters: Counters =
            serde_json::from_str(&text).map_err(|e| TrainError::state(&counters_path, e.to_string()))?;
        let path = directory.join(TENSORS_FILE);
        let file = WeightFile::open(&path)?;
        let weights_file = WeightFile::open(&directory.join(models::checkpoint::WEIGHTS_FILE))?;

        copy_into(&path, &file, "weights", learner.parameters.flat())?;
        copy_into(&path, &file, "exp_avg", &learner.optimizer.exp_avg)?;
        copy_into(&path, &file, "exp_avg_sq", &learner.optimizer.exp_avg_sq)?;
        if let Some(ema) = &learner.ema {
            copy_into(&path, &file, "ema", ema)?;
        }
        for spec in learner.parameters.specs().iter().filter(|spec| spec.kind != ParameterKind::Weight) {
            if let Some(tensor) = learner.parameters.get(&spec.name) {
                copy_into(&path, &weights_file, &spec.name, tensor)?;
            }
        }
        if counters.more_positions.len() + 1 != learner.positions.len() {
            let (found, expected) = (counters.more_positions.len() + 1, learner.positions.len());
            let problem =
                format!("knows {found} data sources, this run has {expected}; resume with the same data and sizes");
            return Err(TrainError::state(&counters_path, problem));
        }
        learner.pass_turns(counters.step);
        let states = read_states(directory, &file, &counters, learner)?;
        learner.step = counters.step;
        learner.optimizer.step = counters.optimizer_step;
        learner.parameters.weights_changed();
        let standing = Standing { best: counters.best, evaluation_due: counters.evaluation_due };
        let expected_rows = learner.carries().map(|carry| carry.halted.len()).sum();
        Ok(Self { standing, path: counters_path, states, expected_rows })
    }

    /// How many ranks wrote the state.
    pub(crate) fn world_size(&self) -> usize {
        self.states.len()
    }

    /// A state for each of `size` ranks. Those of another number of ranks are shared out anew where `reshards` allows it;
    /// `generated` tells which sources draw examples.
    ///
    /// # Errors
    /// When the number of ranks or of rows does not fit.
    pub(crate) fn for_ranks(
        &self,
        size: usize,
        generated: &[bool],
        reshards: bool,
    ) -> Result<Vec<RankState>, TrainError> {
        let found = self.world_size();
        if found != size && !reshards {
            let problem = format!(
                "was written by {found} rank{}, this run has {size}; resume with as many, or share its rows out anew \
                 with resume_world_size=any",
                if found == 1 { "" } else { "s" }
            );
            return Err(TrainError::state(&self.path, problem));
        }
        let (rows, expected) = (self.states.iter().map(RankState::rows).sum::<usize>(), self.expected_rows * size);
        if rows != expected {
            let problem = format!(
                "carries {rows} rows, this run has {expected}; resume with the global_batch_size and carried_batches \
                 that it was trained with"
            );
            return Err(TrainError::state(&self.path, problem));
        }
        if found == size {
            return Ok(self.states.clone());
        }
        RankState::reshard(&self.states, size, generated, &self.path)
    }

    /// Puts the first of `states`, which rank 0 carries, into `learner`.
    pub(crate) fn apply_first(&self, states: &[RankState], learner: &mut Learner) -> Result<(), TrainError> {
        states.first().map_or(Ok(()), |state| state.apply(learner, &self.path))
    }
}

/// The carried rows of every rank that wrote `directory`.
fn read_states(
    directory: &Path,
    file: &WeightFile,
    counters: &Counters,
    learner: &Learner,
) -> Result<Vec<RankState>, TrainError> {
    let (path, counters_path) = (directory.join(TENSORS_FILE), directory.join(COUNTERS_FILE));
    let names = learner.config.arch.state_names();
    let expected: usize = learner.carries().map(|carry| carry.halted.len()).sum();
    if counters.carry_steps.len() != counters.carry_halted.len() {
        let problem = "counts as many carried rows in one list as not in another; the file is damaged";
        return Err(TrainError::state(&counters_path, problem));
    }
    let turns = learner.carries().count();
    let own = RankCounters {
        positions: [vec![counters.position.clone()], counters.more_positions.clone()].concat(),
        carry_steps: counters.carry_steps.clone(),
        carry_halted: counters.carry_halted.clone(),
        weights_crc32: 0,
    };
    let raw = |name: &str| {
        let (dtype, shape, bytes) = file.raw(name)?;
        Ok((dtype, shape.to_vec(), bytes.to_vec()))
    };
    let carried = counters.carry_halted.len() * counters.world_size;
    if carried < expected && counters.world_size == 1 {
        // Batches that the run has and the file lacks would be reported by the name of a tensor.
        let problem = format!(
            "carries {carried} rows, this run has {expected}; resume with the global_batch_size and carried_batches \
             that it was trained with"
        );
        return Err(TrainError::state(&counters_path, problem));
    }
    let mut states = vec![RankState::read(&raw, &own, names, turns, &path)?];
    for rank in 1..counters.world_size {
        let path = directory.join(rank_file(rank));
        let bytes = std::fs::read(&path).map_err(TrainError::io(&path))?;
        states.push(RankState::from_bytes(&bytes, names, turns, &path)?.0);
    }
    Ok(states)
}

/// The trained weights of `directory` as the optimizer has them, without their moving average, in the layout of
/// [`Parameters::flat`](crate::parameters::Parameters::flat), which has `like`'s shape and type.
///
/// # Errors
/// When the folder holds no training state, or one of another model.
pub fn raw_weights(directory: &Path, like: &Tensor) -> Result<Tensor, TrainError> {
    let path = directory.join(TENSORS_FILE);
    if !path.is_file() {
        let problem = "holds no training state, so that raw weights are not known; evaluate with --weights ema";
        return Err(TrainError::state(directory, problem));
    }
    let raw = Tensor::zeros_like(like);
    copy_into(&path, &WeightFile::open(&path)?, "weights", &raw)?;
    Ok(raw)
}

/// File of a rank past the first.
fn rank_file(rank: usize) -> PathBuf {
    format!("training_state.rank{rank}.safetensors").into()
}

/// Checksum of the weights where there are ranks to compare it with.
fn weights_crc32_where_needed(learner: &Learner, others: &[Vec<u8>]) -> Result<Option<u32>, TrainError> {
    (!others.is_empty()).then(|| weights_crc32(learner.parameters.flat())).transpose()
}

fn host_tensor(tensor: &Tensor) -> Result<HostTensor, TrainError> {
    let shape: Vec<usize> = tensor.size().iter().map(|&extent| extent as usize).collect();
    Ok(HostTensor::raw(dtype_of(tensor.kind()), &shape, host_bytes(tensor)?))
}

/// The values of a tensor, row-major.
fn host_bytes(tensor: &Tensor) -> Result<Vec<u8>, TrainError> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

fn copy_into(path: &Path, file: &WeightFile, name: &str, target: &Tensor) -> Result<(), TrainError> {
    let (dtype, shape, bytes) = file.raw(name)?;
    copy_bytes(path, name, (dtype, shape, &bytes), target)
}

/// Copies the values of `name`, which come from `path`, into a tensor of the same type and shape.
fn copy_bytes(
    path: &Path,
    name: &str,
    (dtype, shape, bytes): (Dtype, &[usize], &[u8]),
    target: &Tensor,
) -> Result<(), TrainError> {
    let size: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    if size != target.size() || dtype != dtype_of(target.kind()) {
        return Err(TrainError::state(
            path,
            format!(
                "`{name}` is {dtype:?} {size:?}, this run expects {:?} {:?}; resume with the settings it was trained with",
                dtype_of(target.kind()),
                target.size()
            ),
        ));
    }
    let source = Tensor::f_from_data_size(bytes, &size, target.kind())?;
    tch::no_grad(|| target.shallow_clone().f_copy_(&source))?;
    Ok(())
}

/// The types that models are trained in; a learner holds no others.
fn dtype_of(kind: Kind) -> Dtype {
    match kind {
        Kind::BFloat16 => Dtype::BF16,
        Kind::Half => Dtype::F16,
        Kind::Double => Dtype::F64,
        _ => Dtype::F32,
    }
}

/// Whether `directory` can be resumed from.
pub fn is_resumable(directory: &Path) -> bool {
    directory.join(COUNTERS_FILE).is_file() && directory.join(TENSORS_FILE).is_file()
}

fn one_rank() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(count: &usize) -> bool {
    *count == 1
}
