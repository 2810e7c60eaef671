//! `datasets show --task`: the sheet of an ARC task out of a dataset folder, with the attempts of a submission.
//! Owns the reading of submissions; leaves tasks to [`datasets::arc`] and the sheet to [`datasets::picture`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use datasets::arc::{Grid, read_tasks};
use datasets::picture::{Attempts, task_sheet};

use super::files;

const MAX_SUBMISSION_BYTES: u64 = 64 << 20;

/// `{task: [{"attempt_1": rows, "attempt_2": rows}, …]}`, an object per test pair.
type Submission = BTreeMap<String, Vec<BTreeMap<String, Vec<Vec<u8>>>>>;

/// Draws a task of `test_puzzles.json` (or of a file like it) into a PNG file.
pub(super) fn write(dataset: &Path, name: &str, submission: Option<&Path>, png: &Path) -> anyhow::Result<()> {
    let file = if dataset.is_dir() { dataset.join("test_puzzles.json") } else { dataset.to_owned() };
    let tasks = read_tasks(&file)?;
    let Some(task) = tasks.iter().find(|task| task.id == name) else {
        let first = tasks.first().map_or("no task", |task| task.id.as_str());
        bail!(
            "--task: expected one of the {} tasks of {} (such as {first}), found {name:?}",
            tasks.len(),
            file.display()
        );
    };
    let attempts = match submission {
        Some(path) => read_attempts(path, name).with_context(|| path.display().to_string())?,
        None => Vec::new(),
    };
    ensure!(
        attempts.is_empty() || attempts.len() == task.test.len(),
        "--submission: expected attempts at the {} test inputs of {name}, found {}",
        task.test.len(),
        attempts.len()
    );
    let train: Vec<(Grid, Grid)> = task.train.iter().map(|pair| (pair.input.clone(), pair.output.clone())).collect();
    let mut attempts = attempts.into_iter();
    let test: Vec<Attempts> = task
        .test
        .iter()
        .map(|pair| Attempts {
            input: pair.input.clone(),
            solution: Some(pair.output.clone()),
            attempts: attempts.next().unwrap_or_default(),
        })
        .collect();
    files::write(png, &task_sheet(name, &train, &test)?.to_png()?)
}

/// The attempts at each test pair of a task, in the order of their names.
fn read_attempts(path: &Path, task: &str) -> anyhow::Result<Vec<Vec<Grid>>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_SUBMISSION_BYTES + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= MAX_SUBMISSION_BYTES, "expected at most {MAX_SUBMISSION_BYTES} bytes, found more");
    let mut submission: Submission = serde_json::from_slice(&text).context("expected a submission")?;
    let Some(pairs) = submission.remove(task) else { bail!("expected attempts at task {task:?}, found none") };
    let grids = |pair: BTreeMap<String, Vec<Vec<u8>>>| {
        pair.into_iter()
            .map(|(name, rows)| Grid::from_rows(&rows).with_context(|| format!("task {task:?}, {name}")))
            .collect()
    };
    pairs.into_iter().map(grids).collect()
}
