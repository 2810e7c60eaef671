//! A list of experiments from one file: `trainer study`. Each run is a process of its own, which a failure ends alone; a
//! study that was interrupted goes on where it was. Owns starting and ending the runs; leaves tables to `results`.

mod figures;
mod plan;
mod process;
mod recursion_form;
mod results;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use models::Checkpoint;
use serde_json::Value;

pub(crate) use plan::flatten;
pub use plan::{Experiment, Settings, Study};
pub use process::FOLLOWS_STUDY;
use process::SETTINGS_FILE;
pub(crate) use process::{POLL, Working};
pub use results::{ExperimentResult, write_results};

use crate::TrainError;

/// How a run of a study stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It was finished before.
    Kept,
    /// It has been trained to its end.
    Finished,
    /// It ended with an error; the last line of its log.
    Failed(String),
    /// It was interrupted, or its turn did not come.
    Open,
}

/// One run of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRun {
    /// Name of its experiment.
    pub experiment: String,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub path: PathBuf,
    /// How it stands.
    pub state: RunState,
}

/// Trains every run of `study` below `out`, `jobs` at a time, each by `program pretrain`; tells `progress` what happens in
/// a line. Ends early when `stop` becomes true; the runs under way save first.
///
/// # Errors
/// When `out` holds runs of another study, or the disk or the system refuses. A run that fails is not an error of the study.
pub fn run_study(
    study: &Study,
    out: &Path,
    jobs: usize,
    program: &Path,
    stop: &AtomicBool,
    mut progress: impl FnMut(&str),
) -> Result<Vec<StudyRun>, TrainError> {
    let planned = study.runs(out);
    for (experiment, _, path) in &planned {
        check_settings(experiment, path)?;
    }
    let mut runs: Vec<StudyRun> = planned
        .iter()
        .map(|(experiment, seed, path)| StudyRun {
            experiment: experiment.name.clone(),
            seed: *seed,
            path: path.clone(),
            state: if is_finished(path) { RunState::Kept } else { RunState::Open },
        })
        .collect();
    let mut waiting: VecDeque<usize> = (0..runs.len()).filter(|&place| runs[place].state == RunState::Open).collect();
    let total = runs.len();
    let mut done = total - waiting.len();
    progress(&format!("{total} runs, {done} of them finished before"));
    let mut working: Vec<Working> = Vec::new();
    while !(waiting.is_empty() && working.is_empty()) {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping {
            waiting.clear();
            working.iter_mut().for_each(Working::ask_to_stop);
        }
        while working.len() < jobs
            && let Some(place) = waiting.pop_front()
        {
            let (experiment, seed, path) = &planned[place];
            let threads = share_of_cores(experiment, jobs);
            working.push(Working::start(place, experiment, Some(*seed), path, program, threads)?);
        }
        let mut still = Vec::new();
        for mut one in working {
            let Some(state) = one.poll()? else {
                still.push(one);
                continue;
            };
            let run = &mut runs[one.place];
            done += 1;
            let said = match &state {
                RunState::Failed(reason) => format!("failed: {reason}"),
                RunState::Open => "interrupted".to_owned(),
                _ => format!("finished in {:.0} s", one.since.elapsed().as_secs_f64()),
            };
            progress(&format!("{done}/{total}  {} seed {}: {said}", run.experiment, run.seed));
            run.state = state;
        }
        working = still;
        thread::sleep(POLL);
    }
    Ok(runs)
}

/// Threads of a run beside `jobs` − 1 others, where the study does not say.
fn share_of_cores(experiment: &Experiment, jobs: usize) -> Option<usize> {
    let says = experiment.settings.iter().any(|(key, _)| key == "threads");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (jobs > 1 && !says).then(|| (cores / jobs).max(1))
}

/// Whether the run in `path` has taken all of its steps and made its last evaluation.
fn is_finished(path: &Path) -> bool {
    let facts = crate::experiment::Experiment::read(path);
    let last = path.join("last");
    let evaluated = fs::read_link(&last).is_ok_and(|target| !target.to_string_lossy().contains("before"));
    facts.is_ok_and(|facts| {
        Checkpoint::open(&last).is_ok_and(|checkpoint| checkpoint.manifest.step >= facts.total_steps && evaluated)
    })
}

/// A run that was made with other settings is none of this study.
fn check_settings(experiment: &Experiment, path: &Path) -> Result<(), TrainError> {
    let file = path.join(SETTINGS_FILE);
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let saved: Value = serde_json::from_str(&text).map_err(|error| TrainError::state(&file, error.to_string()))?;
    let now = Value::Object(experiment.table());
    if saved == now {
        return Ok(());
    }
    let [saved, now] = [&saved, &now].map(|value| value.as_object().cloned().unwrap_or_default());
    let keys = saved.keys().chain(now.keys().filter(|key| !saved.contains_key(*key)));
    let changed: Vec<String> = keys
        .filter(|key| saved.get(*key) != now.get(*key))
        .map(|key| {
            let text = |value: Option<&Value>| value.map_or_else(|| "unset".to_owned(), Value::to_string);
            format!("{key} was {} and is {}", text(saved.get(key)), text(now.get(key)))
        })
        .collect();
    let problem = format!("was made with other settings ({}); choose another --out, or delete it", changed.join(", "));
    Err(TrainError::state(path, problem))
}
