//! The ONNX columns of a parity report: graphs with logits, run as a user would run them.

use models::{Checkpoint, Model};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::promise::DISTURBANCE;
use super::{Backend, Job, PORTABLE_STEP, STATE_ROWS, StepValues, VerifyError, VerifyInputs};
use crate::GraphKind;
use crate::graph_runner::{GraphRunner, StepOutputs};
use crate::parameter::CheckpointSource;
use crate::runtime::SessionOptions;

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
    mut disturbance: Option<ChaCha8Rng>,
) -> Result<Vec<StepValues>, VerifyError> {
    let Backend::Onnx { unrolled, flavor, precision } = backend else { return Ok(Vec::new()) };
    let (checkpoint, steps) = (job.checkpoint, job.options.steps);
    let graph = if unrolled { GraphKind::Unrolled { halt_steps: steps } } else { GraphKind::Step };
    let options = SessionOptions { threads: job.options.threads, spinning: false, ..SessionOptions::default() };
    let mut runner = GraphRunner::open(checkpoint, graph, flavor, precision, &options)?;
    let mut all: Vec<StepValues> = vec![StepValues::default(); steps];
    let seq_len = checkpoint.manifest.dims.seq_len;
    let batches = inputs.tokens.chunks(BATCH * seq_len).zip(inputs.puzzle_identifiers.chunks(BATCH));
    for (tokens, identifiers) in batches {
        let rows = job.embeddings.as_ref().map(|embeddings| embeddings.rows(identifiers)).transpose()?;
        let found = match &mut disturbance {
            None => runner.run(tokens, rows.as_deref(), steps)?,
            Some(rng) => {
                let first = initial_states(checkpoint, identifiers.len())?;
                runner.run_disturbed(tokens, rows.as_deref(), steps, first, &mut |states| disturb(states, rng))?
            }
        };
        for (target, outputs) in all.iter_mut().zip(found) {
            let states = if target.state.is_empty() { kept_states(&outputs, identifiers.len()) } else { Vec::new() };
            target.halt_margin.extend(halt_margin(&outputs));
            target.logits.extend(wide(&outputs.logits));
            target.preds.extend(outputs.preds);
            target.state.extend(states);
        }
    }
    Ok(all)
}

/// The model's own initial states for `rows` rows.
fn initial_states(checkpoint: &Checkpoint, rows: usize) -> Result<Vec<Vec<f32>>, VerifyError> {
    let manifest = &checkpoint.manifest;
    let model = Model::new(&manifest.arch, &manifest.dims, &mut CheckpointSource { checkpoint })?;
    let tokens = manifest.arch.state_tokens(manifest.dims.seq_len);
    Ok(model.initial_states().iter().map(|initial| initial.values.repeat(rows * tokens)).collect())
}

fn disturb(states: &mut [Vec<f32>], rng: &mut ChaCha8Rng) {
    for value in states.iter_mut().flatten() {
        *value *= 1.0 + if rng.random() { DISTURBANCE } else { -DISTURBANCE };
    }
}

/// The states of the first rows, which are compared.
fn kept_states(outputs: &StepOutputs, rows: usize) -> Vec<Vec<f32>> {
    outputs.states.iter().map(|values| values[..values.len() / rows * STATE_ROWS.min(rows)].to_vec()).collect()
}

fn halt_margin(outputs: &StepOutputs) -> Vec<f64> {
    let mut margin = wide(&outputs.q_halt);
    margin.iter_mut().zip(wide(&outputs.q_continue)).for_each(|(margin, q_continue)| *margin -= q_continue);
    margin
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
