//! Tables and figures of runs and groups: `runs.csv`, `groups.csv`, `report.md`, `curves.svg` and `.png`.
//! Owns their form; leaves the numbers to its siblings.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use datasets::picture::{ChartBand, ChartLine, LineChart, Rgb, Scale};

use super::{Group, RESULTS, RunRow, Summary, Welch, varying};
use crate::TrainError;

/// Colours of groups, in order.
pub(crate) const COLOURS: [Rgb; 8] = [
    [200, 60, 40],
    [60, 110, 190],
    [40, 150, 90],
    [220, 150, 30],
    [130, 80, 170],
    [30, 160, 170],
    [110, 110, 110],
    [200, 90, 150],
];
/// What differences between groups are tested on.
const TESTED: [&str; 2] = ["best_val_exact_accuracy", "best_val_accuracy"];

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The report's text.
    pub report: String,
    /// Runs.
    pub runs: usize,
}

/// Writes all tables, and the figure where runs have been evaluated, into the folder `out`.
///
/// # Errors
/// When the disk refuses.
pub fn write_report(runs: &[RunRow], groups: &[Group], by: &[String], out: &Path) -> Result<Written, TrainError> {
    std::fs::create_dir_all(out).map_err(TrainError::io(out))?;
    let report = markdown(runs, groups, by);
    let mut contents = vec![
        ("runs.csv", runs_csv(runs)?),
        ("groups.csv", groups_csv(runs, groups, by)?),
        ("report.md", report.clone().into()),
    ];
    if let Some((chart, bands)) = curves(runs, groups) {
        let drawn = |error: datasets::picture::PictureError| TrainError::state(out, format!("curves: {error}"));
        contents.push(("curves.svg", chart.to_svg_with_bands(&bands).map_err(drawn)?.into()));
        contents.push(("curves.png", chart.to_png_with_bands(&bands).map_err(drawn)?));
    }
    let mut files = Vec::new();
    for (name, bytes) in contents {
        let path = out.join(name);
        files::write(&path, &bytes)?;
        files.push(path);
    }
    Ok(Written { files, report, runs: runs.len() })
}

/// A row for each run: folder, results, then every fact and setting of any run.
fn runs_csv(runs: &[RunRow]) -> Result<Vec<u8>, TrainError> {
    let mut columns: Vec<&str> = Vec::new();
    for key in runs.iter().flat_map(|run| run.settings.keys()) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    table(
        ["run"].into_iter().chain(RESULTS).chain(columns.iter().copied()),
        runs.iter().map(|run| {
            let results = RESULTS.iter().map(|name| run.results.get(name).map_or_else(String::new, f64::to_string));
            let settings = columns.iter().map(|column| run.cell(column));
            std::iter::once(run.path.display().to_string()).chain(results).chain(settings).collect()
        }),
    )
}

/// A row for each group: what it is grouped by, runs, and of each result mean, standard deviation and interval.
fn groups_csv(runs: &[RunRow], groups: &[Group], by: &[String]) -> Result<Vec<u8>, TrainError> {
    let of_result = |result: &str| ["mean", "std", "count", "low", "high"].map(|what| format!("{result}_{what}"));
    let columns: Vec<String> =
        by.iter().cloned().chain(["runs".into()]).chain(RESULTS.into_iter().flat_map(of_result)).collect();
    table(
        columns.iter().map(String::as_str),
        groups.iter().map(|group| {
            let mut row: Vec<String> = group.key.clone();
            row.push(group.members.len().to_string());
            for result in RESULTS {
                let summary = group.summary(runs, result);
                let text = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
                row.push(text(summary.map(|summary| summary.mean)));
                row.push(text(summary.and_then(|summary| summary.std)));
                row.push(summary.map_or(0, |summary| summary.count).to_string());
                row.push(text(summary.and_then(|summary| Some(summary.interval?.0))));
                row.push(text(summary.and_then(|summary| Some(summary.interval?.1))));
            }
            row
        }),
    )
}

fn table<'c>(
    header: impl Iterator<Item = &'c str>,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<Vec<u8>, TrainError> {
    let problem = |error: csv::Error| TrainError::state("the table", error.to_string());
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(header).map_err(problem)?;
    for row in rows {
        csv.write_record(row).map_err(problem)?;
    }
    csv.into_inner().map_err(|error| TrainError::state("the table", error.to_string()))
}

fn markdown(runs: &[RunRow], groups: &[Group], by: &[String]) -> String {
    let mut text = format!("# {} runs\n\n", runs.len());
    let columns = varying(runs);
    let shown = ["final_train_loss", "final_val_accuracy", "best_val_accuracy", "best_val_exact_accuracy", "seconds"];
    let names = std::iter::once("run".to_owned()).chain(columns.iter().cloned()).chain(["seed".into()]);
    line(&mut text, names.chain(shown.iter().map(|name| (*name).to_owned())));
    rule(&mut text, 2 + columns.len() + shown.len());
    for run in runs {
        let name = run
            .path
            .file_name()
            .map_or_else(|| run.path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let settings = columns.iter().map(|column| run.cell(column)).chain([run.cell("seed")]);
        let results =
            shown.iter().map(|name| run.results.get(name).map_or_else(|| "–".to_owned(), |value| number(*value)));
        line(&mut text, std::iter::once(name).chain(settings).chain(results));
    }
    if by.is_empty() {
        return text;
    }
    let _ = write!(text, "\n## By {}\n\nMean ± half of the 95 % interval over runs (Student's t).\n\n", by.join(", "));
    line(&mut text, by.iter().cloned().chain(["runs".into()]).chain(shown.iter().map(|name| (*name).to_owned())));
    rule(&mut text, by.len() + 1 + shown.len());
    for group in groups {
        let cells = shown
            .iter()
            .map(|result| group.summary(runs, result).map_or_else(|| "–".to_owned(), |found| with_interval(&found)));
        line(&mut text, group.key.iter().cloned().chain([group.members.len().to_string()]).chain(cells));
    }
    differences(&mut text, runs, groups);
    text
}

/// Every pair of groups with runs enough for a test.
fn differences(text: &mut String, runs: &[RunRow], groups: &[Group]) {
    let mut rows = Vec::new();
    for result in TESTED {
        for (place, first) in groups.iter().enumerate() {
            for second in &groups[place + 1..] {
                let summaries = first.summary(runs, result).zip(second.summary(runs, result));
                let Some(welch) = summaries.and_then(|(first, second)| Welch::of(&first, &second)) else { continue };
                let interval = format!("[{}, {}]", number(welch.interval.0), number(welch.interval.1));
                rows.push([
                    result.to_owned(),
                    first.name(),
                    second.name(),
                    format!("{} {interval}", number(welch.difference)),
                    format!("{:.2}", welch.t),
                    format!("{:.1}", welch.degrees),
                    format!("{:.4}", welch.p),
                ]);
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    text.push_str("\n## Differences\n\nWelch's test of each pair, second minus first, with its 95 % interval; p is not corrected for the number of pairs.\n\n");
    line(text, ["result", "first", "second", "difference", "t", "df", "p"].map(str::to_owned).into_iter());
    rule(text, 7);
    for row in rows {
        line(text, row.into_iter());
    }
}

fn with_interval(summary: &Summary) -> String {
    match summary.interval {
        Some((low, high)) => format!("{} ± {}", number(summary.mean), number((high - low) / 2.0)),
        None => number(summary.mean),
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn rule(text: &mut String, columns: usize) {
    let _ = writeln!(text, "|{}", "---|".repeat(columns));
}

/// Exact accuracy of each group against optimizer steps, with the interval over its runs where there are several.
pub(crate) fn curves(runs: &[RunRow], groups: &[Group]) -> Option<(LineChart, Vec<ChartBand>)> {
    let (mut lines, mut bands) = (Vec::new(), Vec::new());
    for (group, colour) in groups.iter().zip(COLOURS.into_iter().cycle()) {
        let members: Vec<&RunRow> = group.members.iter().map(|&member| &runs[member]).collect();
        let steps: BTreeSet<u64> = members.iter().flat_map(|run| run.history.iter().map(|row| row.step)).collect();
        let (mut points, mut band) = (Vec::new(), Vec::new());
        for step in steps {
            let at_step = |run: &&RunRow| run.history.iter().find(|row| row.step == step)?.val_exact_accuracy;
            let values: Vec<f64> = members.iter().filter_map(at_step).collect();
            let Some(summary) = Summary::of(&values) else { continue };
            points.push((step as f64, summary.mean));
            band.extend(summary.interval.map(|(low, high)| (step as f64, low.max(0.0), high.min(1.0))));
        }
        if points.is_empty() {
            continue;
        }
        lines.push(ChartLine { label: group.name(), colour, points });
        if band.len() > 1 {
            bands.push(ChartBand { colour, points: band });
        }
    }
    let title = "exact accuracy of evaluations, with the 95 % interval over runs".to_owned();
    let chart = LineChart { title, x_label: "optimizer steps".into(), x_scale: Scale::Linear, lines };
    (!chart.lines.is_empty()).then_some((chart, bands))
}
