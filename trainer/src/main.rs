//! `trainer`: trains and evaluates checkpoints. Parses the command line; everything else is in the library.
//!
//! ```text
//! trainer pretrain data_paths="[data/sudoku]" arch.mlp_t=True arch.pos_encodings=none ema=True run_name=first
//! trainer pretrain generator.size=4 max_steps=1000 arch.hidden_size=64 run_name=on-a-laptop
//! trainer pretrain resume=checkpoints/first
//! trainer eval --checkpoint checkpoints/first/best --data data/sudoku
//! trainer forward --checkpoint checkpoints/first/best --rows 16 --precision float64 --out outputs.safetensors
//! trainer publish --checkpoint checkpoints/first/best --out models/shipped/first
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use datasets::sudoku::{GeneratorOptions, SudokuShape};
use indicatif::ProgressBar;
use models::{Checkpoint, ForwardDtype};
use serde_json::Value;
use trainer::act::Reasoner;
use trainer::config::{DeviceKind, Override, PretrainConfig};
use trainer::data::EvaluationData;
use trainer::evaluate::evaluate;
use trainer::forward::{ForwardInputs, ForwardOptions, Precision, forward};
use trainer::losses::LossType;
use trainer::parameters::Parameters;
use trainer::pretrain::{Outcome, device, pretrain, set_threads};
use trainer::progress::{Progress, summary};

/// Exit status of a run that was asked to stop and can be resumed (as a shell reports SIGINT).
const INTERRUPTED: u8 = 130;

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
    Eval {
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
        /// Where to compute: cpu or cuda
        #[arg(long, default_value = "cpu", value_parser = parse_device)]
        device: DeviceKind,
        /// Threads; 0 takes all cores
        #[arg(long, default_value_t = 0)]
        threads: usize,
        /// Print JSON instead of a line
        #[arg(long)]
        json: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
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
        Command::Eval { checkpoint, data, count, extra_clues, batch_size, device, threads, json } => {
            set_threads(threads);
            let checkpoint = Checkpoint::open(&checkpoint)?;
            let data = match data {
                Some(path) => EvaluationData::folders(vec![path], batch_size, count),
                None => held_out(&checkpoint, extra_clues, count.unwrap_or(1_000), batch_size)?,
            };
            run_eval(&checkpoint, &data, device, json)?;
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
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // A second signal ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }
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
    if !manifest.task.starts_with("sudoku") {
        bail!(
            "the checkpoint's task is {}, puzzles are generated for sudoku only; name a folder with --data",
            manifest.task
        );
    }
    let shape = SudokuShape::from_cells(manifest.dims.seq_len)?;
    let options =
        GeneratorOptions { size: shape.size(), extra_clues: (extra_clues, extra_clues), ..Default::default() };
    Ok(EvaluationData::held_out(&options, count, batch_size)?)
}

fn run_eval(checkpoint: &Checkpoint, data: &EvaluationData, kind: DeviceKind, json: bool) -> anyhow::Result<()> {
    let manifest = &checkpoint.manifest;
    if let Some(dims) = data.dims()?
        && (dims.seq_len, dims.vocab_size) != (manifest.dims.seq_len, manifest.dims.vocab_size)
    {
        bail!(
            "the data has seq_len {} and vocab_size {}, the checkpoint expects {} and {}; evaluate on the task it was trained for",
            dims.seq_len,
            dims.vocab_size,
            manifest.dims.seq_len,
            manifest.dims.vocab_size
        );
    }
    let parameters = Parameters::from_checkpoint(checkpoint, device(kind)?)?;
    let reasoner = Reasoner::new(&manifest.arch, &manifest.dims, &parameters, LossType::default())?;
    let bar = ProgressBar::new(data.rows()? as u64);
    let found = evaluate(&reasoner, &manifest.arch, &parameters, data.batches()?, |rows| bar.inc(rows as u64))?;
    bar.finish_and_clear();
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{}", summary(&found));
    }
    Ok(())
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

fn parse_device(text: &str) -> Result<DeviceKind, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|_| format!("`{text}` is neither cpu nor cuda"))
}
