//! The report of an evaluation: `report.json` for programs, `report.md` for people, tables for the terminal, charts.
//! Owns what is reported and how figures are written; leaves the figures to `score` and `curve`.

use std::path::Path;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table};
use datasets::scoring::Share;
use engine::model::ModelCard;
use engine::{Policy, Restarts, RuntimeFacts};
use serde::{Deserialize, Serialize};

use super::EvaluationError;
use super::choose::Choice;
use super::curve::{ChainPoint, DepthProbe, StepPoint, chains_chart, steps_chart};
use super::score::{EngineScore, Group, RawScore};

/// Everything that one evaluation found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was evaluated, and where.
    #[serde(flatten)]
    pub run: RunFacts,
    /// How many puzzles there are.
    pub puzzles: usize,
    /// Lines of a puzzle file that were skipped.
    pub skipped_lines: usize,
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
    /// Accuracies by steps of the first chain.
    pub steps_curve: Vec<StepPoint>,
    /// Accuracies by number of chains, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chains_curve: Vec<ChainPoint>,
    /// What a run beyond the steps of training shows, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_probe: Option<DepthProbe>,
    /// The choice of a policy, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// Seconds that the raw run took.
    pub raw_seconds: f64,
}

/// What an evaluation is about; written when it begins, so that its logs can be reported on later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// What was solved.
    pub task: String,
    /// Side length of the boards.
    pub board_size: usize,
    /// Where the puzzles come from.
    pub dataset: String,
    /// Supervision steps of the raw run.
    pub steps: usize,
    /// Numbers of steps that the first chain was looked at after.
    pub step_points: Vec<usize>,
    /// Numbers of chains that were looked at.
    pub chain_points: Vec<usize>,
    /// The model.
    pub model: ModelCard,
    /// What computed.
    pub runtime: Runtime,
    /// Where it ran.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// Start of the evaluation, RFC 3339.
    pub started: String,
    /// Version of this program.
    pub version: String,
}

/// What computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// File name of ONNX Runtime.
    pub library: String,
    /// Its build information.
    pub build: String,
    /// Execution provider that the sessions really ran on.
    pub execution_provider: String,
    /// Threads that shared one operation; 0: one per physical core.
    pub threads: usize,
}

/// Where an evaluation ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub platform: String,
    /// Name of the processor, if the system tells.
    pub processor: Option<String>,
    /// Threads that may run at the same time.
    pub threads: usize,
}

impl From<RuntimeFacts> for Runtime {
    fn from(facts: RuntimeFacts) -> Self {
        let RuntimeFacts { library, build, execution_provider, threads, .. } = facts;
        Self { library, build, execution_provider: execution_provider.to_string(), threads }
    }
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        Self {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: models::benchmark::processor_name(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Report {
    /// Writes `report.json`, `report.md` and the charts of its curves into `directory`, each whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    ///
    /// # Panics
    /// Never: a report holds only what JSON can say.
    pub fn write(&self, directory: &Path) -> Result<(), EvaluationError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a report holds only strings, finite numbers and lists");
        json.push(b'\n');
        for (name, chart) in self.charts() {
            files::write(&directory.join(format!("{name}.svg")), chart.to_svg()?.as_bytes())?;
            files::write(&directory.join(format!("{name}.png")), &chart.to_png()?)?;
        }
        files::write(&directory.join("report.md"), self.to_markdown().as_bytes())?;
        // Last: where this file is, all others are, too.
        files::write(&directory.join("report.json"), &json)?;
        Ok(())
    }

    /// The tables for the terminal.
    pub fn to_terminal(&self) -> String {
        let tables = [table_of_overview(self), table_of_groups(&self.raw)].into_iter().chain(self.curve_tables());
        tables.map(|mut table| table.load_style(UTF8_FULL_CONDENSED).to_string()).collect::<Vec<_>>().join("\n")
    }

    /// The report as a page.
    ///
    /// # Panics
    /// Never: a config holds only what JSON can say.
    pub fn to_markdown(&self) -> String {
        let [overview, groups] = [table_of_overview(self), table_of_groups(&self.raw)]
            .map(|mut table| table.load_style(ASCII_MARKDOWN).to_string());
        let curves: Vec<String> = self
            .curve_tables()
            .into_iter()
            .map(|mut table| table.load_style(ASCII_MARKDOWN).to_string() + "\n\n")
            .collect();
        let picture = |name: &str| format!("![{}]({name}.svg)\n\n", name.replace('-', " "));
        let pictures: Vec<String> = self.charts().iter().map(|(name, _)| picture(name)).collect();
        let RunFacts { model, machine, runtime, .. } = &self.run;
        let config = serde_json::to_string(&model.arch).expect("a config holds only strings and numbers");
        format!(
            "# {title} {size}x{size}: model `{name}`\n\n\
             {count} puzzles ({dataset}), {started}.\n\n\
             *Raw* is the model's prediction after all {steps} steps against the label. *Verified* stops at the first \
             step whose prediction obeys the rules and keeps the givens; no label is needed for that. *With restarts* \
             adds, for puzzles still unsolved, {restarts}.\n\n\
             {overview}\n\n{groups}\n\n{curves}{pictures}\
             - model: `{name}`, {parameters} parameters, sha256 `{sha256}`, step {step} on {trained_on}\n\
             - config: `{config}`\n\
             - runtime: {library}, {provider}, {precision}\n\
             - machine: {processor}, {threads} threads, {platform}\n\
             - command: `{command}`\n",
            title = self.title(),
            size = self.run.board_size,
            name = model.name,
            count = self.puzzles,
            dataset = self.run.dataset,
            started = self.run.started,
            steps = self.run.steps,
            restarts = restarts_in_words(&self.engine.policy),
            curves = curves.concat(),
            pictures = pictures.concat(),
            parameters = model.parameters,
            sha256 = model.sha256,
            step = model.step,
            trained_on = if model.dataset.is_empty() { "unknown data" } else { &model.dataset },
            provider = runtime.execution_provider,
            library = runtime.library,
            precision = model.precision.name(),
            processor = machine.processor.as_deref().unwrap_or("unknown processor"),
            threads = machine.threads,
            platform = machine.platform,
            command = self.run.command,
        )
    }

    fn title(&self) -> &'static str {
        if self.run.task.starts_with("maze") { "Maze" } else { "Sudoku" }
    }

    /// Whether the first chain was looked at after other numbers of steps than the raw run's.
    fn has_steps_curve(&self) -> bool {
        self.steps_curve.len() > 1
    }

    fn curve_tables(&self) -> Vec<Table> {
        let mut found = Vec::new();
        if self.has_steps_curve() {
            found.push(table_of_steps_curve(&self.steps_curve));
        }
        if !self.chains_curve.is_empty() {
            found.push(table_of_chains_curve(&self.chains_curve));
        }
        found.extend(self.choice.as_ref().map(table_of_choice));
        found
    }

    fn charts(&self) -> Vec<(&'static str, datasets::picture::LineChart)> {
        let mut charts = Vec::new();
        let title = format!("{}, {} puzzles", self.run.model.name, self.puzzles);
        if self.run.step_points.last().is_some_and(|&deepest| deepest > self.run.steps) {
            charts.push(("curve-steps", steps_chart(&title, &self.steps_curve)));
        }
        if !self.chains_curve.is_empty() {
            charts.push(("curve-chains", chains_chart(&title, &self.chains_curve)));
        }
        charts
    }
}

/// The figures over all puzzles.
fn table_of_overview(report: &Report) -> Table {
    let (raw, engine) = (&report.raw, &report.engine);
    let mut rows = vec![("exact accuracy (raw)", with_interval(raw.overall.raw))];
    if report.run.task.starts_with("maze") {
        rows.push(("any shortest path (raw)", with_interval(raw.rules_accuracy)));
    }
    rows.extend([
        ("verified accuracy", with_interval(raw.overall.verified)),
        ("verified accuracy with restarts", with_interval(engine.verified)),
        ("puzzles that needed restarts", percent(engine.restarted)),
        ("token accuracy (raw)", percent(raw.token_accuracy)),
        ("Q head right (raw)", percent(raw.q_halt_accuracy)),
        ("mean steps until verified or given up", format!("{:.2}", engine.mean_steps)),
    ]);
    if let Some(probe) = &report.depth_probe {
        rows.push(("safe up to", in_words(probe)));
    }
    rows.extend([
        ("puzzles/s", format!("{:.1}", engine.puzzles_per_second)),
        ("latency p50", format!("{:.1} ms ({} at a time)", engine.latency_p50_ms, engine.clients)),
        ("latency p99", format!("{:.1} ms", engine.latency_p99_ms)),
    ]);
    let mut table = Table::new();
    table.set_header(["measure", "value"]);
    table.add_rows(rows.into_iter().map(|(name, value)| [name.to_owned(), value]));
    table
}

/// The figures by kind of puzzle.
fn table_of_groups(raw: &RawScore) -> Table {
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
    raw.by_guesses.iter().for_each(|group| add("guesses ", group));
    raw.by_hardness.iter().for_each(|group| add("hardness ", group));
    raw.by_givens.iter().for_each(|group| add("givens ", group));
    raw.by_length.iter().for_each(|group| add("path ", group));
    right_aligned(table, 1)
}

/// Accuracy against steps.
fn table_of_steps_curve(points: &[StepPoint]) -> Table {
    let mut table = Table::new();
    table.set_header(["steps", "exact (raw)", "obeys the rules (raw)", "verified by then"]);
    table.add_rows(points.iter().map(|point| {
        let shares = [point.exact, point.obeys, point.verified].map(with_interval);
        [vec![point.steps.to_string()], shares.into()].concat()
    }));
    right_aligned(table, 0)
}

/// Accuracy against chains.
fn table_of_chains_curve(points: &[ChainPoint]) -> Table {
    let mut table = Table::new();
    table.set_header(["chains K", "pass@K", "vote@K", "best-q@K", "verified@K"]);
    table.add_rows(points.iter().map(|point| {
        let shares = [point.pass, point.vote, point.best_q, point.verified].map(with_interval);
        [vec![point.chains.to_string()], shares.into()].concat()
    }));
    right_aligned(table, 0)
}

/// Candidates for the default policy.
fn table_of_choice(choice: &Choice) -> Table {
    let mut table = Table::new();
    table.set_header(["policy", "verified", "mean steps", "chosen"]);
    table.add_rows(choice.candidates.iter().enumerate().map(|(index, candidate)| {
        let chosen = if index == choice.chosen { "yes" } else { "" };
        [
            policy_in_words(&candidate.policy),
            with_interval(candidate.verified),
            format!("{:.2}", candidate.mean_steps),
            chosen.to_owned(),
        ]
    }));
    right_aligned(table, 2)
}

/// What is tried after the first chain.
fn restarts_in_words(policy: &Policy) -> String {
    let Restarts { augmentations, rollouts, sigma, depth, .. } = policy.restarts;
    let steps = policy.max_steps;
    format!(
        "{augmentations} chains on symmetric copies and {rollouts} on the puzzle itself, of {steps} steps each with \
         noise of deviation {sigma}, and at last {} steps on the puzzle as it is",
        depth.max(steps)
    )
}

/// A policy in a few words.
pub fn policy_in_words(policy: &Policy) -> String {
    let Restarts { augmentations, rollouts, sigma, noise, depth } = policy.restarts;
    let mut words = vec![format!("{} steps", policy.max_steps)];
    if augmentations > 0 {
        words.push(format!("{augmentations} copies"));
    }
    if rollouts > 0 {
        words.push(format!("{rollouts} rollouts"));
    }
    if sigma > 0.0 {
        words.push(format!("sigma {sigma} on {}", format!("{noise:?}").to_lowercase()));
    }
    if depth > policy.max_steps {
        words.push(format!("depth {depth}"));
    }
    words.join(", ")
}

fn in_words(probe: &DepthProbe) -> String {
    match probe.collapse {
        None => format!("{} steps, as deep as was looked", probe.safe_max_steps),
        Some((steps, accuracy)) => {
            format!("{} steps; at {steps} exact accuracy is {}", probe.safe_max_steps, percent(accuracy))
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A share in percent with its interval.
pub fn with_interval(Share { accuracy, interval: (low, high) }: Share) -> String {
    format!("{} [{:.2}, {:.2}]", percent(accuracy), 100.0 * low, 100.0 * high)
}

fn right_aligned(mut table: Table, column: usize) -> Table {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
