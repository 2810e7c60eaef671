//! What a person sees while a run goes on: a bar with speed and estimate, and a line per evaluation.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::evaluate::Evaluation;
use crate::pretrain::Observer;

/// Draws on the terminal; where there is none, prints a line per log interval.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    draws: bool,
    total_steps: u64,
}

impl Progress {
    /// A bar that appears when the run starts.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        let draws = !bar.is_hidden();
        Self { bar, draws, total_steps: 0 }
    }

    fn say(&self, line: &str) {
        if self.draws {
            self.bar.println(line);
        } else {
            println!("{line}");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Progress {
    fn warned(&mut self, message: &str) {
        self.say(&format!("warning: {message}"));
    }

    fn noted(&mut self, message: &str) {
        self.say(message);
    }

    fn started(&mut self, directory: &Path, step: u64, total_steps: u64, parameter_count: usize) {
        self.total_steps = total_steps;
        self.bar.set_length(total_steps);
        self.bar.set_position(step);
        self.bar.reset_eta();
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed_precise} eta {eta_precise}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style);
        self.say(&format!("{}: {parameter_count} parameters, step {step} of {total_steps}", directory.display()));
    }

    fn logged(&mut self, step: u64, means: &[(&'static str, f64)], samples_per_second: f64) {
        let text = means.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ");
        let line = format!("{text}  {samples_per_second:.1} samples/s");
        if self.draws {
            self.bar.set_message(line);
        } else {
            println!("step {step}/{}  {line}", self.total_steps);
        }
    }

    fn stepped(&mut self, step: u64) {
        self.bar.set_position(step);
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation, best: bool) {
        let mark = if best { " (best)" } else { "" };
        self.say(&format!("eval at step {step}{mark}: {}", summary(evaluation)));
    }
}

/// Says nothing: of several ranks the first alone reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn started(&mut self, _: &Path, _: u64, _: u64, _: usize) {}

    fn logged(&mut self, _: u64, _: &[(&'static str, f64)], _: f64) {}

    fn stepped(&mut self, _: u64) {}

    fn evaluated(&mut self, _: u64, _: &Evaluation, _: bool) {}
}

/// An evaluation in one line.
pub fn summary(evaluation: &Evaluation) -> String {
    let (low, high) = evaluation.exact_accuracy_interval;
    let (token_low, token_high) = evaluation.accuracy_interval;
    format!(
        "exact_accuracy {:.4} [{low:.4}, {high:.4}] of {}  accuracy {:.4} [{token_low:.4}, {token_high:.4}]  q_halt_accuracy {:.4}  steps {:.2}  lm_loss {:.4}",
        evaluation.exact_accuracy,
        evaluation.count,
        evaluation.accuracy,
        evaluation.q_halt_accuracy,
        evaluation.steps,
        evaluation.lm_loss
    )
}
