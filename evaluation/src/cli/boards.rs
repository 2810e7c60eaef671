//! The evaluation of one model on Sudoku or mazes, part by part, and the puzzle that is shown before the results.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use console::Term;
use engine::RuntimeFacts;
use engine::default_policy::{DefaultPolicy, PolicyOverrides};
use engine::model;
use engine::registry::{EngineLimits, ServedModel};
use engine::task::{self, Task, board_from_tokens, maze_from_tokens};
use engine::{Batching, Engine, Halting, Policy, Quantize, Request, Restarts, Rules};
use exporter::{Precision, runtime};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::logs::{Part, REPORT_FILE, default_folder, log_path, note_run, report};
use super::output::{progress_bar, say};
use super::{BoardArgs, BoardTask, checkpoint, command_line, policy};
use crate::curve::points_up_to;
use crate::records::{ChainsRecord, ServedRecord, StepsRecord};
use crate::report::{Machine, RunFacts, Runtime};
use crate::run::{ask_block, default_block, policy_of, run_blocks};
use crate::source::Draft;
use crate::{BoardPuzzle, Entry, EvaluationError, EvaluationLog, PuzzleSource, Shard, step_view};

/// Most bad lines of a puzzle file that are listed.
const BAD_LINES_SHOWN: usize = 10;

/// One evaluation in its folder.
pub(super) struct Evaluation {
    pub(super) model: ServedModel,
    pub(super) source: PuzzleSource,
    pub(super) folder: PathBuf,
    pub(super) shard: Shard,
    pub(super) block: usize,
    pub(super) clients: usize,
    /// Steps of the raw run.
    pub(super) steps: usize,
    /// Steps after which the first chain is looked at.
    step_points: Vec<usize>,
    chain_points: Vec<usize>,
    runtime: Runtime,
}

pub(super) fn evaluate(family: BoardTask, args: &BoardArgs, started: SystemTime) -> Result<()> {
    let options = args.compute.session_options();
    let runtime = Runtime::from(RuntimeFacts::new(&runtime::load()?, &options));
    let checkpoint = checkpoint::folder(family, args)?;
    let quantize = match args.compute.quantize {
        // A policy is chosen in float32.
        Quantize::Auto if args.write_policy => Quantize::Float32,
        quantize => quantize,
    };
    let loaded = model::load_as(&checkpoint, quantize, &options)?;
    let loaded = checkpoint::on_boards(family, args, loaded);
    checkpoint::check_task(family, args, &loaded.card.name, loaded.task)?;
    let card = &loaded.card;
    say(format_args!("model    {}: {} parameters, sha256 {}", card.name, card.parameters, &card.sha256[..16]))?;
    let precision = card.precision.name();
    say(format_args!("runtime  {}, {}, {precision}", runtime.library, runtime.execution_provider))?;
    let source = checkpoint::puzzles(args, loaded.task)?;
    match source.count() {
        Some(count) => say(format_args!("puzzles  {count} ({})", source.description()))?,
        None => say(format_args!("puzzles  {}", source.description()))?,
    }

    let default = DefaultPolicy::of(loaded.task, card.arch.halt_max_steps(), card.inference.as_ref(), &args.restarts);
    let named_steps = args.steps.map(|steps| steps as usize);
    let steps = named_steps.unwrap_or(card.arch.halt_max_steps());
    let policy = Policy { max_steps: named_steps.unwrap_or(default.policy.max_steps), ..default.policy };
    let deepest = if args.curve || args.write_policy { (args.curve_steps as usize).max(steps) } else { steps };
    let block = args.block.map_or_else(|| default_block(loaded.task), |block| block as usize);
    let clients = usize::from(args.clients);
    let limits = EngineLimits {
        // Every answer then depends on its puzzle alone, to the last bit.
        batching: Batching::Padded,
        overrides: PolicyOverrides::of_restarts(policy.restarts),
        ..EngineLimits::plain(clients, block.max(clients), deepest.max(policy::DEEPEST))
    };
    let mut evaluation = Evaluation {
        model: ServedModel::start(loaded.card, loaded.task, loaded.step_model, limits)?,
        source,
        folder: PathBuf::new(),
        shard: args.shard,
        block,
        clients,
        steps,
        step_points: points_up_to(deepest, steps),
        chain_points: if args.curve { points_up_to(args.curve_chains as usize, 1) } else { Vec::new() },
        runtime,
    };
    evaluation.folder = args.out.clone().map_or_else(|| evaluation.default_folder(family, &policy, started), Ok)?;
    evaluation.run(family, args, policy, &checkpoint, started)
}

impl Evaluation {
    fn run(
        &self,
        family: BoardTask,
        args: &BoardArgs,
        policy: Policy,
        checkpoint: &Path,
        started: SystemTime,
    ) -> Result<()> {
        self.run_steps()?;
        // After the first log, which refuses a folder of another run.
        let facts = note_run(&self.folder, self.facts(family, started))?;
        self.run_served(Part::Served.name(), policy, "engine: until verified")?;
        if !self.chain_points.is_empty() {
            self.run_chains(policy)?;
        }
        let chooses = args.write_policy && self.model.card.precision == Precision::Float32;
        let choice = if chooses { Some(policy::choose(self)?) } else { None };
        let (report, steps) = report(std::slice::from_ref(&self.folder), facts, self.clients, choice)?;
        report.write(&self.folder)?;
        if !args.no_show {
            self.show_one(steps.most_steps().unwrap_or(0), policy)?;
        }
        say(report.to_terminal())?;
        if args.write_policy && self.shard == Shard::WHOLE {
            say(format_args!("policy   {}", policy::write(checkpoint, self.model.task, &report)?))?;
        }
        say(format_args!("report   {} and report.md", self.folder.join(REPORT_FILE).display()))?;
        Ok(())
    }

    /// Steps after which the first chain is looked at.
    pub(super) fn step_points(&self) -> &[usize] {
        &self.step_points
    }

    /// The first chain of every puzzle, all steps, looked at after each of the points.
    fn run_steps(&self) -> Result<()> {
        let deepest = self.step_points.last().copied().unwrap_or(self.steps);
        let policy = Policy { halting: Halting::Fixed, ..Policy::plain(deepest) };
        let rules = task::rules(self.model.task, &self.model.card.arch);
        let record =
            |puzzle: &BoardPuzzle, answer: &_| StepsRecord::of(puzzle, answer, &self.step_points, self.steps, &*rules);
        let extra = json!({ "points": self.step_points, "raw_steps": self.steps });
        self.run_part(Part::Steps.name(), &policy, &extra, &format!("raw: all {deepest} steps"), true, record)
    }

    /// Every puzzle as a client would get it answered under `policy`.
    pub(super) fn run_served(&self, name: &str, policy: Policy, message: &str) -> Result<()> {
        self.run_part(name, &policy, &json!({}), message, false, ServedRecord::of)
    }

    /// Chains to their end, which vote: copies where the policy has copies or no chains at all, else rollouts.
    fn run_chains(&self, policy: Policy) -> Result<()> {
        let chains = self.chain_points.last().copied().unwrap_or(1) - 1;
        let Restarts { augmentations, rollouts, .. } = policy.restarts;
        let with_rollouts = augmentations == 0 && rollouts > 0;
        let restarts = Restarts {
            augmentations: if with_rollouts { 0 } else { chains },
            rollouts: if with_rollouts { chains } else { 0 },
            depth: 0,
            ..policy.restarts
        };
        let policy = Policy { halting: Halting::Fixed, restarts, ..policy };
        let rules: std::sync::Arc<dyn Rules> = task::rules(self.model.task, &self.model.card.arch);
        let record = |puzzle: &BoardPuzzle, answer: &_| ChainsRecord::of(puzzle, answer, &self.chain_points, &*rules);
        let message = format!("curve: {} chains", chains + 1);
        self.run_part(Part::Chains.name(), &policy, &json!({ "points": self.chain_points }), &message, true, record)
    }

    fn run_part<R: Serialize>(
        &self,
        name: &str,
        policy: &Policy,
        extra: &Value,
        message: &str,
        trace: bool,
        record: impl Fn(&BoardPuzzle, &engine::Answer) -> R,
    ) -> Result<()> {
        let identity = self.identity(name, policy, extra);
        let mut log = EvaluationLog::open(&log_path(&self.folder, name), &identity, self.shard)?;
        let bar = progress_bar(self.source.count(), message)?;
        let request = |puzzle: &BoardPuzzle| {
            let request = Request::new(puzzle.tokens.clone()).with_policy(policy_of(policy, puzzle.number));
            Request { trace, ..request }
        };
        let mut warned = 0;
        let evaluate = |drafts: Vec<Draft>| -> Result<Vec<Entry<R>>, EvaluationError> {
            let engine = &self.model.engine;
            let records = ask_block(engine, &self.source, drafts, request, &record, |done| bar.inc(done))?;
            // Every part meets the same bad lines; once is enough.
            if name == Part::Steps.name() {
                warn_of(&records, &bar, &mut warned);
            }
            Ok(records)
        };
        run_blocks(self.source.drafts()?, self.block, self.shard, &mut log, |done| bar.inc(done), evaluate)?;
        if let Some(more) = warned.checked_sub(BAD_LINES_SHOWN).filter(|&more| more > 0) {
            bar.suspend(|| eprintln!("warning: {more} more lines are skipped"));
        }
        bar.finish();
        Ok(())
    }

    /// Everything that the results of a part depend on.
    fn identity(&self, part: &str, policy: &Policy, extra: &Value) -> Value {
        // As logs of float32 have it that were begun before there was a choice.
        let mut model = json!({ "sha256": self.model.card.sha256 });
        if self.model.card.precision != Precision::default() {
            model["precision"] = json!(self.model.card.precision);
        }
        json!({
            "part": part,
            "task": self.model.task.to_string(),
            "model": model,
            "data": {
                "description": self.source.description(),
                "digest": self.source.digest(),
                "count": (self.source.limit() != u64::MAX).then(|| self.source.limit()),
            },
            "policy": policy,
            "looked_at": extra,
            "block": self.block,
            "clients": self.clients,
            "runtime": { "library": self.runtime.library, "execution_provider": self.runtime.execution_provider },
        })
    }

    fn facts(&self, family: BoardTask, started: SystemTime) -> RunFacts {
        RunFacts {
            task: family.name().into(),
            board_size: task::side(self.model.task),
            dataset: self.source.description().to_owned(),
            steps: self.steps,
            step_points: self.step_points.clone(),
            chain_points: self.chain_points.clone(),
            model: self.model.card.clone(),
            runtime: self.runtime.clone(),
            machine: Machine::here(),
            command: command_line(),
            started: humantime::format_rfc3339_seconds(started).to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The unfinished folder of this very run under results/, if there is one, else a new one.
    fn default_folder(&self, family: BoardTask, policy: &Policy, started: SystemTime) -> Result<PathBuf> {
        let deepest = self.step_points.last().copied().unwrap_or(self.steps);
        let plain = Policy { halting: Halting::Fixed, ..Policy::plain(deepest) };
        let extra = json!({ "points": self.step_points, "raw_steps": self.steps });
        let parts = [
            (Part::Steps.name(), self.identity(Part::Steps.name(), &plain, &extra)),
            (Part::Served.name(), self.identity(Part::Served.name(), policy, &json!({}))),
        ];
        default_folder(family.name(), &parts, self.shard, started)
    }

    /// Shows how puzzle `number` is solved: the one with most to see.
    fn show_one(&self, number: u64, policy: Policy) -> Result<()> {
        let draft = self.source.drafts()?.nth(usize::try_from(number).unwrap_or(usize::MAX)).transpose()?;
        let Some(Entry::Puzzle(puzzle)) = draft.map(|draft| self.source.read(draft)).transpose()? else {
            return Ok(());
        };
        let engine: &Engine = &self.model.engine;
        let request = Request::new(puzzle.tokens.clone()).with_policy(policy_of(&policy, number));
        let answer = engine.submit(Request { trace: true, ..request })?.wait()?;
        match self.model.task {
            Task::Sudoku(shape) => {
                let (givens, guesses) = (puzzle.givens.unwrap_or_default(), puzzle.hardness);
                say(format_args!("\npuzzle {} ({givens} givens, {guesses} guesses for our solver)", number + 1))?;
                let board = board_from_tokens(shape, &puzzle.tokens);
                match step_view::show(&Term::stdout(), &board, &answer) {
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                    shown => shown.context("cannot draw on the terminal"),
                }
            }
            Task::Maze(_) => {
                let verdict = if answer.verified { "a shortest path" } else { "no shortest path found" };
                let steps = answer.total_steps;
                say(format_args!("\nmaze {}: {verdict}, {steps} steps in all", number + 1))?;
                let shown = if answer.verified { &answer.tokens } else { &puzzle.tokens };
                say(maze_text(shown))
            }
            Task::Arc => Ok(()),
        }
    }
}

fn warn_of<R>(records: &[Entry<R>], bar: &ProgressBar, warned: &mut usize) {
    for record in records {
        let Entry::Skipped(skipped) = record else { continue };
        *warned += 1;
        if *warned <= BAD_LINES_SHOWN {
            bar.suspend(|| eprintln!("warning: line {} is skipped: {}", skipped.line, skipped.problem));
        }
    }
}

/// A maze or an answer to one, a line per row.
fn maze_text(tokens: &[i64]) -> String {
    if let Some(maze) = maze_from_tokens(tokens) {
        return maze.to_grid();
    }
    let side = tokens.len().isqrt().max(1);
    let cell =
        |token: &i64| datasets::maze::Cell::from_token(*token as i32).map_or('?', datasets::maze::Cell::character);
    tokens.chunks(side).map(|row| row.iter().map(cell).chain(['\n']).collect::<String>()).collect()
}
