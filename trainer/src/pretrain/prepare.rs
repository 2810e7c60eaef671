//! Everything before a run's first step: data, model, an earlier state, the folder, and the other processes. Whatever
//! does not fit is refused before the folder changes.

use std::path::Path;

use models::{ArchitectureConfig, Checkpoint, Manifest, ModelDims};
use serde_json::json;
use tch::Device;

use super::{Observer, Run, Start, device_of_rank};
use crate::TrainError;
use crate::config::PretrainConfig;
use crate::data::TrainingData;
use crate::distributed::{Peers, Ranks};
use crate::experiment::{Experiment, RunFacts};
use crate::initial_weights::InitialWeights;
use crate::keeper::Keeper;
use crate::learner::Learner;
use crate::logger::Logger;
use crate::parameters::Parameters;
use crate::phases::PhaseClock;
use crate::probe_files::RunProbes;
use crate::run_directory::RunDirectory;
use crate::run_evaluation::RunEvaluation;
use crate::state::{self, RankState, Restored, Standing};
use crate::wandb::{self, Description, WandbRun};

/// Task of data that is none of the known ones, as imported checkpoints have it.
const UNKNOWN_TASK: &str = "unknown";

impl Run {
    pub(super) fn prepare(
        config: &PretrainConfig,
        start: &Start,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let environment = start.peers.map(|peers| &peers.environment);
        let place = environment.map_or((0, 1), |environment| (environment.rank, environment.world_size));
        let is_first = place.0 == 0;
        let mut data = TrainingData::open(config, place.0, place.1)?;
        let dims = data.dims(&config.arch)?;
        config.arch.validate(&dims)?;
        let device = device_of_rank(config.device, environment.map_or(0, |environment| environment.local_rank))?;
        if let Some(peers) = start.peers {
            check_that_ranks_agree(peers, config, dims, &data)?;
        }
        let initial = config.load_checkpoint.as_ref().filter(|_| start.resume.is_none() && is_first);
        let parameters = match initial {
            // A resumed run has its own weights; those it began with may be gone by now. Other ranks get rank 0's.
            Some(name) => InitialWeights::open(name)?.with_mean_puzzle_table(config.mean_puzzle_emb).parameters(
                &config.arch,
                &dims,
                device,
                config.seed,
                |warning| observer.warned(warning),
            )?,
            None => Parameters::initialised(&config.arch, &dims, device, config.seed)?,
        };
        let evaluation = RunEvaluation::of(config, is_first)?;
        let turns = data.turns(config)?;
        let settings = config.learner(dims, data.total_steps, place);
        let mut learner = Learner::taking_turns(settings, parameters, &turns, PhaseClock::default())?;
        learner.frozen_steps = config.freeze_weights_steps;
        if config.cuda_graphs {
            replay_steps(&mut learner)?;
        }
        let mut earlier = Earlier::default();
        let keeper = if is_first {
            let opening =
                Opening { config, start, dims, device, size: place.1, data: &mut data, evaluation: &evaluation };
            Some(opening.open(&mut learner, &mut earlier, observer)?)
        } else {
            None
        };
        let ranks = match start.peers {
            None => Ranks::alone(),
            Some(peers) => earlier.join(peers, device, &mut learner, &mut data)?,
        };
        learner.ranks = ranks.clone();
        let folder =
            keeper.as_ref().map_or_else(|| config.run_directory(), |keeper| keeper.directory.path().to_owned());
        let Earlier { standing, saved, .. } = earlier;
        let config = config.clone();
        let run = Self { config, ranks, folder, data, evaluation, learner, keeper, standing, saved };
        if run.saved.is_some() {
            // A kill right after a checkpoint leaves its links behind it.
            run.link_and_prune()?;
        }
        Ok(run)
    }
}

/// Records steps where there is a GPU to record them for.
fn replay_steps(learner: &mut Learner) -> Result<(), TrainError> {
    if !cfg!(feature = "cuda") || !matches!(learner.device(), Device::Cuda(_)) {
        let problem = "is set, but this run has no GPU to record steps for; set device=cuda, in a build with the feature \
                       `cuda`, or unset it";
        return Err(TrainError::setting("cuda_graphs", problem));
    }
    learner.replay_steps()
}

/// Compares what decides on sizes and numbers; sums of tensors of different sizes would end the processes.
fn check_that_ranks_agree(
    peers: &Peers,
    config: &PretrainConfig,
    dims: ModelDims,
    data: &TrainingData,
) -> Result<(), TrainError> {
    let metadata: Vec<String> = data.sources.iter().map(|source| format!("{:?}", source.metadata())).collect();
    let program = option_env!("TRAINER_GIT_COMMIT").unwrap_or_default();
    let settings = json!({
        "config": config.to_tree(),
        "data": {"dims": format!("{dims:?}"), "metadata": metadata, "total_steps": data.total_steps},
        "program": {"version": env!("CARGO_PKG_VERSION"), "commit": program},
    });
    Ok(peers.check_settings(&settings)?)
}

/// What rank 0 opens the folder with.
struct Opening<'a> {
    config: &'a PretrainConfig,
    start: &'a Start<'a>,
    dims: ModelDims,
    device: Device,
    size: usize,
    data: &'a mut TrainingData,
    evaluation: &'a Option<RunEvaluation>,
}

impl Opening<'_> {
    fn open(
        self,
        learner: &mut Learner,
        earlier: &mut Earlier,
        observer: &mut dyn Observer,
    ) -> Result<Keeper, TrainError> {
        let Self { config, start, dims, device, size, data, evaluation } = self;
        let wandb = if config.use_wandb { wandb::Settings::from_env()? } else { None };
        let task = data.task().map_or_else(|| UNKNOWN_TASK.to_owned(), |task| task.to_string());
        let mut manifest = Manifest::new(config.arch.clone(), dims, task);
        manifest.dataset.clone_from(&data.description);
        manifest.git_commit = option_env!("TRAINER_GIT_COMMIT").map(str::to_owned);
        let directory = Keeper::claim(config, start.resume)?;
        if let Some(last) = start.resume.and_then(|_| directory.last().transpose()).transpose()? {
            *earlier = Earlier::restore(&last, learner, &mut manifest, (size, start.reshards), data, observer)?;
        }
        // From here on the folder changes: whatever does not fit it has been refused.
        directory.write_config(config)?;
        let facts = RunFacts {
            dataset: data.sources.first().map(|source| source.metadata()).filter(|_| !config.data_paths.is_empty()),
            test_size: evaluation.as_ref().map(RunEvaluation::rows).transpose()?,
            num_parameters: learner.parameters.flat().numel(),
            total_steps: data.total_steps,
            device,
            world_size: size,
        };
        Experiment::new(config, facts).write_once(directory.path())?;
        let mut logger = Logger::open(directory.path(), learner.step, earlier.standing.evaluation_due)?;
        if let Some(settings) = wandb {
            let run = begin_wandb(&settings, config, &directory, learner)?;
            observer.noted(&format!(
                "Weights & Biases: writes {0}; upload it with: wandb sync {0}",
                run.folder().display()
            ));
            logger = logger.with_wandb(run);
        }
        let probes = match evaluation {
            Some(evaluation) if RunProbes::asked_for(config) => {
                let position = (learner.step, earlier.standing.evaluation_due);
                let evaluations = (data.eval_interval_steps, data.total_steps);
                let first = evaluation.first_batch()?;
                Some(RunProbes::open(config, directory.path(), &first, data.epoch_steps, position, evaluations)?)
            }
            _ => None,
        };
        Ok(Keeper { directory, manifest, logger, probes })
    }
}

fn begin_wandb(
    settings: &wandb::Settings,
    config: &PretrainConfig,
    directory: &RunDirectory,
    learner: &Learner,
) -> Result<WandbRun, TrainError> {
    let description = Description {
        run_directory: directory.path(),
        project: config.project(),
        name: config.run_name.clone().unwrap_or_else(|| config.arch.name().to_owned()),
        config: &config.to_tree(),
        num_params: learner.parameters.flat().numel(),
    };
    WandbRun::begin(settings, &description)
}

/// What a run knows from before it was resumed.
#[derive(Default)]
struct Earlier {
    standing: Standing,
    saved: Option<(u64, bool)>,
    /// Carried rows of every rank.
    states: Option<Vec<RankState>>,
}

impl Earlier {
    /// Puts `learner` and `data` where the checkpoint `last` stands, and that checkpoint's metrics into `manifest`.
    fn restore(
        last: &Path,
        learner: &mut Learner,
        manifest: &mut Manifest,
        (size, reshards): (usize, bool),
        data: &mut TrainingData,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let saved = Checkpoint::open(last)?.manifest;
        if saved.arch != manifest.arch {
            return Err(TrainError::setting("arch", differences(&saved.arch, &manifest.arch)));
        }
        let restored = Restored::read(last, learner)?;
        let states = restored.for_ranks(size, &data.generated, reshards)?;
        restored.apply_first(&states, learner)?;
        seek(data, learner)?;
        if restored.world_size() != size {
            let (step, before) = (learner.step, restored.world_size());
            observer.warned(&format!(
                "the carried rows of {before} ranks are shared out to {size} at step {step}; from here on the run differs \
                 from one on {before} ranks"
            ));
        }
        manifest.metrics = saved.metrics;
        let standing = restored.standing;
        Ok(Self { standing, saved: Some((learner.step, standing.evaluation_due)), states: Some(states) })
    }

    /// Meets the other ranks, once rank 0 has opened the folder; all of them then stand where it does.
    fn join(
        &mut self,
        peers: &Peers,
        device: Device,
        learner: &mut Learner,
        data: &mut TrainingData,
    ) -> Result<Ranks, TrainError> {
        peers.after_the_first("the run's folder is open")?;
        let ranks = peers.connect(device)?;
        if let Some(standing) = state::share(learner, &ranks, self.standing, self.states.as_deref())?
            && ranks.rank() > 0
        {
            self.standing = standing;
            self.saved = Some((learner.step, standing.evaluation_due));
            seek(data, learner)?;
        }
        self.states = None;
        Ok(ranks)
    }
}

/// Moves every source to where the learner knows it to stand.
fn seek(data: &mut TrainingData, learner: &Learner) -> Result<(), TrainError> {
    for (source, position) in data.sources.iter_mut().zip(&learner.positions) {
        source.seek(position)?;
    }
    Ok(())
}

/// Which fields a resumed run would change.
fn differences(saved: &ArchitectureConfig, asked: &ArchitectureConfig) -> String {
    let [saved, asked] = [saved, asked].map(|arch| serde_json::to_value(arch).unwrap_or_default());
    let fields = saved.as_object().into_iter().flatten().filter(|(name, value)| asked.get(name) != Some(value));
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name} is {value} in the run")).collect();
    format!(
        "cannot change when a run is resumed ({}); start a new run, with load_checkpoint to begin with these weights",
        fields.join(", ")
    )
}
