//! `trainer eval`: a checkpoint on a test split, or on generated puzzles that no training seed draws.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use datasets::Task;
use datasets::scoring::{BoardScorer, ScoreReport, Scorer, SymmetricCopies};
use files::progress::{Unit, progress_bar};
use models::Checkpoint;
use models::checkpoint::WeightsKind;
use serde::Serialize;
use trainer::act::Reasoner;
use trainer::answers::{AnswerSink, evaluate_copies};
use trainer::backend::TchBackend;
use trainer::config::DeviceKind;
use trainer::data::EvaluationData;
use trainer::evaluate::Evaluation;
use trainer::forward::Precision;
use trainer::generator::Generator;
use trainer::losses::LossType;
use trainer::parameters::Parameters;
use trainer::pretrain::{device, set_threads};
use trainer::probes::{DepthAccuracy, accuracy_by_depth};
use trainer::progress::summary;
use trainer::state::raw_weights;

/// What to evaluate, on what, and how.
#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
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
    /// Which weights of the checkpoint: ema or raw, as far as it holds them. Default: those to ship
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightsKind>,
    /// Type to compute in; the checkpoint's `forward_dtype` where not given
    #[arg(long)]
    precision: Option<Precision>,
    /// Accuracies after so many updates of the answer (`H_cycles`), from the initial state and without halting: 1,2,4,8,16
    #[arg(long, value_name = "T,…", value_delimiter = ',', conflicts_with_all = ["augmentations", "save_predictions", "precision"], value_parser = clap::value_parser!(u16).range(1..=4096))]
    t_eval: Vec<u16>,
    /// Where to compute: cpu, cuda or auto
    #[arg(long, default_value = "cpu", value_parser = DeviceKind::parse)]
    device: DeviceKind,
    /// Threads; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print JSON instead of a line
    #[arg(long)]
    json: bool,
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

/// Evaluates and prints.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<()> {
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
    if !arguments.t_eval.is_empty() {
        return print_depths(arguments, &checkpoint, &data);
    }
    let task = Task::infer(dims.vocab_size, dims.seq_len);
    let copies = task.map(|task| SymmetricCopies::new(task, arguments.augmentations, arguments.augmentation_seed));
    let copies = copies.transpose()?;
    if copies.is_none() && (arguments.augmentations > 1 || arguments.save_predictions.is_some()) {
        bail!(
            "no known task has vocab_size {} and seq_len {}: there are no symmetries for --augmentations, and predictions are saved for known tasks only",
            dims.vocab_size,
            dims.seq_len
        );
    }
    let mut sink = AnswerSink::default();
    if let (Some(path), Some(copies)) = (&arguments.save_predictions, &copies) {
        sink = sink.with_file(path, data.rows()?, dims.seq_len, copies)?;
    }
    if let Some(scorer) = task.map(|task| scorer(task, arguments, &data)).transpose()?.flatten() {
        sink = sink.with_votes(scorer);
    }
    let parameters = weights_to_evaluate(&checkpoint, arguments.weights, device(arguments.device)?)?;
    let backend =
        arguments.precision.map_or_else(|| TchBackend::new(manifest.arch.forward_dtype()), Precision::backend);
    let reasoner = Reasoner::on_backend(backend, &manifest.arch, &manifest.dims, &parameters, LossType::default())?;
    let bar = progress_bar(
        "evaluating",
        Some((data.rows()? * copies.as_ref().map_or(1, SymmetricCopies::count)) as u64),
        Unit::Items,
    );
    let batches = data.batches()?;
    let found = evaluate_copies(&reasoner, &manifest.arch, &parameters, batches, copies.as_ref(), &mut sink, |rows| {
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

/// Accuracy against depth, a line for each.
fn print_depths(arguments: &EvalArguments, checkpoint: &Checkpoint, data: &EvaluationData) -> anyhow::Result<()> {
    let manifest = &checkpoint.manifest;
    let parameters = weights_to_evaluate(checkpoint, arguments.weights, device(arguments.device)?)?;
    let depths: Vec<usize> = arguments.t_eval.iter().map(|&depth| usize::from(depth)).collect();
    let bar = progress_bar("evaluating", Some(data.rows()? as u64), Unit::Items);
    let batches = data.batches()?;
    let found = accuracy_by_depth(&manifest.arch, &manifest.dims, &parameters, batches, &depths, |rows| {
        bar.inc(rows as u64);
    })?;
    bar.finish_and_clear();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    for DepthAccuracy { depth, count, accuracy, exact } in found {
        let (low, high) = exact.exact_accuracy_interval;
        let share = exact.exact_accuracy;
        println!("T {depth}  exact_accuracy {share:.4} [{low:.4}, {high:.4}] of {count}  accuracy {accuracy:.4}");
    }
    Ok(())
}

/// The checkpoint's weights of `kind`. The ones to ship are in its weight file; the optimizer's own, where a moving average
/// is shipped, in its training state.
fn weights_to_evaluate(
    checkpoint: &Checkpoint,
    kind: Option<WeightsKind>,
    device: tch::Device,
) -> anyhow::Result<Parameters> {
    let parameters = Parameters::from_checkpoint(checkpoint, device)?;
    match (kind, checkpoint.manifest.weights) {
        (Some(WeightsKind::Raw), WeightsKind::Ema) => {
            Ok(parameters.with_weights(&raw_weights(checkpoint.directory(), parameters.flat())?))
        }
        (Some(WeightsKind::Ema), WeightsKind::Raw) => bail!(
            "{}: holds raw weights only, no moving average was kept; leave --weights out, or train with ema=True",
            checkpoint.directory().display()
        ),
        _ => Ok(parameters),
    }
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

fn parse_weights(text: &str) -> Result<WeightsKind, String> {
    match text {
        "ema" => Ok(WeightsKind::Ema),
        "raw" => Ok(WeightsKind::Raw),
        _ => Err(format!("`{text}` is neither ema nor raw")),
    }
}
