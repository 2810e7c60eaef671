//! The tasks of an adaptation: read in any form, chosen by name and grids, checked against what the model can answer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use datasets::arc::{ArcTask, TaskSubset, find_tasks};
use datasets::builder::arc::TaskFilter;

use crate::TrainError;

/// Names that a message lists.
const SHOWN: usize = 3;

/// Which tasks to adapt to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskChoice {
    /// File or folder of tasks.
    pub path: PathBuf,
    /// The subset of a collection that has several.
    pub subset: Option<String>,
    /// Names of the tasks to take; empty: all.
    pub only: Vec<String>,
    /// Conditions on grids; tasks that do not fulfil them are left out.
    pub filter: TaskFilter,
}

/// The tasks themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChosenTasks {
    pub(super) read: TaskSubset,
    left_out: usize,
    path: PathBuf,
}

impl TaskChoice {
    /// Reads and chooses.
    ///
    /// # Errors
    /// When a file is malformed, a name is not there, or nothing is left.
    pub(super) fn read(&self) -> Result<ChosenTasks, TrainError> {
        let mut read = find_tasks(&self.path, self.subset.as_deref())?;
        if !self.only.is_empty() {
            let names: BTreeSet<&str> = read.tasks.iter().map(|task| task.id.as_str()).collect();
            let missing: Vec<&str> =
                self.only.iter().map(String::as_str).filter(|name| !names.contains(name)).collect();
            if !missing.is_empty() {
                let problem = format!("names tasks that {} does not hold: {}", self.path.display(), listed(&missing));
                return Err(TrainError::setting("--only", problem));
            }
            read.tasks.retain(|task| self.only.contains(&task.id));
        }
        let named = read.tasks.len();
        read.tasks.retain(|task| self.filter.takes(task, true));
        if read.tasks.is_empty() {
            let problem = format!("leave out all {named} tasks of {}; loosen them", self.path.display());
            return Err(TrainError::setting("--max-side and --same-size", problem));
        }
        let left_out = named - read.tasks.len();
        Ok(ChosenTasks { read, left_out, path: self.path.clone() })
    }
}

impl ChosenTasks {
    /// The tasks.
    pub(super) fn tasks(&self) -> &[ArcTask] {
        &self.read.tasks
    }

    /// Checks what a model of local mixing can answer, where `same_size_only`.
    pub(super) fn check(&self, same_size_only: bool) -> Result<(), TrainError> {
        let filter = TaskFilter { max_side: None, same_size: true };
        let others: Vec<&str> =
            self.tasks().iter().filter(|task| !filter.takes(task, true)).map(|task| task.id.as_str()).collect();
        if others.is_empty() || !same_size_only {
            return Ok(());
        }
        let problem = format!(
            "{} of {} tasks ({}) have outputs of another size than their inputs, which a model with arch.mixer=local \
             cannot draw; leave them out with --same-size, or name a --checkpoint of another mixer",
            others.len(),
            self.tasks().len(),
            listed(&others)
        );
        Err(TrainError::state(&self.path, problem))
    }

    /// What is adapted to, in a line.
    pub(super) fn summary(&self, num_aug: usize) -> String {
        let demonstrations: usize = self.tasks().iter().map(|task| task.train.len()).sum();
        let left_out = match self.left_out {
            0 => String::new(),
            count => format!(", {count} others left out"),
        };
        format!(
            "{} tasks with {demonstrations} demonstrations{left_out}, up to {num_aug} augmentations each",
            self.tasks().len()
        )
    }
}

fn listed(names: &[&str]) -> String {
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
