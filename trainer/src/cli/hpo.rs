//! `trainer hpo`: a search for hyper-parameters from one file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use clap::Args;
use trainer::config::Override;
use trainer::search::{JOURNAL_FILE, Search, run_search, write_search};
use trainer::stopping::{INTERRUPTED, on_signals};

/// Which search, and where to.
#[derive(Debug, Args)]
pub(crate) struct HpoArguments {
    /// TOML or YAML file: shared settings, `[space]` with what is searched, and `[hpo]`
    file: PathBuf,
    /// Folder of the journal, trials and results; default `checkpoints/hpo-NAME`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Trials in all, in place of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    trials: Option<u64>,
    /// key=value for every trial, after the file's settings
    overrides: Vec<Override>,
}

/// Runs the trials that are missing, and writes the results of all.
pub(crate) fn run(arguments: &HpoArguments) -> anyhow::Result<ExitCode> {
    let mut search = Search::read(&arguments.file, &arguments.overrides)?;
    search.options.trials = arguments.trials.unwrap_or(search.options.trials);
    let out =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from("checkpoints").join(format!("hpo-{}", search.name)));
    let stop = on_signals().context("cannot listen for signals")?;
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let trials = run_search(&search, &out, &program, &stop, |line| println!("{line}"))?;
    let report = write_search(&search, &trials, &out)?;
    println!("\n{report}\nwrote {}; Optuna opens {}", out.display(), out.join(JOURNAL_FILE).display());
    if stop.load(Ordering::Relaxed) {
        println!("stopped; go on with the same command");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}
