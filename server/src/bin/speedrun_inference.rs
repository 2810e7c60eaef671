//! The program `speedrun-inference`: from a checkpoint to a measured, reported and visibly thinking model.
//! Leaves every figure to `server::evaluation`; here are only arguments, progress and the order of things.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use console::Term;
use datasets::sudoku::SudokuShape;
use exporter::import::{self, ImportOptions};
use exporter::runtime;
use hub::{FileReference, Hub, RepositoryKind, registry};
use indicatif::{ProgressBar, ProgressStyle};
use server::RuntimeFacts;
use server::config::{RestartArgs, session_options};
use server::default_policy::{DefaultPolicy, RestartWishes};
use server::engine::{Batching, Engine, Policy, Request};
use server::evaluation::measure::{RawOutcome, run_engine, run_raw};
use server::evaluation::puzzle_set::{self, PuzzleSet};
use server::evaluation::report::{Machine, Report};
use server::evaluation::score::{score_engine, score_raw};
use server::evaluation::thinking;
use server::model::{self, ModelCard};
use server::registry::{EngineLimits, ServedModel};
use server::task::{SudokuRules, Task, tokens_of};

/// Measures a tiny recursive model on held-out puzzles and shows it thinking.
#[derive(Debug, Parser)]
#[command(name = "speedrun-inference", version)]
struct Cli {
    #[command(subcommand)]
    task: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Sudoku: exact accuracy raw and verified, speed, a report under results/, and one puzzle step by step.
    ///
    /// Example: speedrun-inference sudoku --count 200
    Sudoku(Box<SudokuArgs>),
}

#[derive(Debug, Args)]
struct SudokuArgs {
    /// Folder of the checkpoint (manifest.json, model.safetensors), or owner/name of a hub repository that holds one.
    /// Default: the shipped model for --size.
    #[arg(long, value_name = "DIR|OWNER/NAME")]
    checkpoint: Option<PathBuf>,
    /// Published weights to use instead: `hub` for the published Sudoku model, a short name (see `exporter registry`), a
    /// file of torch.save or safetensors, or `owner/name/file[@revision]` on the hub. Imported into the hub's cache once.
    #[arg(long, value_name = "hub|NAME|FILE|OWNER/NAME/FILE", conflicts_with = "checkpoint")]
    weights: Option<String>,
    /// Folder whose subfolders are the shipped models.
    #[arg(long, env = "TRM_MODELS_DIR", value_name = "DIR")]
    models_dir: Option<PathBuf>,
    /// Side length of the boards: 4, 6, 9 or 16. Default: that of the checkpoint, else 9.
    #[arg(long)]
    size: Option<usize>,
    #[command(flatten)]
    source: SourceArgs,
    /// Puzzles to evaluate. Default: 1000 generated ones; all of --data, --puzzles or --source-repo.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Seed of the generated puzzles; training seeds never give the same ones.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Givens on top of a minimal generated puzzle: more make it easier.
    #[arg(long, default_value_t = 0)]
    extra_clues: usize,
    /// Supervision steps of each puzzle. Default: the model's `halt_max_steps`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    steps: Option<u32>,
    /// Puzzles per batch of the raw run.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch_size: u16,
    /// Puzzles that the engine thinks about at the same time, which the latency is measured at.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=128))]
    clients: u16,
    #[command(flatten)]
    restarts: RestartArgs,
    /// Threads of ONNX Runtime; 0: one per physical core.
    #[arg(long, env = "TRM_THREADS", default_value_t = 0)]
    threads: usize,
    /// GPU to run on, by its index; needs a build with the feature `cuda`.
    #[arg(long, env = "TRM_CUDA_DEVICE", value_name = "INDEX")]
    cuda_device: Option<u16>,
    /// Folder of the report. Default: a folder under results/ named after date and time.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not show a puzzle being solved at the end.
    #[arg(long)]
    no_show: bool,
}

/// Where the puzzles come from, if not from the generator.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct SourceArgs {
    /// Test split of a data set in the reference's format.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Text file with a puzzle a line, '.' or '0' for blanks; '#' starts a comment.
    #[arg(long, value_name = "FILE")]
    puzzles: Option<PathBuf>,
    /// Data set repository on the hub whose test.csv is taken, such as sapientinc/sudoku-extreme, or its short name.
    #[arg(long, value_name = "OWNER/NAME")]
    source_repo: Option<String>,
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Program::Sudoku(args) => sudoku(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn sudoku(args: &SudokuArgs) -> Result<()> {
    let started = SystemTime::now();
    let options = session_options(args.threads, args.cuda_device);
    let facts = RuntimeFacts::new(&runtime::load()?, &options);
    let loaded = model::load(&checkpoint(args)?, &options)?;
    let (card, mut step_model) = (loaded.card, loaded.step_model);
    let Task::Sudoku(shape) = loaded.task else {
        bail!("model `{}` is for {}, not for Sudoku; name another with --checkpoint", card.name, loaded.task)
    };
    check_size(args, &card, shape)?;
    let steps = args.steps.map_or(card.arch.halt_max_steps(), |steps| steps as usize);
    println!("model    {}: {} parameters, sha256 {}", card.name, card.parameters, &card.sha256[..16]);
    println!("runtime  {}, {}", facts.library, facts.execution_provider);

    let set = puzzle_set(args, shape)?;
    println!("puzzles  {} ({})", set.puzzles.len(), set.description);
    report_bad_lines(&set);
    let tokens: Vec<Vec<i64>> = set.puzzles.iter().map(|puzzle| tokens_of(&puzzle.puzzle)).collect();

    let bar = progress_bar(tokens.len(), format!("raw: all {steps} steps"));
    let clock = Instant::now();
    let batch_size = usize::from(args.batch_size).min(tokens.len());
    let outcomes =
        run_raw(&mut step_model, &SudokuRules(shape), &tokens, steps, batch_size, |done| bar.inc(done as u64))?;
    let raw_seconds = clock.elapsed().as_secs_f64();
    bar.finish();

    let clients = usize::from(args.clients);
    let policy = DefaultPolicy::of(loaded.task, steps, card.inference.as_ref(), &args.restarts.wishes()).policy;
    let restarts = policy.restarts;
    let limits = EngineLimits {
        slots: clients,
        queue_capacity: clients,
        max_wait: Duration::MAX,
        batching: Batching::Continuous,
        max_steps_limit: steps,
        chains_limit: restarts.chains(),
        restarts: RestartWishes::all(restarts),
    };
    let policy = Policy { restarts, ..Policy::plain(steps) };
    let model = ServedModel::start(card, loaded.task, step_model, limits)?;
    let bar = progress_bar(tokens.len(), "engine: until verified".into());
    let run = run_engine(&model.engine, &tokens, policy, clients, |done| bar.inc(done as u64))?;
    bar.finish();

    let raw = score_raw(&set.puzzles, &outcomes, Some(&run.answers));
    let report = Report {
        task: "sudoku".into(),
        board_size: shape.size(),
        dataset: set.description.clone(),
        puzzles: set.puzzles.len(),
        skipped_lines: set.bad_lines.len(),
        steps,
        exact_accuracy: raw.overall.raw.accuracy,
        exact_accuracy_interval: raw.overall.raw.interval,
        verified_accuracy: raw.overall.verified.accuracy,
        verified_accuracy_interval: raw.overall.verified.interval,
        raw,
        engine: score_engine(&run, policy, clients),
        raw_seconds,
        model: model.card.clone(),
        runtime: facts,
        machine: Machine::here(),
        command: command_line(),
        started: humantime::format_rfc3339_seconds(started).to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    println!("{}", report.to_terminal());
    let out = args.out.clone().unwrap_or_else(|| default_out(started));
    report.write(&out)?;
    println!("report   {} and report.md", out.join("report.json").display());
    if !args.no_show {
        show_one(&model.engine, &set, &outcomes, policy)?;
    }
    Ok(())
}

fn checkpoint(args: &SudokuArgs) -> Result<PathBuf> {
    if let Some(weights) = &args.weights {
        return imported(weights).context(
            "the published weights cannot be used; the shipped model needs no network: leave --weights out to use it",
        );
    }
    if let Some(named) = &args.checkpoint {
        let id = named.to_string_lossy();
        // A folder of that name comes first; `owner/name` without one is a repository of the hub.
        let is_path = named.exists() || id.starts_with(['/', '.']) || id.split('/').count() != 2;
        return if is_path { Ok(named.clone()) } else { from_hub(&id) };
    }
    let shape = SudokuShape::from_size(args.size.unwrap_or(9))?;
    let wanted = format!("{0}x{0} Sudoku", shape.size());
    Ok(model::shipped_for(&wanted, |task| task == Task::Sudoku(shape), args.models_dir.as_deref())?)
}

/// The checkpoint folder, in the hub's cache, of weights in the reference's form.
fn imported(weights: &str) -> Result<PathBuf> {
    let name = match weights {
        "hub" => registry::model_for_task("sudoku").context("no Sudoku model is published")?.name,
        name => name,
    };
    let hub = Hub::from_env()?;
    let bar = progress_bar(0, format!("fetching {name}"));
    let found = import::find(name, &ImportOptions::default(), &hub, told(&bar))?;
    bar.finish_and_clear();
    println!("weights  {}", found.source);
    Ok(import::in_cache(&found, &hub)?)
}

/// The folder, in the hub's cache, of a model repository that holds a checkpoint in our form.
fn from_hub(repository: &str) -> Result<PathBuf> {
    let hub = Hub::from_env()?;
    let bar = progress_bar(0, format!("fetching {repository}"));
    let fetch = |file| {
        let reference = FileReference::new(RepositoryKind::Model, repository, file, "main")?;
        hub.file(&reference, told(&bar))
            .with_context(|| format!("{repository}: no such folder here, and {file} cannot be had from the hub"))
    };
    let manifest = fetch(models::checkpoint::MANIFEST_FILE)?;
    fetch(models::checkpoint::WEIGHTS_FILE)?;
    bar.finish_and_clear();
    Ok(manifest.parent().unwrap_or(&manifest).to_owned())
}

/// Shows a download's bytes.
fn told(bar: &ProgressBar) -> impl FnMut(u64, Option<u64>) {
    |bytes, total| {
        bar.set_length(total.unwrap_or(bytes));
        bar.set_position(bytes);
    }
}

fn check_size(args: &SudokuArgs, card: &ModelCard, shape: SudokuShape) -> Result<()> {
    match args.size {
        Some(size) if size != shape.size() => {
            bail!("--size is {size}, but model `{}` solves {1}x{1} boards; leave --size out", card.name, shape.size())
        }
        _ => Ok(()),
    }
}

fn puzzle_set(args: &SudokuArgs, shape: SudokuShape) -> Result<PuzzleSet> {
    let limit = args.count.map_or(usize::MAX, |count| count as usize);
    let set = match &args.source {
        SourceArgs { data: Some(directory), .. } => puzzle_set::from_dataset(shape, directory, limit)?,
        SourceArgs { puzzles: Some(path), .. } => puzzle_set::from_file(shape, path, limit)?,
        SourceArgs { source_repo: Some(repository), .. } => {
            let bar = progress_bar(0, format!("fetching test.csv of {repository}"));
            let published = registry::dataset(repository).map(|set| (set.repository, set.revision));
            let (repository, revision) = published.unwrap_or((repository, "main"));
            let reference = FileReference::new(RepositoryKind::Dataset, repository, "test.csv", revision)?;
            let path = Hub::from_env()?.file(&reference, told(&bar))?;
            bar.finish_and_clear();
            puzzle_set::from_csv(shape, &path, &format!("test.csv of {repository}"), limit)?
        }
        _ => puzzle_set::generated(shape, args.seed, args.extra_clues, args.count.unwrap_or(1000) as usize)?,
    };
    if set.puzzles.is_empty() {
        bail!("{}: there are no puzzles to evaluate", set.description);
    }
    Ok(set)
}

fn report_bad_lines(set: &PuzzleSet) {
    const SHOWN: usize = 10;
    for bad in set.bad_lines.iter().take(SHOWN) {
        eprintln!("warning: line {} is skipped: {}", bad.line, bad.problem);
    }
    if let Some(more) = set.bad_lines.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        eprintln!("warning: {more} more lines are skipped");
    }
}

/// Shows the verified puzzle that took most steps, for there is most to see; without one, the first.
fn show_one(engine: &Engine, set: &PuzzleSet, outcomes: &[RawOutcome], policy: Policy) -> Result<()> {
    let hardest = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.first_verified.is_some());
    let index = hardest.max_by_key(|(_, outcome)| outcome.first_verified).map_or(0, |(index, _)| index);
    let puzzle = &set.puzzles[index];
    let request = Request { trace: true, ..Request::new(tokens_of(&puzzle.puzzle)).with_policy(policy) };
    let answer = engine.submit(request)?.wait()?;
    println!("\npuzzle {} ({} givens, {} guesses for our solver)", index + 1, puzzle.puzzle.givens(), puzzle.guesses);
    thinking::show(&Term::stdout(), &puzzle.puzzle, &answer).context("cannot draw on the terminal")
}

fn progress_bar(length: usize, message: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:26} {bar:40} {human_pos}/{human_len} {per_sec} ETA {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length as u64).with_style(style).with_message(message);
    if bar.is_hidden() {
        // Whoever reads a log wants to know what takes its time.
        println!("running  {}", bar.message());
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("speedrun-inference".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn default_out(started: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_seconds(started).to_string().replace(':', "-");
    Path::new("results").join(format!("{time}-sudoku"))
}
