//! What a study file asks for: shared settings, experiments by list or by grid, seeds. Owns the file's form; leaves what a
//! setting means to `config`, and the form of the recursion study to `recursion_form`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::recursion_form;
use crate::TrainError;
use crate::config::{Override, read_settings};

/// Most runs of a study: a grid that is larger was not meant.
const MAX_RUNS: usize = 10_000;

/// Settings by their full keys, in order.
pub type Settings = Vec<(String, Value)>;

/// A study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Its name: the file's, unless the file says otherwise.
    pub name: String,
    /// What is trained, each for every seed.
    pub experiments: Vec<Experiment>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
}

/// Settings under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Its name, which is a folder's, too.
    pub name: String,
    /// All of its settings, shared ones first; of two with the same key the later counts.
    pub settings: Settings,
}

impl Experiment {
    /// The settings by their dotted keys, each once.
    pub fn table(&self) -> Map<String, Value> {
        self.settings.iter().cloned().collect()
    }
}

impl Study {
    /// Reads a TOML or YAML file; `overrides` are settings of every run, after the file's.
    ///
    /// # Errors
    /// When the file is malformed or asks for nothing.
    pub fn read(path: &Path, overrides: &[Override]) -> Result<Self, TrainError> {
        let Value::Object(mut root) = read_settings(path)? else {
            return Err(TrainError::state(path, "is not a table of settings"));
        };
        let refused = |problem: String| TrainError::state(path, problem);
        let mut notes = Vec::new();
        if recursion_form::is_one(&root) {
            root = recursion_form::translate(&root, overrides, &mut notes).map_err(refused)?;
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = match root.shift_remove("name") {
            None => stem,
            Some(Value::String(name)) => name,
            Some(other) => return Err(refused(format!("name: {other} is not text"))),
        };
        let seeds = seeds(root.shift_remove("seeds")).map_err(refused)?;
        let listed = root.shift_remove("experiments");
        let grid = root.shift_remove("grid");
        let mut shared = Settings::new();
        flatten("", &Value::Object(root), &mut shared);
        let variations = match (listed, grid) {
            (Some(_), Some(_)) => return Err(refused("has both experiments and a grid; keep one of them".into())),
            (Some(listed), None) => listed_experiments(&listed).map_err(refused)?,
            (None, Some(grid)) => grid_experiments(&grid).map_err(refused)?,
            (None, None) => vec![Experiment { name: name.clone(), settings: Vec::new() }],
        };
        let overridden = overrides.iter().map(|change| (change.key.clone(), change.value.clone()));
        let experiments: Vec<Experiment> = variations
            .into_iter()
            .map(|variation| {
                let settings = shared.iter().cloned().chain(variation.settings).chain(overridden.clone());
                Experiment { name: variation.name, settings: settings.collect() }
            })
            .collect();
        check_names(&experiments).map_err(refused)?;
        if experiments.len() * seeds.len() > MAX_RUNS {
            return Err(refused(format!("asks for {} runs, at most {MAX_RUNS}", experiments.len() * seeds.len())));
        }
        Ok(Self { name, experiments, seeds, notes })
    }

    /// Every run: experiment, seed, and its folder below `out`.
    pub fn runs(&self, out: &Path) -> Vec<(&Experiment, u64, PathBuf)> {
        let runs = self.experiments.iter().flat_map(|experiment| {
            let folder = out.join("runs").join(&experiment.name);
            self.seeds.iter().map(move |&seed| (experiment, seed, folder.join(format!("seed-{seed}"))))
        });
        runs.collect()
    }
}

fn seeds(value: Option<Value>) -> Result<Vec<u64>, String> {
    let Some(value) = value else { return Ok(vec![0]) };
    let list: Option<Vec<u64>> = value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
    match list {
        Some(list) if !list.is_empty() => Ok(list),
        _ => Err(format!("seeds: {value} is not a list of numbers; write seeds = [0, 1, 2]")),
    }
}

/// `[[experiments]]`: a name and whatever differs.
fn listed_experiments(listed: &Value) -> Result<Vec<Experiment>, String> {
    let form = "write [[experiments]] with a name and settings";
    let list = listed.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| format!("experiments is not a list of tables; {form}"))?;
    let experiment = |entry: &Value| {
        let mut table = entry.as_object().cloned().ok_or_else(|| format!("{entry} is not an experiment; {form}"))?;
        let Some(Value::String(name)) = table.shift_remove("name") else {
            return Err(format!("{entry} has no name; {form}"));
        };
        let mut settings = Settings::new();
        flatten("", &Value::Object(table), &mut settings);
        Ok(Experiment { name, settings })
    };
    list.iter().map(experiment).collect()
}

/// `[grid]`: every combination of the listed values, the last key's fastest.
fn grid_experiments(grid: &Value) -> Result<Vec<Experiment>, String> {
    let mut axes = Settings::new();
    flatten("", grid, &mut axes);
    let mut experiments = vec![Experiment { name: String::new(), settings: Vec::new() }];
    for (key, values) in &axes {
        let values = values.as_array().filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| format!("grid.{key} is not a list of values; write {key} = [1, 2]"))?;
        experiments = experiments
            .iter()
            .flat_map(|experiment| {
                values.iter().map(|value| {
                    let short = key.rsplit('.').next().unwrap_or(key);
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let dash = if experiment.name.is_empty() { "" } else { "-" };
                    let name = format!("{}{dash}{short}-{text}", experiment.name);
                    let settings = experiment.settings.iter().cloned().chain([(key.clone(), value.clone())]);
                    Experiment { name, settings: settings.collect() }
                })
            })
            .collect();
        if experiments.len() > MAX_RUNS {
            return Err(format!("the grid has more than {MAX_RUNS} points"));
        }
    }
    if axes.is_empty() { Err("grid is empty; list the values of at least one key".into()) } else { Ok(experiments) }
}

/// Names are folders, and each is one.
fn check_names(experiments: &[Experiment]) -> Result<(), String> {
    for (place, experiment) in experiments.iter().enumerate() {
        let name = &experiment.name;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(format!("{name:?} is not a name for a folder"));
        }
        if experiments[..place].iter().any(|earlier| earlier.name == *name) {
            return Err(format!("two experiments are called {name:?}"));
        }
    }
    Ok(())
}

/// Tables become dotted keys; lists, evaluators among them, are values.
pub(crate) fn flatten(prefix: &str, value: &Value, into: &mut Settings) {
    let Some(table) = value.as_object() else {
        into.push((prefix.to_owned(), value.clone()));
        return;
    };
    for (key, value) in table {
        flatten(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, into);
    }
}
