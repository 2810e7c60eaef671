//! The ONNX columns of a parity report: graphs with logits, run as a user would run them.

use std::path::Path;

use models::checkpoint::PuzzleEmbeddings;
use models::{Checkpoint, Model};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::promise::DISTURBANCE;
use super::{Backend, Job, PORTABLE_STEP, STATE_ROWS, StepValues, VerifyError, VerifyInputs};
use crate::parameter::CheckpointSource;
use crate::runtime::{self, SessionOptions};
use crate::{ExportOptions, GraphKind, RuntimeError, export, names};

/// Rows that run together.
const BATCH: usize = 8;

/// Every step's values from an exported graph in ONNX Runtime on the processor.
pub(super) fn run(job: &Job<'_>, inputs: &VerifyInputs, backend: Backend) -> Result<Vec<StepValues>, VerifyError> {
    run_graph(job, inputs, backend, None)
}

/// As [`run`] on the portable step graph, with every element of the state changed by [`DISTURBANCE`] before every step,
/// up or down by chance, another for each `run`.
pub(super) fn run_disturbed(job: &Job<'_>, inputs: &VerifyInputs, run: u64) -> Result<Vec<StepValues>, VerifyError> {
    let mut rng = ChaCha8Rng::seed_from_u64(job.options.seed);
    rng.set_stream(run);
    run_graph(job, inputs, PORTABLE_STEP, Some(rng))
}

fn run_graph(
    job: &Job<'_>,
    inputs: &VerifyInputs,
    backend: Backend,
    disturbance: Option<ChaCha8Rng>,
) -> Result<Vec<StepValues>, VerifyError> {
    let Backend::Onnx { unrolled, flavor, precision } = backend else { return Ok(Vec::new()) };
    let (checkpoint, steps) = (job.checkpoint, job.options.steps);
    let graph = if unrolled { GraphKind::Unrolled { halt_steps: steps } } else { GraphKind::Step };
    let exported = export(checkpoint, &ExportOptions { graph, flavor, precision, logits: true })?;
    let options = SessionOptions { threads: job.options.threads, spinning: false, ..SessionOptions::default() };
    let session = runtime::open_bytes(&exported.bytes, &options)?;
    let mut runner = Runner { session, checkpoint, embeddings: job.embeddings.as_ref(), steps, disturbance };
    let mut all: Vec<StepValues> = vec![StepValues::default(); steps];
    let seq_len = checkpoint.manifest.dims.seq_len;
    let batches = inputs.tokens.chunks(BATCH * seq_len).zip(inputs.puzzle_identifiers.chunks(BATCH));
    for (tokens, identifiers) in batches {
        let found =
            if unrolled { runner.unrolled(tokens, identifiers)? } else { runner.stepwise(tokens, identifiers)? };
        for (target, values) in all.iter_mut().zip(found) {
            target.logits.extend(values.logits);
            target.halt_margin.extend(values.halt_margin);
            target.preds.extend(values.preds);
            if target.state.is_empty() {
                target.state = values.state;
            }
        }
    }
    Ok(all)
}

struct Runner<'a> {
    session: Session,
    checkpoint: &'a Checkpoint,
    embeddings: Option<&'a PuzzleEmbeddings>,
    steps: usize,
    disturbance: Option<ChaCha8Rng>,
}

type Inputs = Vec<(String, SessionInputValue<'static>)>;

impl Runner<'_> {
    fn puzzle_inputs(&self, tokens: &[i64], identifiers: &[usize]) -> Result<Inputs, VerifyError> {
        let (arch, rows) = (&self.checkpoint.manifest.arch, identifiers.len());
        let mut inputs = vec![(names::INPUTS.to_owned(), tensor([rows, tokens.len() / rows], tokens.to_vec())?)];
        if let Some(embeddings) = self.embeddings {
            let shape = [rows, arch.puzzle_emb_len(), arch.hidden_size()];
            inputs.push((names::PUZZLE_EMBEDDINGS.to_owned(), tensor(shape, embeddings.rows(identifiers)?)?));
        }
        Ok(inputs)
    }

    fn stepwise(&mut self, tokens: &[i64], identifiers: &[usize]) -> Result<Vec<StepValues>, VerifyError> {
        let manifest = &self.checkpoint.manifest;
        let (rows, state_names) = (identifiers.len(), manifest.arch.state_names());
        let shape = [rows, manifest.arch.state_tokens(manifest.dims.seq_len), manifest.arch.hidden_size()];
        let mut state = self.first_states(shape)?;
        let mut all = Vec::with_capacity(self.steps);
        for step in 0..self.steps {
            let mut inputs = self.puzzle_inputs(tokens, identifiers)?;
            inputs
                .push((names::RESET.to_owned(), tensor([rows], vec![step == 0 && self.disturbance.is_none(); rows])?));
            disturb(&mut state, self.disturbance.as_mut());
            for (name, values) in state_names.iter().zip(state) {
                inputs.push((names::state_input(name), tensor(shape, values)?));
            }
            let outputs = self.session.run(inputs).map_err(RuntimeError::session("run the step graph"))?;
            let next = state_names.iter().map(|name| floats(&outputs, &names::state_output(name)));
            state = next.collect::<Result<_, _>>()?;
            let kept = STATE_ROWS.min(rows) * shape[1] * shape[2];
            all.push(StepValues {
                logits: wide(&floats(&outputs, names::LOGITS)?),
                halt_margin: halt_margin(self.checkpoint, &outputs)?,
                preds: integers(&outputs, names::PREDS)?,
                state: state.iter().map(|values| values[..kept].to_vec()).collect(),
            });
        }
        Ok(all)
    }

    /// Garbage that the reset of the first step must hide; where the state is to be disturbed from the start, the
    /// model's own initial states.
    fn first_states(&self, shape: [usize; 3]) -> Result<Vec<Vec<f32>>, VerifyError> {
        let manifest = &self.checkpoint.manifest;
        if self.disturbance.is_none() {
            return Ok(vec![vec![f32::NAN; shape.iter().product()]; manifest.arch.state_names().len()]);
        }
        let model = Model::new(&manifest.arch, &manifest.dims, &mut CheckpointSource { checkpoint: self.checkpoint })?;
        Ok(model.initial_states().iter().map(|initial| initial.values.repeat(shape[0] * shape[1])).collect())
    }

    fn unrolled(&mut self, tokens: &[i64], identifiers: &[usize]) -> Result<Vec<StepValues>, VerifyError> {
        let inputs = self.puzzle_inputs(tokens, identifiers)?;
        let outputs = self.session.run(inputs).map_err(RuntimeError::session("run the unrolled graph"))?;
        let (rows, steps) = (identifiers.len(), self.steps);
        let logits = floats(&outputs, names::LOGITS)?;
        let halt_margin = halt_margin(self.checkpoint, &outputs)?;
        let preds = integers(&outputs, names::PREDS)?;
        let step_of = |step| StepValues {
            logits: wide(&of_step(&logits, rows, steps, step)),
            halt_margin: of_step(&halt_margin, rows, steps, step),
            preds: of_step(&preds, rows, steps, step),
            state: Vec::new(),
        };
        Ok((0..steps).map(step_of).collect())
    }
}

fn disturb(state: &mut [Vec<f32>], rng: Option<&mut ChaCha8Rng>) {
    let Some(rng) = rng else { return };
    for value in state.iter_mut().flatten() {
        *value *= 1.0 + if rng.random() { DISTURBANCE } else { -DISTURBANCE };
    }
}

fn halt_margin(checkpoint: &Checkpoint, outputs: &SessionOutputs<'_>) -> Result<Vec<f64>, VerifyError> {
    let mut margin = wide(&floats(outputs, names::Q_HALT_LOGITS)?);
    if checkpoint.manifest.arch.uses_q_continue() {
        let q_continue = wide(&floats(outputs, names::Q_CONTINUE_LOGITS)?);
        margin.iter_mut().zip(q_continue).for_each(|(margin, q_continue)| *margin -= q_continue);
    }
    Ok(margin)
}

/// Step `step` of `[rows, steps, …]` values.
fn of_step<T: Copy>(values: &[T], rows: usize, steps: usize, step: usize) -> Vec<T> {
    let width = values.len() / rows / steps;
    (0..rows).flat_map(|row| values[(row * steps + step) * width..][..width].iter().copied()).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn floats(outputs: &SessionOutputs<'_>, name: &str) -> Result<Vec<f32>, VerifyError> {
    let value = outputs.get(name).ok_or_else(|| absent(name))?;
    let (_, values) = value.try_extract_tensor::<f32>().map_err(RuntimeError::session(format!("read `{name}`")))?;
    Ok(values.to_vec())
}

fn integers(outputs: &SessionOutputs<'_>, name: &str) -> Result<Vec<i64>, VerifyError> {
    let value = outputs.get(name).ok_or_else(|| absent(name))?;
    let (_, values) = value.try_extract_tensor::<i64>().map_err(RuntimeError::session(format!("read `{name}`")))?;
    Ok(values.to_vec())
}

fn absent(name: &str) -> VerifyError {
    VerifyError::file(Path::new("the exported graph"), format!("gave no output `{name}`"))
}

fn tensor<T, const N: usize>(shape: [usize; N], values: Vec<T>) -> Result<SessionInputValue<'static>, VerifyError>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    Ok(Tensor::from_array((shape, values)).map_err(RuntimeError::session("make an input"))?.into())
}
