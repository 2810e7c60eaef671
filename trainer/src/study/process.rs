//! A training run in a process of its own: started or gone on with, asked to stop, watched. Owns the command and its log; leaves
//! what the runs are for to studies and searches.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Experiment, RunState};
use crate::TrainError;
use crate::run_directory::RunDirectory;

/// What a run of a study finds in its environment: it ends when its standard input does, as it does when the study is killed.
pub const FOLLOWS_STUDY: &str = "TRAINER_FOLLOWS_STUDY";

/// Settings that a run was made with, as the study file said.
pub(super) const SETTINGS_FILE: &str = "study_settings.json";
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How long a run of a study that was killed may take to end: a little more than a run takes after a signal.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run under way.
pub(crate) struct Working {
    /// Its place in the caller's list.
    pub(crate) place: usize,
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub(crate) since: Instant,
}

impl Working {
    /// Starts the run of `experiment` in `path`, or goes on with it; `seed` in place of that of its settings.
    ///
    /// # Errors
    /// When the disk or the system refuses.
    pub(crate) fn start(
        place: usize,
        experiment: &Experiment,
        seed: Option<u64>,
        path: &Path,
        program: &Path,
        threads: Option<usize>,
    ) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::io(path))?;
        let log = path.join("log.txt");
        let open = || OpenOptions::new().create(true).append(true).open(&log).map_err(TrainError::io(&log));
        let mut command = Command::new(program);
        command.arg("pretrain");
        if has_begun(path) {
            wait_until_free(path)?;
            command.arg(format!("resume={}", path.display()));
        } else {
            let settings = path.join(SETTINGS_FILE);
            write_settings(experiment, &settings)?;
            command.arg("--config").arg(&settings);
            command.args(seed.map(|seed| format!("seed={seed}")));
            command.arg(format!("checkpoint_path='{}'", path.display()));
        }
        command.args(threads.map(|threads| format!("threads={threads}")));
        command.env(FOLLOWS_STUDY, "1");
        command.stdin(Stdio::piped()).stdout(open()?).stderr(open()?);
        // Ctrl-C in the terminal reaches the study alone, which passes it on.
        command.process_group(0);
        let child = command.spawn().map_err(TrainError::io(program))?;
        Ok(Self { place, child, log, since: Instant::now() })
    }

    /// Closes the run's standard input, on which it saves and ends.
    pub(crate) fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn poll(&mut self) -> Result<Option<RunState>, TrainError> {
        let Some(status) = self.child.try_wait().map_err(TrainError::io(&self.log))? else { return Ok(None) };
        Ok(Some(match status.code() {
            Some(0) => RunState::Finished,
            Some(code) if code == i32::from(crate::stopping::INTERRUPTED) => RunState::Open,
            _ => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.lines().rev().find(|line| !line.trim().is_empty());
                RunState::Failed(last.map_or_else(|| status.to_string(), str::to_owned))
            }
        }))
    }
}

/// Whether a run in `path` can be resumed.
fn has_begun(path: &Path) -> bool {
    path.join(crate::run_directory::CONFIG_FILE).is_file()
}

/// A run of a study that was killed notices it, saves, and lets go of its folder.
fn wait_until_free(path: &Path) -> Result<(), TrainError> {
    let begin = Instant::now();
    loop {
        match RunDirectory::open(path)?.claim() {
            Err(_) if begin.elapsed() < PATIENCE => thread::sleep(POLL),
            result => return result,
        }
    }
}

fn write_settings(experiment: &Experiment, path: &Path) -> Result<(), TrainError> {
    let mut text = serde_json::to_string_pretty(&experiment.table()).unwrap_or_default();
    text.push('\n');
    File::create(path).map_err(TrainError::io(path))?;
    Ok(files::write(path, text.as_bytes())?)
}
