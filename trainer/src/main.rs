//! `trainer`: trains and evaluates checkpoints. Parses the command line; everything else is in the library.
//!
//! ```text
//! trainer pretrain data_paths="[data/sudoku]" arch.mlp_t=True arch.pos_encodings=none ema=True run_name=first
//! trainer pretrain generator.size=4 max_steps=1000 arch.hidden_size=64 run_name=on-a-laptop
//! trainer pretrain arch=hrm generator.size=4 max_steps=1000 arch.hidden_size=64 arch.num_heads=2 run_name=hrm
//! trainer pretrain generator.task=maze generator.size=10 max_steps=1000 arch.hidden_size=64 arch.num_heads=2
//! trainer pretrain resume=checkpoints/first
//! trainer launch --nproc 2 -- pretrain generator.size=4 max_steps=1000 arch.hidden_size=64 run_name=on-two-ranks
//! trainer adapt --checkpoint checkpoints/arc --tasks my-tasks --output checkpoints/my-tasks --minutes 10
//! trainer eval --checkpoint checkpoints/first/best --data data/sudoku
//! trainer eval --checkpoint checkpoints/first/best --augmentations 8 --save-predictions answers.safetensors
//! trainer study studies/quick.toml
//! trainer aggregate checkpoints/Sudoku-4x4-ACT-torch --group-by model_type,arch.L_layers --out comparison
//! trainer export-metrics --run checkpoints/first --out wide.csv
//! trainer forward --checkpoint checkpoints/first/best --rows 16 --precision float64 --out outputs.safetensors
//! trainer bench --config small --threads 2
//! trainer publish --checkpoint checkpoints/first/best --out models/shipped/first
//! ```

mod cli;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use cli::eval::{self, EvalArguments};
use cli::hpo::{self, HpoArguments};
use cli::launch::{self, LaunchArguments};
use cli::study::{self, StudyArguments};
use models::{Checkpoint, ForwardDtype};
use serde_json::Value;
use trainer::adapt::{self, AdaptArguments};
use trainer::aggregate::aggregate;
use trainer::bench::BenchArguments;
use trainer::config::{Override, PretrainConfig};
use trainer::distributed::{Environment, Peers};
use trainer::export_metrics::export_wide;
use trainer::forward::ForwardArguments;
use trainer::pretrain::{Observer, Outcome, Start, pretrain_with};
use trainer::progress::{Progress, Silent};
use trainer::stopping::{INTERRUPTED, end_after_grace, on_end_of_input, on_signals};
use trainer::study::FOLLOWS_STUDY;

#[derive(Parser)]
#[command(version, about = "Trains tiny recursive reasoning models")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model; settings are the reference's Hydra-style overrides
    Pretrain {
        /// TOML or YAML files with the same keys, applied before the overrides
        #[arg(long = "config", value_name = "FILE")]
        configs: Vec<PathBuf>,
        /// Print the resolved settings and stop
        #[arg(long)]
        show_config: bool,
        /// key=value, +key=value; resume=RUN continues an earlier run, `resume_world_size=any` on any number of ranks
        overrides: Vec<Override>,
    },
    /// Train on several processes of this machine, as torchrun would start them
    Launch(LaunchArguments),
    /// Teach an ARC model new tasks from their demonstrations; an interrupted adaptation goes on with the same command
    Adapt(AdaptArguments),
    /// Train a list of experiments, for each of some seeds, and compare them; an interrupted study goes on where it was
    Study(StudyArguments),
    /// Search for hyper-parameters; an interrupted search goes on where it was, and Optuna opens its journal
    Hpo(HpoArguments),
    /// Put many runs into tables and figures: a row a run, groups with intervals over their seeds, differences
    Aggregate {
        /// Folders of runs, or folders with runs somewhere below
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Columns of experiment.json or config.json (`model_type`, `dataset_size`, `arch.L_layers`) that make a group
        #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
        group_by: Vec<String>,
        /// Folder to write runs.csv, groups.csv, report.md and the curves into
        #[arg(long, default_value = "aggregate")]
        out: PathBuf,
    },
    /// Write a run's metrics with a row for each evaluation, in the columns of the recursive-reasoning benchmark
    ExportMetrics {
        /// Folder of the run
        #[arg(long)]
        run: PathBuf,
        /// CSV file to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Draw a run's learning curve as SVG
    Plot {
        /// Folder of the run
        #[arg(long)]
        run: PathBuf,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Copy a checkpoint's weights and manifest without the training state, ready to ship
    Publish {
        /// Checkpoint folder
        #[arg(long)]
        checkpoint: PathBuf,
        /// Folder to write
        #[arg(long)]
        out: PathBuf,
        /// Type of the weights: bfloat16 or float32
        #[arg(long, default_value = "bfloat16", value_parser = parse_dtype)]
        dtype: ForwardDtype,
        /// Data set that an ARC model was trained on, built with `--names-only`: it is written beside the weights, so that a
        /// server that gets the folder knows the model's tasks
        #[arg(long, value_name = "DIR")]
        arc_data: Option<PathBuf>,
    },
    /// Write what a checkpoint's model says at every step, for comparisons
    Forward(ForwardArguments),
    /// Evaluate a checkpoint on a test split, or on generated puzzles that no training seed draws
    Eval(EvalArguments),
    /// Measure this machine and how much of it a training step uses; a minute or two
    Bench(BenchArguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        // One sentence: a backtrace, which the environment may ask for, says nothing about the user's files.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Pretrain { configs, show_config, overrides } => run_pretrain(&configs, show_config, overrides),
        Command::Launch(arguments) => launch::run(&arguments),
        Command::Adapt(arguments) => adapt::run(arguments),
        Command::Study(arguments) => study::run(&arguments),
        Command::Hpo(arguments) => hpo::run(&arguments),
        Command::Aggregate { runs, group_by, out } => {
            let written = aggregate(&runs, &group_by, &out)?;
            print!("{}", written.report);
            println!("\n{} runs; wrote {}", written.runs, out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::ExportMetrics { run, out } => {
            let rows = export_wide(&run, &out)?;
            println!("{}: {rows} evaluations", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Plot { run, out } => {
            let svg = trainer::plot::learning_curve(&run.join("metrics.csv"), &run.display().to_string())?;
            files::write(&out, svg.as_bytes())?;
            println!("{}", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Publish { checkpoint, out, dtype, arc_data } => {
            let checkpoint = Checkpoint::open(&checkpoint)?;
            let mut further = Vec::new();
            if let Some(folder) = arc_data {
                let rows = checkpoint.manifest.dims.num_puzzle_identifiers;
                let files = datasets::arc::names_only_files(&folder, rows)?;
                let place = |file: PathBuf| (folder.join(&file), Path::new(datasets::arc::ARC_DATA_FOLDER).join(file));
                further.extend(files.into_iter().map(place));
            }
            models::checkpoint::publish_with(&checkpoint, &out, dtype, &further)?;
            println!("{}", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Forward(arguments) => {
            trainer::forward::run(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Eval(arguments) => {
            eval::run(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(arguments) => {
            trainer::bench::run(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_pretrain(configs: &[PathBuf], show_config: bool, mut overrides: Vec<Override>) -> anyhow::Result<ExitCode> {
    let resume = match overrides.iter().position(|change| change.key == "resume") {
        Some(index) => match overrides.remove(index).value {
            Value::String(path) => Some(PathBuf::from(path)),
            other => bail!("resume={other}: name the folder of a run"),
        },
        None => None,
    };
    let reshards = match overrides.iter().position(|change| change.key == "resume_world_size") {
        Some(index) => match overrides.remove(index).value {
            Value::String(size) if size == "any" && resume.is_some() => true,
            Value::String(size) if size == "any" => bail!("resume_world_size is set without resume; name the run"),
            other => {
                bail!("resume_world_size={other}: any is the only value; without it a run keeps its number of ranks")
            }
        },
        None => false,
    };
    let config = match &resume {
        Some(_) if !configs.is_empty() => bail!("--config and resume exclude each other: a run keeps its settings"),
        Some(run) => {
            let directory = trainer::run_directory::RunDirectory::open(run)?;
            PretrainConfig::resolve_resumed(&directory.config_path(), &overrides)?
        }
        None => PretrainConfig::resolve(configs, &overrides)?,
    };
    if show_config {
        println!("{}", serde_json::to_string_pretty(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    match Environment::from_env()? {
        None => train(config, resume, reshards, None),
        Some(environment) => {
            let rank = environment.rank;
            let peers = Peers::join(environment, Duration::from_secs(config.collective_timeout));
            let trained =
                peers.map_err(anyhow::Error::from).and_then(|peers| train(config, resume, reshards, Some(&peers)));
            trained.map_err(|error| anyhow::anyhow!("on rank {rank}: {error:#}"))
        }
    }
}

/// Trains to the end or to a signal, alone or with others.
fn train(
    mut config: PretrainConfig,
    mut resume: Option<PathBuf>,
    reshards: bool,
    peers: Option<&Peers>,
) -> anyhow::Result<ExitCode> {
    let stop = on_signals().context("cannot listen for signals")?;
    if resume.is_none() {
        match peers {
            None => config.name_run(),
            Some(peers) => name_together(&mut config, peers)?,
        }
        // A launcher that starts the ranks anew says so, and means the run that they had begun.
        let folder = config.run_directory();
        let goes_on = peers.is_some_and(|peers| peers.environment.restart_count > 0);
        resume = (goes_on && trainer::run_directory::RunDirectory::open(&folder).is_ok()).then_some(folder);
    }
    let folder = resume.clone().unwrap_or_else(|| config.run_directory());
    end_after_grace(&stop, &folder);
    if std::env::var_os(FOLLOWS_STUDY).is_some() {
        on_end_of_input(&stop);
    }
    let is_first = peers.is_none_or(|peers| peers.environment.is_first());
    let (mut progress, mut silent) = (Progress::new(), Silent);
    let observer: &mut dyn Observer = if is_first { &mut progress } else { &mut silent };
    match pretrain_with(&config, &Start { resume: resume.as_deref(), reshards, peers }, &stop, observer)? {
        Outcome::Finished { checkpoint } => {
            if is_first {
                println!("finished: {}", checkpoint.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { run, step } => {
            if is_first {
                println!("stopped at step {step}; go on with: trainer pretrain resume={}", run.display());
            }
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Names a run that has no name as rank 0 does.
fn name_together(config: &mut PretrainConfig, peers: &Peers) -> anyhow::Result<()> {
    let has_no_name = config.checkpoint_path.is_none() && config.run_name.is_none();
    if !has_no_name && !peers.environment.is_first() {
        return Ok(());
    }
    let mut named = config.clone();
    let name = peers.chosen("name", || {
        named.name_run();
        serde_json::to_string(&(&named.project_name, &named.run_name)).unwrap_or_default()
    })?;
    (config.project_name, config.run_name) = serde_json::from_str(&name).context("rank 0 chose no name")?;
    Ok(())
}

fn parse_dtype(text: &str) -> Result<ForwardDtype, String> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| format!("`{text}` is neither bfloat16 nor float32"))
}
