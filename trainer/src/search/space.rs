//! What a search file asks for: shared settings, the ranges that are searched, and how. Owns the file's form and the numbers
//! that Optuna stores values as; leaves what a setting means to `config`.

use std::path::Path;

use optimizer::distribution::{CategoricalDistribution, Distribution, FloatDistribution, IntDistribution};
use optimizer::param::ParamValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::TrainError;
use crate::config::{Override, read_settings};
use crate::study::{Settings, flatten};

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Its name: the file's, unless the file says otherwise.
    pub name: String,
    /// Settings of every trial.
    pub shared: Settings,
    /// What is searched, in the order of the file.
    pub space: Vec<Dimension>,
    /// How.
    pub options: SearchOptions,
}

/// The table `[hpo]` of a search file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchOptions {
    /// Trials in all.
    pub trials: u64,
    /// Seed of the sampler.
    pub seed: u64,
    /// Metric of the evaluations of which the greatest counts.
    pub metric: String,
    /// Trials that are drawn at random before the sampler models the space, and that must be complete before one is pruned.
    pub startup_trials: usize,
    /// Evaluations of a trial before it may be pruned.
    pub warmup_evaluations: u64,
    /// Trained weights; a trial with more than a fifth above or below is pruned before it trains.
    pub parameter_budget: Option<usize>,
}

impl Default for SearchOptions {
    /// Optuna's median pruner with the benchmark's start-up trials and warm-up.
    fn default() -> Self {
        Self {
            trials: 20,
            seed: 0,
            metric: "exact_accuracy".into(),
            startup_trials: 5,
            warmup_evaluations: 3,
            parameter_budget: None,
        }
    }
}

/// A setting that is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// Its full key.
    pub key: String,
    /// Its values.
    pub range: Range,
}

/// The values of a dimension.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Real numbers from `low` to `high`.
    Float {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
        /// Whether every factor is as likely as another.
        log: bool,
    },
    /// Integers from `low` to `high` in steps.
    Int {
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
        /// Distance of neighbours.
        step: i64,
        /// Whether every factor is as likely as another.
        log: bool,
    },
    /// One of a list.
    Choice(Vec<Value>),
}

/// Ranges and options have no other keys.
const RANGE_KEYS: [&str; 4] = ["low", "high", "log", "step"];

impl Search {
    /// Reads a TOML or YAML file; `overrides` are settings of every trial, after the file's.
    ///
    /// # Errors
    /// When the file is malformed or searches nothing.
    pub fn read(path: &Path, overrides: &[Override]) -> Result<Self, TrainError> {
        let Value::Object(mut root) = read_settings(path)? else {
            return Err(TrainError::state(path, "is not a table of settings"));
        };
        let refused = |problem: String| TrainError::state(path, problem);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = match root.shift_remove("name") {
            None => stem,
            Some(Value::String(name)) => name,
            Some(other) => return Err(refused(format!("name: {other} is not text"))),
        };
        let options = root.shift_remove("hpo").unwrap_or_else(|| json!({}));
        let options: SearchOptions =
            serde_path_to_error::deserialize(options).map_err(|error| refused(format!("hpo.{error}")))?;
        let Some(Value::Object(space)) = root.shift_remove("space") else {
            return Err(refused("has no table [space] of what to search".into()));
        };
        let mut dimensions = Vec::new();
        dimensions_of("", &space, &mut dimensions).map_err(refused)?;
        if dimensions.is_empty() || options.trials == 0 {
            return Err(refused("searches nothing: [space] is empty or hpo.trials is 0".into()));
        }
        let mut shared = Settings::new();
        flatten("", &Value::Object(root), &mut shared);
        shared.extend(overrides.iter().map(|change| (change.key.clone(), change.value.clone())));
        Ok(Self { name, shared, space: dimensions, options })
    }

    /// The settings of a trial with one value for each dimension.
    pub fn settings(&self, values: &[Value]) -> Settings {
        let searched = self.space.iter().zip(values).map(|(dimension, value)| (dimension.key.clone(), value.clone()));
        self.shared.iter().cloned().chain(searched).collect()
    }
}

fn dimensions_of(prefix: &str, table: &Map<String, Value>, into: &mut Vec<Dimension>) -> Result<(), String> {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) if !inner.contains_key("low") => dimensions_of(&key, inner, into)?,
            value => {
                let range = Range::of(value).map_err(|problem| format!("space.{key}: {problem}"))?;
                into.push(Dimension { key, range });
            }
        }
    }
    Ok(())
}

impl Range {
    fn of(value: &Value) -> Result<Self, String> {
        const FORM: &str =
            "write [1, 2, 4], { low = 1e-5, high = 1e-3, log = true } or { low = 2, high = 8, step = 2 }";
        let table = match value {
            Value::Array(choices) if choices.is_empty() => return Err(format!("has no values; {FORM}")),
            Value::Array(choices) => return Ok(Self::Choice(choices.clone())),
            Value::Object(table) => table,
            other => return Err(format!("{other} is not a range; {FORM}")),
        };
        if let Some(key) = table.keys().find(|key| !RANGE_KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key `{key}`; {FORM}"));
        }
        let log = table.get("log").is_some_and(|log| *log == Value::Bool(true));
        let bounds = ["low", "high"].map(|name| table.get(name));
        let range = match bounds.map(|bound| bound.and_then(Value::as_i64)) {
            [Some(low), Some(high)] => {
                let step = table.get("step").map_or(Some(1), Value::as_i64).filter(|step| *step > 0);
                let step = step.ok_or_else(|| format!("step must be a whole number above 0; {FORM}"))?;
                Self::Int { low, high, step, log }
            }
            _ => match bounds.map(|bound| bound.and_then(Value::as_f64)) {
                [Some(low), Some(high)] => Self::Float { low, high, log },
                _ => return Err(format!("low and high must be numbers; {FORM}")),
            },
        };
        let (low, high) = match range {
            Self::Int { low, high, .. } => (low as f64, high as f64),
            Self::Float { low, high, .. } => (low, high),
            Self::Choice(_) => return Ok(range),
        };
        if !(low <= high && low.is_finite() && high.is_finite()) || (log && low <= 0.0) {
            return Err(format!("{low} to {high} is empty, or not above 0 under log; {FORM}"));
        }
        Ok(range)
    }

    /// As the sampler takes it.
    pub(super) fn distribution(&self) -> Distribution {
        match self {
            &Self::Float { low, high, log } => {
                Distribution::Float(FloatDistribution { low, high, log_scale: log, step: None })
            }
            &Self::Int { low, high, step, log } => {
                Distribution::Int(IntDistribution { low, high, log_scale: log, step: (step > 1).then_some(step) })
            }
            Self::Choice(choices) => Distribution::Categorical(CategoricalDistribution { n_choices: choices.len() }),
        }
    }

    /// The number that Optuna stores a sampled value as: itself, or its place among the choices.
    pub(super) fn internal(sampled: &ParamValue) -> f64 {
        match *sampled {
            ParamValue::Float(value) => value,
            ParamValue::Int(value) => value as f64,
            ParamValue::Categorical(place) => place as f64,
        }
    }

    /// The sampler's value of such a number.
    pub(super) fn sampled(&self, internal: f64) -> ParamValue {
        match self {
            Self::Float { .. } => ParamValue::Float(internal),
            Self::Int { .. } => ParamValue::Int(internal as i64),
            Self::Choice(_) => ParamValue::Categorical(internal as usize),
        }
    }

    /// The setting of such a number; `None` when it is not a value of the range.
    pub(super) fn value(&self, internal: f64) -> Option<Value> {
        match self {
            &Self::Float { low, high, .. } => (low..=high).contains(&internal).then(|| json!(internal)),
            &Self::Int { low, high, .. } => {
                let value = internal as i64;
                ((value as f64 - internal).abs() < f64::EPSILON && (low..=high).contains(&value)).then(|| json!(value))
            }
            Self::Choice(choices) => choices.get(internal as usize).cloned(),
        }
    }

    /// Optuna's description of the range, which it stores with every value.
    pub(super) fn description(&self) -> String {
        let (name, attributes) = match self {
            Self::Float { low, high, log } => {
                ("FloatDistribution", json!({"step": null, "low": low, "high": high, "log": log}))
            }
            Self::Int { low, high, step, log } => {
                ("IntDistribution", json!({"log": log, "step": step, "low": low, "high": high}))
            }
            Self::Choice(choices) => {
                ("CategoricalDistribution", json!({"choices": choices.iter().map(plain).collect::<Vec<_>>()}))
            }
        };
        json!({"name": name, "attributes": attributes}).to_string()
    }
}

/// Optuna's choices are plain values; lists and tables are written as text.
fn plain(value: &Value) -> Value {
    if value.is_array() || value.is_object() { json!(value.to_string()) } else { value.clone() }
}
