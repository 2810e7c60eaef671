//! The files of jobs. Each has a folder of its own, which appears whole; what is in it tells how far the job is, so that
//! another server finds its way.
//!
//! ```text
//! DIR/ID/job.json       what is adapted, since when
//! DIR/ID/ID.json        the task as it was sent
//! DIR/ID/adapted/       what `trainer adapt` makes
//! DIR/ID/log.txt        what it says
//! DIR/ID/answer.json    the attempts, when the job is done
//! DIR/ID/problem.txt    why there are none, when it has failed
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use datasets::arc::{ARC_DATA_FOLDER, SentTask};
use engine::registry::ServedModel;
use files::FileError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{JobError, JobId, JobOptions};

const RECORD_FILE: &str = "job.json";
const ANSWER_FILE: &str = "answer.json";
const PROBLEM_FILE: &str = "problem.txt";
const LOG_FILE: &str = "log.txt";
const ADAPTED: &str = "adapted";
/// `progress.json` of `trainer adapt`.
const PROGRESS_FILE: &str = "progress.json";
/// Largest file that is read: answers have a few grids.
const MOST_BYTES: u64 = 1 << 22;

/// The folder of all jobs.
pub(super) struct Store {
    folder: PathBuf,
}

/// What a job adapts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JobRecord {
    /// Checkpoint folder that it begins with; nothing where a small model begins with nothing.
    pub(super) base: Option<PathBuf>,
    /// Longest time.
    pub(super) minutes: f64,
    /// Further arguments of the trainer, which must stay the same.
    pub(super) settings: Vec<String>,
    /// Name of the model, for logs.
    model: String,
    /// Seconds since 1970.
    created: u64,
}

/// How a job has ended.
pub(super) enum Outcome {
    Answer(Value),
    Problem(String),
}

/// What `trainer adapt` tells of itself, as far as jobs care.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
pub(super) struct Progress {
    pub(super) step: u64,
    pub(super) steps: u64,
    pub(super) elapsed_seconds: f64,
    pub(super) eta_seconds: Option<f64>,
}

impl JobRecord {
    pub(super) fn new(base: Option<&ServedModel>, options: &JobOptions) -> Result<Self, JobError> {
        let (minutes, settings) = (options.minutes, options.settings.clone());
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let Some(model) = base else {
            return Ok(Self { base: None, minutes, settings, model: "scratch".to_owned(), created });
        };
        let Some(directory) = &model.directory else {
            return Err(JobError::Unfit(format!("model {:?} has no folder to learn from", model.card.name)));
        };
        // Links such as `last` lead elsewhere when their run goes on.
        let base = directory.canonicalize().map_err(FileError::new("find", directory))?;
        Ok(Self { base: Some(base), minutes, settings, model: model.card.name.clone(), created })
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, JobError> {
        fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
        let folder = folder.canonicalize().map_err(FileError::new("find", folder))?;
        Ok(Self { folder })
    }

    /// All jobs that lie there, the oldest first.
    pub(super) fn scan(&self) -> Result<Vec<(JobId, JobRecord, Option<Outcome>)>, JobError> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(FileError::new("read", &self.folder))? {
            let name = entry.map_err(FileError::new("read", &self.folder))?.file_name();
            // Whatever else lies there is none of ours.
            let Some(id) = name.to_str().and_then(|name| name.parse::<JobId>().ok()) else { continue };
            let path = self.path(id);
            let record =
                read(&path.join(RECORD_FILE)).and_then(|bytes| serde_json::from_slice::<JobRecord>(&bytes).ok());
            let Some(record) = record else {
                tracing::warn!("{} holds no job that can be read, and is left alone", path.display());
                continue;
            };
            jobs.push((id, record, self.outcome(id)));
        }
        jobs.sort_by_key(|(id, record, _)| (record.created, *id));
        Ok(jobs)
    }

    fn outcome(&self, id: JobId) -> Option<Outcome> {
        let answer = read(&self.path(id).join(ANSWER_FILE)).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let problem = || read(&self.path(id).join(PROBLEM_FILE)).and_then(|bytes| String::from_utf8(bytes).ok());
        answer.map(Outcome::Answer).or_else(|| problem().map(Outcome::Problem))
    }

    /// Makes the folder of a job, in place of that of a former one.
    pub(super) fn create(&self, id: JobId, record: &JobRecord, sent: &SentTask) -> Result<(), JobError> {
        let mut task = json!(sent.task);
        // What was not sent is not known; a task in memory has a black cell there.
        for (pair, has_output) in task["test"].as_array_mut().into_iter().flatten().zip(&sent.has_output) {
            if let (false, Some(pair)) = (*has_output, pair.as_object_mut()) {
                pair.remove("output");
            }
        }
        let write = |path: PathBuf, value: &Value| -> Result<(), FileError> { files::write(&path, value.to_string()) };
        Ok(files::write_folder(&self.path(id), |folder| {
            write(folder.join(task_file(id)), &task)?;
            write(folder.join(RECORD_FILE), &json!(record))
        })?)
    }

    /// The task of a job, as it was sent.
    pub(super) fn task(&self, id: JobId) -> Option<SentTask> {
        serde_json::from_slice(&read(&self.task_path(id))?).ok()
    }

    pub(super) fn task_path(&self, id: JobId) -> PathBuf {
        self.path(id).join(task_file(id))
    }

    pub(super) fn adapted(&self, id: JobId) -> PathBuf {
        self.path(id).join(ADAPTED)
    }

    pub(super) fn log(&self, id: JobId) -> PathBuf {
        self.path(id).join(LOG_FILE)
    }

    /// The checkpoint and the data set of a job that is done.
    pub(super) fn result(&self, id: JobId) -> (PathBuf, PathBuf) {
        let adapted = self.adapted(id);
        let data = adapted.join(ARC_DATA_FOLDER);
        (adapted, data)
    }

    pub(super) fn progress(&self, id: JobId) -> Option<Progress> {
        serde_json::from_slice(&read(&self.adapted(id).join(PROGRESS_FILE))?).ok()
    }

    pub(super) fn write_answer(&self, id: JobId, answer: &Value) -> Result<(), JobError> {
        Ok(files::write(&self.path(id).join(ANSWER_FILE), answer.to_string())?)
    }

    pub(super) fn write_problem(&self, id: JobId, problem: &str) -> Result<(), JobError> {
        Ok(files::write(&self.path(id).join(PROBLEM_FILE), problem)?)
    }

    /// Removes what only training needs: the run and the examples. Names and tasks stay.
    pub(super) fn tidy(&self, id: JobId) {
        let (adapted, data) = self.result(id);
        discard(fs::remove_dir_all(adapted.join("run")), &adapted);
        for split in ["train", "test"] {
            let entries = fs::read_dir(data.join(split)).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                if path.extension().is_some_and(|extension| extension == "npy") {
                    discard(fs::remove_file(&path), &path);
                }
            }
        }
    }

    /// Removes everything of a job.
    pub(super) fn remove(&self, id: JobId) {
        let path = self.path(id);
        discard(fs::remove_dir_all(&path), &path);
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.folder.join(id.to_string())
    }
}

fn task_file(id: JobId) -> String {
    format!("{id}.json")
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::metadata(path).ok()?.len();
    if bytes > MOST_BYTES { None } else { fs::read(path).ok() }
}

/// A file that cannot be removed stays; the log names it.
fn discard(result: std::io::Result<()>, path: &Path) {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
        _ => {}
    }
}
