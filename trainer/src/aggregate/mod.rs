//! Many runs in one table: `trainer aggregate`. A row for each run, a row for each group of runs with intervals over its
//! seeds, the differences between groups, and their curves. Runs that are not finished count with what they have.

mod report;
mod runs;
mod statistics;

use std::path::Path;

use serde_json::Value;

pub(crate) use report::{COLOURS, curves};
pub use report::{Written, write_report};
pub use runs::{RESULTS, RunRow, read_runs};
pub use statistics::{Summary, Welch};

use crate::TrainError;

/// Runs that are alike in what they are grouped by.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Values of what they are grouped by.
    pub key: Vec<String>,
    /// Places of the runs in the list.
    pub members: Vec<usize>,
}

impl Group {
    /// The values in one word.
    pub fn name(&self) -> String {
        if self.key.is_empty() { "all".to_owned() } else { self.key.join(", ") }
    }

    /// A result over the runs of the group that have it.
    pub fn summary(&self, runs: &[RunRow], result: &str) -> Option<Summary> {
        let values: Vec<f64> =
            self.members.iter().filter_map(|&member| runs[member].results.get(result).copied()).collect();
        Summary::of(&values)
    }
}

/// The groups of `runs` by the columns `by`, in the order of their values; numbers by value.
///
/// # Errors
/// When no run has such a column, with the nearest names.
pub fn group(runs: &[RunRow], by: &[String]) -> Result<Vec<Group>, TrainError> {
    for column in by {
        if !runs.iter().any(|run| run.settings.contains_key(column)) {
            let known = runs.iter().flat_map(|run| run.settings.keys());
            let nearest = known.max_by(|left, right| {
                strsim::jaro_winkler(column, left).total_cmp(&strsim::jaro_winkler(column, right))
            });
            let nearest = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            return Err(TrainError::setting(
                "--group-by",
                format!("`{column}` is not a setting of these runs{nearest}"),
            ));
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for (member, run) in runs.iter().enumerate() {
        let key: Vec<String> = by.iter().map(|column| run.cell(column)).collect();
        match groups.iter_mut().find(|group| group.key == key) {
            Some(group) => group.members.push(member),
            None => groups.push(Group { key, members: vec![member] }),
        }
    }
    groups.sort_by(|left, right| {
        let sorted = left.key.iter().zip(&right.key).map(|(left, right)| by_value(left, right));
        sorted.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    Ok(groups)
}

fn by_value(left: &str, right: &str) -> std::cmp::Ordering {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right),
        _ => left.cmp(right),
    }
}

/// Reads the runs below `paths`, groups them and writes tables and figures into `out`.
///
/// # Errors
/// When a run cannot be read, a column is unknown, or the disk refuses.
pub fn aggregate(paths: &[std::path::PathBuf], by: &[String], out: &Path) -> Result<Written, TrainError> {
    let runs = read_runs(paths)?;
    let groups = group(&runs, by)?;
    write_report(&runs, &groups, by, out)
}

/// Columns in which runs differ, besides those that always do.
pub(crate) fn varying(runs: &[RunRow]) -> Vec<String> {
    const OWN: [&str; 12] = [
        "timestamp",
        "hostname",
        "git_commit",
        "git_dirty",
        "build_git_commit",
        "run_name",
        "project_name",
        "checkpoint_path",
        "experiment_id",
        "seed",
        "final_epoch",
        "final_step",
    ];
    let Some(first) = runs.first() else { return Vec::new() };
    let differs =
        |key: &String| runs.iter().any(|run| run.settings.get(key).unwrap_or(&Value::Null) != &first.settings[key]);
    first.settings.keys().filter(|key| !OWN.contains(&key.as_str()) && differs(key)).cloned().collect()
}
