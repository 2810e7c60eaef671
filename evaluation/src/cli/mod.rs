//! The options of `speedrun-inference` and `server eval`, and the order of things in an evaluation.
//! Owns arguments, progress and files; leaves every figure to `evaluation`.

mod arc;
mod arc_source;
mod boards;
mod checkpoint;
mod logs;
mod merge;
mod output;
mod policy;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use exporter::runtime::SessionOptions;

pub use self::arc::ArcArgs;
use crate::Shard;
use engine::arc::TaskIndex;
use engine::default_policy::PolicyOverrides;
use engine::model::{checkpoints_in, shipped_directory};
use engine::{Quantize, session_options};

/// How a model is evaluated on Sudoku or mazes.
#[derive(Debug, Clone, Args)]
pub struct BoardArgs {
    /// Folder of the checkpoint (manifest.json, model.safetensors), or owner/name of a hub repository that holds one.
    /// Default: the shipped model for the task and --size.
    #[arg(long, value_name = "DIR|OWNER/NAME")]
    pub checkpoint: Option<PathBuf>,
    /// Published weights to use instead: `hub` for the published model of the task, a short name (see `exporter
    /// registry`), a file of torch.save or safetensors, or `owner/name/file[@revision]` on the hub. Imported into the
    /// hub's cache once.
    #[arg(long, value_name = "hub|NAME|FILE|OWNER/NAME/FILE", conflicts_with = "checkpoint")]
    pub weights: Option<String>,
    /// Folder whose subfolders are the shipped models.
    #[arg(long, env = "TRM_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Side length of the boards. Default: that of the checkpoint; of shipped Sudoku models 9.
    #[arg(long)]
    pub size: Option<usize>,
    /// Where the puzzles come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Puzzles to evaluate. Default: 200 generated ones; all of --data, --puzzles or --source-repo.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Seed of the generated puzzles; training seeds never give the same ones.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Givens on top of a minimal generated Sudoku: more make it easier.
    #[arg(long, default_value_t = 0)]
    pub extra_clues: usize,
    /// Supervision steps of the raw run and of every chain. Default: the model's `halt_max_steps`, and what its
    /// manifest says about chains.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub steps: Option<u32>,
    /// Puzzles that the engine solves at the same time, which the latency is measured at.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub clients: u16,
    /// What follows when the first chain has failed.
    #[command(flatten)]
    pub restarts: PolicyOverrides,
    /// Also measure accuracy against steps (1, 2, 4 … --curve-steps, looking for a collapse) and against chains
    /// (1, 2, 4 … --curve-chains, with votes), as tables and charts. Costs that many steps for every puzzle.
    #[arg(long)]
    pub curve: bool,
    /// Deepest point of the curve by steps.
    #[arg(long, default_value_t = 128, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub curve_steps: u32,
    /// Last point of the curve by chains.
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub curve_chains: u32,
    /// Measure candidates for the model's default policy, choose the one with the fewest mean steps (a puzzle that stays
    /// unsolved counts as 1000; of equal ones the one with the most chains), and write it into the checkpoint's manifest,
    /// where servers find it. With `--quantize int8` measure what the manifest's policy reaches in integers, and write that,
    /// so that `--quantize auto` can choose.
    #[arg(long)]
    pub write_policy: bool,
    /// Evaluate only part i of n, such as 1/4; `server eval merge` makes one report of all parts.
    #[arg(long, default_value_t = Shard::WHOLE, value_name = "I/N")]
    pub shard: Shard,
    /// Puzzles that are asked at a time, saved together. Default: 128 Sudokus, 32 mazes.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub block: Option<u32>,
    /// What computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Folder of the logs and the report. The same command on the same folder goes on where it was killed. Default: the
    /// unfinished folder of this very run under results/, if there is one, else a new one named after date and time.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do not show the puzzle that took most steps being solved.
    #[arg(long)]
    pub no_show: bool,
}

/// What computes.
#[derive(Debug, Clone, Copy, Args)]
pub struct ComputeArgs {
    /// Threads of ONNX Runtime; 0: one per physical core.
    #[arg(long, env = "TRM_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// What products are computed in.
    #[arg(long, env = "TRM_QUANTIZE", value_enum, default_value_t, value_name = "TYPE")]
    pub quantize: Quantize,
    /// GPU to run on, by its index; needs a build with the feature `cuda`.
    #[arg(long, env = "TRM_CUDA_DEVICE", value_name = "INDEX")]
    pub cuda_device: Option<u16>,
}

impl ComputeArgs {
    fn session_options(&self) -> SessionOptions {
        session_options(self.threads, self.cuda_device)
    }
}

/// Where the puzzles come from, if not from the generator.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct SourceArgs {
    /// Test split of a data set in the reference's format.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Text file of puzzles, as it is or gzipped (FILE.gz): a puzzle a line with whatever a list notes beside it (CSV,
    /// ratings, solutions, which are checked), or drawings over several lines. Sudoku: '.' or '0' for blanks, '#' starts a
    /// comment. Mazes: '#' for walls, space or '.' for free cells, S and G for start and goal.
    #[arg(long, value_name = "FILE")]
    pub puzzles: Option<PathBuf>,
    /// Data set repository on the hub whose test.csv is taken, such as sapientinc/sudoku-extreme, or its short name.
    #[arg(long, value_name = "OWNER/NAME")]
    pub source_repo: Option<String>,
}

/// A task with rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BoardTask {
    /// Sudoku of any board size.
    Sudoku,
    /// Mazes of any size.
    Maze,
}

/// `server eval`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EvalArgs {
    /// What else to do with evaluations.
    #[command(subcommand)]
    pub command: Option<EvalCommand>,
    /// What to evaluate.
    #[arg(long, value_enum, default_value_t = BoardTask::Sudoku)]
    pub task: BoardTask,
    /// How.
    #[command(flatten)]
    pub args: BoardArgs,
}

/// What else there is to do with evaluations.
#[derive(Debug, Clone, Subcommand)]
pub enum EvalCommand {
    /// Make one report of the shards of a run.
    Merge(MergeArgs),
    /// An ARC model on the held-out tasks of its data set: votes by number of augmentations, submission.json.
    Arc(ArcArgs),
}

/// `server eval merge`.
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// Folders of all shards.
    #[arg(required = true, value_name = "DIR")]
    pub shards: Vec<PathBuf>,
    /// Folder of the report.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl BoardTask {
    /// The name in commands and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sudoku => "sudoku",
            Self::Maze => "maze",
        }
    }
}

/// Runs `server eval`.
///
/// # Errors
/// With a message for the user.
pub fn eval(args: &EvalArgs) -> Result<()> {
    match &args.command {
        Some(EvalCommand::Merge(merge_args)) => merge(merge_args),
        Some(EvalCommand::Arc(arc_args)) => evaluate_arc("arc", arc_args),
        None => evaluate_boards(args.task, &args.args),
    }
}

/// Makes one report of the shards of a run.
///
/// # Errors
/// When the shards are not those of one run, or a file cannot be read or written.
pub fn merge(args: &MergeArgs) -> Result<()> {
    merge::merge(args)
}

/// Evaluates one model on Sudoku or mazes.
///
/// # Errors
/// With a message for the user.
pub fn evaluate_boards(task: BoardTask, args: &BoardArgs) -> Result<()> {
    boards::evaluate(task, args, SystemTime::now())
}

/// Evaluates one model on ARC's held-out tasks; `name` is arc1 or arc2.
///
/// # Errors
/// With a message for the user.
pub fn evaluate_arc(name: &str, args: &ArcArgs) -> Result<()> {
    arc::evaluate(name, args, SystemTime::now())
}

/// Evaluates every shipped model, each in a folder of its own: on generated puzzles, or the held-out tasks of ARC that it knows.
///
/// # Errors
/// With a message for the user.
pub fn evaluate_all(args: &BoardArgs) -> Result<()> {
    let SourceArgs { data, puzzles, source_repo } = &args.source;
    let is_particular = data.is_some() || puzzles.is_some() || source_repo.is_some() || args.size.is_some();
    if is_particular || args.checkpoint.is_some() || args.weights.is_some() {
        bail!("`all` evaluates every shipped model on puzzles of its own; name a task to choose model or puzzles");
    }
    let mut evaluated = 0;
    for checkpoint in checkpoints_in(&shipped_directory(args.models_dir.as_deref())?)? {
        let name = checkpoint.file_name().map_or(Path::new("model"), Path::new).to_owned();
        let out = args.out.as_ref().map(|out| out.join(&name));
        if let Some(task) = checkpoint::board_task_of(&checkpoint)? {
            evaluate_boards(task, &BoardArgs { checkpoint: Some(checkpoint), out, ..args.clone() })?;
        } else if TaskIndex::folder_in(&checkpoint).is_some() {
            evaluate_arc("arc1", &ArcArgs { out, ..ArcArgs::of_shipped(checkpoint, args.compute) })?;
        } else {
            continue;
        }
        evaluated += 1;
    }
    if evaluated == 0 {
        bail!("no model is shipped; name one with `sudoku --checkpoint DIR`");
    }
    Ok(())
}

/// The command line, without the folder that the program lies in.
fn command_line() -> String {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
