//! `trainer`: trains and evaluates checkpoints. Parses the command line; everything else is in the library.
//!
//! ```text
//! trainer pretrain data_paths="[data/sudoku]" arch.mlp_t=True arch.pos_encodings=none ema=True run_name=first
//! trainer pretrain generator.size=4 max_steps=1000 arch.hidden_size=64 run_name=on-a-laptop
//! trainer pretrain arch=hrm generator.size=4 max_steps=1000 arch.hidden_size=64 arch.num_heads=2 run_name=hrm
//! trainer pretrain generator.task=maze generator.size=10 max_steps=1000 arch.hidden_size=64 arch.num_heads=2
//! trainer pretrain resume=checkpoints/first
//! trainer eval --checkpoint checkpoints/first/best --data data/sudoku
//! trainer eval --checkpoint checkpoints/first/best --augmentations 8 --save-predictions answers.safetensors
//! trainer forward --checkpoint checkpoints/first/best --rows 16 --precision float64 --out outputs.safetensors
//! trainer bench --config small --threads 2
//! trainer publish --checkpoint checkpoints/first/best --out models/shipped/first
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use datasets::Task;
use datasets::scoring::{BoardScorer, ScoreReport, Scorer, SymmetricCopies};
use indicatif::ProgressBar;
use models::{Checkpoint, ForwardDtype};
use serde::Serialize;
use serde_json::Value;
use trainer::act::Reasoner;
use trainer::answers::{AnswerSink, evaluate_copies};
use trainer::bench::BenchArguments;
use trainer::config::{DeviceKind, Override, PretrainConfig};
use trainer::data::EvaluationData;
use trainer::evaluate::Evaluation;
use trainer::forward::{ForwardInputs, ForwardOptions, Precision, forward};
use trainer::generator::Generator;
use trainer::losses::LossType;
use trainer::parameters::Parameters;
use trainer::pretrain::{Outcome, device, pretrain, set_threads};
use trainer::progress::{Progress, summary};
use trainer::stopping::{INTERRUPTED, on_signals};

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
        /// TOML files with the same keys, applied before the overrides
        #[arg(long = "config", value_name = "FILE")]
        configs: Vec<PathBuf>,
        /// Print the resolved settings and stop
        #[arg(long)]
        show_config: bool,
        /// key=value, +key=value; resume=RUN continues an earlier run
        overrides: Vec<Override>,
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
    },
    /// Write what a checkpoint's model says at every step, for comparisons
    #[command(group = clap::ArgGroup::new("source").required(true).args(["inputs", "rows"]))]
    Forward {
        /// Checkpoint folder
        #[arg(long)]
        checkpoint: PathBuf,
        /// Safetensors file with `inputs` `[rows, seq_len]` and, where needed, `puzzle_identifiers` `[rows]`
        #[arg(long, value_name = "FILE")]
        inputs: Option<PathBuf>,
        /// In place of a file: the first so many puzzles of a data set, or generated ones that no training seed draws
        #[arg(long)]
        rows: Option<usize>,
        /// Folder in the reference's format that `--rows` takes the puzzles from
        #[arg(long, value_name = "DIR", requires = "rows")]
        data: Option<PathBuf>,
        /// Safetensors file to write: the inputs, and `step{n}.logits`, `.q_halt_logits`, `.preds` for every step
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Supervision steps; the checkpoint's `halt_max_steps` where not given
        #[arg(long)]
        steps: Option<usize>,
        /// Type to compute in: float64, float32 or bfloat16; the checkpoint's `forward_dtype` where not given
        #[arg(long, value_parser = parse_precision)]
        precision: Option<Precision>,
        /// Without the fused operations
        #[arg(long)]
        plain: bool,
        /// Keep the recursion states of this many rows, from the first
        #[arg(long, default_value_t = 0)]
        states: usize,
        /// Threads; 0 takes all cores
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Evaluate a checkpoint on a test split, or on generated puzzles that no training seed draws
    Eval(EvalArguments),
    /// Measure this machine and how much of it a training step uses; a minute or two
    Bench(BenchArguments),
}

#[derive(Args)]
struct EvalArguments {
    /// Checkpoint folder
    #[arg(long)]
    checkpoint: PathBuf,
    /// Folder in the reference's format; without it, generated held-out puzzles
    #[arg(long)]
    data: Option<PathBuf>,
    /// Most puzzles to evaluate (all of a folder, 1000 generated ones)
    #[arg(long)]
    count: Option<usize>,
    /// Clues revealed on top of minimal generated puzzles
    #[arg(long, default_value_t = 0)]
    extra_clues: usize,
    /// Rows of a batch
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    /// Predict on this many symmetric copies of every Sudoku or maze (the puzzle itself among them), undo, and vote
    #[arg(long, default_value_t = 1, value_name = "K")]
    augmentations: usize,
    /// Seed of the symmetries
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    augmentation_seed: u64,
    /// Write all predictions as safetensors, for `datasets score`
    #[arg(long, value_name = "FILE")]
    save_predictions: Option<PathBuf>,
    /// Where to compute: cpu or cuda
    #[arg(long, default_value = "cpu", value_parser = DeviceKind::parse)]
    device: DeviceKind,
    /// Threads; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print JSON instead of a line
    #[arg(long)]
    json: bool,
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
        Command::Plot { run, out } => {
            let svg = trainer::plot::learning_curve(&run.join("metrics.csv"), &run.display().to_string())?;
            models::checkpoint::write_file_atomically(&out, svg.as_bytes())?;
            println!("{}", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Publish { checkpoint, out, dtype } => {
            models::checkpoint::publish(&Checkpoint::open(&checkpoint)?, &out, dtype)?;
            println!("{}", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Forward { checkpoint, inputs, rows, data, out, steps, precision, plain, states, threads } => {
            set_threads(threads);
            let checkpoint = Checkpoint::open(&checkpoint)?;
            let arch = &checkpoint.manifest.arch;
            let options = ForwardOptions {
                steps: steps.unwrap_or(arch.halt_max_steps()),
                precision: precision.unwrap_or(match arch.forward_dtype() {
                    ForwardDtype::BFloat16 => Precision::BFloat16,
                    ForwardDtype::Float32 => Precision::Float32,
                }),
                plain,
                state_rows: states,
            };
            let rows = rows.unwrap_or(1);
            let (inputs, origin) = match (inputs, data) {
                (Some(path), _) => (ForwardInputs::read(&path)?, path),
                (None, Some(data)) => (ForwardInputs::of_folder(&data, rows)?, data),
                (None, None) => (ForwardInputs::held_out(&checkpoint, rows)?, "generated puzzles".into()),
            };
            forward(&checkpoint, &inputs, &origin, &options, &out)?;
            println!("{}", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Eval(arguments) => {
            run_eval(&arguments)?;
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
    let folder = resume.clone().unwrap_or_else(|| config.run_directory());
    let stop = on_signals(folder).context("cannot listen for signals")?;
    match pretrain(&config, resume.as_deref(), &stop, &mut Progress::new())? {
        Outcome::Finished { checkpoint } => {
            println!("finished: {}", checkpoint.display());
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { run, step } => {
            println!("stopped at step {step}; go on with: trainer pretrain resume={}", run.display());
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn held_out(
    checkpoint: &Checkpoint,
    extra_clues: usize,
    count: usize,
    batch_size: usize,
) -> anyhow::Result<EvaluationData> {
    let manifest = &checkpoint.manifest;
    let task = Task::infer(manifest.dims.vocab_size, manifest.dims.seq_len);
    let Some(mut generator) = task.and_then(Generator::of_task) else {
        bail!(
            "the checkpoint's task is {}, puzzles are generated for sudoku and maze only; name a folder with --data",
            manifest.task
        );
    };
    if let Generator::Sudoku(options) = &mut generator {
        options.extra_clues = (extra_clues, extra_clues);
    }
    Ok(EvaluationData::held_out(&generator, count, batch_size)?)
}

fn run_eval(arguments: &EvalArguments) -> anyhow::Result<()> {
    set_threads(arguments.threads);
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let batch_size = arguments.batch_size;
    let data = match &arguments.data {
        Some(path) => EvaluationData::folders(vec![path.clone()], batch_size, arguments.count),
        None => held_out(&checkpoint, arguments.extra_clues, arguments.count.unwrap_or(1_000), batch_size)?,
    };
    let manifest = &checkpoint.manifest;
    // A model of boards of any size is evaluated on those of the data.
    let dims = match data.dims()? {
        Some(dims) if manifest.dims.sizes.is_some() => manifest.arch.dims_at(&manifest.dims, dims.seq_len.isqrt()),
        _ => manifest.dims,
    };
    let expected = (dims.seq_len, dims.vocab_size);
    if let Some(dims) = data.dims()?
        && (dims.seq_len, dims.vocab_size) != expected
    {
        bail!(
            "the data has seq_len {} and vocab_size {}, the checkpoint expects {} and {}; evaluate on the task it was trained for",
            dims.seq_len,
            dims.vocab_size,
            expected.0,
            expected.1
        );
    }
    let task = Task::infer(dims.vocab_size, dims.seq_len)
        .with_context(|| format!("no known task has vocab_size {}", dims.vocab_size))?;
    let copies = SymmetricCopies::new(task, arguments.augmentations, arguments.augmentation_seed)?;
    let mut sink = AnswerSink::default();
    if let Some(path) = &arguments.save_predictions {
        sink = sink.with_file(path, data.rows()?, dims.seq_len, &copies)?;
    }
    if let Some(scorer) = scorer(task, arguments, &data)? {
        sink = sink.with_votes(scorer);
    }
    let parameters = Parameters::from_checkpoint(&checkpoint, device(arguments.device)?)?;
    let reasoner = Reasoner::new(&manifest.arch, &manifest.dims, &parameters, LossType::default())?;
    let bar = ProgressBar::new((data.rows()? * copies.count()) as u64);
    let batches = data.batches()?;
    let found = evaluate_copies(&reasoner, &manifest.arch, &parameters, batches, &copies, &mut sink, |rows| {
        bar.inc(rows as u64);
    })?;
    bar.finish_and_clear();
    let votes = sink.finish(&arguments.checkpoint.display().to_string())?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&EvalOutput { evaluation: &found, votes: votes.as_ref() })?);
    } else {
        println!("{}", summary(&found));
        for accuracy in votes.iter().flat_map(|votes| &votes.accuracies).filter(|accuracy| accuracy.k.is_some()) {
            let (low, high) = accuracy.share.interval;
            println!("{} {:.4} [{low:.4}, {high:.4}] of {}", accuracy.name, accuracy.share.accuracy, accuracy.trials);
        }
    }
    Ok(())
}

/// What `--json` prints: the evaluation's fields, and the votes where there are any.
#[derive(Serialize)]
struct EvalOutput<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<&'a ScoreReport>,
}

/// Who counts votes: for ARC always (its datasets hold augmented puzzles), elsewhere where there are copies.
fn scorer(task: Task, arguments: &EvalArguments, data: &EvaluationData) -> anyhow::Result<Option<Scorer>> {
    match (&arguments.data, task) {
        (Some(path), Task::Arc) if path.join("test_puzzles.json").is_file() => Ok(Some(Scorer::open(path)?)),
        (_, Task::Arc) => Ok(None),
        _ if arguments.augmentations == 1 => Ok(None),
        (Some(path), _) => Ok(Some(Scorer::open(path)?)),
        (None, _) => {
            let mut scorer = BoardScorer::new(task)?;
            for batch in data.batches()? {
                scorer.add_batch(&batch?);
            }
            Ok(Some(Scorer::Board(Box::new(scorer))))
        }
    }
}

fn parse_dtype(text: &str) -> Result<ForwardDtype, String> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| format!("`{text}` is neither bfloat16 nor float32"))
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "float64" => Ok(Precision::Float64),
        "float32" => Ok(Precision::Float32),
        "bfloat16" => Ok(Precision::BFloat16),
        _ => Err(format!("`{text}` is none of float64, float32, bfloat16")),
    }
}
