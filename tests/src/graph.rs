//! Exported graphs as plain function calls: tokens in, every supervision step's outputs out.

use exporter::runtime::{self, Optimization, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, Precision, export, names};
use models::Checkpoint;
use ort::session::{Session, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, Tensor};

/// What one supervision step gives for a batch, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutputs {
    /// `[batch, seq_len]` predicted tokens.
    pub preds: Vec<i64>,
    /// `[batch]` halting logits.
    pub q_halt: Vec<f32>,
    /// `[batch, seq_len, vocab_size]` logits.
    pub logits: Vec<f32>,
}

/// An exported graph in a session of one thread.
#[derive(Debug)]
pub struct Graph {
    session: Session,
    kind: GraphKind,
    state_names: &'static [&'static str],
    seq_len: usize,
    hidden_size: usize,
}

impl Graph {
    /// Exports the checkpoint of a model without puzzle embedding and loads what comes out.
    pub fn of(checkpoint: &Checkpoint, kind: GraphKind, flavor: Flavor) -> Self {
        let exported =
            export(checkpoint, &ExportOptions { graph: kind, flavor, precision: Precision::Float32, logits: true })
                .unwrap();
        let optimization = match kind {
            GraphKind::Step => Optimization::All,
            GraphKind::Unrolled { .. } => Optimization::None,
        };
        let options = SessionOptions { threads: 1, optimization, spinning: false, ..SessionOptions::default() };
        let session = runtime::open_bytes(&exported.bytes, &options).unwrap();
        let manifest = &checkpoint.manifest;
        let arch = &manifest.arch;
        assert_eq!(arch.puzzle_emb_len(), 0, "models with puzzle embedding have a further input");
        let (state_names, seq_len) = (arch.state_names(), manifest.dims.seq_len);
        Self { session, kind, state_names, seq_len, hidden_size: arch.hidden_size() }
    }

    /// The first `steps` supervision steps on `[batch, seq_len]` tokens.
    pub fn run(&mut self, tokens: &[i64], steps: usize) -> Vec<StepOutputs> {
        match self.kind {
            GraphKind::Step => self.run_step_by_step(tokens, steps),
            GraphKind::Unrolled { .. } => self.run_unrolled(tokens, steps),
        }
    }

    fn run_step_by_step(&mut self, tokens: &[i64], steps: usize) -> Vec<StepOutputs> {
        let batch = tokens.len() / self.seq_len;
        let shape = [batch, self.seq_len, self.hidden_size];
        // Garbage that the reset of the first step must hide.
        let mut state = vec![vec![f32::NAN; shape.iter().product()]; self.state_names.len()];
        let mut results = Vec::new();
        for step in 0..steps {
            let mut inputs = vec![
                (names::INPUTS.to_owned(), value([batch, self.seq_len], tokens)),
                (names::RESET.to_owned(), value([batch], &vec![step == 0; batch])),
            ];
            let states = self.state_names.iter().zip(&state);
            inputs.extend(states.map(|(name, values)| (names::state_input(name), value(shape, values))));
            let outputs = self.session.run(inputs).unwrap();
            let floats = |name: &str| outputs[name].try_extract_tensor::<f32>().unwrap().1.to_vec();
            results.push(StepOutputs {
                preds: outputs[names::PREDS].try_extract_tensor::<i64>().unwrap().1.to_vec(),
                q_halt: floats(names::Q_HALT_LOGITS),
                logits: floats(names::LOGITS),
            });
            state = self.state_names.iter().map(|name| floats(&names::state_output(name))).collect();
        }
        results
    }

    fn run_unrolled(&mut self, tokens: &[i64], steps: usize) -> Vec<StepOutputs> {
        let batch = tokens.len() / self.seq_len;
        let outputs = self.session.run(vec![(names::INPUTS.to_owned(), value([batch, self.seq_len], tokens))]).unwrap();
        let (shape, preds) = outputs[names::PREDS].try_extract_tensor::<i64>().unwrap();
        let all_steps = shape[1] as usize;
        let q_halt = outputs[names::Q_HALT_LOGITS].try_extract_tensor::<f32>().unwrap().1;
        let logits = outputs[names::LOGITS].try_extract_tensor::<f32>().unwrap().1;
        let step = |step| StepOutputs {
            preds: step_of(preds, batch, all_steps, step),
            q_halt: step_of(q_halt, batch, all_steps, step),
            logits: step_of(logits, batch, all_steps, step),
        };
        (0..steps).map(step).collect()
    }
}

/// Step `step` of `[batch, steps, …]` values.
fn step_of<T: Copy>(values: &[T], batch: usize, steps: usize, step: usize) -> Vec<T> {
    let width = values.len() / batch / steps;
    (0..batch).flat_map(|row| values[(row * steps + step) * width..][..width].to_vec()).collect()
}

fn value<T, const N: usize>(shape: [usize; N], values: &[T]) -> SessionInputValue<'static>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    Tensor::from_array((shape, values.to_vec())).unwrap().into()
}
