//! The state of a search in Optuna's journal: a JSON object a line, appended and never changed, which Optuna and its dashboard
//! open (`JournalStorage` over a `JournalFileBackend`). Owns the file; leaves what the numbers mean to `space`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::TrainError;

/// Operations of the journal that a search needs.
mod op {
    pub(super) const CREATE_STUDY: u64 = 0;
    pub(super) const CREATE_TRIAL: u64 = 4;
    pub(super) const SET_PARAMETER: u64 = 5;
    pub(super) const SET_STATE: u64 = 6;
    pub(super) const REPORT: u64 = 7;
    pub(super) const SET_ATTRIBUTE: u64 = 8;
}

/// Optuna's number of the direction that all searches have.
const MAXIMIZE: u64 = 2;
const WORKER: &str = "trainer-hpo";
/// The attribute that says why a trial has no value.
const REASON: &str = "reason";

/// How a trial stands, by Optuna's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialState {
    /// It trains, or was interrupted.
    Running = 0,
    /// It has a value.
    Complete = 1,
    /// It was ended early.
    Pruned = 2,
    /// Its run failed.
    Failed = 3,
}

/// A trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number, from 0.
    pub number: u64,
    /// Searched keys with the numbers that their values are stored as.
    pub parameters: Vec<(String, f64)>,
    /// The metric at its evaluations, counted from 1.
    pub reports: Vec<(u64, f64)>,
    /// How it stands.
    pub state: TrialState,
    /// What counts, once it is complete.
    pub value: Option<f64>,
    /// Why it has none.
    pub reason: Option<String>,
}

/// The journal of a search.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    pub(crate) trials: Vec<Trial>,
}

impl Journal {
    /// Opens the journal at `path`, or begins one for the study `name`. A line that a kill cut short is removed.
    ///
    /// # Errors
    /// When the disk refuses, or the file is not a journal of this study.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, TrainError> {
        let mut bytes = match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(TrainError::io(path))?,
        };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        let text = String::from_utf8(bytes).map_err(|_| TrainError::state(path, "is not UTF-8"))?;
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::io(path))?;
        file.set_len(whole as u64).map_err(TrainError::io(path))?;
        let mut journal = Self { path: path.to_owned(), file, trials: Vec::new() };
        for (line, number) in text.lines().zip(1..) {
            let entry = serde_json::from_str::<Value>(line).ok();
            entry.and_then(|entry| journal.replay(&entry, name)).ok_or_else(|| {
                TrainError::state(
                    path,
                    format!("line {number} is not an entry of the search {name}; choose another --out"),
                )
            })?;
        }
        if text.is_empty() {
            journal.append(op::CREATE_STUDY, json!({"study_name": name, "directions": [MAXIMIZE]}))?;
        }
        Ok(journal)
    }

    /// Takes in an entry of the file; `None` when it does not belong there.
    fn replay(&mut self, entry: &Value, name: &str) -> Option<()> {
        let operation = entry.get("op_code")?.as_u64()?;
        if operation == op::CREATE_STUDY {
            return (entry.get("study_name")? == name && entry["directions"] == json!([MAXIMIZE])).then_some(());
        }
        if operation == op::CREATE_TRIAL {
            self.trials.push(Trial::begun(self.trials.len() as u64));
            return Some(());
        }
        let Some(number) = entry.get("trial_id").and_then(Value::as_u64) else {
            // Attributes of the study, which other programs may have set.
            return Some(());
        };
        let trial = self.trials.get_mut(number as usize)?;
        match operation {
            op::SET_PARAMETER => {
                let value = entry.get("param_value_internal")?.as_f64()?;
                trial.parameters.push((entry.get("param_name")?.as_str()?.to_owned(), value));
            }
            op::REPORT => {
                trial.reports.push((entry.get("step")?.as_u64()?, entry.get("intermediate_value")?.as_f64()?));
            }
            op::SET_STATE => {
                trial.state = TrialState::numbered(entry.get("state")?.as_u64()?)?;
                trial.value = entry["values"].get(0).and_then(Value::as_f64);
            }
            op::SET_ATTRIBUTE => {
                let reason = entry["user_attr"].get(REASON).and_then(Value::as_str).map(str::to_owned);
                trial.reason = reason.or(trial.reason.take());
            }
            _ => {}
        }
        Some(())
    }

    /// Begins a trial.
    pub(crate) fn begin(&mut self) -> Result<u64, TrainError> {
        let number = self.trials.len() as u64;
        self.append(op::CREATE_TRIAL, json!({"study_id": 0, "datetime_start": now()}))?;
        self.trials.push(Trial::begun(number));
        Ok(number)
    }

    /// Notes the number that a key's value is stored as, and what it may be.
    pub(crate) fn set(&mut self, number: u64, key: &str, value: f64, distribution: &str) -> Result<(), TrainError> {
        let entry = json!({
            "trial_id": number, "param_name": key, "param_value_internal": value, "distribution": distribution,
        });
        self.append(op::SET_PARAMETER, entry)?;
        self.trials[number as usize].parameters.push((key.to_owned(), value));
        Ok(())
    }

    /// Notes the metric at evaluation number `step`.
    pub(crate) fn report(&mut self, number: u64, step: u64, value: f64) -> Result<(), TrainError> {
        self.append(op::REPORT, json!({"trial_id": number, "step": step, "intermediate_value": value}))?;
        self.trials[number as usize].reports.push((step, value));
        Ok(())
    }

    /// Ends a trial.
    pub(crate) fn end(
        &mut self,
        number: u64,
        state: TrialState,
        value: Option<f64>,
        reason: Option<&str>,
    ) -> Result<(), TrainError> {
        let attribute = reason.map(|reason| json!({"trial_id": number, "user_attr": {REASON: reason}}));
        let values = value.map(|value| vec![value]);
        let ended = json!({"trial_id": number, "state": state as u64, "values": values, "datetime_complete": now()});
        let attribute = attribute.map(|entry| (op::SET_ATTRIBUTE, entry));
        self.append_all(attribute.into_iter().chain([(op::SET_STATE, ended)]))?;
        let trial = &mut self.trials[number as usize];
        (trial.state, trial.value, trial.reason) = (state, value, reason.map(str::to_owned));
        Ok(())
    }

    fn append(&mut self, operation: u64, entry: Value) -> Result<(), TrainError> {
        self.append_all([(operation, entry)])
    }

    /// Appends entries in one write, so that a kill leaves all of them or none.
    fn append_all(&mut self, entries: impl IntoIterator<Item = (u64, Value)>) -> Result<(), TrainError> {
        let mut lines = String::new();
        for (operation, mut entry) in entries {
            entry["op_code"] = operation.into();
            entry["worker_id"] = WORKER.into();
            lines.push_str(&entry.to_string());
            lines.push('\n');
        }
        self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data()).map_err(TrainError::io(&self.path))
    }
}

impl Trial {
    fn begun(number: u64) -> Self {
        Self {
            number,
            parameters: Vec::new(),
            reports: Vec::new(),
            state: TrialState::Running,
            value: None,
            reason: None,
        }
    }

    /// The number that a key's value is stored as.
    pub fn parameter(&self, key: &str) -> Option<f64> {
        self.parameters.iter().find(|(name, _)| name == key).map(|&(_, value)| value)
    }
}

impl TrialState {
    fn numbered(number: u64) -> Option<Self> {
        [Self::Running, Self::Complete, Self::Pruned, Self::Failed].into_iter().find(|&state| state as u64 == number)
    }

    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
        }
    }
}

/// As Python's `datetime.isoformat` writes UTC without a zone.
fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string().trim_end_matches('Z').to_owned()
}
