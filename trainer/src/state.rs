//! What a run needs to continue as if it had never stopped, saved inside a checkpoint folder beside the weights to use:
//! raw weights, moving average, moments, carry, step count and data position. All of it as exact bytes.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::batch::{Batch, SourcePosition};
use models::checkpoint::{Dtype, HostTensor, WeightFile, WeightsKind};
use models::{Manifest, ParameterKind};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::learner::Learner;

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
}

/// What a run knows besides what its learner knows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
pub fn save(directory: &Path, learner: &Learner, mut manifest: Manifest, standing: Standing) -> Result<(), TrainError> {
    manifest.step = learner.step;
    manifest.weights = if learner.ema.is_some() { WeightsKind::Ema } else { WeightsKind::Raw };
    let to_use = learner.weights_to_use();
    let mut weights = BTreeMap::new();
    for spec in to_use.specs() {
        if let Some(tensor) = to_use.get(&spec.name) {
            weights.insert(spec.name.clone(), host_tensor(tensor)?);
        }
    }

    let mut state = BTreeMap::new();
    state.insert("weights".to_owned(), host_tensor(learner.parameters.flat())?);
    state.insert("exp_avg".to_owned(), host_tensor(&learner.optimizer.exp_avg)?);
    state.insert("exp_avg_sq".to_owned(), host_tensor(&learner.optimizer.exp_avg_sq)?);
    if let Some(ema) = &learner.ema {
        state.insert("ema".to_owned(), host_tensor(ema)?);
    }
    for (turn, carry) in learner.carries().enumerate() {
        let prefix = prefix(turn);
        for (name, tensor) in learner.config.arch.state_names().iter().zip(&carry.state) {
            state.insert(format!("{prefix}.{name}"), host_tensor(tensor)?);
        }
        let current = &carry.current;
        let shape = [current.rows(), current.seq_len];
        state.insert(format!("{prefix}.inputs"), HostTensor::int32(&shape, &current.inputs));
        state.insert(format!("{prefix}.labels"), HostTensor::int32(&shape, &current.labels));
        let identifiers = HostTensor::int32(&[current.rows()], &current.puzzle_identifiers);
        state.insert(format!("{prefix}.puzzle_identifiers"), identifiers);
    }
    let counters = Counters {
        step: learner.step,
        optimizer_step: learner.optimizer.step,
        position: learner.positions[0].clone(),
        more_positions: learner.positions[1..].to_vec(),
        carry_steps: learner.carries().flat_map(|carry| carry.steps.iter().copied()).collect(),
        carry_halted: learner.carries().flat_map(|carry| carry.halted.iter().copied()).collect(),
        best: standing.best,
        evaluation_due: standing.evaluation_due,
    };
    let counters = serde_json::to_vec_pretty(&counters).expect("counters hold only JSON types");

    models::checkpoint::write(directory, &manifest, &weights, |folder| {
        models::checkpoint::write_tensors(&folder.join(TENSORS_FILE), &state)?;
        models::checkpoint::write_file_atomically(&folder.join(COUNTERS_FILE), &counters)
    })?;
    Ok(())
}

/// Puts a fresh `learner` where the one that wrote `directory` stood; gives what else its run knew.
///
/// # Errors
/// When the folder holds no training state, or one of another model, batch size or optimizer.
pub fn restore(directory: &Path, learner: &mut Learner) -> Result<Standing, TrainError> {
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
    restore_carries(&path, &file, learner, (&counters_path, &counters))?;
    learner.step = counters.step;
    learner.optimizer.step = counters.optimizer_step;
    learner.positions = [vec![counters.position], counters.more_positions].concat();
    learner.parameters.weights_changed();
    Ok(Standing { best: counters.best, evaluation_due: counters.evaluation_due })
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

/// Of the tensors' names of the batch that comes up after `turn` others.
fn prefix(turn: usize) -> String {
    if turn == 0 { "carry".to_owned() } else { format!("carry.{turn}") }
}

fn restore_carries(
    path: &Path,
    file: &WeightFile,
    learner: &mut Learner,
    (counters_path, counters): (&Path, &Counters),
) -> Result<(), TrainError> {
    let expected: usize = learner.carries().map(|carry| carry.halted.len()).sum();
    for found in [counters.carry_halted.len(), counters.carry_steps.len()] {
        if found != expected {
            let problem = format!(
                "carries {found} rows, this run has {expected}; resume with the global_batch_size and carried_batches \
                 that it was trained with"
            );
            return Err(TrainError::state(counters_path, problem));
        }
    }
    let names = learner.config.arch.state_names();
    let mut first = 0;
    for (turn, carry) in learner.carries_mut().enumerate() {
        let rows = carry.halted.len();
        let (prefix, range) = (prefix(turn), first..first + rows);
        first += rows;
        for (name, tensor) in names.iter().zip(&carry.state) {
            copy_into(path, file, &format!("{prefix}.{name}"), tensor)?;
        }
        let cells = rows * carry.current.seq_len;
        carry.current = Batch {
            seq_len: carry.current.seq_len,
            inputs: integers(path, file, &format!("{prefix}.inputs"), cells)?,
            labels: integers(path, file, &format!("{prefix}.labels"), cells)?,
            puzzle_identifiers: integers(path, file, &format!("{prefix}.puzzle_identifiers"), rows)?,
            real_rows: rows,
        };
        carry.steps.copy_from_slice(&counters.carry_steps[range.clone()]);
        carry.halted.copy_from_slice(&counters.carry_halted[range]);
    }
    Ok(())
}

fn host_tensor(tensor: &Tensor) -> Result<HostTensor, TrainError> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let shape: Vec<usize> = tensor.size().iter().map(|&extent| extent as usize).collect();
    let dtype = dtype_of(tensor.kind());
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(HostTensor::raw(dtype, &shape, bytes))
}

fn copy_into(path: &Path, file: &WeightFile, name: &str, target: &Tensor) -> Result<(), TrainError> {
    let (dtype, shape, bytes) = file.raw(name)?;
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
    let source = Tensor::f_from_data_size(&bytes, &size, target.kind())?;
    tch::no_grad(|| target.shallow_clone().f_copy_(&source))?;
    Ok(())
}

fn integers(path: &Path, file: &WeightFile, name: &str, count: usize) -> Result<Vec<i32>, TrainError> {
    let (dtype, shape, bytes) = file.raw(name)?;
    if dtype != Dtype::I32 || shape.iter().product::<usize>() != count {
        return Err(TrainError::state(path, format!("`{name}` is {dtype:?} {shape:?}, expected {count} int32 values")));
    }
    Ok(bytes.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect())
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
