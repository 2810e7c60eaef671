//! `metrics.csv` in another form: one row per evaluation with the columns of the recursive-reasoning benchmark.
//! Owns the columns; leaves measuring to the run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::TrainError;
use crate::experiment::Experiment;
use crate::logger::{CSV_FILE, EVAL_PHASE, TRAIN_PHASE};

/// Columns of the benchmark, and the optimizer step behind them.
pub const COLUMNS: [&str; 10] = [
    "epoch",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "gradient_norm",
    "parameter_norm",
    "learning_rate",
    "epoch_time_seconds",
    "step",
];

/// One evaluation with the training before it, since the evaluation before; `None` where nothing was logged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WideRow {
    /// Optimizer steps done.
    pub step: u64,
    /// Passes over the data; counted in evaluations where the data has no end.
    pub epoch: f64,
    /// Mean token loss of training, halting not included.
    pub train_loss: Option<f64>,
    /// Token loss of the evaluation.
    pub val_loss: Option<f64>,
    /// Mean token accuracy of training.
    pub train_accuracy: Option<f64>,
    /// Mean share of training rows with every token right, of those that halted.
    pub train_exact_accuracy: Option<f64>,
    /// Token accuracy of the evaluation.
    pub val_accuracy: Option<f64>,
    /// Share of the evaluation's rows with every token right.
    pub val_exact_accuracy: Option<f64>,
    /// Mean supervision steps in training.
    pub train_steps: Option<f64>,
    /// Norm of the gradient, last logged.
    pub gradient_norm: Option<f64>,
    /// Norm of the weights, last logged.
    pub parameter_norm: Option<f64>,
    /// Learning rate, last logged.
    pub learning_rate: Option<f64>,
    /// Seconds of training, evaluations not included.
    pub seconds: Option<f64>,
}

/// Rows of the run in `run`, in order.
///
/// # Errors
/// When its metrics cannot be read.
pub fn wide_rows(run: &Path) -> Result<Vec<WideRow>, TrainError> {
    let steps = read(run)?;
    let experiment = Experiment::read(run).ok();
    let examples = experiment.as_ref().and_then(|experiment| experiment.dataset_size).filter(|&size| size > 0);
    let batch = experiment.as_ref().map_or(0, |experiment| experiment.batch_size) as f64;
    let (mut rows, mut training) = (Vec::new(), Vec::new());
    for (step, phases) in &steps {
        training.extend(phases.get(TRAIN_PHASE));
        let Some(eval) = phases.get(EVAL_PHASE) else { continue };
        let row = row(*step, &training, eval);
        let evaluations = rows.len() as f64 + 1.0;
        rows.push(WideRow {
            epoch: examples.map_or(evaluations, |examples| *step as f64 * batch / examples as f64),
            ..row
        });
        training.clear();
    }
    Ok(rows)
}

/// Writes them as CSV with [`COLUMNS`]; what was not logged stays empty.
///
/// # Errors
/// When metrics cannot be read or the disk refuses.
pub fn export_wide(run: &Path, out: &Path) -> Result<usize, TrainError> {
    let problem = |error: csv::Error| TrainError::state(out, error.to_string());
    let rows = wide_rows(run)?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).map_err(problem)?;
    for row in &rows {
        let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let cells = [
            row.epoch.to_string(),
            cell(row.train_loss),
            cell(row.val_loss),
            cell(row.train_accuracy),
            cell(row.val_accuracy),
            cell(row.gradient_norm),
            cell(row.parameter_norm),
            cell(row.learning_rate),
            cell(row.seconds),
            row.step.to_string(),
        ];
        csv.write_record(cells).map_err(problem)?;
    }
    let bytes = csv.into_inner().map_err(|error| TrainError::state(out, error.to_string()))?;
    files::write(out, &bytes)?;
    Ok(rows.len())
}

type Metrics = BTreeMap<String, f64>;

fn row(step: u64, training: &[&Metrics], eval: &Metrics) -> WideRow {
    let values = |name: &str| training.iter().filter_map(|metrics| metrics.get(name).copied()).collect::<Vec<_>>();
    let mean = |name: &str| {
        let values = values(name);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let last = |name: &str| values(name).last().copied();
    let seconds = values("seconds");
    WideRow {
        step,
        epoch: 0.0,
        train_loss: mean("lm_loss"),
        val_loss: eval.get("lm_loss").copied(),
        train_accuracy: mean("accuracy"),
        train_exact_accuracy: mean("exact_accuracy"),
        val_accuracy: eval.get("accuracy").copied(),
        val_exact_accuracy: eval.get("exact_accuracy").copied(),
        train_steps: mean("steps"),
        gradient_norm: last("gradient_norm"),
        parameter_norm: last("parameter_norm"),
        learning_rate: last("lr"),
        seconds: (!seconds.is_empty()).then(|| seconds.iter().sum()),
    }
}

/// Metrics by step and phase.
fn read(run: &Path) -> Result<BTreeMap<u64, BTreeMap<String, Metrics>>, TrainError> {
    let path = run.join(CSV_FILE);
    let problem = |error: csv::Error| TrainError::state(&path, error.to_string());
    let mut steps: BTreeMap<u64, BTreeMap<String, Metrics>> = BTreeMap::new();
    for record in csv::Reader::from_path(&path).map_err(problem)?.deserialize() {
        let (step, phase, metric, value): (u64, String, String, f64) = record.map_err(problem)?;
        steps.entry(step).or_default().entry(phase).or_default().insert(metric, value);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_training_since_the_evaluation_before() {
        let folder = tempfile::tempdir().unwrap();
        let long = "step,phase,metric,value\n\
                    2,train,lm_loss,1\n2,train,accuracy,0.25\n2,train,seconds,2\n2,train,gradient_norm,9\n\
                    4,train,lm_loss,3\n4,train,accuracy,0.75\n4,train,seconds,0.5\n4,train,gradient_norm,8\n4,train,lr,0.1\n\
                    4,eval,lm_loss,5\n4,eval,accuracy,0.5\n4,eval,exact_accuracy,0.125\n\
                    6,train,lm_loss,7\n8,eval,lm_loss,6\n8,eval,accuracy,1\n";
        std::fs::write(folder.path().join(CSV_FILE), long).unwrap();
        let out = folder.path().join("wide.csv");
        assert_eq!(export_wide(folder.path(), &out).unwrap(), 2);
        let expected = "epoch,train_loss,val_loss,train_accuracy,val_accuracy,gradient_norm,parameter_norm,learning_rate,epoch_time_seconds,step\n\
                        1,2,5,0.5,0.5,8,,0.1,2.5,4\n2,7,6,,1,,,,,8\n";
        assert_eq!(std::fs::read_to_string(&out).unwrap(), expected);
        assert_eq!(wide_rows(folder.path()).unwrap()[0].val_exact_accuracy, Some(0.125));
    }
}
