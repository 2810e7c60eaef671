//! The clocks of `server bench`: products and memory in ONNX Runtime alone, steps through the engine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use datasets::Task;
use datasets::maze::{self, MazeOptions};
use datasets::sudoku::{self, GeneratorOptions};
use engine::model;
use engine::registry::{EngineLimits, ServedModel};
use engine::task::tokens_of;
use engine::{Halting, Policy, Request};
use exporter::probe::{self, Probe};
use exporter::runtime::{self, SessionOptions};
use exporter::{Precision, TensorInfo};
use models::benchmark::{MemoryPeak, Spread, StepCost};
use ort::session::SessionInputValue;
use ort::value::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long something is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Fewest steps.
    pub(super) steps: usize,
    /// Time in which more are added.
    pub(super) seconds: f64,
}

/// Seconds of engine turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepTiming {
    /// A turn of the engine.
    pub(super) turn: Spread,
    /// Share of the turns' time outside of ONNX Runtime.
    pub(super) outside_model: f64,
}

/// Share of the budget's time that each product gets: there are a handful of them for one step.
const SHARE_OF_PRODUCT: f64 = 0.1;

/// Two arrays are read and one is written.
pub(super) fn memory(options: &SessionOptions, budget: &Budget) -> Result<MemoryPeak> {
    let array_bytes = MemoryPeak::ARRAY_LENGTH * size_of::<f32>();
    let seconds = time(&probe::sum(MemoryPeak::ARRAY_LENGTH), options, budget.steps, budget.seconds)?;
    Ok(MemoryPeak { array_bytes, bytes_per_second: seconds.rate_of(3.0 * array_bytes as f64) })
}

/// Operations a second of each product of `cost`, in its order.
pub(super) fn products(
    cost: &StepCost,
    precision: Precision,
    options: &SessionOptions,
    budget: &Budget,
) -> Result<Vec<Spread>> {
    let rate = |counted: &models::benchmark::CountedProduct| {
        let probe = probe::product(&counted.product, precision);
        let seconds = time(&probe, options, budget.steps, SHARE_OF_PRODUCT * budget.seconds)?;
        Ok(seconds.rate_of(counted.product.flops() as f64))
    };
    cost.products.iter().map(rate).collect()
}

/// Seconds of one run.
fn time(probe: &Probe, options: &SessionOptions, least: usize, budget: f64) -> Result<Spread> {
    let mut session = runtime::open_bytes(&probe.bytes, options)?;
    let inputs = probe.inputs.iter().map(|info| input(info, probe.batch)).collect::<Result<Vec<_>>>()?;
    let mut seconds = Vec::new();
    let mut begin = Instant::now();
    // The first run allocates.
    for run in 0.. {
        let given: Vec<(&str, SessionInputValue<'_>)> =
            probe.inputs.iter().zip(&inputs).map(|(info, value)| (info.name.as_str(), value.into())).collect();
        let start = Instant::now();
        let outputs = session.run(given).map_err(|error| anyhow!("ONNX Runtime refuses a product: {error}"))?;
        let taken = start.elapsed();
        drop(outputs);
        match run {
            0 => begin = Instant::now(),
            _ => seconds.push(taken.as_secs_f64()),
        }
        if seconds.len() >= least && begin.elapsed().as_secs_f64() >= budget {
            break;
        }
    }
    Spread::of(&seconds).context("nothing was run")
}

fn input(info: &TensorInfo, batch: usize) -> Result<Tensor<f32>> {
    let shape: Vec<usize> = std::iter::once(batch).chain(info.row_shape.iter().copied()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_array((shape, values)).map_err(|error| anyhow!("cannot make input `{}`: {error}", info.name))
}

/// Turns of an engine all of whose `batch_size` slots are occupied.
pub(super) fn steps(
    folder: &Path,
    precision: Precision,
    batch_size: usize,
    options: &SessionOptions,
    budget: &Budget,
) -> Result<StepTiming> {
    let loaded = model::load_as(folder, precision.into(), options)?;
    let (vocab_size, seq_len) = (loaded.card.dims.vocab_size, loaded.card.dims.seq_len);
    let task = loaded.task;
    let limits = EngineLimits::plain(batch_size, batch_size, usize::from(u16::MAX));
    let model = ServedModel::start(loaded.card, loaded.task, loaded.step_model, limits)?;
    let puzzles = puzzles(task, vocab_size, seq_len, batch_size)?;
    let run_steps = |steps: usize| -> Result<(f64, f64)> {
        let policy = Policy { halting: Halting::Fixed, ..Policy::plain(steps) };
        let before = model.engine.metrics();
        let requests = puzzles.iter().map(|tokens| Request::new(tokens.clone()).with_policy(policy)).collect();
        for pending in model.engine.submit_all(requests)? {
            pending.wait()?;
        }
        let after = model.engine.metrics();
        let turns = after.turns - before.turns;
        if turns != steps as u64 {
            bail!("the engine took {turns} turns for {steps} steps of {batch_size} puzzles");
        }
        Ok((after.busy_seconds - before.busy_seconds, after.model_seconds - before.model_seconds))
    };
    // The first steps of a batch size allocate.
    run_steps(1)?;
    let (mut turns, mut busy, mut inside) = (Vec::new(), 0.0, 0.0);
    let (begin, limit) = (Instant::now(), Duration::from_secs_f64(budget.seconds.clamp(0.0, 3600.0)));
    while turns.len() < budget.steps || begin.elapsed() < limit {
        let (turn, model) = run_steps(1)?;
        turns.push(turn);
        busy += turn;
        inside += model;
    }
    let turn = Spread::of(&turns).context("no step was run")?;
    Ok(StepTiming { turn, outside_model: if busy > 0.0 { 1.0 - inside / busy } else { 0.0 } })
}

/// Tokens of `count` boards: generated puzzles, since what a structured mixer costs depends on what is left open; random
/// tokens where the task has no generator.
fn puzzles(task: Task, vocab_size: usize, seq_len: usize, count: usize) -> Result<Vec<Vec<i64>>> {
    match task {
        Task::Sudoku(shape) => {
            let options = GeneratorOptions { size: shape.size(), ..GeneratorOptions::default() };
            Ok(sudoku::held_out(&options, count)?.iter().map(|held_out| tokens_of(&held_out.puzzle)).collect())
        }
        Task::Maze(shape) => {
            let options = MazeOptions { size: shape.side(), ..MazeOptions::default() };
            let mazes = maze::held_out(&options, count)?;
            Ok(mazes.iter().map(|solved| solved.maze.to_tokens().into_iter().map(i64::from).collect()).collect())
        }
        Task::Arc => {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut row = || (0..seq_len).map(|_| rng.random_range(1..vocab_size as i64)).collect();
            Ok((0..count).map(|_| row()).collect())
        }
    }
}
