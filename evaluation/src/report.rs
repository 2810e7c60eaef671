//! The report of an evaluation: `report.json` for programs, `report.md` for people, tables for the terminal, charts.
//! Owns what is told; leaves the tables' rows to `report_tables`.

use std::path::Path;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use engine::RuntimeFacts;
use engine::model::ModelCard;
use models::checkpoint::write_file_atomically;
use serde::{Deserialize, Serialize};

use super::EvaluationError;
use super::choose::Choice;
use super::curve::{ChainPoint, DepthProbe, StepPoint, chains_chart, steps_chart};
use super::report_tables::{self as tables, restarts_in_words};
use super::score::{EngineScore, RawScore};

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
            write_file_atomically(&directory.join(format!("{name}.svg")), chart.to_svg()?.as_bytes())?;
            write_file_atomically(&directory.join(format!("{name}.png")), &chart.to_png()?)?;
        }
        write_file_atomically(&directory.join("report.md"), self.to_markdown().as_bytes())?;
        // Last: whoever finds it finds everything.
        write_file_atomically(&directory.join("report.json"), &json)?;
        Ok(())
    }

    /// The tables for the terminal.
    pub fn to_terminal(&self) -> String {
        let tables = [tables::overview(self), tables::groups(&self.raw)].into_iter().chain(self.curve_tables());
        tables.map(|mut table| table.load_style(UTF8_FULL_CONDENSED).to_string()).collect::<Vec<_>>().join("\n")
    }

    /// The report as a page.
    ///
    /// # Panics
    /// Never: a config holds only what JSON can say.
    pub fn to_markdown(&self) -> String {
        let [overview, groups] = [tables::overview(self), tables::groups(&self.raw)]
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

    fn curve_tables(&self) -> Vec<comfy_table::Table> {
        let mut found = Vec::new();
        if self.has_steps_curve() {
            found.push(tables::steps_curve(&self.steps_curve));
        }
        if !self.chains_curve.is_empty() {
            found.push(tables::chains_curve(&self.chains_curve));
        }
        found.extend(self.choice.as_ref().map(tables::choice));
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
