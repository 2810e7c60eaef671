//! What happens inside the recursion: losses, accuracies and states after each update of the answer, from the initial state
//! and to any depth. Owns the measures; runs the model with one answer update a step, which composes to the same recursion.

use datasets::batch::Batch;
use datasets::scoring::Share;
use models::{ArchitectureConfig, ModelDims, ModelError};
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::TrainError;
use crate::act::{Halting, Reasoner};
use crate::carry::Carry;
use crate::losses::LossType;
use crate::parameters::Parameters;

/// Keeps cosines of vanishing states finite, as the benchmark does.
const EPSILON: f64 = 1e-8;

/// What the model says after an update of its answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecursionStep {
    /// Updates so far, from 1.
    pub recursion_step: usize,
    /// Mean softmax cross-entropy over all labelled cells, givens included.
    pub loss: f64,
    /// Share of labelled cells that are right, givens included.
    pub accuracy: f64,
    /// Labelled cells.
    pub cells: u64,
    /// Rows with every labelled cell right.
    pub exact: u64,
    /// Rows with a label.
    pub rows: u64,
    /// Mean probability of halting.
    pub q_halt: f64,
    /// The state that the answer is read from.
    pub answer: StateStatistics,
    /// The first of the other states, where there is one.
    pub latent: Option<StateStatistics>,
}

/// A state `[batch, positions, hidden]`, without the positions of the puzzle embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateStatistics {
    /// Mean norm over the hidden axis; post-norm makes it the root of the width.
    pub l2_norm: f64,
    /// Mean cosine with the state before; 0 at the first step.
    pub cosine_prev: f64,
    /// Variance over the batch (n−1), averaged over positions and the hidden axis; 0 for one row.
    pub batch_variance: f64,
    /// Mean norm of the change since the state before, by the root of the width: 0 where a state has settled.
    pub delta: f64,
}

/// Runs the model of `arch` over `batch`, from the initial state, for `depth` updates of the answer.
///
/// # Errors
/// When the parameters are those of another architecture.
///
/// # Panics
/// Never: an architecture with one update is one.
pub fn trace_recursion(
    arch: &ArchitectureConfig,
    dims: &ModelDims,
    parameters: &Parameters,
    batch: &Batch,
    depth: usize,
) -> Result<Vec<RecursionStep>, ModelError> {
    trace_recursion_with(arch, dims, parameters, batch, depth, |_| ())
}

/// As [`trace_recursion`], with a `look` at the states `[batch, cells, hidden]`: the initial ones, then those after each
/// update.
///
/// # Errors
/// When the parameters are those of another architecture.
///
/// # Panics
/// Never: an architecture with one update is one.
pub fn trace_recursion_with(
    arch: &ArchitectureConfig,
    dims: &ModelDims,
    parameters: &Parameters,
    batch: &Batch,
    depth: usize,
    mut look: impl FnMut(&[Tensor]),
) -> Result<Vec<RecursionStep>, ModelError> {
    let arch = with_one_update(arch);
    let reasoner = Reasoner::new(&arch, dims, parameters, LossType::SoftmaxCrossEntropy)?;
    let device = parameters.device();
    let mut carry = Carry::empty(&arch, batch.rows(), batch.seq_len, device);
    carry.admit(batch);
    let labels = carry.labels(device);
    let first_cell = arch.first_cell();
    let cells =
        |state: &Tensor| state.narrow(1, first_cell as i64, state.size()[1] - first_cell as i64).to_kind(Kind::Float);
    let mut before: Vec<Tensor> = reasoner.initial_state(&carry, device).iter().map(cells).collect();
    look(&before);
    let mut steps = Vec::with_capacity(depth);
    for recursion_step in 1..=depth {
        let act = reasoner.step_without_gradient(&mut carry, parameters, Halting::AtLimit);
        // The recursion goes on whatever the step limit of training was.
        carry.halted.fill(false);
        let states: Vec<Tensor> = carry.state.iter().map(cells).collect();
        let statistics = |index: usize| {
            let state = states.get(index)?;
            Some(StateStatistics::of(state, &before[index], recursion_step == 1))
        };
        let answer = statistics(0).expect("every architecture has a state");
        let latent = statistics(1);
        let outputs = Outputs::of(&act.logits, &act.preds, &labels);
        steps.push(RecursionStep {
            recursion_step,
            loss: outputs.loss,
            accuracy: outputs.accuracy,
            cells: outputs.cells,
            exact: outputs.exact,
            rows: outputs.rows,
            q_halt: act.q_halt.sigmoid().mean(Kind::Double).double_value(&[]),
            answer,
            latent,
        });
        look(&states);
        before = states;
    }
    Ok(steps)
}

/// Accuracies after some number of updates of the answer, from the initial state, without halting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthAccuracy {
    /// Updates of the answer.
    pub depth: usize,
    /// Rows with a label.
    pub count: u64,
    /// Share of labelled cells that are right.
    pub accuracy: f64,
    /// Share of rows with every labelled cell right, and its Wilson 95 % interval.
    #[serde(flatten)]
    pub exact: ExactShare,
}

/// A share of rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExactShare {
    /// The share.
    pub exact_accuracy: f64,
    /// Its interval.
    pub exact_accuracy_interval: (f64, f64),
}

/// Accuracies on all of `batches` at each of `depths`; `progress` receives the rows of each batch.
///
/// # Errors
/// When a batch cannot be read, or the parameters are those of another architecture.
pub fn accuracy_by_depth(
    arch: &ArchitectureConfig,
    dims: &ModelDims,
    parameters: &Parameters,
    batches: impl Iterator<Item = Result<Batch, TrainError>>,
    depths: &[usize],
    mut progress: impl FnMut(usize),
) -> Result<Vec<DepthAccuracy>, TrainError> {
    let deepest = depths.iter().copied().max().unwrap_or(0);
    // Right cells, cells, exact rows, rows.
    let mut sums = vec![(0.0, 0, 0, 0); depths.len()];
    for batch in batches {
        let batch = batch?;
        let steps = trace_recursion(arch, dims, parameters, &batch, deepest)?;
        for (sums, &depth) in sums.iter_mut().zip(depths) {
            let step = &steps[depth - 1];
            sums.0 += step.accuracy * step.cells as f64;
            sums.1 += step.cells;
            sums.2 += step.exact;
            sums.3 += step.rows;
        }
        progress(batch.real_rows);
    }
    let found = depths.iter().zip(sums).map(|(&depth, (right, cells, exact, rows))| {
        let share = Share::of(exact, rows);
        DepthAccuracy {
            depth,
            count: rows,
            accuracy: right / cells.max(1) as f64,
            exact: ExactShare { exact_accuracy: share.accuracy, exact_accuracy_interval: share.interval },
        }
    });
    Ok(found.collect())
}

/// The architecture whose supervision step updates the answer once.
fn with_one_update(arch: &ArchitectureConfig) -> ArchitectureConfig {
    let mut value = serde_json::to_value(arch).expect("a config holds only JSON types");
    if value.get("H_cycles").is_some() {
        value["H_cycles"] = 1.into();
    }
    serde_json::from_value(value).expect("one update is a config like any other")
}

struct Outputs {
    loss: f64,
    accuracy: f64,
    cells: u64,
    exact: u64,
    rows: u64,
}

impl Outputs {
    fn of(logits: &Tensor, preds: &Tensor, labels: &Tensor) -> Self {
        tch::no_grad(|| {
            let labelled = labels.not_equal(i64::from(datasets::batch::IGNORE_LABEL_ID));
            let cells = labelled.sum(Kind::Int64).int64_value(&[]) as u64;
            let count = cells.max(1) as f64;
            let loss = LossType::SoftmaxCrossEntropy.per_position(logits, labels).sum(Kind::Double).double_value(&[]);
            let right = preds.eq_tensor(labels).logical_and(&labelled);
            let has_label = labelled.any_dim(-1, false);
            let exact = right.eq_tensor(&labelled).all_dim(-1, false).logical_and(&has_label);
            Self {
                loss: loss / count,
                accuracy: right.sum(Kind::Double).double_value(&[]) / count,
                cells,
                exact: exact.sum(Kind::Int64).int64_value(&[]) as u64,
                rows: has_label.sum(Kind::Int64).int64_value(&[]) as u64,
            }
        })
    }
}

impl StateStatistics {
    fn of(state: &Tensor, before: &Tensor, is_first: bool) -> Self {
        tch::no_grad(|| {
            let norm = |tensor: &Tensor| (tensor * tensor).sum_dim_intlist(-1, false, Kind::Double).sqrt();
            let mean = |tensor: &Tensor| tensor.mean(Kind::Double).double_value(&[]);
            let size = state.size();
            let (rows, width) = (size[0], size[2]);
            let (length, length_before) = (norm(state), norm(before));
            let product = (state * before).sum_dim_intlist(-1, false, Kind::Double);
            let cosine = product / ((&length + EPSILON) * (length_before + EPSILON));
            Self {
                l2_norm: mean(&length),
                cosine_prev: if is_first { 0.0 } else { mean(&cosine) },
                batch_variance: if rows > 1 { mean(&state.var_dim(Some([0].as_slice()), true, false)) } else { 0.0 },
                delta: mean(&norm(&(state - before))) / (width as f64).sqrt(),
            }
        })
    }
}
