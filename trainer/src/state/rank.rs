//! What one rank alone knows of a run: the rows that it carries and where its data stands. Owns their form on disk
//! (`training_state.rankN.safetensors`; rank 0's lie among the run's own state) and on the wire, and sharing them out anew.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use datasets::batch::{Batch, SourcePosition};
use models::checkpoint::{Dtype, HostTensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{dtype_of, host_bytes};
use crate::TrainError;
use crate::learner::Learner;

/// Name under which the parts that are not tensors lie in the metadata of a rank's file.
const COUNTERS: &str = "counters";

/// The state of one rank.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RankState {
    /// Carried batches in the order of their turns, the next one first.
    turns: Vec<CarriedRows>,
    /// Where each data source stands.
    positions: Vec<SourcePosition>,
}

/// A carried batch on the host.
#[derive(Debug, Clone, PartialEq, Default)]
struct CarriedRows {
    states: Vec<HostState>,
    inputs: Vec<i32>,
    labels: Vec<i32>,
    puzzle_identifiers: Vec<i32>,
    steps: Vec<u32>,
    halted: Vec<bool>,
}

/// A recursion state, `[rows, tokens, hidden_size]`.
#[derive(Debug, Clone, PartialEq)]
struct HostState {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The parts of a rank's state that are not tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RankCounters {
    pub(super) positions: Vec<SourcePosition>,
    pub(super) carry_steps: Vec<u32>,
    pub(super) carry_halted: Vec<bool>,
    /// Of the weights, which are the same on every rank.
    #[serde(default)]
    pub(super) weights_crc32: u32,
}

/// Type, shape and bytes of a tensor by its name.
pub(super) type RawTensors<'a> = dyn Fn(&str) -> Result<(Dtype, Vec<usize>, Vec<u8>), TrainError> + 'a;

impl RankState {
    /// The state of this rank.
    ///
    /// # Errors
    /// When libtorch refuses to copy.
    pub(crate) fn of(learner: &Learner) -> Result<Self, TrainError> {
        let turns = learner.carries().map(|carry| {
            let states = carry.state.iter().map(|tensor| {
                let shape = tensor.size().iter().map(|&extent| extent as usize).collect();
                Ok(HostState { dtype: dtype_of(tensor.kind()), shape, bytes: host_bytes(tensor)? })
            });
            Ok(CarriedRows {
                states: states.collect::<Result<_, TrainError>>()?,
                inputs: carry.current.inputs.clone(),
                labels: carry.current.labels.clone(),
                puzzle_identifiers: carry.current.puzzle_identifiers.clone(),
                steps: carry.steps.clone(),
                halted: carry.halted.clone(),
            })
        });
        Ok(Self { turns: turns.collect::<Result<_, TrainError>>()?, positions: learner.positions.clone() })
    }

    /// Carried rows of all turns.
    pub(super) fn rows(&self) -> usize {
        self.turns.iter().map(|turn| turn.halted.len()).sum()
    }

    /// Adds the tensors to those of a file; recursion states are called `names`.
    pub(super) fn add_to(&self, state: &mut BTreeMap<String, HostTensor>, names: &[&str]) {
        for (turn, rows) in self.turns.iter().enumerate() {
            let prefix = prefix(turn);
            for (name, tensor) in names.iter().zip(&rows.states) {
                let tensor = HostTensor::raw(tensor.dtype, &tensor.shape, tensor.bytes.clone());
                state.insert(format!("{prefix}.{name}"), tensor);
            }
            let count = rows.halted.len();
            let shape = [count, rows.inputs.len() / count.max(1)];
            state.insert(format!("{prefix}.inputs"), HostTensor::int32(&shape, &rows.inputs));
            state.insert(format!("{prefix}.labels"), HostTensor::int32(&shape, &rows.labels));
            let identifiers = HostTensor::int32(&[count], &rows.puzzle_identifiers);
            state.insert(format!("{prefix}.puzzle_identifiers"), identifiers);
        }
    }

    /// The parts that are not tensors.
    pub(super) fn counters(&self, weights_crc32: u32) -> RankCounters {
        RankCounters {
            positions: self.positions.clone(),
            carry_steps: self.turns.iter().flat_map(|turn| turn.steps.iter().copied()).collect(),
            carry_halted: self.turns.iter().flat_map(|turn| turn.halted.iter().copied()).collect(),
            weights_crc32,
        }
    }

    /// A state of `turns` carried batches out of a file.
    pub(super) fn read(
        raw: &RawTensors,
        counters: &RankCounters,
        names: &[&str],
        turns: usize,
        path: &Path,
    ) -> Result<Self, TrainError> {
        let mut read = Vec::new();
        let mut first = 0;
        for turn in 0..turns {
            let prefix = prefix(turn);
            let puzzle_identifiers = integers(raw, path, &format!("{prefix}.puzzle_identifiers"))?;
            let range = first..first + puzzle_identifiers.len();
            first = range.end;
            let (Some(steps), Some(halted)) =
                (counters.carry_steps.get(range.clone()), counters.carry_halted.get(range))
            else {
                return Err(TrainError::state(path, "has more carried rows than it counts; the file is damaged"));
            };
            let states = names.iter().map(|name| {
                let (dtype, shape, bytes) = raw(&format!("{prefix}.{name}"))?;
                Ok(HostState { dtype, shape, bytes })
            });
            read.push(CarriedRows {
                states: states.collect::<Result<_, TrainError>>()?,
                inputs: integers(raw, path, &format!("{prefix}.inputs"))?,
                labels: integers(raw, path, &format!("{prefix}.labels"))?,
                puzzle_identifiers,
                steps: steps.to_vec(),
                halted: halted.to_vec(),
            });
        }
        Ok(Self { turns: read, positions: counters.positions.clone() })
    }

    /// Puts the state into a fresh `learner` whose turn has come round as in the learner that it is of.
    pub(crate) fn apply(&self, learner: &mut Learner, path: &Path) -> Result<(), TrainError> {
        let names = learner.config.arch.state_names();
        for ((turn, rows), carry) in self.turns.iter().enumerate().zip(learner.carries_mut()) {
            let prefix = prefix(turn);
            for ((name, state), tensor) in names.iter().zip(&rows.states).zip(&carry.state) {
                super::copy_bytes(
                    path,
                    &format!("{prefix}.{name}"),
                    (state.dtype, &state.shape, &state.bytes),
                    tensor,
                )?;
            }
            let (count, seq_len) = (carry.halted.len(), carry.current.seq_len);
            for (name, found, expected) in [
                ("inputs", rows.inputs.len(), count * seq_len),
                ("labels", rows.labels.len(), count * seq_len),
                ("puzzle_identifiers", rows.puzzle_identifiers.len(), count),
            ] {
                if found != expected {
                    let problem = format!("`{prefix}.{name}` has {found} values, this run expects {expected}");
                    return Err(TrainError::state(path, problem));
                }
            }
            carry.current = Batch {
                seq_len,
                inputs: rows.inputs.clone(),
                labels: rows.labels.clone(),
                puzzle_identifiers: rows.puzzle_identifiers.clone(),
                real_rows: count,
            };
            carry.steps.copy_from_slice(&rows.steps);
            carry.halted.copy_from_slice(&rows.halted);
        }
        learner.positions.clone_from(&self.positions);
        Ok(())
    }

    /// The content of a rank's file, which also is how the state travels.
    ///
    /// # Errors
    /// When the state cannot be written as safetensors, which no state of a learner is.
    pub(crate) fn to_bytes(&self, names: &[&str], weights_crc32: u32) -> Result<Vec<u8>, TrainError> {
        let mut tensors = BTreeMap::new();
        self.add_to(&mut tensors, names);
        let counters = serde_json::to_string(&self.counters(weights_crc32)).unwrap_or_default();
        let metadata = HashMap::from([(COUNTERS.to_owned(), counters)]);
        safetensors::serialize(&tensors, Some(metadata))
            .map_err(|error| TrainError::state("the state of a rank", format!("cannot be written: {error}")))
    }

    /// What [`to_bytes`](Self::to_bytes) wrote for a run of `turns` carried batches, and the weights' checksum.
    ///
    /// # Errors
    /// When `path`, where the bytes come from, holds something else.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        names: &[&str],
        turns: usize,
        path: &Path,
    ) -> Result<(Self, u32), TrainError> {
        let damaged = |reason: String| TrainError::state(path, format!("is not the state of a rank ({reason})"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(COUNTERS)).cloned().unwrap_or_default();
        let counters: RankCounters = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let raw = |name: &str| {
            let view = tensors.tensor(name).map_err(|error| damaged(error.to_string()))?;
            Ok((view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        };
        Ok((Self::read(&raw, &counters, names, turns, path)?, counters.weights_crc32))
    }

    /// The same rows shared out to `size` ranks, in order. A folder is read in one order by all ranks together, so that its
    /// position stays; of a source that draws examples (`generated`) ranks go on behind the last one that any has drawn.
    ///
    /// # Errors
    /// When rows cannot be shared evenly.
    pub(crate) fn reshard(
        states: &[Self],
        size: usize,
        generated: &[bool],
        path: &Path,
    ) -> Result<Vec<Self>, TrainError> {
        let Some(first) = states.first() else { return Ok(Vec::new()) };
        let mut shared = vec![Self { turns: Vec::new(), positions: Vec::new() }; size];
        for turn in 0..first.turns.len() {
            let whole = CarriedRows::joined(states.iter().filter_map(|state| state.turns.get(turn)));
            let rows = whole.halted.len();
            if !rows.is_multiple_of(size) {
                let problem = format!("carries {rows} rows, which {size} ranks cannot share evenly");
                return Err(TrainError::state(path, problem));
            }
            for (rank, state) in shared.iter_mut().enumerate() {
                state.turns.push(whole.part(rank * (rows / size)..(rank + 1) * (rows / size)));
            }
        }
        for (source, position) in first.positions.iter().enumerate() {
            let mut position = position.clone();
            if generated.get(source).copied().unwrap_or_default() {
                let most = states.iter().filter_map(|state| Some(state.positions.get(source)?.consumed)).max();
                position.consumed = (most.unwrap_or(0) * states.len() as u64).div_ceil(size as u64);
            }
            for state in &mut shared {
                state.positions.push(position.clone());
            }
        }
        Ok(shared)
    }
}

impl CarriedRows {
    fn joined<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut whole = Self::default();
        for part in parts {
            for (index, state) in part.states.iter().enumerate() {
                match whole.states.get_mut(index) {
                    None => whole.states.push(state.clone()),
                    Some(joined) => {
                        joined.shape[0] += state.shape[0];
                        joined.bytes.extend(&state.bytes);
                    }
                }
            }
            whole.inputs.extend(&part.inputs);
            whole.labels.extend(&part.labels);
            whole.puzzle_identifiers.extend(&part.puzzle_identifiers);
            whole.steps.extend(&part.steps);
            whole.halted.extend(&part.halted);
        }
        whole
    }

    fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let seq_len = self.inputs.len() / self.halted.len().max(1);
        let cells = rows.start * seq_len..rows.end * seq_len;
        let state = |state: &HostState| {
            let row = state.bytes.len() / state.shape[0].max(1);
            let shape = [&[rows.len()], &state.shape[1..]].concat();
            HostState { dtype: state.dtype, shape, bytes: state.bytes[rows.start * row..rows.end * row].to_vec() }
        };
        Self {
            states: self.states.iter().map(state).collect(),
            inputs: self.inputs[cells.clone()].to_vec(),
            labels: self.labels[cells].to_vec(),
            puzzle_identifiers: self.puzzle_identifiers[rows.clone()].to_vec(),
            steps: self.steps[rows.clone()].to_vec(),
            halted: self.halted[rows.clone()].to_vec(),
        }
    }
}

/// Checksum of the weights: ranks whose weights differ have not trained one model.
pub(crate) fn weights_crc32(flat: &Tensor) -> Result<u32, TrainError> {
    Ok(crc32fast::hash(&host_bytes(flat)?))
}

/// Of the tensors' names of the batch that comes up after `turn` others.
fn prefix(turn: usize) -> String {
    if turn == 0 { "carry".to_owned() } else { format!("carry.{turn}") }
}

fn integers(raw: &RawTensors, path: &Path, name: &str) -> Result<Vec<i32>, TrainError> {
    let (dtype, shape, bytes) = raw(name)?;
    if dtype != Dtype::I32 {
        return Err(TrainError::state(path, format!("`{name}` is {dtype:?} {shape:?}, expected int32 values")));
    }
    Ok(bytes.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect())
}
