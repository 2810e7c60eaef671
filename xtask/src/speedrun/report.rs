//! REPORT.md of a speedrun: what is published, what was achieved, on what, how long it took, and the commands.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::journal::Journal;
use super::recipe::{Recipe, Stage};
use crate::machine;

/// Writes the report of the speedrun in `folder`, and gives its path.
pub(super) fn write(folder: &Path, recipe: &Recipe, journal: &Journal) -> Result<PathBuf> {
    let measured = folder.join("evaluation").join("report.json");
    let text = fs::read_to_string(&measured).with_context(|| format!("cannot read {}", measured.display()))?;
    let found: Value = serde_json::from_str(&text).with_context(|| format!("{} is damaged", measured.display()))?;
    let mut page = format!("# Speedrun: {}, recipe `{}`\n\n", recipe.task.name(), recipe.kind.name());
    page += "| | exact accuracy |\n|---|---|\n";
    for claim in recipe.claims() {
        let _ = writeln!(page, "| {} | {} |", claim.source, claim.value);
    }
    for (label, share) in achieved(&found) {
        let _ = writeln!(page, "| **this run**, {label} | {share} |");
    }
    let _ = write!(page, "\n{} Brackets are 95 % Wilson intervals.\n\n", recipe.benchmark());
    let gpus = machine::gpus();
    let gpus = if gpus.is_empty() { "none".to_owned() } else { gpus.join("; ") };
    let _ = write!(page, "- processor: {}\n- GPU: {gpus}\n", machine::processor());
    page += "- model: [model](model), its graph [model.onnx](model.onnx), its run [run](run)\n";
    page += "- evaluation: [evaluation/report.md](evaluation/report.md)\n\n";
    page += "| stage | hours |\n|---|---|\n";
    let mut total = 0.0;
    for stage in Stage::ALL {
        let seconds = journal.seconds(stage.name()).unwrap_or(0.0);
        total += seconds;
        let _ = writeln!(page, "| {} | {:.3} |", stage.name(), seconds / 3600.0);
    }
    let _ = write!(
        page,
        "| all | {:.3} |\n\nOf a stage that was interrupted, its last part counts.\n\n```\n",
        total / 3600.0
    );
    for call in Stage::ALL.iter().flat_map(|&stage| recipe.calls(stage)) {
        let _ = writeln!(page, "{}", call.first_line());
    }
    page += "```\n";
    let path = folder.join("REPORT.md");
    files::write(&path, &page)?;
    Ok(path)
}

/// Names and shares of what the evaluation measured.
fn achieved(found: &Value) -> Vec<(String, String)> {
    if let Some(last) = found["curve"].as_array().and_then(|points| points.last()) {
        let votes = format!("votes of up to {} augmentations", last["augmentations"]);
        return [("pass_at_1", "pass@1"), ("pass_at_2", "pass@2")]
            .into_iter()
            .filter_map(|(key, name)| Some((format!("{name}, {votes}"), share(&last[key])?)))
            .collect();
    }
    let overall = &found["raw"]["overall"];
    let of = |key: &str, label: &str| Some((format!("{label}, {} puzzles", found["puzzles"]), share(&overall[key])?));
    let rows = [("raw", "raw"), ("verified", "verified at some step"), ("engine", "with restarts, as served")];
    rows.into_iter().filter_map(|(key, label)| of(key, label)).collect()
}

fn share(value: &Value) -> Option<String> {
    let percent = |value: &Value| value.as_f64().map(|share| 100.0 * share);
    let (least, most) = (percent(&value["interval"][0])?, percent(&value["interval"][1])?);
    Some(format!("{:.1} % [{least:.1}, {most:.1}]", percent(&value["accuracy"])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_boards_and_of_votes_are_found_in_reports() {
        let boards = r#"{"puzzles": 200, "raw": {"overall": {"raw": {"accuracy": 0.905, "interval": [0.86, 0.94]}}}}"#;
        let found = achieved(&serde_json::from_str(boards).unwrap());
        assert_eq!(found, [("raw, 200 puzzles".to_owned(), "90.5 % [86.0, 94.0]".to_owned())]);
        let votes = r#"{"curve": [{"augmentations": 1}, {"augmentations": 8, "pass_at_2": {"accuracy": 0.5, "interval": [0, 1]}}]}"#;
        let found = achieved(&serde_json::from_str(votes).unwrap());
        assert_eq!(found, [("pass@2, votes of up to 8 augmentations".to_owned(), "50.0 % [0.0, 100.0]".to_owned())]);
    }
}
