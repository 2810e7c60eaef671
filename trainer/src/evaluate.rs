//! Evaluation in the reference's way: every row takes all `halt_max_steps` supervision steps and the last one counts,
//! unless the architecture asks for `act_inference`, where the step counts at which a row halts. Owns the loop and its
//! report; leaves where the rows come from to the caller.

use std::sync::atomic::{AtomicBool, Ordering};

use datasets::batch::Batch;
use datasets::scoring::Share;
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::TrainError;
use crate::act::{Halting, Reasoner};
use crate::carry::Carry;
use crate::distributed::Ranks;
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;
use crate::transfer::to_device;

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows with labels.
    pub count: u64,
    /// Share of right tokens.
    pub accuracy: f64,
    /// Wilson 95 % interval of `accuracy`, as of a share of `count` trials: tokens of a row are not independent.
    pub accuracy_interval: (f64, f64),
    /// Share of rows with every token right.
    pub exact_accuracy: f64,
    /// Wilson 95 % interval of `exact_accuracy`.
    pub exact_accuracy_interval: (f64, f64),
    /// Share of rows whose Q head knew whether they were right.
    pub q_halt_accuracy: f64,
    /// Mean supervision steps.
    pub steps: f64,
    /// Token loss per row with labels.
    pub lm_loss: f64,
    /// Halting loss per row with labels; rows of padding add to it, as in the reference.
    pub q_halt_loss: f64,
}

/// Evaluates `reasoner` on all of `batches`.
///
/// # Errors
/// When a batch cannot be read.
pub fn evaluate(
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batches: impl Iterator<Item = Result<Batch, TrainError>>,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation, TrainError> {
    let mut sums = StepMetrics::default();
    for batch in batches {
        let batch = batch?;
        sums.merge(&answer(reasoner, arch, parameters, &batch).metrics);
        progress(batch.real_rows);
    }
    Ok(Evaluation::of(&sums))
}

/// As [`evaluate`], until `stop` becomes true: `None` then, before the next supervision step. `take` is given every batch
/// with the model's answer.
///
/// # Errors
/// When a batch cannot be read or `take` fails.
pub fn evaluate_until(
    stop: &AtomicBool,
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batches: impl Iterator<Item = Result<Batch, TrainError>>,
    mut take: impl FnMut(&Batch, &BatchAnswer) -> Result<(), TrainError>,
) -> Result<Option<Evaluation>, TrainError> {
    let mut sums = StepMetrics::default();
    for batch in batches {
        let batch = batch?;
        let Some(answer) = answer_until(stop, reasoner, arch, parameters, &batch) else { return Ok(None) };
        sums.merge(&answer.metrics);
        take(&batch, &answer)?;
    }
    Ok(Some(Evaluation::of(&sums)))
}

/// As [`evaluate_until`], shared by `ranks`: `batches` are this rank's rows, as many batches on each rank, and the result
/// is that of all rows, on every rank. Ranks stop together, between two batches.
///
/// # Errors
/// When a batch cannot be read, `take` fails, or a rank is gone.
pub(crate) fn evaluate_on_ranks(
    stop: &AtomicBool,
    ranks: &Ranks,
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batches: impl Iterator<Item = Result<Batch, TrainError>>,
    mut take: impl FnMut(&Batch, &BatchAnswer) -> Result<(), TrainError>,
) -> Result<Option<Evaluation>, TrainError> {
    let mut sums = StepMetrics::default();
    for batch in batches {
        let batch = batch?;
        if ranks.any(stop.load(Ordering::Relaxed))? {
            return Ok(None);
        }
        let answer = if batch.rows() > 0 {
            answer(reasoner, arch, parameters, &batch)
        } else {
            let preds = Tensor::zeros([0, batch.seq_len as i64], (Kind::Int64, parameters.device()));
            BatchAnswer { metrics: StepMetrics::default(), preds, q_halt: Vec::new() }
        };
        sums.merge(&answer.metrics);
        take(&batch, &answer)?;
    }
    let mut all = StepMetrics::default();
    for numbers in ranks.gather_numbers(&sums.to_numbers())? {
        all.merge(&numbers.first_chunk().map_or_else(StepMetrics::default, StepMetrics::from_numbers));
    }
    Ok(Some(Evaluation::of(&all)))
}

/// What the model says to a batch, each row at the step that counts.
#[derive(Debug)]
pub struct BatchAnswer {
    /// Sums over the rows.
    pub metrics: StepMetrics,
    /// `[rows, seq_len]` int64 predictions, on the model's device.
    pub preds: Tensor,
    /// `[rows]` halting logits.
    pub q_halt: Vec<f32>,
}

/// Runs the model on a batch until every row has halted.
pub(crate) fn answer(
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batch: &Batch,
) -> BatchAnswer {
    answer_until(&AtomicBool::new(false), reasoner, arch, parameters, batch).expect("nothing asks it to stop")
}

/// As [`answer`]; `None` when `stop` is true before all rows have halted.
fn answer_until(
    stop: &AtomicBool,
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batch: &Batch,
) -> Option<BatchAnswer> {
    let halting = if arch.act_inference() { Halting::ByRule } else { Halting::AtLimit };
    let device = parameters.device();
    let mut carry = Carry::empty(arch, batch.rows(), batch.seq_len, device);
    carry.state = carry.state.iter().map(|state| state.to_kind(reasoner.kind())).collect();
    carry.admit(batch);
    carry.halted.fill(true);
    let mut running = vec![true; batch.rows()];
    let mut answer = BatchAnswer {
        metrics: StepMetrics::default(),
        preds: Tensor::zeros([batch.rows() as i64, batch.seq_len as i64], (Kind::Int64, device)),
        q_halt: vec![0.0; batch.rows()],
    };
    while running.contains(&true) {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let act = reasoner.step_without_gradient(&mut carry, parameters, halting);
        let halts: Vec<bool> = running.iter().zip(&carry.halted).map(|(&running, &halted)| running && halted).collect();
        answer.metrics.merge(&StepMetrics::of(&carry, &act.rows, |row| halts[row]));
        if halts.contains(&true) {
            let rows = to_device(&halts, device).unsqueeze(-1);
            answer.preds = act.preds.where_self(&rows, &answer.preds);
            for row in (0..halts.len()).filter(|&row| halts[row]) {
                answer.q_halt[row] = act.rows.q_halt[row];
            }
        }
        running.iter_mut().zip(&halts).for_each(|(running, halts)| *running &= !halts);
    }
    Some(answer)
}

impl Evaluation {
    pub(crate) fn of(sums: &StepMetrics) -> Self {
        let count = sums.count.max(1.0);
        Self {
            count: sums.count as u64,
            accuracy: sums.accuracy / count,
            accuracy_interval: Share::of_mean(sums.accuracy / count, sums.count as u64).interval,
            exact_accuracy: sums.exact_accuracy / count,
            exact_accuracy_interval: datasets::scoring::wilson_interval(sums.exact_accuracy as u64, sums.count as u64),
            q_halt_accuracy: sums.q_halt_accuracy / count,
            steps: sums.steps / count,
            lm_loss: sums.lm_loss / count,
            q_halt_loss: sums.q_halt_loss / count,
        }
    }

    /// Names and values for logs and manifests.
    pub fn entries(&self) -> [(&'static str, f64); 6] {
        [
            ("accuracy", self.accuracy),
            ("exact_accuracy", self.exact_accuracy),
            ("q_halt_accuracy", self.q_halt_accuracy),
            ("steps", self.steps),
            ("lm_loss", self.lm_loss),
            ("q_halt_loss", self.q_halt_loss),
        ]
    }
}
