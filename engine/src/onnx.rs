//! A step graph in ONNX Runtime as the engine's [`StepModel`].
//! Owns the session and the recursion states, which stay in ONNX Runtime's own values from step to step; leaves the
//! graph to `exporter` and the choice of rows to the engine.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use exporter::{GraphMetadata, names};
use models::ArchitectureConfig;
use models::checkpoint::PuzzleEmbeddings;
use ndarray::{Array3, Axis};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Tensor, TensorElementType, TensorRef};

use crate::noise;
use crate::{Noise, StepBatch, StepError, StepModel, StepOutcome};

/// A session on a step graph with the states of its last batch.
#[derive(Debug)]
pub struct OnnxStepModel {
    /// Shared by the models of one checkpoint, which differ in the size of their boards.
    session: Arc<Mutex<Session>>,
    arch: ArchitectureConfig,
    seq_len: usize,
    state_names: Vec<StateNames>,
    /// Shape of one row of a state: `[tokens, hidden_size]`.
    state_row: [usize; 2],
    /// Where the graph has that input.
    puzzle_input: Option<PuzzleInput>,
    state: Option<BatchState>,
}

#[derive(Debug)]
struct StateNames {
    /// As the architecture calls it.
    state: &'static str,
    input: String,
    output: String,
}

#[derive(Debug)]
struct PuzzleInput {
    embeddings: PuzzleEmbeddings,
    /// `[puzzle_emb_len, hidden_size]`.
    row_shape: [usize; 2],
    /// Identifiers of the last batch and their rows: most steps continue the puzzles of the step before.
    identifiers: Vec<usize>,
    rows: Vec<f32>,
}

#[derive(Debug)]
struct BatchState {
    rows: usize,
    /// `[rows, tokens, hidden_size]` each, in the order of the state names.
    values: Vec<DynValue>,
}

impl OnnxStepModel {
    /// Wraps a session on the step graph that `metadata` describes. The rows of the puzzle-embedding table that the
    /// puzzles need are read out of `puzzle_embeddings`, the checkpoint's own; models without a table have none.
    pub fn new(session: Session, metadata: &GraphMetadata, puzzle_embeddings: Option<PuzzleEmbeddings>) -> Self {
        let (arch, hidden_size) = (&metadata.arch, metadata.arch.hidden_size());
        let state_names = arch.state_names().iter();
        let state_names = state_names.map(|&state| StateNames {
            state,
            input: names::state_input(state),
            output: names::state_output(state),
        });
        let row_shape = [arch.puzzle_emb_len(), hidden_size];
        let puzzle_input = puzzle_embeddings.map(|embeddings| PuzzleInput {
            embeddings,
            row_shape,
            identifiers: Vec::new(),
            rows: Vec::new(),
        });
        Self {
            session: Arc::new(Mutex::new(session)),
            arch: arch.clone(),
            seq_len: metadata.dims.seq_len,
            state_names: state_names.collect(),
            state_row: [metadata.tokens(), hidden_size],
            puzzle_input,
            state: None,
        }
    }

    /// The same graph on boards of `seq_len` tokens, for a model without puzzle-embedding table that takes any.
    #[must_use]
    pub fn on_boards_of(&self, seq_len: usize) -> Self {
        let names =
            |names: &StateNames| StateNames { input: names.input.clone(), output: names.output.clone(), ..*names };
        Self {
            session: Arc::clone(&self.session),
            arch: self.arch.clone(),
            seq_len,
            state_names: self.state_names.iter().map(names).collect(),
            state_row: [self.arch.state_tokens(seq_len), self.state_row[1]],
            puzzle_input: None,
            state: None,
        }
    }

    /// The states that the batch continues: those of the last step where every row has stayed in its place, else
    /// copies of the rows that are carried on.
    fn states_for(&mut self, carried: &[Option<usize>]) -> Result<Vec<DynValue>, StepError> {
        let rows = carried.len();
        let previous = self.state.take();
        let in_place = |(row, from): (usize, &Option<usize>)| from.is_none_or(|from| from == row);
        match previous {
            Some(state) if state.rows == rows && carried.iter().enumerate().all(in_place) => Ok(state.values),
            Some(state) => state.values.iter().map(|value| self.gather(value, state.rows, carried)).collect(),
            None if carried.iter().all(Option::is_none) => {
                self.state_names.iter().map(|_| state_of(self.blank_states(rows))).collect()
            }
            None => Err(StepError("a row continues a state, but the last step left none".into())),
        }
    }

    /// Adds each row's noise to the states that it is meant for.
    fn disturb(&self, states: &mut [DynValue], noise: &[Option<Noise>]) -> Result<(), StepError> {
        let count = states.len();
        for (index, (names, state)) in self.state_names.iter().zip(states).enumerate() {
            let mut values = state.try_extract_array_mut::<f32>().map_err(ort_error)?;
            for (mut row, noise) in values.outer_iter_mut().zip(noise) {
                if let Some(noise) = noise.filter(|noise| noise::reaches(noise.target, names.state, count)) {
                    noise::add(&noise, index, row.as_slice_mut().expect("tensors of the runtime are contiguous"));
                }
            }
        }
        Ok(())
    }

    fn gather(&self, value: &DynValue, rows: usize, carried: &[Option<usize>]) -> Result<DynValue, StepError> {
        let values = value.try_extract_array::<f32>().map_err(ort_error)?;
        let mut gathered = self.blank_states(carried.len());
        for (mut target, from) in gathered.outer_iter_mut().zip(carried) {
            let Some(from) = *from else { continue };
            if from >= rows {
                return Err(StepError(format!("a row continues row {from} of a batch of {rows}")));
            }
            target.assign(&values.index_axis(Axis(0), from));
        }
        state_of(gathered)
    }

    /// `[rows, tokens, hidden_size]` zeros.
    fn blank_states(&self, rows: usize) -> Array3<f32> {
        Array3::zeros([rows, self.state_row[0], self.state_row[1]])
    }
}

impl StepModel for OnnxStepModel {
    fn seq_len(&self) -> usize {
        self.seq_len
    }

    fn num_puzzle_identifiers(&self) -> usize {
        self.puzzle_input.as_ref().map_or(1, |input| input.embeddings.num_puzzle_identifiers())
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        let rows = batch.carried.len();
        let mut states = self.states_for(batch.carried)?;
        if batch.noise.iter().any(Option::is_some) {
            self.disturb(&mut states, batch.noise)?;
        }
        let reset: Vec<bool> = batch.carried.iter().map(Option::is_none).collect();

        let tokens = TensorRef::from_array_view(([rows, self.seq_len], batch.tokens)).map_err(ort_error)?;
        let reset = TensorRef::from_array_view(([rows], reset.as_slice())).map_err(ort_error)?;
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            vec![(names::INPUTS.into(), tokens.into()), (names::RESET.into(), reset.into())];
        if let Some(puzzle_input) = &mut self.puzzle_input {
            let value = puzzle_input.of(batch.puzzle_identifiers)?;
            inputs.push((names::PUZZLE_EMBEDDINGS.into(), value.into()));
        }
        for (name, state) in self.state_names.iter().zip(&states) {
            inputs.push((name.input.as_str().into(), state.into()));
        }
        // A session that panicked in the middle of a run has left nothing behind that a run begins with.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outputs = session.run(inputs).map_err(ort_error)?;

        let outcome = StepOutcome {
            answers: copy_of(&outputs, names::PREDS, TensorElementType::Int64, DynValue::try_extract_tensor::<i64>)?,
            q_halt: copy_of(
                &outputs,
                names::Q_HALT_LOGITS,
                TensorElementType::Float32,
                DynValue::try_extract_tensor::<f32>,
            )?,
        };
        let take = |name: &StateNames| outputs.remove(&name.output).ok_or_else(|| missing(&name.output));
        let values = self.state_names.iter().map(take).collect::<Result<_, _>>()?;
        drop(outputs);
        self.state = Some(BatchState { rows, values });
        Ok(outcome)
    }
}

impl PuzzleInput {
    /// `[identifiers.len(), puzzle_emb_len, hidden_size]`.
    fn of(&mut self, identifiers: &[usize]) -> Result<TensorRef<'_, f32>, StepError> {
        if self.identifiers != identifiers {
            self.rows = self.embeddings.rows(identifiers).map_err(|error| StepError(error.to_string()))?;
            self.identifiers = identifiers.to_vec();
        }
        let shape = [identifiers.len(), self.row_shape[0], self.row_shape[1]];
        TensorRef::from_array_view((shape, self.rows.as_slice())).map_err(ort_error)
    }
}

fn state_of(values: Array3<f32>) -> Result<DynValue, StepError> {
    Ok(Tensor::from_array(values).map_err(ort_error)?.into_dyn())
}

type Extracted<'v, T> = ort::Result<(&'v ort::value::Shape, &'v [T])>;

fn copy_of<T: Copy>(
    outputs: &SessionOutputs<'_>,
    name: &str,
    expected: TensorElementType,
    extract: impl for<'v> Fn(&'v DynValue) -> Extracted<'v, T>,
) -> Result<Vec<T>, StepError> {
    let value = outputs.get(name).ok_or_else(|| missing(name))?;
    let (_, values) =
        extract(value).map_err(|error| StepError(format!("output `{name}` is not {expected}: {error}")))?;
    Ok(values.to_vec())
}

fn missing(name: &str) -> StepError {
    StepError(format!("the graph gave no output `{name}`; export the checkpoint again"))
}

#[expect(clippy::needless_pass_by_value, reason = "an adapter for map_err")]
fn ort_error(error: ort::Error) -> StepError {
    StepError(error.to_string())
}
