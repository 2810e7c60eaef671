//! `trainer study`: a file of experiments, trained and compared.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use clap::Args;
use trainer::config::Override;
use trainer::stopping::{INTERRUPTED, on_signals};
use trainer::study::{RunState, Study, run_study, write_results};

/// Which study, where to, and how many runs at a time.
#[derive(Debug, Args)]
pub(crate) struct StudyArguments {
    /// TOML or YAML file: shared settings, and `[[experiments]]` or a `[grid]`
    file: PathBuf,
    /// Folder of runs and results; default `checkpoints/study-NAME`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at a time; each then gets its share of the cores
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Print the runs and their settings, and stop
    #[arg(long)]
    list: bool,
    /// key=value for every run, after the file's settings
    overrides: Vec<Override>,
}

/// Trains what is missing, and writes the results of whatever there is.
pub(crate) fn run(arguments: &StudyArguments) -> anyhow::Result<ExitCode> {
    let study = Study::read(&arguments.file, &arguments.overrides)?;
    for note in &study.notes {
        eprintln!("note: {}: {note}", arguments.file.display());
    }
    let out =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from("checkpoints").join(format!("study-{}", study.name)));
    if arguments.list {
        for (experiment, seed, path) in study.runs(&out) {
            let table = experiment.table();
            let settings: Vec<String> = table.iter().map(|(key, value)| format!("{key}={value}")).collect();
            println!("{}  seed={seed} {}", path.display(), settings.join(" "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = on_signals().context("cannot listen for signals")?;
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let runs = run_study(&study, &out, usize::from(arguments.jobs), &program, &stop, |line| println!("{line}"))?;
    let (_, report) = write_results(&study, &runs, &out)?;
    println!("\n{report}\nwrote {}", out.display());
    if runs.iter().any(|run| matches!(run.state, RunState::Failed(_))) {
        return Ok(ExitCode::FAILURE);
    }
    if stop.load(Ordering::Relaxed) {
        println!("stopped; go on with the same command");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}
