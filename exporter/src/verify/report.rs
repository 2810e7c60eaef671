//! A parity report for people: one table for each set of inputs, a row for each supervision step.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::{ColumnReport, Report, SetReport, StepComparison};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (sha256 {})", self.checkpoint, self.checkpoint_sha256)?;
        writeln!(
            f,
            "Each cell: the largest difference of a logit from {}; where any differ, predictions (p)",
            self.reference
        )?;
        writeln!(
            f,
            "and halting decisions (q); where not for all, the rows for which something is promised (docs/parity.md); !"
        )?;
        writeln!(f, "where a promise is broken.")?;
        for set in &self.sets {
            writeln!(f, "\n{}, {} rows", set.inputs, set.rows)?;
            writeln!(f, "{}", table(set))?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let verdict = if self.is_kept() { "every promise was kept" } else { "A PROMISE WAS BROKEN" };
        writeln!(f, "{verdict}")
    }
}

fn table(set: &SetReport) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(
        std::iter::once("step".to_owned()).chain(set.columns.iter().map(|column| column.backend.replace(' ', "\n"))),
    );
    let steps = set.columns.first().map_or(0, |column| column.steps.len());
    for step in 0..steps {
        let cells = set.columns.iter().map(|column| cell(&column.steps[step]));
        table.add_row(std::iter::once((step + 1).to_string()).chain(cells));
    }
    table.add_row(std::iter::once("p".to_owned()).chain(set.columns.iter().map(preds)));
    table.add_row(std::iter::once("cos".to_owned()).chain(set.columns.iter().map(cosine)));
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cell(step: &StepComparison) -> String {
    let mut parts = vec![format!("{:.1e}", step.max_logit_difference)];
    if step.preds_differ > 0 {
        parts.push(format!("{}p", step.preds_differ));
    }
    if step.q_decisions_differ > 0 {
        parts.push(format!("{}q", step.q_decisions_differ));
    }
    if step.promised_rows < step.rows {
        parts.push(format!("{}/{}", step.promised_rows, step.rows));
    }
    if !step.is_kept() {
        parts.push("!".to_owned());
    }
    parts.join(" ")
}

/// Share of the last step's predictions that are the reference's.
fn preds(column: &ColumnReport) -> String {
    let Some(step) = column.steps.last() else { return String::new() };
    format!("{:.2} %", 100.0 * (1.0 - step.preds_differ as f64 / step.preds.max(1) as f64))
}

/// Smallest cosine of a recursion state over the steps.
fn cosine(column: &ColumnReport) -> String {
    let cosines = column.steps.iter().filter_map(|step| step.state_cosine);
    cosines.reduce(f64::min).map_or_else(|| "-".to_owned(), |cosine| format!("{cosine:.6}"))
}
