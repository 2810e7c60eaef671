//! The training loop: batches in, checkpoints and logs out. Owns when to log, evaluate, save and stop; leaves each of
//! these acts to its own module.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::ForwardDtype;
use tch::Device;

use crate::TrainError;
use crate::config::{DeviceKind, PretrainConfig};
use crate::data::TrainingData;
use crate::distributed::{Flags, Peers, Ranks};
use crate::evaluate::Evaluation;
use crate::keeper::Keeper;
use crate::kernels;
use crate::learner::Learner;
use crate::logger::{EVAL_PHASE, TRAIN_PHASE};
use crate::metrics::StepMetrics;
use crate::run_directory::step_name;
use crate::run_evaluation::RunEvaluation;
use crate::state::{Best, RankState, Standing, weights_crc32};

mod prepare;

/// A step that takes longer is followed by a checkpoint: ending the process amid the next one, which cannot be
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
    pretrain_with(config, &Start { resume, ..Start::default() }, stop, observer)
}

/// How a run begins, besides its settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start<'a> {
    /// Folder of an earlier run to continue.
    pub resume: Option<&'a Path>,
    /// Whether a run that other than as many ranks trained may be resumed: its rows are then shared out anew.
    pub reshards: bool,
    /// The processes to train with; none: alone.
    pub peers: Option<&'a Peers>,
}

/// As [`pretrain`], on one or more processes, each of which calls it alike.
///
/// # Errors
/// As [`pretrain`], and naming the rank when another process fails, hangs or ends.
pub fn pretrain_with(
    config: &PretrainConfig,
    start: &Start,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let outcome = train(config, start, stop, observer);
    if let (Err(error), Some(peers)) = (&outcome, start.peers)
        && !matches!(error, TrainError::Distributed(error) if error.is_of_others())
    {
        peers.post_failure(&error.to_string());
    }
    outcome
}

fn train(
    config: &PretrainConfig,
    start: &Start,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match (config.threads, start.peers) {
        (0, Some(peers)) => set_threads(peers.environment.share_of(cores)),
        (threads, _) => set_threads(threads),
    }
    let mut run = Run::prepare(config, start, observer)?;
    let count = run.learner.parameters.flat().numel();
    observer.started(&run.folder, run.learner.step, run.data.total_steps, count);
    let is_bfloat16 = config.arch.forward_dtype() == ForwardDtype::BFloat16;
    if is_bfloat16 && config.device == DeviceKind::Cpu && !kernels::has_bf16_products() {
        observer.noted(
            "this processor has no instructions for bfloat16, which makes training several times as slow as in float32: \
             consider arch.forward_dtype=float32",
        );
    }
    let outcome = run.go(stop, observer)?;
    if let Some(keeper) = &mut run.keeper {
        keeper.logger.end(matches!(outcome, Outcome::Finished { .. }))?;
    }
    if let Some(group) = run.ranks.group() {
        // Rank 0 may hold the store that others still use.
        group.barrier()?;
    }
    Ok(outcome)
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
    device_of_rank(kind, 0)
}

/// The device behind a setting for the process `local_rank` of its machine: each has a GPU of its own.
///
/// # Errors
/// When CUDA is asked for and not there, or there are fewer GPUs than processes.
pub fn device_of_rank(kind: DeviceKind, local_rank: usize) -> Result<Device, TrainError> {
    let count = tch::Cuda::device_count().max(0) as usize;
    let available = tch::Cuda::is_available();
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Auto if !available => Ok(Device::Cpu),
        DeviceKind::Auto | DeviceKind::Cuda if available && local_rank < count => Ok(Device::Cuda(local_rank)),
        DeviceKind::Auto | DeviceKind::Cuda if available => {
            let problem = format!(
                "needs a GPU for each process of this machine: LOCAL_RANK is {local_rank}, and there are {count}; start \
                 fewer processes"
            );
            Err(TrainError::setting("device", problem))
        }
        DeviceKind::Auto | DeviceKind::Cuda => Err(TrainError::setting(
            "device",
            "is cuda, but libtorch sees no CUDA device; set LIBTORCH to a CUDA build, or device=cpu",
        )),
    }
}

struct Run {
    config: PretrainConfig,
    ranks: Ranks,
    folder: PathBuf,
    data: TrainingData,
    evaluation: Option<RunEvaluation>,
    learner: Learner,
    /// Folder and log, which rank 0 has.
    keeper: Option<Keeper>,
    standing: Standing,
    /// Step of the checkpoint that `last` leads to, and whether its evaluation was due then.
    saved: Option<(u64, bool)>,
}

impl Run {
    fn go(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        if self.learner.step == 0 {
            // Tells a disk that is full or too small before an interval's work is lost.
            self.save()?;
        }
        if self.standing.evaluation_due && !self.evaluate(stop, observer)? {
            return self.interrupted();
        }
        let mut interval = Interval::begin(&self.ranks);
        let alone = self.ranks.size() == 1;
        let mut asked_to_stop = false;
        while self.learner.step < self.data.total_steps {
            // Several ranks stop at the step at which all of them have heard of it.
            if asked_to_stop || (alone && stop.load(Ordering::Relaxed)) {
                return self.interrupted();
            }
            let begin = Instant::now();
            let number = self.learner.carry.source;
            let source = &mut self.data.sources[number];
            let batch = source.next_batch(&self.learner.carry.halted)?;
            let flags = || Flags { stop: stop.load(Ordering::Relaxed), slow: begin.elapsed() > SLOW_STEP };
            let (metrics, flags) = self.learner.train_step_with(&batch, flags)?;
            interval.metrics.merge(&metrics);
            asked_to_stop = flags.stop;
            self.learner.positions[number] = source.position();
            let step = self.learner.step;
            observer.stepped(step);
            if step.is_multiple_of(self.config.log_interval) {
                self.log(&interval, observer)?;
                interval = Interval::begin(&self.ranks);
            }
            self.standing.evaluation_due = self.evaluates_at(step);
            let evaluates = self.standing.evaluation_due;
            // An evaluation ends with a checkpoint of its own.
            let slow = if alone { begin.elapsed() > SLOW_STEP } else { flags.slow };
            if slow || (!evaluates && step.is_multiple_of(self.config.checkpoint_interval)) {
                self.save()?;
            }
            if evaluates {
                if !self.evaluate(stop, observer)? {
                    return self.interrupted();
                }
                interval = Interval::begin(&self.ranks);
            }
        }
        self.save()?;
        Ok(Outcome::Finished { checkpoint: self.folder.join(step_name(self.learner.step)) })
    }

    fn interrupted(&mut self) -> Result<Outcome, TrainError> {
        self.save()?;
        Ok(Outcome::Interrupted { run: self.folder.clone(), step: self.learner.step })
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
            [("gradient_norm", self.learner.gradient_norm()), ("parameter_norm", Some(self.learner.parameter_norm()))];
        let norms = norms.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let seconds = interval.since.elapsed().as_secs_f64();
        let others = [("lr", lr), ("samples_per_second", speed), ("seconds", seconds)];
        let share = self
            .ranks
            .take_time()
            .map(|time| ("collectives_share", time.as_secs_f64() / seconds.max(f64::MIN_POSITIVE)));
        let all: Vec<(&str, f64)> = means.iter().copied().chain(norms).chain(others).chain(share).collect();
        if let Some(keeper) = &mut self.keeper {
            keeper.logger.write(step, TRAIN_PHASE, &all)?;
        }
        observer.logged(step, &means, speed);
        Ok(())
    }

    /// Makes the evaluation that is due, with a checkpoint; false when `stop` interrupted it, and nothing has changed.
    fn evaluate(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let Some(evaluation) = &mut self.evaluation else {
            self.standing.evaluation_due = false;
            return Ok(true);
        };
        let found = evaluation.run(stop, &self.learner, &self.folder)?;
        let Some(all) = found else { return Ok(false) };
        let step = self.learner.step;
        if let Some(keeper) = &mut self.keeper {
            keeper.evaluated(EVAL_PHASE, &all, &self.learner)?;
        }
        let found = &all.evaluation;
        let best = self.standing.best;
        let is_best =
            best.is_none_or(|best| (found.exact_accuracy, found.accuracy) >= (best.exact_accuracy, best.accuracy));
        if is_best {
            self.standing.best = Some(Best { step, exact_accuracy: found.exact_accuracy, accuracy: found.accuracy });
        }
        self.standing.evaluation_due = false;
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
        let own = if self.keeper.is_some() { Vec::new() } else { self.own_state()? };
        let others = self.ranks.bytes_to_first(|| own)?;
        if let Some(keeper) = &mut self.keeper {
            keeper.save(&self.learner, self.standing, &others)?;
        }
        self.saved = state;
        self.link_and_prune()
    }

    /// What rank 0 needs of this one for a checkpoint.
    fn own_state(&self) -> Result<Vec<u8>, TrainError> {
        let checksum = weights_crc32(self.learner.parameters.flat())?;
        RankState::of(&self.learner)?.to_bytes(self.learner.config.arch.state_names(), checksum)
    }

    fn link_and_prune(&self) -> Result<(), TrainError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let keep_evaluated = self.config.checkpoint_every_eval;
        keeper.link_and_prune(self.learner.step, self.standing, |old| keep_evaluated && self.evaluates_at(old))
    }
}

/// Sums since the last row of the log.
struct Interval {
    metrics: StepMetrics,
    since: Instant,
}

impl Interval {
    fn begin(ranks: &Ranks) -> Self {
        // Time in collectives before the interval is none of its.
        let _ = ranks.take_time();
        Self { metrics: StepMetrics::default(), since: Instant::now() }
    }

    fn samples_per_second(&self) -> f64 {
        self.metrics.rows / self.since.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
