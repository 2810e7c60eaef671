//! The tables of a report. Owns rows, columns and how figures are written.

use comfy_table::{CellAlignment, Table};
use datasets::scoring::Share;
use engine::{Policy, Restarts};

use super::choose::Choice;
use super::curve::{ChainPoint, DepthProbe, StepPoint};
use super::report::Report;
use super::score::{Group, RawScore};

/// The figures over all puzzles.
pub(super) fn overview(report: &Report) -> Table {
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
pub(super) fn groups(raw: &RawScore) -> Table {
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
pub(super) fn steps_curve(points: &[StepPoint]) -> Table {
    let mut table = Table::new();
    table.set_header(["steps", "exact (raw)", "obeys the rules (raw)", "verified by then"]);
    table.add_rows(points.iter().map(|point| {
        let shares = [point.exact, point.obeys, point.verified].map(with_interval);
        [vec![point.steps.to_string()], shares.into()].concat()
    }));
    right_aligned(table, 0)
}

/// Accuracy against chains.
pub(super) fn chains_curve(points: &[ChainPoint]) -> Table {
    let mut table = Table::new();
    table.set_header(["chains K", "pass@K", "vote@K", "best-q@K", "verified@K"]);
    table.add_rows(points.iter().map(|point| {
        let shares = [point.pass, point.vote, point.best_q, point.verified].map(with_interval);
        [vec![point.chains.to_string()], shares.into()].concat()
    }));
    right_aligned(table, 0)
}

/// Candidates for the default policy.
pub(super) fn choice(choice: &Choice) -> Table {
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
pub(super) fn restarts_in_words(policy: &Policy) -> String {
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
