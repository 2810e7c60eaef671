//! A training step's work on the device - forward, losses, backward - over tensors that stay where they are, so that a GPU
//! runs a recording of it (a CUDA graph) as one launch in place of thousands. Owns the tensors and what is recorded for
//! which shape; what is computed, and the host's part of the step, are `act`'s.

use std::collections::BTreeMap;

use tch::{Device, TchError, Tensor};

use crate::act::{DeviceInputs, DeviceResults, Halting, Reasoner};
use crate::carry::Carry;
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;

/// Steps of a shape before its recording: they make gradients and the libraries' workspaces, which must not be made in it.
const WARM_UP: u32 = 2;

/// The recordings of a learner.
#[derive(Debug, Default)]
pub(crate) struct Replays(BTreeMap<Shape, Replay>);

/// What a recording holds for: rows, tokens, and the rows that the loss is divided by.
type Shape = (usize, usize, usize);

#[derive(Debug)]
enum Replay {
    /// Steps that were computed as usual so far.
    Warming(u32),
    Ready(Box<Fixed>),
}

/// Tensors of one place each, and the work over them.
#[derive(Debug)]
struct Fixed {
    inputs: DeviceInputs,
    recording: Recording,
}

#[derive(Debug)]
enum Recording {
    /// Each replay writes into the results.
    #[cfg(feature = "cuda")]
    Graph { graph: crate::cuda::Graph, results: DeviceResults },
    /// On a processor, where nothing is recorded: the same work is done again, over the same tensors.
    Again,
}

impl Replays {
    /// A supervision step with gradients, for `global_rows` rows in all: gives its sums and the gradient of its rows of the
    /// puzzle table.
    pub(crate) fn learn(
        &mut self,
        reasoner: &Reasoner,
        carry: &mut Carry,
        parameters: &Parameters,
        halting: Halting,
        global_rows: usize,
    ) -> Result<(StepMetrics, Option<Tensor>), TchError> {
        let inputs = reasoner.inputs(carry, parameters, halting);
        let shape = (carry.halted.len(), carry.current.seq_len, global_rows);
        let replay = self.0.entry(shape).or_insert(Replay::Warming(0));
        match replay {
            Replay::Warming(steps) if *steps < WARM_UP => {
                *steps += 1;
                let results = work(reasoner, &inputs, global_rows);
                let gradient = inputs.puzzle_rows.as_ref().map(Tensor::grad);
                return Ok((reasoner.conclude(carry, results, None, halting).metrics, gradient));
            }
            Replay::Warming(_) => {
                *replay = Replay::Ready(Box::new(Fixed::record(reasoner, &inputs, parameters, global_rows)?));
            }
            Replay::Ready(_) => {}
        }
        let Replay::Ready(fixed) = replay else { unreachable!("recorded above") };
        fixed.inputs.fill(&inputs);
        if let Some(rows) = &mut fixed.inputs.puzzle_rows {
            rows.zero_grad();
        }
        // The next step writes where this one does.
        let results = match &fixed.recording {
            #[cfg(feature = "cuda")]
            Recording::Graph { graph, results } => graph.replay().map(|()| results.copies())?,
            Recording::Again => work(reasoner, &fixed.inputs, global_rows).copies(),
        };
        let gradient = fixed.inputs.puzzle_rows.as_ref().map(|rows| rows.grad().copy());
        Ok((reasoner.conclude(carry, results, None, halting).metrics, gradient))
    }
}

impl Fixed {
    fn record(
        reasoner: &Reasoner,
        inputs: &DeviceInputs,
        parameters: &Parameters,
        global_rows: usize,
    ) -> Result<Self, TchError> {
        let inputs = inputs.copies();
        // Copies of weights that are older than the recording would be read, and not made, by every replay.
        parameters.forget_casts();
        let recording = match parameters.device() {
            Device::Cuda(index) => Recording::of_gpu(index, || work(reasoner, &inputs, global_rows))?,
            _ => Recording::Again,
        };
        parameters.forget_casts();
        Ok(Self { inputs, recording })
    }
}

impl Recording {
    #[cfg(feature = "cuda")]
    fn of_gpu(index: usize, work: impl FnOnce() -> DeviceResults) -> Result<Self, TchError> {
        crate::cuda::Graph::record(index, work).map(|(graph, results)| Self::Graph { graph, results })
    }

    /// Without the feature nothing can be recorded.
    #[cfg(not(feature = "cuda"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
    fn of_gpu(_index: usize, _work: impl FnOnce() -> DeviceResults) -> Result<Self, TchError> {
        Ok(Self::Again)
    }
}

/// What is recorded.
fn work(reasoner: &Reasoner, inputs: &DeviceInputs, global_rows: usize) -> DeviceResults {
    let results = reasoner.compute(inputs);
    (&results.loss / global_rows as f64).backward();
    results
}
