//! A search for hyper-parameters: `trainer hpo`. Trials run one after the other, each a process of its own; values come from a
//! tree-structured Parzen estimator, and trials that fall behind the median are ended early. All state lies in the journal
//! and in the runs' folders, so that a search that was killed goes on where it was, with the values that it would have drawn.

mod journal;
mod space;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use optimizer::param::ParamValue;
use optimizer::parameter::ParamId;
use optimizer::pruner::{MedianPruner, Pruner};
use optimizer::sampler::{CompletedTrial, Sampler, TpeSampler};
use optimizer::{Direction, TrialState as OptimizerState};
use serde_json::{Map, Value};

pub use journal::{Trial, TrialState};
pub use space::{Dimension, Range, Search, SearchOptions};

use self::journal::Journal;
use crate::TrainError;
use crate::config::{Override, PretrainConfig};
use crate::data::TrainingData;
use crate::logger::{CSV_FILE, EVAL_PHASE};
use crate::study::{Experiment, POLL, RunState, Working};

/// Optuna's journal, in the folder of a search.
pub const JOURNAL_FILE: &str = "journal.log";
/// Share of the parameter budget that a trial may lie above or below.
const BUDGET_TOLERANCE: f64 = 0.2;

/// Runs the trials of `search` that are missing below `out`, each by `program pretrain`; tells `progress` what happens in a
/// line. Ends early when `stop` becomes true; the run under way saves first, and goes on when the search does.
///
/// # Errors
/// When `out` holds another search, or the disk or the system refuses. A run that fails is not an error of the search.
pub fn run_search(
    search: &Search,
    out: &Path,
    program: &Path,
    stop: &AtomicBool,
    mut progress: impl FnMut(&str),
) -> Result<Vec<Trial>, TrainError> {
    fs::create_dir_all(out).map_err(TrainError::io(out))?;
    let mut journal = Journal::open(&out.join(JOURNAL_FILE), &search.name)?;
    let ids: Vec<ParamId> = search.space.iter().map(|_| ParamId::new()).collect();
    while !stop.load(Ordering::Relaxed) {
        let open = journal.trials.iter().find(|trial| trial.state == TrialState::Running).map(|trial| trial.number);
        let number = match open {
            Some(number) => number,
            None if journal.trials.len() as u64 >= search.options.trials => break,
            None => journal.begin()?,
        };
        draw(search, &mut journal, &ids, number)?;
        let ended = run_trial(search, &mut journal, number, out, program, stop)?;
        let trial = &journal.trials[number as usize];
        let value = trial.value.map_or_else(String::new, |value| format!("  {} {value:.4}", search.options.metric));
        let reason = trial.reason.as_deref().map_or_else(String::new, |reason| format!("  ({reason})"));
        let state = if ended { trial.state.name() } else { "interrupted" };
        progress(&format!("trial {}/{}: {state}{value}{reason}", number + 1, search.options.trials));
    }
    Ok(journal.trials)
}

/// Draws the values of trial `number`, those that a kill kept from the journal.
fn draw(search: &Search, journal: &mut Journal, ids: &[ParamId], number: u64) -> Result<(), TrainError> {
    // A sampler of its own for each trial: what it draws depends on the trials before alone.
    let sampler =
        TpeSampler::builder().seed(search.options.seed).n_startup_trials(search.options.startup_trials).build();
    let sampler = sampler.map_err(|error| TrainError::setting("hpo", error.to_string()))?;
    for (dimension, &id) in search.space.iter().zip(ids) {
        let history = history(&journal.trials, Some((dimension, id)));
        let drawn = sampler.sample(&dimension.range.distribution(), number, &history);
        if journal.trials[number as usize].parameter(&dimension.key).is_none() {
            journal.set(number, &dimension.key, Range::internal(&drawn), &dimension.range.description())?;
        }
    }
    Ok(())
}

/// Trials that have ended as the sampler and the pruner take them, which make values small; one without a value is worse than
/// all others. The sampler tells dimensions apart by their ranges, so that it gets one at a time.
fn history(trials: &[Trial], dimension: Option<(&Dimension, ParamId)>) -> Vec<CompletedTrial> {
    let finished = trials.iter().filter(|trial| trial.state != TrialState::Running);
    finished
        .map(|trial| {
            let value = trial.value.or(last_report(trial)).unwrap_or(f64::NEG_INFINITY);
            let (mut values, mut ranges): (HashMap<ParamId, ParamValue>, HashMap<ParamId, _>) = Default::default();
            if let Some((dimension, id)) = dimension
                && let Some(internal) = trial.parameter(&dimension.key)
            {
                values.insert(id, dimension.range.sampled(internal));
                ranges.insert(id, dimension.range.distribution());
            }
            let mut completed = CompletedTrial::new(trial.number, values, ranges, HashMap::new(), -value);
            completed.intermediate_values = trial.reports.iter().map(|&(step, value)| (step, -value)).collect();
            let is_complete = trial.state == TrialState::Complete;
            completed.state = if is_complete { OptimizerState::Complete } else { OptimizerState::Pruned };
            completed
        })
        .collect()
}

fn last_report(trial: &Trial) -> Option<f64> {
    trial.reports.last().map(|&(_, value)| value)
}

/// Trains a trial to its end, or until it is pruned; false when `stop` interrupted it.
fn run_trial(
    search: &Search,
    journal: &mut Journal,
    number: u64,
    out: &Path,
    program: &Path,
    stop: &AtomicBool,
) -> Result<bool, TrainError> {
    let path = trial_directory(out, number);
    let values = values_of(search, &journal.trials[number as usize])?;
    let experiment = Experiment { name: format!("trial {number}"), settings: search.settings(&values) };
    if let Some(reason) = refusal(search, &experiment)? {
        journal.end(number, TrialState::Pruned, None, Some(&reason))?;
        return Ok(true);
    }
    let pruner = MedianPruner::new(Direction::Minimize)
        .n_warmup_steps(search.options.warmup_evaluations + 1)
        .n_min_trials(search.options.startup_trials);
    let mut run = Working::start(number as usize, &experiment, None, &path, program, None)?;
    let mut is_behind = false;
    loop {
        let ended = run.poll()?;
        for (step, value) in evaluations(&path, &search.options.metric) {
            if step <= journal.trials[number as usize].reports.len() as u64 {
                continue;
            }
            journal.report(number, step, value)?;
            let reports: Vec<(u64, f64)> =
                journal.trials[number as usize].reports.iter().map(|&(step, value)| (step, -value)).collect();
            is_behind |= pruner.should_prune(number, step, &reports, &history(&journal.trials, None));
        }
        match ended {
            None if is_behind || stop.load(Ordering::Relaxed) => run.ask_to_stop(),
            None => {}
            Some(RunState::Failed(reason)) => {
                journal.end(number, TrialState::Failed, None, Some(&reason))?;
                return Ok(true);
            }
            Some(RunState::Open) if !is_behind => return Ok(false),
            Some(RunState::Open) => {
                journal.end(number, TrialState::Pruned, None, Some("behind the median of the trials before"))?;
                return Ok(true);
            }
            Some(RunState::Finished | RunState::Kept) => {
                let reports = journal.trials[number as usize].reports.iter().map(|&(_, value)| value);
                if let Some(best) = reports.max_by(f64::total_cmp) {
                    journal.end(number, TrialState::Complete, Some(best), None)?;
                } else {
                    let reason = format!("no evaluation gave {}", search.options.metric);
                    journal.end(number, TrialState::Failed, None, Some(&reason))?;
                }
                return Ok(true);
            }
        }
        thread::sleep(POLL);
    }
}

/// The folder of a trial's run.
pub fn trial_directory(out: &Path, number: u64) -> PathBuf {
    out.join("trials").join(format!("{number:04}"))
}

/// The settings that a trial's numbers stand for.
fn values_of(search: &Search, trial: &Trial) -> Result<Vec<Value>, TrainError> {
    let value = |dimension: &Dimension| {
        let found = trial.parameter(&dimension.key).and_then(|internal| dimension.range.value(internal));
        found.ok_or_else(|| {
            let problem = format!("trial {} has no value in the range of the file; choose another --out", trial.number);
            TrainError::setting(dimension.key.as_str(), problem)
        })
    };
    search.space.iter().map(value).collect()
}

/// Why a trial is not worth training: too many or too few weights for the budget.
fn refusal(search: &Search, experiment: &Experiment) -> Result<Option<String>, TrainError> {
    let Some(budget) = search.options.parameter_budget else { return Ok(None) };
    let overrides: Vec<Override> =
        experiment.settings.iter().map(|(key, value)| Override { key: key.clone(), value: value.clone() }).collect();
    let config = PretrainConfig::resolve(&[], &overrides)?;
    let dims = TrainingData::open(&config, 0, 1)?.dims(&config.arch)?;
    let specs = config.arch.parameter_specs(&dims)?;
    let trained = specs.iter().filter(|spec| spec.kind == models::ParameterKind::Weight);
    let count: usize = trained.map(models::ParameterSpec::element_count).sum();
    let share = count as f64 / budget as f64 - 1.0;
    Ok((share.abs() > BUDGET_TOLERANCE).then(|| format!("{count} weights, budget {budget} ± 20 %")))
}

/// The metric at each evaluation that a run has logged, counted from 1.
fn evaluations(path: &Path, metric: &str) -> Vec<(u64, f64)> {
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(path.join(CSV_FILE)) else {
        return Vec::new();
    };
    // A row that is being written has fewer fields or a number that is cut short; it is read again later.
    let rows = reader
        .records()
        .map_while(Result::ok)
        .filter(|row| row.len() == 4 && row.get(1) == Some(EVAL_PHASE) && row.get(2) == Some(metric));
    rows.filter_map(|row| row.get(3)?.parse().ok()).zip(1..).map(|(value, number)| (number, value)).collect()
}

/// Writes `trials.csv`, `report.md` and, once a trial is complete, `best_ARCHITECTURE.toml`, which `pretrain --config` takes;
/// gives the report.
///
/// # Errors
/// When the disk refuses.
pub fn write_search(search: &Search, trials: &[Trial], out: &Path) -> Result<String, TrainError> {
    let header: Vec<String> = ["trial", "state", search.options.metric.as_str()]
        .into_iter()
        .chain(search.space.iter().map(|dimension| dimension.key.as_str()))
        .chain(["evaluations", "reason"])
        .map(str::to_owned)
        .collect();
    let row = |trial: &Trial| {
        let value = trial.value.or(last_report(trial)).map_or_else(String::new, |value| format!("{value:.4}"));
        let mut cells = vec![trial.number.to_string(), trial.state.name().to_owned(), value];
        cells.extend(search.space.iter().map(|dimension| {
            let value = trial.parameter(&dimension.key).and_then(|internal| dimension.range.value(internal));
            value.map_or_else(String::new, |value| shown(&value))
        }));
        cells.extend([trial.reports.len().to_string(), trial.reason.clone().unwrap_or_default()]);
        cells
    };
    let rows: Vec<Vec<String>> = trials.iter().map(row).collect();
    let mut text = csv::Writer::from_writer(Vec::new());
    let problem = |error: csv::Error| TrainError::state(out, error.to_string());
    text.write_record(&header).map_err(problem)?;
    rows.iter().try_for_each(|row| text.write_record(row)).map_err(problem)?;
    let text = text.into_inner().map_err(|error| TrainError::state(out, error.to_string()))?;
    files::write(&out.join("trials.csv"), &text)?;

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header).add_rows(rows);
    let mut report = format!("# {}\n\n{table}\n", search.name);
    let complete = trials.iter().filter(|trial| trial.state == TrialState::Complete);
    // Of equal ones the first.
    let best =
        complete.rev().max_by(|left, right| left.value.unwrap_or(f64::NAN).total_cmp(&right.value.unwrap_or(f64::NAN)));
    if let Some(best) = best {
        let settings = search.settings(&values_of(search, best)?);
        let file = write_best(&settings, out)?;
        let value = best.value.unwrap_or(f64::NAN);
        let of = &search.options.metric;
        let number = best.number;
        report = format!(
            "{report}\nBest: trial {number}, {of} {value:.4}. Its settings: `trainer pretrain --config {file}`.\n"
        );
    }
    files::write(&out.join("report.md"), report.as_bytes())?;
    Ok(report)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => format!("{:.4e}", number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The settings as a TOML file, named after their architecture.
fn write_best(settings: &[(String, Value)], out: &Path) -> Result<String, TrainError> {
    let mut root = Map::new();
    for (key, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        let mut table = &mut root;
        let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let inner = table.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            table = inner.as_object_mut().expect("it was made a table");
        }
        table.insert(name.to_owned(), value.clone());
    }
    let architecture = root.get("arch").and_then(|arch| arch.get("name").or(Some(arch))).and_then(Value::as_str);
    let file = out.join(format!("best_{}.toml", architecture.unwrap_or("trm").replace(['/', '\\'], "-")));
    let text = toml::to_string(&root).map_err(|error| TrainError::state(&file, error.to_string()))?;
    files::write(&file, text.as_bytes())?;
    Ok(file.display().to_string())
}
