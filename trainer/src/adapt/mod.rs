//! `trainer adapt`: a trained ARC model, or none, learns tasks that it does not know from their demonstrations.
//!
//! An adaptation is a training run with a prepared data set: the tasks' augmentations, a puzzle table whose rows are the
//! mean of the old ones, and a trunk that stands still for the first quarter of the steps. Owns the order of these, and
//! how long the run may be; leaves the loop itself to [`crate::pretrain`], augmentations to `datasets`.

mod arguments;
mod base;
mod folder;
mod pace;
mod plan;
mod progress;
mod settings;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

pub use arguments::{AdaptArguments, run};
use base::Base;
use folder::{AdaptFolder, Record};
use pace::{Clock, Ending, Watcher};
use plan::Plan;
pub use progress::{PROGRESS_FILE, Phase, Progress};
pub use tasks::TaskChoice;

use crate::TrainError;
use crate::config::Override;
use crate::pretrain::{Outcome, pretrain};

/// Augmented copies of each task where none are asked for: as many as vote on an answer by default, the task besides.
pub const DEFAULT_NUM_AUG: usize = 32;
/// Steps where neither steps nor minutes are given, on a model that is trained already.
pub const DEFAULT_STEPS: u64 = 2_000;
/// The same for a model that begins with nothing.
pub const DEFAULT_SCRATCH_STEPS: u64 = 4_000;
/// Most steps where only minutes are given.
pub const MOST_STEPS: u64 = 12_500;

/// What is adapted to what, for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptRequest {
    /// Folder of the checkpoint to begin with; `None`: a small model from nothing.
    pub checkpoint: Option<PathBuf>,
    /// The new tasks.
    pub tasks: TaskChoice,
    /// Folder of the result, and of all that is needed to go on.
    pub output: PathBuf,
    /// Longest time that all processes of this adaptation together may take.
    pub time: Option<Duration>,
    /// Augmented copies of each task.
    pub num_aug: usize,
    /// Most optimizer steps.
    pub steps: Option<u64>,
    /// Seed of augmentations and training.
    pub seed: u32,
    /// Further settings of the training run, which win over the defaults.
    pub overrides: Vec<Override>,
}

/// How an adaptation came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdaptOutcome {
    /// The checkpoint is there.
    Finished {
        /// Its folder.
        checkpoint: PathBuf,
        /// The data set that numbers the rows of its puzzle table.
        data: PathBuf,
        /// Optimizer steps taken.
        steps: u64,
    },
    /// Asked to stop; the same request goes on.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// Adapts as `request` says, or goes on with an adaptation that was interrupted; a finished one is left as it is. `stop`
/// ends it before the next step, with everything saved. `say` receives lines for people.
///
/// # Errors
/// When the checkpoint, the tasks or a setting does not fit, before anything is written; when the output folder holds
/// something else; when disk or numbers fail.
pub fn adapt(
    request: &AdaptRequest,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<AdaptOutcome, TrainError> {
    let begun = Instant::now();
    let base = Base::open(request.checkpoint.as_deref())?;
    let tasks = request.tasks.read()?;
    tasks.check(base.takes_same_size_only(request.checkpoint.is_none()))?;
    let config = settings::resolve(request, &base)?;
    base.check(&config.arch)?;
    let record = Record::new(request, &base, &tasks)?;

    let folder = AdaptFolder::open(&request.output, &record)?;
    if let Some(steps) = folder.finished()? {
        say(&format!("{} is adapted already; choose another --output to adapt anew", request.output.display()));
        return Ok(AdaptOutcome::Finished { checkpoint: folder.checkpoint(), data: folder.data(), steps });
    }
    let earlier = folder.progress().unwrap_or_default();
    let clock = Clock::new(begun, earlier.elapsed(), request.time);
    folder.write_progress(&Progress { elapsed_seconds: clock.spent().as_secs_f64(), ..earlier })?;
    folder.build_data(&tasks, request)?;
    say(&tasks.summary(request.num_aug));

    let run = folder.run();
    let freezes = request.checkpoint.is_some();
    let mut plan = folder.plan()?.unwrap_or_else(|| Plan::first(request, freezes));
    loop {
        folder.write_plan(&plan)?;
        let settings = plan.apply(&config, &request.overrides);
        let resumed = run.join(crate::run_directory::CONFIG_FILE).is_file().then_some(run.as_path());
        let mut watcher = Watcher::new(&folder, &plan, &clock, stop, say);
        let outcome = pretrain(&settings, resumed, &watcher.halt(), &mut watcher)?;
        match (outcome, watcher.ending()?) {
            (Outcome::Finished { checkpoint }, _) => {
                folder.publish(&checkpoint, &base)?;
                let steps = plan.steps;
                let done = Progress { phase: Phase::Finished, step: steps, steps, ..Progress::at(&clock) };
                folder.write_progress(&Progress { eta_seconds: Some(0.0), ..done })?;
                return Ok(AdaptOutcome::Finished { checkpoint: folder.checkpoint(), data: folder.data(), steps });
            }
            (Outcome::Interrupted { step, .. }, Some(Ending::Replanned(steps))) => plan = plan.changed(steps, step),
            (Outcome::Interrupted { step, .. }, _) => return Ok(AdaptOutcome::Interrupted { step }),
        }
    }
}
