//! Exported graphs with logits, run as their users run them: tokens in, the outputs of every supervision step.
//! Owns the loop over the steps and the carried states; leaves what the numbers are compared with to its callers.

use models::{ArchitectureConfig, Checkpoint};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::runtime::{self, SessionOptions};
use crate::{ExportError, ExportOptions, Flavor, GraphKind, Precision, RuntimeError, export, names};

/// What one supervision step gives for a batch, row-major.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepOutputs {
    /// `[batch, seq_len]` predicted tokens.
    pub preds: Vec<i64>,
    /// `[batch]` halting logits.
    pub q_halt: Vec<f32>,
    /// `[batch]` logits of going on; empty where the architecture does not use them.
    pub q_continue: Vec<f32>,
    /// `[batch, seq_len, vocab_size]` logits.
    pub logits: Vec<f32>,
    /// `[batch, tokens, hidden_size]` recursion states; empty where the graph keeps them to itself.
    pub states: Vec<Vec<f32>>,
}

/// An exported graph in a session.
#[derive(Debug)]
pub struct GraphRunner {
    session: Session,
    kind: GraphKind,
    arch: ArchitectureConfig,
    seq_len: usize,
}

/// Changes the states before a step.
pub type Disturb<'d> = &'d mut dyn FnMut(&mut [Vec<f32>]);

impl GraphRunner {
    /// Exports the checkpoint and loads what comes out.
    ///
    /// # Errors
    /// When the checkpoint cannot be exported or the graph not be loaded.
    pub fn open(
        checkpoint: &Checkpoint,
        kind: GraphKind,
        flavor: Flavor,
        precision: Precision,
        options: &SessionOptions,
    ) -> Result<Self, ExportError> {
        let exported = export(checkpoint, &ExportOptions { graph: kind, flavor, precision, logits: true })?;
        let session = runtime::open_bytes(&exported.bytes, options)?;
        let manifest = &checkpoint.manifest;
        Ok(Self { session, kind, arch: manifest.arch.clone(), seq_len: manifest.dims.seq_len })
    }

    /// The first `steps` supervision steps on `[batch, seq_len]` tokens, from the model's initial states;
    /// `puzzle_embeddings` are the puzzles' rows of the table, for models that have one. An unrolled graph gives at most
    /// the steps that it was built for.
    ///
    /// # Errors
    /// When the graph does not run or lacks an output.
    pub fn run(
        &mut self,
        tokens: &[i64],
        puzzle_embeddings: Option<&[f32]>,
        steps: usize,
    ) -> Result<Vec<StepOutputs>, RuntimeError> {
        match self.kind {
            // Garbage that the reset of the first step must hide.
            GraphKind::Step => self.step_by_step(tokens, puzzle_embeddings, steps, None, &mut |_| ()),
            GraphKind::Unrolled { .. } => self.unrolled(tokens, puzzle_embeddings, steps),
        }
    }

    /// As [`run`](Self::run) of a step graph, from the states `first` and with `disturb` before every step.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_disturbed(
        &mut self,
        tokens: &[i64],
        puzzle_embeddings: Option<&[f32]>,
        steps: usize,
        first: Vec<Vec<f32>>,
        disturb: Disturb<'_>,
    ) -> Result<Vec<StepOutputs>, RuntimeError> {
        self.step_by_step(tokens, puzzle_embeddings, steps, Some(first), disturb)
    }

    fn step_by_step(
        &mut self,
        tokens: &[i64],
        puzzle_embeddings: Option<&[f32]>,
        steps: usize,
        first: Option<Vec<Vec<f32>>>,
        disturb: Disturb<'_>,
    ) -> Result<Vec<StepOutputs>, RuntimeError> {
        let (batch, state_names) = (tokens.len() / self.seq_len, self.arch.state_names());
        let shape = [batch, self.arch.state_tokens(self.seq_len), self.arch.hidden_size()];
        let resets = first.is_none();
        let garbage = || vec![vec![f32::NAN; shape.iter().product()]; state_names.len()];
        let mut states = first.unwrap_or_else(garbage);
        let mut all = Vec::with_capacity(steps);
        for step in 0..steps {
            let mut inputs = self.puzzles(tokens, puzzle_embeddings)?;
            inputs.push((names::RESET.to_owned(), tensor([batch], vec![step == 0 && resets; batch])?));
            disturb(&mut states);
            for (name, values) in state_names.iter().zip(states) {
                inputs.push((names::state_input(name), tensor(shape, values)?));
            }
            let outputs = self.session.run(inputs).map_err(RuntimeError::session("run the step graph"))?;
            let next = state_names.iter().map(|name| floats(&outputs, &names::state_output(name)));
            states = next.collect::<Result<_, _>>()?;
            all.push(StepOutputs { states: states.clone(), ..outputs_of(&self.arch, &outputs)? });
        }
        Ok(all)
    }

    fn unrolled(
        &mut self,
        tokens: &[i64],
        puzzle_embeddings: Option<&[f32]>,
        steps: usize,
    ) -> Result<Vec<StepOutputs>, RuntimeError> {
        let inputs = self.puzzles(tokens, puzzle_embeddings)?;
        let outputs = self.session.run(inputs).map_err(RuntimeError::session("run the unrolled graph"))?;
        let all = outputs_of(&self.arch, &outputs)?;
        let batch = tokens.len() / self.seq_len;
        let all_steps = all.q_halt.len() / batch.max(1);
        let step_of = |step| StepOutputs {
            preds: of_step(&all.preds, batch, all_steps, step),
            q_halt: of_step(&all.q_halt, batch, all_steps, step),
            q_continue: of_step(&all.q_continue, batch, all_steps, step),
            logits: of_step(&all.logits, batch, all_steps, step),
            states: Vec::new(),
        };
        Ok((0..steps.min(all_steps)).map(step_of).collect())
    }

    fn puzzles(&self, tokens: &[i64], puzzle_embeddings: Option<&[f32]>) -> Result<Inputs, RuntimeError> {
        let batch = tokens.len() / self.seq_len;
        let mut inputs = vec![(names::INPUTS.to_owned(), tensor([batch, self.seq_len], tokens.to_vec())?)];
        if let Some(rows) = puzzle_embeddings {
            let shape = [batch, self.arch.puzzle_emb_len(), self.arch.hidden_size()];
            inputs.push((names::PUZZLE_EMBEDDINGS.to_owned(), tensor(shape, rows.to_vec())?));
        }
        Ok(inputs)
    }
}

type Inputs = Vec<(String, SessionInputValue<'static>)>;

/// What a run gives besides states, of all its steps.
fn outputs_of(arch: &ArchitectureConfig, outputs: &SessionOutputs<'_>) -> Result<StepOutputs, RuntimeError> {
    let value = outputs.get(names::PREDS).ok_or_else(|| absent(names::PREDS))?;
    let (_, preds) = value.try_extract_tensor::<i64>().map_err(RuntimeError::session("read the predictions"))?;
    let q_continue = if arch.uses_q_continue() { floats(outputs, names::Q_CONTINUE_LOGITS)? } else { Vec::new() };
    Ok(StepOutputs {
        preds: preds.to_vec(),
        q_halt: floats(outputs, names::Q_HALT_LOGITS)?,
        q_continue,
        logits: floats(outputs, names::LOGITS)?,
        states: Vec::new(),
    })
}

/// Step `step` of `[batch, steps, …]` values.
fn of_step<T: Copy>(values: &[T], batch: usize, steps: usize, step: usize) -> Vec<T> {
    let width = values.len() / (batch * steps).max(1);
    (0..batch).flat_map(|row| values[(row * steps + step) * width..][..width].iter().copied()).collect()
}

fn floats(outputs: &SessionOutputs<'_>, name: &str) -> Result<Vec<f32>, RuntimeError> {
    let value = outputs.get(name).ok_or_else(|| absent(name))?;
    let (_, values) = value.try_extract_tensor::<f32>().map_err(RuntimeError::session(format!("read `{name}`")))?;
    Ok(values.to_vec())
}

fn absent(name: &str) -> RuntimeError {
    RuntimeError::session(format!("find output `{name}` of the graph"))(ort::Error::new("there is none"))
}

fn tensor<T, const N: usize>(shape: [usize; N], values: Vec<T>) -> Result<SessionInputValue<'static>, RuntimeError>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    Ok(Tensor::from_array((shape, values)).map_err(RuntimeError::session("make an input"))?.into())
}
