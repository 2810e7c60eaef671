//! The folder of a run: `config.json`, `metrics.csv`, TensorBoard events, `step_N` checkpoints, and the links `last`
//! and `best`. Owns what is kept and what is deleted; leaves the content of checkpoints to `state`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::state;

const CONFIG_FILE: &str = "config.json";
const LAST: &str = "last";
const BEST: &str = "best";

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates the folder of a new run.
    ///
    /// # Errors
    /// When it already holds a run, or cannot be created.
    pub fn create(path: PathBuf) -> Result<Self, TrainError> {
        let directory = Self { path };
        if directory.config_path().exists() {
            return Err(TrainError::state(
                &directory.path,
                format!(
                    "already holds a run; continue it with resume={0}, or choose another run_name",
                    directory.path.display()
                ),
            ));
        }
        fs::create_dir_all(&directory.path).map_err(TrainError::io(&directory.path))?;
        Ok(directory)
    }

    /// Opens the folder of an earlier run and clears away what a killed one left half-written.
    ///
    /// # Errors
    /// When the folder holds no run, or one that saved no checkpoint yet.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        // `resume=run/last` and `resume=run/step_500` mean the run as well.
        let path = if path.join(CONFIG_FILE).is_file() { path } else { path.parent().unwrap_or(path) };
        let directory = Self { path: path.to_owned() };
        if !directory.config_path().is_file() {
            return Err(TrainError::state(path, "holds no config.json; name the folder of a run (checkpoints/…)"));
        }
        for entry in directory.entries()? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(".tmp") {
                fs::remove_dir_all(&entry).map_err(TrainError::io(&entry))?;
            }
        }
        Ok(directory)
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
    pub fn write_config(&self, config: &PretrainConfig) -> Result<(), TrainError> {
        let mut text = serde_json::to_string_pretty(config).expect("a config holds only JSON types");
        text.push('\n');
        Ok(models::checkpoint::write_file_atomically(&self.config_path(), text.as_bytes())?)
    }

    /// Where the checkpoint of `step` lies.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(step_name(step))
    }

    /// The newest checkpoint that a run can be resumed from.
    ///
    /// # Errors
    /// When there is none.
    pub fn last(&self) -> Result<PathBuf, TrainError> {
        let last = self.path.join(LAST);
        if state::is_resumable(&last) {
            return Ok(last);
        }
        Err(TrainError::state(
            &self.path,
            "has no checkpoint to resume from; delete the folder and start the run again",
        ))
    }

    /// Makes the checkpoint of `step` the last one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn mark_last(&self, step: u64) -> Result<(), TrainError> {
        self.link(LAST, step)
    }

    /// Makes the checkpoint of `step` the best one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn mark_best(&self, step: u64) -> Result<(), TrainError> {
        self.link(BEST, step)
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
            let Some(step) = name.strip_prefix("step_").and_then(|step| step.parse::<u64>().ok()) else { continue };
            if !keep(step) && !linked.iter().any(|target| target.as_os_str() == name) {
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
    fn link(&self, name: &str, step: u64) -> Result<(), TrainError> {
        let staging = self.path.join(format!(".{name}.link"));
        match fs::remove_file(&staging) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(TrainError::io(&staging)(error)),
            _ => {}
        }
        std::os::unix::fs::symlink(step_name(step), &staging).map_err(TrainError::io(&staging))?;
        let link = self.path.join(name);
        fs::rename(&staging, &link).map_err(TrainError::io(&link))
    }
}

fn step_name(step: u64) -> String {
    format!("step_{step}")
}
