//! What one process of a run keeps on disk: the folder, its log, probes and checkpoints. Of several ranks the first alone
//! has it. Owns these files; leaves when to write them to the loop.

use std::path::{Path, PathBuf};

use models::Manifest;

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::learner::Learner;
use crate::logger::Logger;
use crate::probe_files::RunProbes;
use crate::run_directory::RunDirectory;
use crate::run_evaluation::Found;
use crate::state::{self, Standing};

/// The files of a run.
pub(crate) struct Keeper {
    pub(crate) directory: RunDirectory,
    pub(crate) manifest: Manifest,
    pub(crate) logger: Logger,
    pub(crate) probes: Option<RunProbes>,
}

impl Keeper {
    /// The folder of the run that `config` describes: a new one, or that of `resume`, claimed.
    ///
    /// # Errors
    /// When there is a run already, or none to resume, or another process writes it.
    pub(crate) fn claim(config: &PretrainConfig, resume: Option<&Path>) -> Result<RunDirectory, TrainError> {
        let Some(path) = resume else { return RunDirectory::create(config.run_directory()) };
        let directory = RunDirectory::open(path)?;
        directory.claim()?;
        Ok(directory)
    }

    /// Logs what an evaluation found and looks into the model.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn evaluated(&mut self, phase: &str, found: &Found, learner: &Learner) -> Result<(), TrainError> {
        self.logger.write(learner.step, phase, &found.entries().collect::<Vec<_>>())?;
        if let Some(probes) = &self.probes {
            probes.run(learner)?;
        }
        self.manifest.metrics = found.entries().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(())
    }

    /// Writes the checkpoint of the learner's step, with the states of the `others`.
    ///
    /// # Errors
    /// When the disk refuses; the last checkpoint is then as it was.
    pub(crate) fn save(&mut self, learner: &Learner, standing: Standing, others: &[Vec<u8>]) -> Result<(), TrainError> {
        self.logger.sync()?;
        state::save_with(&self.checkpoint(learner.step, standing), learner, self.manifest.clone(), standing, others)
    }

    /// Makes the checkpoint of `step` the last one, and deletes those that are neither linked nor to `keep`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn link_and_prune(
        &self,
        step: u64,
        standing: Standing,
        keep: impl Fn(u64) -> bool,
    ) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint(step, standing);
        self.directory.mark_last(&checkpoint)?;
        if standing.best.is_some_and(|best| best.step == step) {
            self.directory.mark_best(&checkpoint)?;
        }
        self.directory.prune(keep)
    }

    /// Where the checkpoint of `step` lies.
    fn checkpoint(&self, step: u64, standing: Standing) -> PathBuf {
        if standing.evaluation_due {
            self.directory.checkpoint_before_evaluation(step)
        } else {
            self.directory.checkpoint(step)
        }
    }
}
