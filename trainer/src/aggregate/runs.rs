//! Runs as rows: what each was (`experiment.json`, `config.json`) and what came out of it (`metrics.csv`).
//! Owns finding runs and the names of columns; leaves groups and tables to its siblings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::TrainError;
use crate::export_metrics::{WideRow, wide_rows};
use crate::logger::CSV_FILE;
use crate::run_directory::CONFIG_FILE;

/// Folders below those that are named which are searched for runs.
const MAX_DEPTH: usize = 6;
/// What a run is compared by.
pub const RESULTS: [&str; 8] = [
    "final_train_loss",
    "final_train_accuracy",
    "final_train_exact_accuracy",
    "final_val_accuracy",
    "best_val_accuracy",
    "final_val_exact_accuracy",
    "best_val_exact_accuracy",
    "seconds",
];

/// A run as a row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its folder.
    pub path: PathBuf,
    /// Facts of `experiment.json`, then settings of `config.json` under their full keys (`arch.hidden_size`).
    pub settings: Map<String, Value>,
    /// Results, by name; those that were not measured yet are absent.
    pub results: BTreeMap<&'static str, f64>,
    /// All evaluations.
    pub history: Vec<WideRow>,
}

impl RunRow {
    /// Reads the run in `path`.
    ///
    /// # Errors
    /// When a file of it is malformed.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let mut settings = table(&path.join(crate::experiment::EXPERIMENT_FILE))?.unwrap_or_default();
        flatten("", &Value::Object(table(&path.join(CONFIG_FILE))?.unwrap_or_default()), &mut settings);
        let history = if path.join(CSV_FILE).is_file() { wide_rows(path)? } else { Vec::new() };
        let results = results(&history);
        if let Some(last) = history.last() {
            settings.insert("final_epoch".into(), json!(last.epoch));
            settings.insert("final_step".into(), json!(last.step));
        }
        Ok(Self { path: path.to_owned(), settings, results, history })
    }

    /// The text of a column: a setting or a result; empty where the run has none.
    pub fn cell(&self, column: &str) -> String {
        match (self.results.get(column), self.settings.get(column)) {
            (Some(value), _) => value.to_string(),
            (None, Some(Value::String(text))) => text.clone(),
            (None, Some(Value::Null) | None) => String::new(),
            (None, Some(value)) => value.to_string(),
        }
    }
}

/// The runs that `paths` name: folders of runs, or folders with runs somewhere below, each once and in order.
///
/// # Errors
/// When a path has no run, or a run is malformed.
pub fn read_runs(paths: &[PathBuf]) -> Result<Vec<RunRow>, TrainError> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        find(path, 0, &mut found)?;
        if found.len() == before {
            return Err(TrainError::state(path, "holds no run (a folder with config.json and metrics.csv)"));
        }
    }
    found.sort();
    found.dedup();
    found.iter().map(|path| RunRow::read(path)).collect()
}

fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), TrainError> {
    if path.join(CONFIG_FILE).is_file() && path.join(CSV_FILE).is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(TrainError::io(path))? {
        let entry = entry.map_err(TrainError::io(path))?;
        // Links lead to checkpoints, or in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}

fn results(history: &[WideRow]) -> BTreeMap<&'static str, f64> {
    let last = |get: fn(&WideRow) -> Option<f64>| history.iter().rev().find_map(get);
    let best = |get: fn(&WideRow) -> Option<f64>| history.iter().filter_map(get).max_by(f64::total_cmp);
    let seconds: Vec<f64> = history.iter().filter_map(|row| row.seconds).collect();
    let values = [
        ("final_train_loss", last(|row| row.train_loss)),
        ("final_train_accuracy", last(|row| row.train_accuracy)),
        ("final_train_exact_accuracy", last(|row| row.train_exact_accuracy)),
        ("final_val_accuracy", last(|row| row.val_accuracy)),
        ("best_val_accuracy", best(|row| row.val_accuracy)),
        ("final_val_exact_accuracy", last(|row| row.val_exact_accuracy)),
        ("best_val_exact_accuracy", best(|row| row.val_exact_accuracy)),
        ("seconds", (!seconds.is_empty()).then(|| seconds.iter().sum())),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn table(path: &Path) -> Result<Option<Map<String, Value>>, TrainError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
    serde_json::from_str(&text).map(Some).map_err(|error| TrainError::state(path, error.to_string()))
}

/// Facts come first: a setting of the same name says the same, before it was resolved.
fn flatten(prefix: &str, value: &Value, into: &mut Map<String, Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&full, value, into);
            }
        }
        value => _ = into.entry(prefix).or_insert_with(|| value.clone()),
    }
}
