//! The training loop: batches in, checkpoints and logs out. Owns when to log, evaluate, save and stop; leaves each of
//! these acts to its own module.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::{ArchitectureConfig, Checkpoint, Manifest};
use tch::Device;

use crate::TrainError;
use crate::config::{DeviceKind, PretrainConfig};
use crate::data::TrainingData;
use crate::evaluate::Evaluation;
use crate::experiment::{Experiment, RunFacts};
use crate::initial_weights::InitialWeights;
use crate::learner::Learner;
use crate::logger::{EVAL_PHASE, Logger, TRAIN_PHASE};
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;
use crate::phases::PhaseClock;
use crate::probe_files::RunProbes;
use crate::run_directory::RunDirectory;
use crate::run_evaluation::RunEvaluation;
use crate::state::{self, Best, Standing};
use crate::wandb::{self, Description, WandbRun};

/// Task of data that is none of the known ones, as imported checkpoints have it.
const UNKNOWN_TASK: &str = "unknown";
/// A step that takes longer is followed by a checkpoint: whoever ends the process amid the next one, which cannot be
/// interrupted, loses nothing else.
const SLOW_STEP: Duration = Duration::from_secs(4);

/// What the loop reports to its observer.
pub trait Observer {
    /// The run begins (or goes on) at `step` of `total_steps` with `parameter_count` trained weights.
    fn started(&mut self, directory: &Path, step: u64, total_steps: u64, parameter_count: usize);
    /// Means over the last log interval, and the speed in puzzle supervision steps per second.
    fn logged(&mut self, step: u64, means: &[(&'static str, f64)], samples_per_second: f64);
    /// An optimizer step is done.
    fn stepped(&mut self, step: u64);
    /// An evaluation is done; `best` if none before was better.
    fn evaluated(&mut self, step: u64, evaluation: &Evaluation, best: bool);
    /// Something that a person should know before waiting for the run.
    fn warned(&mut self, message: &str) {
        let _ = message;
    }
    /// Something that a person may want to know.
    fn noted(&mut self, message: &str) {
        let _ = message;
    }
}

/// How a run came to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done.
    Finished {
        /// The last checkpoint.
        checkpoint: PathBuf,
    },
    /// Asked to stop; the run can be resumed.
    Interrupted {
        /// The folder to resume.
        run: PathBuf,
        /// Steps done.
        step: u64,
    },
}

/// Trains as `config` says; `resume` is the folder of an earlier run to continue. Stops before the next supervision step
/// when `stop` becomes true, with a checkpoint; an evaluation that this interrupts is made anew by the resumed run.
///
/// # Errors
/// When data, disk or numbers fail; checkpoints written before stay intact.
pub fn pretrain(
    config: &PretrainConfig,
    resume: Option<&Path>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    refuse_several_processes(std::env::var("WORLD_SIZE").ok().as_deref())?;
    set_threads(config.threads);
    let mut run = Run::prepare(config, resume, observer)?;
    let count = run.learner.parameters.flat().numel();
    observer.started(run.directory.path(), run.learner.step, run.data.total_steps, count);
    let outcome = run.go(stop, observer)?;
    run.logger.end(matches!(outcome, Outcome::Finished { .. }))?;
    Ok(outcome)
}

/// Several processes of `torchrun` would each train a model of their own.
fn refuse_several_processes(world_size: Option<&str>) -> Result<(), TrainError> {
    match world_size.map(str::trim) {
        None | Some("" | "1") => Ok(()),
        Some(size) => {
            let problem = format!(
                "is {size} in the environment: training on several processes is not supported, and each would train a model of its own; start one process without it"
            );
            Err(TrainError::setting("WORLD_SIZE", problem))
        }
    }
}

/// Threads for libtorch's operators; 0 means all cores.
pub fn set_threads(threads: usize) {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    tch::set_num_threads(threads as i32);
}

/// The device behind a setting.
///
/// # Errors
/// When CUDA is asked for and not there: never falls back silently.
pub fn device(kind: DeviceKind) -> Result<Device, TrainError> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Auto if !tch::Cuda::is_available() => Ok(Device::Cpu),
        DeviceKind::Auto => Ok(Device::Cuda(0)),
        DeviceKind::Cuda if tch::Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceKind::Cuda => Err(TrainError::setting(
            "device",
            "is cuda, but libtorch sees no CUDA device; set LIBTORCH to a CUDA build, or device=cpu",
        )),
    }
}

struct Run {
    config: PretrainConfig,
    directory: RunDirectory,
    data: TrainingData,
    evaluation: Option<RunEvaluation>,
    learner: Learner,
    manifest: Manifest,
    logger: Logger,
    probes: Option<RunProbes>,
    standing: Standing,
    /// Step of the checkpoint that `last` leads to, and whether its evaluation was due then.
    saved: Option<(u64, bool)>,
}

impl Run {
    fn prepare(
        config: &PretrainConfig,
        resume: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let wandb = if config.use_wandb { wandb::Settings::from_env()? } else { None };
        let mut data = TrainingData::open(config, 0, 1)?;
        let task = data.task().map_or_else(|| UNKNOWN_TASK.to_owned(), |task| task.to_string());
        let dims = data.dims(&config.arch)?;
        config.arch.validate(&dims)?;
        let device = device(config.device)?;
        let parameters = match &config.load_checkpoint {
            // A resumed run has its own weights; those it began with may be gone by now.
            Some(name) if resume.is_none() => InitialWeights::open(name)?
                .with_mean_puzzle_table(config.mean_puzzle_emb)
                .parameters(&config.arch, &dims, device, config.seed, |warning| observer.warned(warning))?,
            _ => Parameters::initialised(&config.arch, &dims, device, config.seed)?,
        };
        let mut manifest = Manifest::new(config.arch.clone(), dims, task);
        manifest.dataset.clone_from(&data.description);
        manifest.git_commit = option_env!("TRAINER_GIT_COMMIT").map(str::to_owned);
        let evaluation = RunEvaluation::of(config)?;
        let turns = data.turns(config)?;
        let clock = PhaseClock::default();
        let mut learner = Learner::taking_turns(config.learner(dims, data.total_steps), parameters, &turns, clock)?;
        learner.frozen_steps = config.freeze_weights_steps;
        let mut earlier = Earlier::default();
        let directory = match resume {
            Some(path) => {
                let directory = RunDirectory::open(path)?;
                directory.claim()?;
                if let Some(last) = directory.last()? {
                    earlier = Earlier::restore(&last, &mut learner, &mut manifest)?;
                    for (source, position) in data.sources.iter_mut().zip(&learner.positions) {
                        source.seek(position)?;
                    }
                }
                directory
            }
            None => RunDirectory::create(config.run_directory())?,
        };
        // From here on the folder changes: whatever does not fit it has been refused.
        directory.write_config(config)?;
        let facts = RunFacts {
            dataset: data.sources.first().map(|source| source.metadata()).filter(|_| !config.data_paths.is_empty()),
            test_size: evaluation.as_ref().map(RunEvaluation::rows).transpose()?,
            num_parameters: learner.parameters.flat().numel(),
            total_steps: data.total_steps,
            device,
        };
        Experiment::new(config, facts).write_once(directory.path())?;
        let Earlier { standing, saved } = earlier;
        let mut logger = Logger::open(directory.path(), learner.step, standing.evaluation_due)?;
        if let Some(settings) = wandb {
            let description = Description {
                run_directory: directory.path(),
                project: config.project(),
                name: config.run_name.clone().unwrap_or_else(|| config.arch.name().to_owned()),
                config: &config.to_tree(),
                num_params: learner.parameters.flat().numel(),
            };
            let run = WandbRun::begin(&settings, &description)?;
            observer.noted(&format!(
                "Weights & Biases: writes {0}; upload it with: wandb sync {0}",
                run.folder().display()
            ));
            logger = logger.with_wandb(run);
        }
        let probes = match &evaluation {
            Some(evaluation) if RunProbes::asked_for(config) => {
                let position = (learner.step, standing.evaluation_due);
                let evaluations = (data.eval_interval_steps, data.total_steps);
                let first = evaluation.first_batch()?;
                Some(RunProbes::open(config, directory.path(), &first, data.epoch_steps, position, evaluations)?)
            }
            _ => None,
        };
        let config = config.clone();
        let mut run = Self { config, directory, data, evaluation, learner, manifest, logger, probes, standing, saved };
        if run.saved.is_some() {
            // A kill right after a checkpoint leaves its links behind it.
            run.link_and_prune()?;
        }
        Ok(run)
    }

    fn go(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        if self.learner.step == 0 {
            // Tells a disk that is full or too small before an interval's work is lost.
            self.save()?;
        }
        if self.standing.evaluation_due && !self.evaluate(stop, observer)? {
            return self.interrupted();
        }
        let mut interval = Interval::begin();
        while self.learner.step < self.data.total_steps {
            if stop.load(Ordering::Relaxed) {
                return self.interrupted();
            }
            let begin = Instant::now();
            let number = self.learner.carry.source;
            let source = &mut self.data.sources[number];
            let batch = source.next_batch(&self.learner.carry.halted)?;
            interval.metrics.merge(&self.learner.train_step(&batch)?);
            self.learner.positions[number] = source.position();
            let step = self.learner.step;
            observer.stepped(step);
            if step.is_multiple_of(self.config.log_interval) {
                self.log(&interval, observer)?;
                interval = Interval::begin();
            }
            self.standing.evaluation_due = self.evaluates_at(step);
            let evaluates = self.standing.evaluation_due;
            // An evaluation ends with a checkpoint of its own.
            if begin.elapsed() > SLOW_STEP || (!evaluates && step.is_multiple_of(self.config.checkpoint_interval)) {
                self.save()?;
            }
            if evaluates {
                if !self.evaluate(stop, observer)? {
                    return self.interrupted();
                }
                interval = Interval::begin();
            }
        }
        self.save()?;
        Ok(Outcome::Finished { checkpoint: self.directory.checkpoint(self.learner.step) })
    }

    fn interrupted(&mut self) -> Result<Outcome, TrainError> {
        self.save()?;
        Ok(Outcome::Interrupted { run: self.directory.path().to_owned(), step: self.learner.step })
    }

    fn evaluates_at(&self, step: u64) -> bool {
        let due = step.is_multiple_of(self.data.eval_interval_steps) && step >= self.data.first_eval_step;
        self.evaluation.is_some() && (due || step == self.data.total_steps)
    }

    fn log(&mut self, interval: &Interval, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.learner.step;
        let means = interval.metrics.means();
        let speed = interval.samples_per_second();
        let (lr, _) = self.learner.learning_rates(step);
        let norms =
            [("gradient_norm", self.learner.gradient_norm), ("parameter_norm", Some(self.learner.parameter_norm()))];
        let norms = norms.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let others = [("lr", lr), ("samples_per_second", speed), ("seconds", interval.since.elapsed().as_secs_f64())];
        let all: Vec<(&str, f64)> = means.iter().copied().chain(norms).chain(others).collect();
        self.logger.write(step, TRAIN_PHASE, &all)?;
        observer.logged(step, &means, speed);
        Ok(())
    }

    /// Makes the evaluation that is due, with a checkpoint; false when `stop` interrupted it, and nothing has changed.
    fn evaluate(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let Some(evaluation) = &mut self.evaluation else {
            self.standing.evaluation_due = false;
            return Ok(true);
        };
        let found = evaluation.run(stop, &self.learner, self.directory.path())?;
        let Some(all) = found else { return Ok(false) };
        let step = self.learner.step;
        self.logger.write(step, EVAL_PHASE, &all.entries().collect::<Vec<_>>())?;
        if let Some(probes) = &self.probes {
            probes.run(&self.learner)?;
        }
        let found = &all.evaluation;
        let best = self.standing.best;
        let is_best =
            best.is_none_or(|best| (found.exact_accuracy, found.accuracy) >= (best.exact_accuracy, best.accuracy));
        if is_best {
            self.standing.best = Some(Best { step, exact_accuracy: found.exact_accuracy, accuracy: found.accuracy });
        }
        self.standing.evaluation_due = false;
        self.manifest.metrics = all.entries().map(|(name, value)| (name.to_owned(), value)).collect();
        self.save()?;
        observer.evaluated(step, found, is_best);
        Ok(true)
    }

    /// Writes the checkpoint of this step, once: replacing it would leave a moment without a last checkpoint.
    fn save(&mut self) -> Result<(), TrainError> {
        let step = self.learner.step;
        let state = Some((step, self.standing.evaluation_due));
        if self.saved == state {
            return Ok(());
        }
        if !self.learner.is_finite() {
            return Err(TrainError::WeightsNotFinite { step });
        }
        self.logger.sync()?;
        state::save(&self.current_checkpoint(), &self.learner, self.manifest.clone(), self.standing)?;
        self.saved = state;
        self.link_and_prune()
    }

    /// Where the checkpoint of this step lies.
    fn current_checkpoint(&self) -> PathBuf {
        if self.standing.evaluation_due {
            self.directory.checkpoint_before_evaluation(self.learner.step)
        } else {
            self.directory.checkpoint(self.learner.step)
        }
    }

    fn link_and_prune(&mut self) -> Result<(), TrainError> {
        let checkpoint = self.current_checkpoint();
        self.directory.mark_last(&checkpoint)?;
        if self.standing.best.is_some_and(|best| best.step == self.learner.step) {
            self.directory.mark_best(&checkpoint)?;
        }
        let keep_evaluated = self.config.checkpoint_every_eval;
        self.directory.prune(|old| keep_evaluated && self.evaluates_at(old))
    }
}

/// What a run knows from before it was resumed.
#[derive(Default)]
struct Earlier {
    standing: Standing,
    saved: Option<(u64, bool)>,
}

impl Earlier {
    /// Puts `learner` where the checkpoint `last` stands, and that checkpoint's metrics into `manifest`.
    fn restore(last: &Path, learner: &mut Learner, manifest: &mut Manifest) -> Result<Self, TrainError> {
        let saved = Checkpoint::open(last)?.manifest;
        if saved.arch != manifest.arch {
            return Err(TrainError::setting("arch", differences(&saved.arch, &manifest.arch)));
        }
        let standing = state::restore(last, learner)?;
        manifest.metrics = saved.metrics;
        Ok(Self { standing, saved: Some((learner.step, standing.evaluation_due)) })
    }
}

/// Which fields a resumed run would change.
fn differences(saved: &ArchitectureConfig, asked: &ArchitectureConfig) -> String {
    let [saved, asked] = [saved, asked].map(|arch| serde_json::to_value(arch).unwrap_or_default());
    let fields = saved.as_object().into_iter().flatten().filter(|(name, value)| asked.get(name) != Some(value));
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name} is {value} in the run")).collect();
    format!(
        "cannot change when a run is resumed ({}); start a new run, with load_checkpoint if it shall begin with these weights",
        fields.join(", ")
    )
}

/// Sums since the last row of the log.
struct Interval {
    metrics: StepMetrics,
    since: Instant,
}

impl Interval {
    fn begin() -> Self {
        Self { metrics: StepMetrics::default(), since: Instant::now() }
    }

    fn samples_per_second(&self) -> f64 {
        self.metrics.rows / self.since.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
