//! Flags about learning ARC tasks that no model knows.

use std::path::PathBuf;

use clap::{Args, value_parser};

use crate::jobs::{Cores, JobOptions};

/// How tasks are learned.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Learning ARC tasks")]
pub struct AdaptArgs {
    /// Folder of jobs and what they learn. An ARC task that no model knows is then answered with status 202 and a job that
    /// learns it from its demonstrations: on top of the ARC model, or, without one, with a small model that begins with
    /// nothing. Unfinished jobs go on after a restart. Results stay until their job is deleted. Default: such tasks are
    /// refused.
    #[arg(long, env = "TRM_ADAPT", value_name = "DIR")]
    pub adapt: Option<PathBuf>,

    /// Tasks that are learned at the same time.
    #[arg(long, env = "TRM_ADAPT_JOBS", default_value_t = 1, value_parser = value_parser!(u8).range(1..=64), value_name = "COUNT")]
    pub adapt_jobs: u8,

    /// Minutes that a task may be learned for.
    #[arg(long, env = "TRM_ADAPT_MINUTES", default_value_t = 10.0, value_parser = minutes, value_name = "M")]
    pub adapt_minutes: f64,

    /// Tasks that may wait to be learned; beyond that clients get status 429.
    #[arg(long, env = "TRM_ADAPT_QUEUE", default_value_t = 16, value_parser = value_parser!(u16).range(1..), value_name = "COUNT")]
    pub adapt_queue: u16,

    /// The program that learns. Default: `trainer` beside this program.
    #[arg(long, env = "TRM_TRAINER", value_name = "PATH")]
    pub trainer: Option<PathBuf>,

    /// Setting of the training run, as `trainer adapt` takes it. May be given several times; in the environment, separate
    /// settings with blanks.
    #[arg(long = "adapt-set", env = "TRM_ADAPT_SET", value_delimiter = ' ', value_name = "KEY=VALUE")]
    pub adapt_settings: Vec<String>,
}

impl AdaptArgs {
    /// How jobs are run beside `answering` threads that answer; `None`: there are none.
    pub(super) fn options(self, answering: usize) -> Option<JobOptions> {
        let folder = self.adapt.filter(|folder| !folder.as_os_str().is_empty())?;
        let beside = || std::env::current_exe().ok()?.parent().map(|folder| folder.join("trainer"));
        Some(JobOptions {
            folder,
            jobs: usize::from(self.adapt_jobs),
            queue: usize::from(self.adapt_queue),
            minutes: self.adapt_minutes,
            trainer: self.trainer.or_else(beside).unwrap_or_else(|| PathBuf::from("trainer")),
            cores: Cores::beside(answering),
            settings: self.adapt_settings,
        })
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| (0.01..=100_000.0).contains(minutes));
    minutes.ok_or_else(|| "expected a number of minutes from 0.01 to 100000".into())
}
