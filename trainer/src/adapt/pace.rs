//! How an adaptation keeps to its time: the clock over all its processes, and the watcher that measures the speed, tells
//! how far the run is, and halts it where another number of steps fits the time that is left.
//!
//! The learning rate falls over the steps of the plan. So the plan must be what the time allows: a run that was cut off
//! at its bound would end amid the schedule, with a high rate.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::folder::AdaptFolder;
use super::plan::Plan;
use super::progress::{Phase, Progress};
use crate::TrainError;
use crate::evaluate::Evaluation;
use crate::pretrain::Observer;

/// Steps before the speed is known.
const MEASURED_STEPS: u64 = 12;
/// Share of the time between two looks at the plan.
const LOOKS: u32 = 20;
/// A plan that would end this much too late is shortened.
const TOO_LONG: f64 = 1.05;
/// A plan that leaves so much of the time is prolonged.
const TOO_SHORT: f64 = 0.8;
/// What is kept for saving the result: a share of the whole time, at least a second.
const RESERVE: f64 = 0.03;
/// Between two writings of `progress.json`.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The time of an adaptation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begun: Instant,
    earlier: Duration,
    limit: Option<Duration>,
}

impl Clock {
    /// Begun at `begun`, after `earlier` processes, at most `limit` in all.
    pub(super) fn new(begun: Instant, earlier: Duration, limit: Option<Duration>) -> Self {
        Self { begun, earlier, limit }
    }

    /// Time taken, of all processes.
    pub(super) fn spent(&self) -> Duration {
        self.earlier + self.begun.elapsed()
    }

    /// Time for further steps; `None` without a limit.
    fn left(&self) -> Option<Duration> {
        let reserve = |limit: Duration| limit.mul_f64(RESERVE).max(Duration::from_secs(1)).min(limit / 2);
        self.limit.map(|limit| limit.saturating_sub(reserve(limit)).saturating_sub(self.spent()))
    }
}

/// Why the watcher has halted a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another number of steps fits.
    Replanned(u64),
    /// Somebody asked to stop.
    Stopped,
}

/// Watches one run of the loop.
pub(super) struct Watcher<'a> {
    folder: &'a AdaptFolder,
    plan: Plan,
    clock: &'a Clock,
    stop: Arc<AtomicBool>,
    halt: Arc<AtomicBool>,
    say: &'a mut dyn FnMut(&str),
    /// Step and time from which the speed is measured: the first step of a process takes longer.
    since: Option<(u64, Instant)>,
    looked: Instant,
    written: Option<Instant>,
    ending: Option<Ending>,
    /// The disk's complaint, which the observer cannot return.
    failure: Option<TrainError>,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(
        folder: &'a AdaptFolder,
        plan: &Plan,
        clock: &'a Clock,
        stop: &Arc<AtomicBool>,
        say: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self {
            folder,
            plan: *plan,
            clock,
            stop: Arc::clone(stop),
            halt: Arc::new(AtomicBool::new(stop.load(Ordering::Relaxed))),
            say,
            since: None,
            looked: Instant::now(),
            written: None,
            ending: None,
            failure: None,
        }
    }

    /// What halts the run.
    pub(super) fn halt(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.halt)
    }

    /// Why it was halted, if the watcher did it.
    pub(super) fn ending(self) -> Result<Option<Ending>, TrainError> {
        self.failure.map_or(Ok(self.ending), Err)
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.halt.store(true, Ordering::Relaxed);
    }

    /// Seconds of a step, once they are known.
    fn pace(&self, step: u64) -> Option<f64> {
        let (first, since) = self.since?;
        let steps = step.checked_sub(first).filter(|&steps| steps >= MEASURED_STEPS)?;
        Some(since.elapsed().as_secs_f64() / steps as f64)
    }

    fn eta(&self, step: u64) -> Option<f64> {
        self.pace(step).map(|pace| pace * self.plan.steps.saturating_sub(step) as f64)
    }

    /// Changes the plan where the time asks for it.
    fn look(&mut self, step: u64) {
        let Some(left) = self.clock.left() else { return };
        if left.is_zero() {
            self.end(Ending::Replanned(step));
            return;
        }
        let interval = self.clock.limit.unwrap_or_default() / LOOKS;
        let is_first = self.plan.steps == self.plan.most;
        let Some(pace) = self.pace(step).filter(|_| is_first || self.looked.elapsed() >= interval) else { return };
        self.looked = Instant::now();
        let fitting = (step + (left.as_secs_f64() / pace) as u64).min(self.plan.most);
        let planned = self.plan.steps as f64;
        if planned > fitting as f64 * TOO_LONG || planned < fitting as f64 * TOO_SHORT {
            self.end(Ending::Replanned(fitting));
        }
    }

    fn write(&mut self, step: u64) {
        if self.written.is_some_and(|written| written.elapsed() < WRITE_INTERVAL) {
            return;
        }
        self.written = Some(Instant::now());
        let phase = if step < self.plan.frozen { Phase::Frozen } else { Phase::Training };
        let eta_seconds = self.eta(step);
        let progress = Progress { phase, step, steps: self.plan.steps, eta_seconds, ..Progress::at(self.clock) };
        if let Err(error) = self.folder.write_progress(&progress) {
            self.failure = Some(error);
            self.halt.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Watcher<'_> {
    fn warned(&mut self, message: &str) {
        (self.say)(message);
    }

    fn noted(&mut self, message: &str) {
        (self.say)(message);
    }

    fn started(&mut self, _directory: &Path, step: u64, total_steps: u64, parameter_count: usize) {
        (self.say)(&format!(
            "{parameter_count} parameters besides the embeddings, step {step} of {total_steps}; the first {} train \
             embeddings alone",
            self.plan.frozen
        ));
        // What was spent before the first step of a resumed run may have been all.
        if step > 0 && self.clock.left().is_some_and(|left| left.is_zero()) {
            self.end(Ending::Replanned(step));
        }
    }

    fn logged(&mut self, step: u64, means: &[(&'static str, f64)], samples_per_second: f64) {
        // Accuracies are those of the rows that have halted in the interval, often of none.
        let loss = means.iter().find(|(name, _)| *name == "lm_loss").map_or(f64::NAN, |(_, loss)| *loss);
        let eta = self.eta(step).map_or("not known yet".to_owned(), clock_of);
        (self.say)(&format!(
            "step {step}/{}  lm_loss {loss:.4}  {samples_per_second:.0} rows/s  {} so far, to go: {eta}",
            self.plan.steps,
            clock_of(self.clock.spent().as_secs_f64())
        ));
    }

    fn stepped(&mut self, step: u64) {
        self.since.get_or_insert_with(|| (step, Instant::now()));
        self.write(step);
        if self.stop.load(Ordering::Relaxed) {
            self.end(Ending::Stopped);
        } else if step < self.plan.steps {
            self.look(step);
        }
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation, _best: bool) {
        (self.say)(&format!("eval at step {step}: {}", crate::progress::summary(evaluation)));
    }
}

/// Minutes and seconds, with hours where there are some.
fn clock_of(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
