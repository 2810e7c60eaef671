//! The probes of a run on disk: `recursion_metrics.csv` and `latent_stats.csv`, written at each evaluation, and states.
//! Owns the columns, which are those of the recursive-reasoning benchmark and some more; leaves measuring to `probes`.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use datasets::batch::{Batch, IGNORE_LABEL_ID};
use tch::{Kind, Tensor};

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::learner::Learner;
use crate::principal;
use crate::probes::{RecursionStep, StateStatistics, trace_recursion_with};

const RECURSION_FILE: &str = "recursion_metrics.csv";
const RECURSION_COLUMNS: [&str; 7] =
    ["epoch", "recursion_step", "loss", "accuracy", "exact_accuracy", "q_halt", "step"];
const STATES_FOLDER: &str = "states";
const LATENT_FILE: &str = "latent_stats.csv";
const LATENT_COLUMNS: [&str; 11] = [
    "epoch",
    "recursion_step",
    "y_l2_norm",
    "y_cosine_prev",
    "y_batch_variance",
    "z_l2_norm",
    "z_cosine_prev",
    "z_batch_variance",
    "y_delta",
    "z_delta",
    "step",
];

/// Which probes a run makes, on one batch that stays the same.
#[derive(Debug)]
pub(crate) struct RunProbes {
    batch: Batch,
    depth: usize,
    /// Optimizer steps of an epoch.
    epoch_steps: f64,
    recursion: Option<PathBuf>,
    latent: Option<PathBuf>,
    states: Option<PathBuf>,
    /// Optimizer steps between evaluations and of the whole run, by which evaluations with states are chosen.
    evaluations: (u64, u64),
}

impl RunProbes {
    /// Whether a run makes any.
    pub(crate) fn asked_for(config: &PretrainConfig) -> bool {
        config.log_recursion || config.log_latent_stats || config.log_principal_components
    }

    /// Those that `config` asks for, on the first rows of `first`; rows past `resumed_step` of an earlier process, and of
    /// that step where its evaluation is still due, are removed.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn open(
        config: &PretrainConfig,
        directory: &Path,
        first: &Batch,
        epoch_steps: f64,
        (resumed_step, evaluation_due): (u64, bool),
        evaluations: (u64, u64),
    ) -> Result<Self, TrainError> {
        let file = |wanted: bool, name: &str, columns: &[&str]| {
            let path = wanted.then(|| directory.join(name));
            path.map(|path| keep_rows(&path, columns, resumed_step, evaluation_due).map(|()| path)).transpose()
        };
        let recursion = file(config.log_recursion, RECURSION_FILE, &RECURSION_COLUMNS)?;
        let latent = file(config.log_latent_stats, LATENT_FILE, &LATENT_COLUMNS)?;
        let batch = first_rows(first, config.probe_rows);
        let states = config.log_principal_components.then(|| directory.join(STATES_FOLDER));
        Ok(Self { batch, depth: config.probe_depth, epoch_steps, recursion, latent, states, evaluations })
    }

    /// Whether the evaluation at `step` is the last, or the 1st, 2nd, 4th, 8th …: states change most at the beginning.
    fn keeps_states(&self, step: u64) -> bool {
        let (interval, total) = self.evaluations;
        step >= total || (step / interval.max(1)).is_power_of_two()
    }

    /// Probes the weights that `learner` evaluates with.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn run(&self, learner: &Learner) -> Result<(), TrainError> {
        let config = &learner.config;
        let parameters = learner.weights_to_use();
        let folder = self.states.as_ref().filter(|_| self.keeps_states(learner.step));
        let mut boards: [Vec<Tensor>; 2] = [Vec::new(), Vec::new()];
        let keep = |states: &[Tensor]| {
            for (boards, state) in boards.iter_mut().zip(states).filter(|_| folder.is_some()) {
                boards.push(state.mean_dim(Some([1].as_slice()), false, Kind::Float));
            }
        };
        let steps = trace_recursion_with(&config.arch, &config.dims, &parameters, &self.batch, self.depth, keep)?;
        if let Some(folder) = folder {
            let found = ["answer", "latent"].into_iter().zip(&boards).filter(|(_, boards)| !boards.is_empty());
            let states: Vec<_> = found.map(|(name, boards)| (name, Tensor::stack(boards, 0))).collect();
            principal::write(folder, learner.step, &states)?;
        }
        let (step, epoch) = (learner.step, learner.step as f64 / self.epoch_steps);
        if let Some(path) = &self.recursion {
            append(path, steps.iter().map(|found| recursion_row(found, epoch, step)))?;
        }
        if let Some(path) = &self.latent {
            append(path, steps.iter().map(|found| latent_row(found, epoch, step)))?;
        }
        Ok(())
    }
}

fn recursion_row(found: &RecursionStep, epoch: f64, step: u64) -> Vec<String> {
    let exact = found.exact as f64 / found.rows.max(1) as f64;
    let values = [found.loss, found.accuracy, exact, found.q_halt].map(|value| value.to_string());
    [vec![epoch.to_string(), found.recursion_step.to_string()], values.to_vec(), vec![step.to_string()]].concat()
}

fn latent_row(found: &RecursionStep, epoch: f64, step: u64) -> Vec<String> {
    let three = |state: Option<StateStatistics>| {
        let values = state.map(|state| [state.l2_norm, state.cosine_prev, state.batch_variance]);
        values.map_or_else(|| vec![String::new(); 3], |values| values.map(|value| value.to_string()).to_vec())
    };
    let delta = |state: Option<StateStatistics>| state.map_or_else(String::new, |state| state.delta.to_string());
    let (answer, latent) = (Some(found.answer), found.latent);
    let ends = vec![delta(answer), delta(latent), step.to_string()];
    [vec![epoch.to_string(), found.recursion_step.to_string()], three(answer), three(latent), ends].concat()
}

fn append(path: &Path, rows: impl Iterator<Item = Vec<String>>) -> Result<(), TrainError> {
    let file = OpenOptions::new().append(true).open(path).map_err(TrainError::io(path))?;
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(file);
    for row in rows {
        csv.write_record(row).map_err(|error| TrainError::state(path, error.to_string()))?;
    }
    csv.flush().map_err(TrainError::io(path))
}

/// Leaves the header and the rows that the run will not write again; the optimizer step is the last column.
fn keep_rows(path: &Path, columns: &[&str], resumed_step: u64, evaluation_due: bool) -> Result<(), TrainError> {
    let problem = |error: csv::Error| TrainError::state(path, error.to_string());
    let mut kept = csv::Writer::from_writer(Vec::new());
    kept.write_record(columns).map_err(problem)?;
    if resumed_step > 0 && path.exists() {
        for record in csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(problem)?.records() {
            let Ok(record) = record else { break };
            let step = record.get(columns.len() - 1).and_then(|step| step.parse::<u64>().ok());
            let stays = step.is_some_and(|step| step < resumed_step || (step == resumed_step && !evaluation_due));
            if record.len() == columns.len() && stays {
                kept.write_record(&record).map_err(problem)?;
            }
        }
    }
    let bytes = kept.into_inner().map_err(|error| TrainError::state(path, error.to_string()))?;
    Ok(files::write(path, &bytes)?)
}

/// The first `count` rows that are not padding.
fn first_rows(batch: &Batch, count: usize) -> Batch {
    let rows = count.min(batch.real_rows);
    let cells = rows * batch.seq_len;
    debug_assert!(batch.labels[..cells].iter().any(|&label| label != IGNORE_LABEL_ID));
    Batch {
        seq_len: batch.seq_len,
        inputs: batch.inputs[..cells].to_vec(),
        labels: batch.labels[..cells].to_vec(),
        puzzle_identifiers: batch.puzzle_identifiers[..rows].to_vec(),
        real_rows: rows,
    }
}
