//! The folder of a run: `config.json`, `metrics.csv`, TensorBoard events, `step_N` checkpoints, and the links `last`
//! and `best`. Owns what is kept and what is deleted; leaves the content of checkpoints to `state`.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::state;

/// Resolved settings in a run.
pub(crate) const CONFIG_FILE: &str = "config.json";
const LAST: &str = "last";
const BEST: &str = "best";
/// Marks the checkpoint of a step whose evaluation was interrupted. It has a name of its own because the checkpoint with
/// the evaluation comes beside it: a folder cannot be replaced in one rename.
const BEFORE_EVALUATION: &str = "-before-evaluation";

/// The folder of one run.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Open folder that carries the lock; the system releases it with the process, however that ends.
    lock: File,
}

impl RunDirectory {
    /// Creates the folder of a new run, for this process alone.
    ///
    /// # Errors
    /// When it already holds a run, is in use, or cannot be created.
    pub fn create(path: PathBuf) -> Result<Self, TrainError> {
        if path.join(CONFIG_FILE).exists() {
            return Err(TrainError::state(
                &path,
                format!("already holds a run; continue it with resume={0}, or choose another run_name", path.display()),
            ));
        }
        fs::create_dir_all(&path).map_err(TrainError::io(&path))?;
        let lock = File::open(&path).map_err(TrainError::io(&path))?;
        let directory = Self { path, lock };
        directory.claim()?;
        Ok(directory)
    }

    /// Finds the run that `path` names: its folder, or a checkpoint in it (`run/last`). Changes nothing.
    ///
    /// # Errors
    /// When the folder holds no run.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let run = match path.parent() {
            Some(parent) if is_checkpoint_name(path) && !path.join(CONFIG_FILE).exists() => parent,
            _ => path,
        };
        let run = if run.as_os_str().is_empty() { Path::new(".") } else { run };
        if !run.join(CONFIG_FILE).is_file() {
            return Err(TrainError::state(path, "holds no config.json; name the folder of a run (checkpoints/…)"));
        }
        let lock = File::open(run).map_err(TrainError::io(run))?;
        Ok(Self { path: run.to_owned(), lock })
    }

    /// Keeps other processes from writing this run, and clears away what a killed one left half-written.
    ///
    /// # Errors
    /// When another process writes it, or the disk refuses.
    pub fn claim(&self) -> Result<(), TrainError> {
        // A file system without locks only loses this protection.
        if let Err(TryLockError::WouldBlock) = self.lock.try_lock() {
            return Err(TrainError::state(&self.path, "is being written by another process; stop that one first"));
        }
        files::remove_leftovers(&self.path);
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`: the resolved settings.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// When the disk refuses.
    ///
    /// # Panics
    /// Never: a config holds only what JSON can say.
    pub fn write_config(&self, config: &PretrainConfig) -> Result<(), TrainError> {
        let mut text = serde_json::to_string_pretty(config).expect("a config holds only JSON types");
        text.push('\n');
        Ok(files::write(&self.config_path(), text.as_bytes())?)
    }

    /// Where the checkpoint of `step` lies.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(step_name(step))
    }

    /// Where the checkpoint of `step` lies until its evaluation, which was interrupted, has been made.
    pub fn checkpoint_before_evaluation(&self, step: u64) -> PathBuf {
        self.path.join(step_name(step) + BEFORE_EVALUATION)
    }

    /// The newest checkpoint; `None` when the run ended before its first one was complete.
    ///
    /// # Errors
    /// When there is one that a run cannot be resumed from.
    pub fn last(&self) -> Result<Option<PathBuf>, TrainError> {
        let last = self.path.join(LAST);
        if fs::symlink_metadata(&last).is_err() {
            return Ok(None);
        }
        if state::is_resumable(&last) {
            return Ok(Some(last));
        }
        Err(TrainError::state(&last, "holds no training state to resume from; start a new run with load_checkpoint"))
    }

    /// Makes `checkpoint`, a folder of this run, the last one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn mark_last(&self, checkpoint: &Path) -> Result<(), TrainError> {
        self.link(LAST, checkpoint)
    }

    /// Makes `checkpoint`, a folder of this run, the best one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn mark_best(&self, checkpoint: &Path) -> Result<(), TrainError> {
        self.link(BEST, checkpoint)
    }

    /// Deletes every checkpoint but the last, the best and those of `keep`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prune(&self, keep: impl Fn(u64) -> bool) -> Result<(), TrainError> {
        let linked: Vec<PathBuf> =
            [LAST, BEST].iter().filter_map(|name| fs::read_link(self.path.join(name)).ok()).collect();
        for entry in self.entries()? {
            let Some(name) = entry.file_name().and_then(|name| name.to_str()) else { continue };
            let Some((step, evaluated)) = step_of(name) else { continue };
            let stays = (evaluated && keep(step)) || linked.iter().any(|target| target.as_os_str() == name);
            if !stays {
                fs::remove_dir_all(&entry).map_err(TrainError::io(&entry))?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<PathBuf>, TrainError> {
        fs::read_dir(&self.path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(TrainError::io(&self.path))
    }

    /// Replaces a link in one rename, so that it always leads to a whole checkpoint.
    fn link(&self, name: &str, checkpoint: &Path) -> Result<(), TrainError> {
        let staging = self.path.join(format!(".{name}.link"));
        match fs::remove_file(&staging) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(TrainError::io(&staging)(error)),
            _ => {}
        }
        let target = checkpoint.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(target, &staging).map_err(TrainError::io(&staging))?;
        let link = self.path.join(name);
        fs::rename(&staging, &link).map_err(TrainError::io(&link))
    }
}

/// Whether a path ends as the checkpoints of a run do.
fn is_checkpoint_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == LAST || name == BEST || step_of(name).is_some()
}

/// The step of a checkpoint's folder, and whether an evaluation that belongs to it has been made.
fn step_of(name: &str) -> Option<(u64, bool)> {
    let step = name.strip_prefix("step_")?;
    let before_evaluation = step.strip_suffix(BEFORE_EVALUATION);
    Some((before_evaluation.unwrap_or(step).parse().ok()?, before_evaluation.is_none()))
}

/// Name of the folder of a checkpoint.
pub(crate) fn step_name(step: u64) -> String {
    format!("step_{step}")
}
