//! `datasets score`: what predictions are worth, as a table, as JSON, and as a Kaggle submission.
//! Owns flags and files; leaves voting to [`datasets::scoring`] and the drawing of tables to [`super::score_table`].

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use datasets::Task;
use datasets::scoring::predictions::{PredictionPass, prediction_passes};
use datasets::scoring::{DEFAULT_PASS_KS, ReportOptions, ScoreReport, Scorer, read_ratings};
use files::progress::{Unit, progress_bar};
use serde::Serialize;

use super::score_table;

/// Flags of `datasets score`.
#[derive(Args)]
pub(crate) struct Score {
    /// Dataset folder whose test split was predicted.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Predictions (`inputs`, `puzzle_identifiers`, `q_halt_logits`, `preds`): each path is a pass over the test set, as a
    /// safetensors or .npz file, a folder of .npy arrays, or a folder of such parts, one per rank.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    predictions: Vec<PathBuf>,
    /// Let the passes vote together (the default, the reference's `aggregated_voting=True`).
    #[arg(long, conflicts_with = "per_pass")]
    aggregate: bool,
    /// Score each pass for itself (the reference's `aggregated_voting=False`).
    #[arg(long)]
    per_pass: bool,
    /// The K of pass@K.
    #[arg(long, value_name = "K", value_delimiter = ',', default_values_t = DEFAULT_PASS_KS)]
    pass_k: Vec<usize>,
    /// ARC: write the best answers as Kaggle's submission.json.
    #[arg(long, value_name = "FILE")]
    submission: Option<PathBuf>,
    /// Attempts per test pair in the submission.
    #[arg(long, value_name = "K", default_value_t = 2)]
    submission_k: usize,
    /// Sudoku and maze: the list (source,question,answer,rating) that the test split was built from, for accuracies by
    /// rating.
    #[arg(long, value_name = "CSV")]
    ratings: Option<PathBuf>,
    /// Count rows that answer a puzzle more often in one pass than the dataset holds it, instead of refusing them.
    #[arg(long)]
    allow_duplicate_rows: bool,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The content of `--json`.
#[derive(Serialize)]
struct Scores<'a> {
    dataset: String,
    aggregated_voting: bool,
    reports: &'a [ScoreReport],
}

impl Score {
    /// Scores and says what was found.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.pass_k.contains(&0) || self.submission_k == 0 {
            bail!("--pass-k, --submission-k: expected at least 1, found 0");
        }
        let passes = prediction_passes(&self.predictions)?;
        let mut scorer = Scorer::open(&self.data)?;
        scorer.allow_duplicates(self.allow_duplicate_rows);
        let options = self.options(&scorer)?;
        self.check_submission(&scorer, passes.len())?;
        let mut reports = Vec::new();
        if self.per_pass {
            for pass in &passes {
                scorer.clear();
                reports.push(vote(&mut scorer, std::slice::from_ref(pass), &options)?);
            }
        } else {
            reports.push(vote(&mut scorer, &passes, &options)?);
        }
        if let (Some(path), Scorer::Arc(scorer)) = (&self.submission, &scorer) {
            scorer.write_submission(path, self.submission_k)?;
        }
        if let Some(path) = &self.json {
            let scores = Scores {
                dataset: self.data.display().to_string(),
                aggregated_voting: !self.per_pass,
                reports: &reports,
            };
            datasets::store::write_json(path, &scores)?;
        }
        let text: Vec<String> = reports.iter().map(score_table::drawn).collect();
        let mut out = io::stdout().lock();
        out.write_all(text.join("\n").as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
    }

    fn options(&self, scorer: &Scorer) -> anyhow::Result<ReportOptions> {
        let mut pass_ks = self.pass_k.clone();
        pass_ks.sort_unstable();
        pass_ks.dedup();
        let metadata = scorer.metadata();
        let ratings = match (&self.ratings, Task::infer(metadata.vocab_size, metadata.seq_len)) {
            (None, _) => HashMap::new(),
            (Some(_), None | Some(Task::Arc)) => bail!("--ratings: expected a Sudoku or maze dataset, found ARC"),
            (Some(path), Some(task)) => read_ratings(path, task)?,
        };
        Ok(ReportOptions { pass_ks, ratings })
    }

    /// Before hours of predictions are read.
    fn check_submission(&self, scorer: &Scorer, passes: usize) -> anyhow::Result<()> {
        match (&self.submission, scorer) {
            (Some(_), Scorer::Board(_)) => bail!("--submission: expected an ARC dataset, found a Sudoku or maze one"),
            (Some(_), Scorer::Arc(_)) if self.per_pass && passes > 1 => {
                bail!("--submission: expected votes of one pass or of all together, found {passes} with --per-pass")
            }
            _ => Ok(()),
        }
    }
}

/// Counts passes and reports their votes.
fn vote(scorer: &mut Scorer, passes: &[PredictionPass], options: &ReportOptions) -> anyhow::Result<ScoreReport> {
    let metadata = scorer.metadata().clone();
    let mut rows = 0;
    for (_, file) in passes.iter().flat_map(|pass| pass.open(&metadata)) {
        rows += file?.rows() as u64;
    }
    let bar = progress_bar("scoring", Some(rows), Unit::Items);
    for pass in passes {
        scorer.add_pass(pass, |rows| bar.inc(rows as u64))?;
    }
    bar.finish_and_clear();
    let names: Vec<String> = passes.iter().map(|pass| pass.path.display().to_string()).collect();
    Ok(scorer.report(&names, options)?)
}
