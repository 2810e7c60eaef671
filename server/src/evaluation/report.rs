//! The report of an evaluation: `report.json` for programs, `report.md` for people, a table for the terminal.

use std::path::Path;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table};
use models::checkpoint::write_file_atomically;
use serde::Serialize;

use super::EvaluationError;
use super::score::{EngineScore, Group, RawScore, Share};
use crate::RuntimeFacts;
use crate::engine::{Policy, Restarts};
use crate::model::ModelCard;

/// Everything that one evaluation found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was solved.
    pub task: String,
    /// Side length of the boards.
    pub board_size: usize,
    /// Where the puzzles come from.
    pub dataset: String,
    /// How many there are.
    pub puzzles: usize,
    /// Lines of a puzzle file that were skipped.
    pub skipped_lines: usize,
    /// Supervision steps of the raw run, and the step budget of the verified one.
    pub steps: usize,
    /// Raw: share of puzzles whose prediction after the last step is right in every cell.
    pub exact_accuracy: f64,
    /// Wilson 95 % interval of it.
    pub exact_accuracy_interval: (f64, f64),
    /// Verified: share of puzzles of which some step's prediction obeys the rules.
    pub verified_accuracy: f64,
    /// Wilson 95 % interval of it.
    pub verified_accuracy_interval: (f64, f64),
    /// The raw run in detail.
    pub raw: RawScore,
    /// The run through the engine.
    pub engine: EngineScore,
    /// Seconds that the raw run took.
    pub raw_seconds: f64,
    /// The model.
    pub model: ModelCard,
    /// What computed.
    pub runtime: RuntimeFacts,
    /// Where it ran.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// Start of the evaluation, RFC 3339.
    pub started: String,
    /// Version of this program.
    pub version: &'static str,
}

/// Where an evaluation ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub platform: String,
    /// Name of the processor, if the system tells.
    pub processor: Option<String>,
    /// Threads that may run at the same time.
    pub threads: usize,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(':'));
        Self {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: name.map(|(_, name)| name.trim().to_owned()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Report {
    /// Writes `report.json` and `report.md` into `directory`, each whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    ///
    /// # Panics
    /// Never: a report holds only what JSON can say.
    pub fn write(&self, directory: &Path) -> Result<(), EvaluationError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a report holds only strings, finite numbers and lists");
        json.push(b'\n');
        write_file_atomically(&directory.join("report.json"), &json)?;
        write_file_atomically(&directory.join("report.md"), self.to_markdown().as_bytes())?;
        Ok(())
    }

    /// The tables for the terminal.
    pub fn to_terminal(&self) -> String {
        let tables =
            [self.overview(), self.groups()].map(|mut table| table.load_style(UTF8_FULL_CONDENSED).to_string());
        tables.join("\n")
    }

    /// The report as a page.
    ///
    /// # Panics
    /// Never: a config holds only what JSON can say.
    pub fn to_markdown(&self) -> String {
        let [overview, groups] =
            [self.overview(), self.groups()].map(|mut table| table.load_style(ASCII_MARKDOWN).to_string());
        let Self { model, machine, runtime, .. } = self;
        let config = serde_json::to_string(&model.arch).expect("a config holds only strings and numbers");
        format!(
            "# Sudoku {size}x{size}: model `{name}`\n\n\
             {count} puzzles ({dataset}), {started}.\n\n\
             *Raw* is the model's prediction after all {steps} steps against the label. *Verified* stops at the first \
             step whose prediction obeys the rules and keeps the givens; no label is needed for that. *With restarts* \
             adds, for puzzles still unsolved, {restarts}.\n\n\
             {overview}\n\n{groups}\n\n\
             - model: `{name}`, {parameters} parameters, sha256 `{sha256}`, step {step} on {trained_on}\n\
             - config: `{config}`\n\
             - runtime: {library}, {provider}, float32\n\
             - machine: {processor}, {threads} threads, {platform}\n\
             - command: `{command}`\n",
            size = self.board_size,
            name = model.name,
            count = self.puzzles,
            dataset = self.dataset,
            started = self.started,
            steps = self.steps,
            restarts = restarts_in_words(&self.engine.policy),
            parameters = model.parameters,
            sha256 = model.sha256,
            step = model.step,
            trained_on = if model.dataset.is_empty() { "unknown data" } else { &model.dataset },
            provider = runtime.execution_provider,
            library = runtime.library,
            processor = machine.processor.as_deref().unwrap_or("unknown processor"),
            threads = machine.threads,
            platform = machine.platform,
            command = self.command,
        )
    }

    fn overview(&self) -> Table {
        let engine = &self.engine;
        let rows = [
            ("exact accuracy (raw)", with_interval(self.raw.overall.raw)),
            ("verified accuracy", with_interval(self.raw.overall.verified)),
            ("verified accuracy with restarts", with_interval(engine.verified)),
            ("puzzles that needed restarts", percent(engine.restarted)),
            ("token accuracy (raw)", percent(self.raw.token_accuracy)),
            ("Q head right (raw)", percent(self.raw.q_halt_accuracy)),
            ("mean steps until verified or given up", format!("{:.2}", engine.mean_steps)),
            ("puzzles/s", format!("{:.1}", engine.puzzles_per_second)),
            ("latency p50", format!("{:.1} ms ({} at a time)", engine.latency_p50_ms, engine.clients)),
            ("latency p99", format!("{:.1} ms", engine.latency_p99_ms)),
        ];
        let mut table = Table::new();
        table.set_header(["measure", "value"]);
        table.add_rows(rows.map(|(name, value)| [name.to_owned(), value]));
        table
    }

    fn groups(&self) -> Table {
        let mut table = Table::new();
        table.set_header(["puzzles", "count", "raw", "verified", "with restarts"]);
        let mut add = |name: &str, group: &Group| {
            table.add_row([
                format!("{name}{}", group.label),
                group.puzzles.to_string(),
                with_interval(group.raw),
                with_interval(group.verified),
                group.engine.map_or_else(String::new, with_interval),
            ]);
        };
        self.raw.by_guesses.iter().for_each(|group| add("guesses ", group));
        self.raw.by_givens.iter().for_each(|group| add("givens ", group));
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn restarts_in_words(policy: &Policy) -> String {
    let Restarts { augmentations, rollouts, sigma, depth, .. } = policy.restarts;
    let steps = policy.max_steps;
    format!(
        "{augmentations} chains on symmetric copies and {rollouts} on the puzzle itself, of {steps} steps each with \
         noise of deviation {sigma}, and up to {} steps of the first chain",
        depth.max(steps)
    )
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn with_interval(Share { accuracy, interval: (low, high) }: Share) -> String {
    format!("{} [{:.2}, {:.2}]", percent(accuracy), 100.0 * low, 100.0 * high)
}
