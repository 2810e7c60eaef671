//! What a study found: `results.csv` and `results.json` in the recursion study's columns, `report.md`, figures, and the
//! tables of `trainer aggregate`. Written after every study, also an interrupted one, of whatever there is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{RunState, Study, StudyRun, figures};
use crate::TrainError;
use crate::aggregate::{RunRow, Summary, group, write_report};

/// An experiment over its seeds; means of those that have been evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentResult {
    /// Its name.
    pub name: String,
    /// Layers of a block.
    pub num_layers: Option<u64>,
    /// Updates of the latent state for each of the answer, `L_cycles`.
    pub n_recursions: Option<u64>,
    /// Updates of the answer in a supervision step, `H_cycles`.
    #[serde(rename = "T_cycles")]
    pub t_cycles: Option<u64>,
    /// Millions of trained weights.
    #[serde(rename = "params_M")]
    pub params_m: Option<f64>,
    /// `T(n+1)` blocks of so many layers, one after the other; the layers where nothing recurs.
    pub effective_depth: Option<u64>,
    /// Best share of test rows with every token right.
    pub best_test_acc: Option<f64>,
    /// The same of training, over the rows that halted since the evaluation before the last.
    pub final_train_acc: Option<f64>,
    /// `final_train_acc` − `best_test_acc`.
    pub gen_gap: Option<f64>,
    /// 95 % interval of `best_test_acc` over seeds.
    pub best_test_acc_low: Option<f64>,
    /// Its upper end.
    pub best_test_acc_high: Option<f64>,
    /// Best share of right tokens.
    pub best_test_token_acc: Option<f64>,
    /// Seeds with an evaluation.
    pub seeds: usize,
    /// Seconds of training, all seeds.
    pub seconds: f64,
    /// Architecture.
    pub model_type: String,
    /// Evaluations of each seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<SeedHistory>,
}

/// The evaluations of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedHistory {
    /// Its seed.
    pub seed: u64,
    /// In order.
    pub evaluations: Vec<HistoryRow>,
}

/// An evaluation and the training before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Passes over the data.
    pub epoch: f64,
    /// Optimizer steps.
    pub step: u64,
    /// Mean token loss.
    pub train_loss: Option<f64>,
    /// Share of rows with every token right.
    pub train_acc: Option<f64>,
    /// The same of the test rows.
    pub test_acc: Option<f64>,
    /// Share of right tokens of the test rows.
    pub test_token_acc: Option<f64>,
    /// Mean supervision steps of training.
    pub avg_steps: Option<f64>,
}

/// Writes all results of `study` into `out`; gives them and the report.
///
/// # Errors
/// When a run's files are malformed or the disk refuses.
pub fn write_results(
    study: &Study,
    runs: &[StudyRun],
    out: &Path,
) -> Result<(Vec<ExperimentResult>, String), TrainError> {
    std::fs::create_dir_all(out).map_err(TrainError::io(out))?;
    let measured = runs.iter().filter(|run| run.path.join(crate::logger::CSV_FILE).is_file());
    let mut rows = Vec::new();
    for run in measured {
        let mut row = RunRow::read(&run.path)?;
        row.settings.insert("experiment".into(), Value::String(run.experiment.clone()));
        rows.push(row);
    }
    let results: Vec<ExperimentResult> =
        study.experiments.iter().map(|experiment| ExperimentResult::of(&experiment.name, &rows)).collect();
    let write = |name: &str, bytes: &[u8]| files::write(&out.join(name), bytes);
    write("results.csv", &csv_of(&results)?)?;
    let mut json = serde_json::to_string_pretty(&results).unwrap_or_default();
    json.push('\n');
    write("results.json", json.as_bytes())?;
    let mut report = report(study, runs, &results);
    if !rows.is_empty() {
        let by = ["experiment".to_owned()];
        let groups = group(&rows, &by)?;
        let tables = write_report(&rows, &groups, &by, &out.join("aggregate"))?;
        let drawn = figures::write(&results, &rows, &groups, out)?;
        for name in drawn {
            let _ = write!(report, "\n![{name}]({name}.svg)\n");
        }
        let _ = write!(report, "\n{}", tables.report.replace("\n## ", "\n### ").replacen("# ", "## ", 1));
    }
    write("report.md", report.as_bytes())?;
    Ok((results, report))
}

impl ExperimentResult {
    fn of(name: &str, rows: &[RunRow]) -> Self {
        let own: Vec<&RunRow> = rows.iter().filter(|row| row.cell("experiment") == name).collect();
        let first = own.first();
        let setting = |keys: &[&str]| {
            let settings = &first?.settings;
            keys.iter().find_map(|key| settings.get(*key)?.as_u64().filter(|&value| value > 0))
        };
        let result = |name: &str| {
            let values: Vec<f64> = own.iter().filter_map(|row| row.results.get(name).copied()).collect();
            Summary::of(&values)
        };
        let num_layers = setting(&["arch.L_layers", "arch.H_layers", "arch.num_layers"]);
        let (t_cycles, n_recursions) = (setting(&["arch.H_cycles"]), setting(&["arch.L_cycles"]));
        let best = result("best_val_exact_accuracy");
        let train = result("final_train_exact_accuracy").map(|train| train.mean);
        let interval = best.and_then(|best| best.interval);
        let history = own.iter().map(|row| SeedHistory {
            seed: row.cell("seed").parse().unwrap_or_default(),
            evaluations: row.history.iter().map(HistoryRow::of).collect(),
        });
        Self {
            name: name.to_owned(),
            num_layers,
            n_recursions,
            t_cycles,
            params_m: setting(&["num_parameters"]).map(|count| count as f64 / 1e6),
            effective_depth: num_layers.map(|layers| match (t_cycles, n_recursions) {
                (Some(t), Some(n)) => t * (n + 1) * layers,
                _ => layers,
            }),
            best_test_acc: best.map(|best| best.mean),
            final_train_acc: train,
            gen_gap: train.zip(best).map(|(train, best)| train - best.mean),
            best_test_acc_low: interval.map(|interval| interval.0),
            best_test_acc_high: interval.map(|interval| interval.1),
            best_test_token_acc: result("best_val_accuracy").map(|found| found.mean),
            seeds: best.map_or(0, |best| best.count),
            seconds: result("seconds").map_or(0.0, |found| found.mean * found.count as f64),
            model_type: first.map_or_else(String::new, |row| row.cell("model_type")),
            history: history.collect(),
        }
    }
}

impl HistoryRow {
    fn of(row: &crate::export_metrics::WideRow) -> Self {
        Self {
            epoch: row.epoch,
            step: row.step,
            train_loss: row.train_loss,
            train_acc: row.train_exact_accuracy,
            test_acc: row.val_exact_accuracy,
            test_token_acc: row.val_accuracy,
            avg_steps: row.train_steps,
        }
    }
}

/// The fields in order, histories aside.
fn csv_of(results: &[ExperimentResult]) -> Result<Vec<u8>, TrainError> {
    let problem = |error: csv::Error| TrainError::state("results.csv", error.to_string());
    let mut csv = csv::Writer::from_writer(Vec::new());
    for (place, result) in results.iter().enumerate() {
        let flat = ExperimentResult { history: Vec::new(), ..result.clone() };
        let Value::Object(fields) = serde_json::to_value(&flat).unwrap_or_default() else { continue };
        if place == 0 {
            csv.write_record(fields.keys()).map_err(problem)?;
        }
        let cells = fields.values().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        });
        csv.write_record(cells).map_err(problem)?;
    }
    csv.into_inner().map_err(|error| TrainError::state("results.csv", error.to_string()))
}

fn report(study: &Study, runs: &[StudyRun], results: &[ExperimentResult]) -> String {
    let mut text = format!("# {}\n\n", study.name);
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        let state = match run.state {
            RunState::Kept | RunState::Finished => "finished",
            RunState::Failed(_) => "failed",
            RunState::Open => "open",
        };
        *states.entry(state).or_default() += 1;
    }
    let counted: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let _ = write!(text, "{} runs: {}.\n\n", runs.len(), counted.join(", "));
    text.push_str("Accuracies are shares of rows with every token right, means over seeds; the interval is Student's, over seeds.\n\n");
    text.push_str("| name | layers | n | T | parameters (M) | effective depth | best test accuracy | interval | final train accuracy | gap | seeds |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|\n");
    for result in results {
        let count = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
        let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
        let interval = result.best_test_acc_low.zip(result.best_test_acc_high);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            result.name,
            count(result.num_layers),
            count(result.n_recursions),
            count(result.t_cycles),
            share(result.params_m),
            count(result.effective_depth),
            share(result.best_test_acc),
            interval.map_or_else(|| "–".to_owned(), |(low, high)| format!("[{low:.4}, {high:.4}]")),
            share(result.final_train_acc),
            share(result.gen_gap),
            result.seeds
        );
    }
    for run in runs {
        if let RunState::Failed(reason) = &run.state {
            let _ = write!(text, "\n**Failed**: {} seed {}: {reason}\n", run.experiment, run.seed);
        }
    }
    text
}
