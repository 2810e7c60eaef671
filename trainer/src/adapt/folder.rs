//! The output folder of an adaptation. Owns what lies in it and when: what was asked, the data set, the run, how far it is,
//! and at the end the checkpoint, whose manifest comes last.
//!
//! ```text
//! DIR/adapt.json                         what was asked
//! DIR/arc-data/                          the data set, which numbers the rows of the puzzle table
//! DIR/run/                               the training run
//! DIR/plan.json, DIR/progress.json       steps, and where it stands
//! DIR/model.safetensors, manifest.json   the result, for --checkpoint
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use datasets::arc::{ARC_DATA_FOLDER, TaskSource, read_test_tasks};
use datasets::builder::arc::{ArcBuild, DEFAULT_TEST_SET_NAME2, TaskFilter, build};
use models::checkpoint::{MANIFEST_FILE, PlannedTensor, WEIGHTS_FILE, stream_tensors};
use models::{Checkpoint, ForwardDtype, Manifest, ParameterSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::plan::Plan;
use super::progress::{PROGRESS_FILE, Progress};
use super::tasks::ChosenTasks;
use super::{AdaptRequest, TaskChoice};
use crate::TrainError;

const RECORD_FILE: &str = "adapt.json";
const PLAN_FILE: &str = "plan.json";
const RUN: &str = "run";
/// The one subset of the data set; its test pairs are held out.
const SUBSET: &str = "evaluation";
/// How long a process that was asked to end may take to let go of the folder.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// What was asked: the same again goes on with the adaptation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    checkpoint: Option<PathBuf>,
    sha256: Option<String>,
    tasks: Vec<String>,
    num_aug: usize,
    steps: Option<u64>,
    seed: u32,
    overrides: Vec<(String, String)>,
}

/// The folder, for this process alone.
pub(super) struct AdaptFolder {
    path: PathBuf,
    /// The record, whose open file carries the lock; the system releases it with the process, however that ends.
    _lock: File,
}

/// Where the data set of an adaptation into `output` lies.
pub(super) fn data(output: &Path) -> PathBuf {
    output.join(ARC_DATA_FOLDER)
}

/// Where its run lies.
pub(super) fn run(output: &Path) -> PathBuf {
    output.join(RUN)
}

impl Record {
    pub(super) fn new(request: &AdaptRequest, base: &Base, tasks: &ChosenTasks) -> Result<Self, TrainError> {
        let TaskChoice { path, .. } = &request.tasks;
        let names: Vec<String> = tasks.tasks().iter().map(|task| task.id.clone()).collect();
        if names.is_empty() {
            return Err(TrainError::state(path, "holds no task"));
        }
        // How many threads compute is the machine's affair.
        let changes = request.overrides.iter().filter(|change| change.key != "threads");
        let changes = changes.map(|change| (change.key.clone(), change.value.to_string()));
        Ok(Self {
            checkpoint: base.identity().map(|(directory, _)| directory.to_owned()),
            sha256: base.identity().map(|(_, sha256)| sha256.to_owned()),
            tasks: names,
            num_aug: request.num_aug,
            steps: request.steps,
            seed: request.seed,
            overrides: changes.collect(),
        })
    }

    /// The first thing in which `asked` differs.
    fn difference(&self, asked: &Self) -> Option<&'static str> {
        [
            // A checkpoint may move; its weights are what it is.
            (self.sha256 != asked.sha256, "--checkpoint"),
            (self.tasks != asked.tasks, "--tasks"),
            (self.num_aug != asked.num_aug, "--num-aug"),
            (self.steps != asked.steps, "--steps"),
            (self.seed != asked.seed, "--seed"),
            (self.overrides != asked.overrides, "key=value settings"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

impl AdaptFolder {
    /// Creates the folder, or opens that of the same adaptation.
    ///
    /// # Errors
    /// When it holds something else or another adaptation, is in use, or the disk refuses.
    pub(super) fn open(path: &Path, record: &Record) -> Result<Self, TrainError> {
        let record_file = path.join(RECORD_FILE);
        match read_json::<Record>(&record_file)? {
            Some(earlier) => {
                if let Some(what) = earlier.difference(record) {
                    let problem = format!(
                        "holds an adaptation with another {what}; repeat its command to go on, or choose another --output"
                    );
                    return Err(TrainError::state(path, problem));
                }
            }
            None if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) => {
                let problem = "holds other files than those of an adaptation; choose an --output that is new or empty";
                return Err(TrainError::state(path, problem));
            }
            None => {}
        }
        fs::create_dir_all(path).map_err(TrainError::io(path))?;
        if !record_file.exists() {
            write_json(&record_file, record)?;
        }
        // Not the folder itself, which the builder of data sets locks.
        let lock = File::open(&record_file).map_err(TrainError::io(&record_file))?;
        wait_for(&lock, path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn data(&self) -> PathBuf {
        data(&self.path)
    }

    pub(super) fn run(&self) -> PathBuf {
        run(&self.path)
    }

    /// Where the result lies in the end.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.path.clone()
    }

    /// Steps of the result; `None` where it is not there yet.
    pub(super) fn finished(&self) -> Result<Option<u64>, TrainError> {
        let manifest = self.path.join(MANIFEST_FILE);
        if !manifest.is_file() {
            return Ok(None);
        }
        Ok(Some(Manifest::read(&manifest)?.step))
    }

    /// Builds the data set, where it is not there yet.
    ///
    /// # Errors
    /// When the tasks are others than those of the data set that is there, or the disk refuses.
    pub(super) fn build_data(&self, tasks: &ChosenTasks, request: &AdaptRequest) -> Result<(), TrainError> {
        let data = self.data();
        if data.is_dir() {
            if holds(&data, tasks)? {
                return Ok(());
            }
            let problem = "was built from other demonstrations under the same names; choose another --output";
            return Err(TrainError::state(data, problem));
        }
        let build_of_tasks = ArcBuild {
            source: TaskSource::Read(tasks.read.clone()),
            output_dir: data,
            subsets: vec![SUBSET.to_owned()],
            test_set_name: SUBSET.to_owned(),
            test_set_name2: DEFAULT_TEST_SET_NAME2.to_owned(),
            seed: request.seed,
            num_aug: request.num_aug,
            puzzle_identifiers_start: 1,
            names_only: false,
            tasks: TaskFilter::default(),
            overwrite: false,
        };
        build(&build_of_tasks, |_| ())?;
        Ok(())
    }

    /// The plan of an adaptation that has begun.
    pub(super) fn plan(&self) -> Result<Option<Plan>, TrainError> {
        read_json(&self.path.join(PLAN_FILE))
    }

    pub(super) fn write_plan(&self, plan: &Plan) -> Result<(), TrainError> {
        write_json(&self.path.join(PLAN_FILE), plan)
    }

    /// How far it is; `None` where that is not known.
    pub(super) fn progress(&self) -> Option<Progress> {
        read_json(&self.path.join(PROGRESS_FILE)).ok().flatten()
    }

    pub(super) fn write_progress(&self, progress: &Progress) -> Result<(), TrainError> {
        write_json(&self.path.join(PROGRESS_FILE), progress)
    }

    /// Copies the weights of `checkpoint`, a folder of the run, without its training state. The manifest comes last.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn publish(&self, checkpoint: &Path, base: &Base) -> Result<(), TrainError> {
        let checkpoint = Checkpoint::open(checkpoint)?;
        let manifest = &checkpoint.manifest;
        let manifest = Manifest { inference: base.inference(&manifest.arch), ..manifest.clone() };
        let dtype = ForwardDtype::Float32;
        let plan = |spec: &ParameterSpec| PlannedTensor { name: spec.name.clone(), dtype, shape: spec.shape.clone() };
        let plans = checkpoint.parameter_specs().iter().map(plan).collect();
        files::write_at(&self.path.join(WEIGHTS_FILE), |staging| {
            stream_tensors(staging, plans, |tensor, sink| {
                checkpoint.for_each_piece(&tensor.name, |values| sink.put(values))
            })
        })?;
        Ok(files::write(&self.path.join(MANIFEST_FILE), manifest.to_json().as_bytes())?)
    }
}

/// Whether a data set was built from these tasks; the builder shuffles them.
fn holds(data: &Path, tasks: &ChosenTasks) -> Result<bool, TrainError> {
    let mut built = read_test_tasks(data)?;
    let mut asked = tasks.tasks().to_vec();
    built.sort_by(|left, right| left.id.cmp(&right.id));
    asked.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(built == asked)
}

/// Takes the lock, waiting for a process that is about to end.
fn wait_for(lock: &File, path: &Path) -> Result<(), TrainError> {
    let begin = Instant::now();
    while let Err(TryLockError::WouldBlock) = lock.try_lock() {
        if begin.elapsed() > PATIENCE {
            return Err(TrainError::state(path, "is being adapted by another process; stop that one first"));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TrainError> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(TrainError::state(path, format!("is none of adapt's files: {error}; remove it"))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::io(path)(error)),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    Ok(files::write(path, text.as_bytes())?)
}
