//! Score reports as tables for people: every accuracy in percent with its Wilson 95 % interval.
//! Owns the drawing; leaves figures to [`datasets::scoring`].

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use datasets::scoring::{Accuracy, Bucket, Criterion, ScoreReport, Share, Unit};

/// A report, ending in a newline.
pub(crate) fn drawn(report: &ScoreReport) -> String {
    let mut text = heading(report);
    let (voted, single): (Vec<&Accuracy>, Vec<&Accuracy>) =
        report.accuracies.iter().partition(|accuracy| accuracy.k.is_some());
    for criterion in [Criterion::Exact, Criterion::Valid, Criterion::Shortest] {
        let chosen: Vec<&Accuracy> = voted.iter().copied().filter(|one| one.criterion == criterion).collect();
        if !chosen.is_empty() {
            let _ = writeln!(text, "\nVotes, {} answers:\n{}", criterion.name(), voted_table(&chosen));
        }
    }
    let _ = writeln!(text, "\nEach prediction for itself:\n{}", single_table(&single));
    if !report.buckets.is_empty() {
        let _ = writeln!(
            text,
            "\nBy difficulty (best candidate by votes, then mean Q):\n{}",
            bucket_table(&report.buckets)
        );
    }
    text
}

fn heading(report: &ScoreReport) -> String {
    let coverage = &report.coverage;
    let what = if report.task == "arc" { "test pairs" } else { "puzzles" };
    let mut text = format!(
        "{}: {} rows of {} on {} {what}",
        report.task,
        coverage.rows,
        report.predictions.join(", "),
        coverage.puzzles
    );
    for (count, meaning) in [
        (coverage.padding_rows, "rows of padding"),
        (coverage.unmatched_rows, "rows whose input is none of the dataset's: IGNORED"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {count} {meaning}");
        }
    }
    if coverage.puzzles_without_predictions > 0 {
        let counted = if report.task == "arc" { "count as wrong" } else { "do not count" };
        let _ = write!(text, "; {} {what} without predictions {counted}", coverage.puzzles_without_predictions);
    }
    text.push('\n');
    text
}

/// One row per vote and unit, one column per K.
fn voted_table(accuracies: &[&Accuracy]) -> Table {
    let mut ks: Vec<usize> = accuracies.iter().filter_map(|accuracy| accuracy.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let mut lines: Vec<(&str, Unit)> = Vec::new();
    for accuracy in accuracies {
        if !lines.contains(&(accuracy.vote, accuracy.unit)) {
            lines.push((accuracy.vote, accuracy.unit));
        }
    }
    let header = ["vote".to_owned(), "per".to_owned()].into_iter().chain(ks.iter().map(|k| format!("pass@{k} %")));
    let mut table = table(header, 2);
    for (vote, unit) in lines {
        let figure = |&k: &usize| {
            let found = accuracies.iter().find(|one| (one.vote, one.unit, one.k) == (vote, unit, Some(k)));
            found.map_or(String::new(), |accuracy| percent(accuracy.share))
        };
        let trials = accuracies.iter().find(|one| one.unit == unit).map_or(0, |one| one.trials);
        let line = [vote.to_owned(), format!("{} ({trials})", unit_name(unit))];
        table.add_row(line.into_iter().chain(ks.iter().map(figure)));
    }
    table
}

fn single_table(accuracies: &[&Accuracy]) -> Table {
    let mut table = table(["accuracy", "counts", "per", "%"].map(str::to_owned).into_iter(), 3);
    for accuracy in accuracies {
        let per = format!("{} ({})", unit_name(accuracy.unit), accuracy.trials);
        table.add_row([accuracy.name.clone(), accuracy.criterion.name().to_owned(), per, percent(accuracy.share)]);
    }
    table
}

fn bucket_table(buckets: &[Bucket]) -> Table {
    let criteria = buckets.first().map_or(&[][..], |bucket| &bucket.accuracies);
    let header = ["by", "bucket", "puzzles"].map(str::to_owned).into_iter();
    let mut table = table(header.chain(criteria.iter().map(|accuracy| format!("{} %", accuracy.criterion.name()))), 1);
    for bucket in buckets {
        let trials = bucket.accuracies.first().map_or(0, |accuracy| accuracy.trials);
        let line = [bucket.by.to_owned(), bucket.label.clone(), trials.to_string()];
        table.add_row(line.into_iter().chain(bucket.accuracies.iter().map(|accuracy| percent(accuracy.share))));
    }
    table
}

/// An empty table whose columns from `first_number` on are aligned to the right.
fn table(header: impl Iterator<Item = String>, first_number: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(first_number) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `40.0 [11.8, 76.9]`
fn percent(share: Share) -> String {
    let (low, high) = share.interval;
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * share.accuracy, 100.0 * low, 100.0 * high)
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Prediction => "prediction",
        Unit::Puzzle => "puzzle",
        Unit::Task => "task",
        Unit::Pair => "test pair",
    }
}
