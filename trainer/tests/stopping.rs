//! A run that is asked to stop ends before the next supervision step, and goes on to the same bytes.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::Checkpoint;
use process::kills::{assert_same_rows, fresh};
use process::{Running, assert_same_content, metrics, tiny, words};
use rustix::process::Signal;
use tempfile::TempDir;
use trainer::config::{Override, PretrainConfig};
use trainer::evaluate::Evaluation;
use trainer::pretrain::{Observer, Outcome, pretrain};

/// Asks for an end when a step is done.
struct StopAt<'a> {
    step: u64,
    stop: &'a AtomicBool,
    evaluations: Vec<u64>,
}

impl Observer for StopAt<'_> {
    fn started(&mut self, _directory: &Path, _step: u64, _total_steps: u64, _parameter_count: usize) {}
    fn logged(&mut self, _step: u64, _means: &[(&'static str, f64)], _samples_per_second: f64) {}
    fn stepped(&mut self, step: u64) {
        self.stop.store(step == self.step, Ordering::Relaxed);
    }
    fn evaluated(&mut self, step: u64, _evaluation: &Evaluation, _best: bool) {
        self.evaluations.push(step);
    }
}

/// Trains in `folder` until step `stop_at` or the end; gives the outcome and the steps of its evaluations.
fn train(settings: &[String], run: &Path, resume: bool, stop_at: u64) -> (Outcome, Vec<u64>) {
    let overrides: Vec<Override> = settings.iter().map(|text| text.parse().unwrap()).collect();
    let mut config = PretrainConfig::resolve(&[], &overrides).unwrap();
    config.checkpoint_path = Some(run.to_owned());
    let stop = AtomicBool::new(false);
    let mut observer = StopAt { step: stop_at, stop: &stop, evaluations: Vec::new() };
    let outcome = pretrain(&config, resume.then_some(run), &stop, &mut observer);
    (outcome.unwrap(), observer.evaluations)
}

/// Whatever the step at which it is stopped: one whose evaluation is due, the last one, or one between.
#[test]
fn an_interrupted_evaluation_is_made_by_the_resumed_run() {
    let folder = TempDir::new().unwrap();
    let settings = [tiny(12), words("eval_interval_steps=5 checkpoint_interval=4 log_interval=2")].concat();
    let undisturbed = folder.path().join("undisturbed");
    assert_eq!(train(&settings, &undisturbed, false, 0).1, [5, 10, 12]);
    for (stop_at, checkpoint, later) in [
        (5, "step_5-before-evaluation", vec![5, 10, 12]),
        (7, "step_7", vec![10, 12]),
        (12, "step_12-before-evaluation", vec![12]),
    ] {
        let run = folder.path().join(format!("stopped-{stop_at}"));
        let (outcome, earlier) = train(&settings, &run, false, stop_at);
        assert_eq!(outcome, Outcome::Interrupted { run: run.clone(), step: stop_at });
        assert_eq!([earlier, later.clone()].concat(), [5, 10, 12]);
        assert_eq!(fs::read_link(run.join("last")).unwrap(), Path::new(checkpoint));
        assert_eq!(Checkpoint::open(run.join("last")).unwrap().manifest.step, stop_at);
        let written = metrics(&run).iter().filter(|row| row.1 == "eval").map(|row| row.0).max();
        assert!(written.is_none_or(|written| written < stop_at), "an evaluation of step {written:?} was written");
        // A checkpoint of the run stands for the run, by its own name, too.
        let (outcome, evaluations) = train(&settings, &run.join(checkpoint), true, 0);
        assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
        assert_eq!(evaluations, later);
        assert_same_content(&undisturbed, &run);
        assert_same_rows(&undisturbed, &run, 12);
    }
}

/// A step of minutes is not waited for; the checkpoint before it stays.
#[test]
fn a_step_that_does_not_end_is_given_up() {
    let folder = TempDir::new().unwrap();
    let settings = [tiny(10), words("arch.hidden_size=512 arch.H_cycles=1000 arch.L_cycles=6 global_batch_size=512")];
    let mut running = Running::start(folder.path(), &fresh(&settings.concat(), "run"));
    running.read_lines(1);
    while !folder.path().join("run/last").exists() {
        assert!(running.is_running());
        std::thread::sleep(Duration::from_millis(20));
    }
    let signalled = Instant::now();
    let (status, output) = running.signal(Signal::TERM);
    assert_eq!(status, Some(130), "{output}");
    assert!(output.contains("go on from the last checkpoint with: trainer pretrain resume=run"), "{output}");
    assert!(signalled.elapsed() >= Duration::from_secs(7), "{output}");
    assert_eq!(Checkpoint::open(folder.path().join("run/last")).unwrap().manifest.step, 0);
}
