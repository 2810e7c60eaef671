//! What an evaluation's predictions are worth: pass@K, and how it grows with the augmentations that vote.
//! Owns the compact record of a prediction and the order of votes; leaves counting and intervals to `datasets`.

use std::path::Path;

use datasets::DatasetError;
use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, crop, encode};
use datasets::scoring::predictions::{PredictionRows, PredictionSource};
use datasets::scoring::{ArcScorer, ScoreReport, Share};
use engine::arc::TaskIndex;
use engine::arc::held_out::{Prediction, TestRow};
use serde::{Deserialize, Serialize};

/// A prediction as a log keeps it: some hundred bytes, from which votes are counted to the last bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArcRecord {
    /// Number of the row among [`TaskIndex::test_rows`].
    pub row: u64,
    /// Row of the puzzle-embedding table.
    pub identifier: u32,
    /// The predicted grid of the augmented puzzle: rows of digits between slashes, nothing where the model drew none.
    pub grid: String,
    /// The bits of `q_halt`, a float32.
    pub q_bits: u32,
    /// Supervision steps.
    pub steps: u32,
}

/// Figures of a whole evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArcFigures {
    /// With all augmentations.
    pub report: ScoreReport,
    /// With the first 1, 2, 4, … of them, and with all.
    pub curve: Vec<VotesPoint>,
    /// Supervision steps in all.
    pub steps: u64,
}

/// What so many augmentations give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VotesPoint {
    /// Augmentations of each task that have voted, itself included.
    pub augmentations: usize,
    /// `ARC/pass@1`: the share of a task's test pairs whose first answer is right, averaged over the tasks.
    pub pass_at_1: Share,
    /// `ARC/pass@2`, the figure of the benchmark.
    pub pass_at_2: Share,
}

/// Rows that are counted together.
const CHUNK: usize = 1024;

impl ArcRecord {
    /// The record of a prediction on row number `row`.
    pub fn of(row: u64, prediction: &Prediction) -> Self {
        let Prediction { row: TestRow { puzzle, .. }, answer, .. } = prediction;
        Self {
            row,
            identifier: puzzle.identifier,
            grid: crop(&answer.tokens).to_string(),
            q_bits: answer.q.to_bits(),
            steps: answer.steps as u32,
        }
    }
}

/// Counts `records` of the data set in `folder`, which must be those of the first rows of `index` under up to
/// `augmentations` augmentations, in any order. Gives the figures and the votes, from which a submission is made.
///
/// # Errors
/// When the data set cannot be read, or a record is missing, comes twice or is of another row.
pub fn figures(
    folder: &Path,
    index: &TaskIndex,
    augmentations: usize,
    mut records: Vec<ArcRecord>,
    pass_ks: &[usize],
) -> Result<(ArcFigures, ArcScorer), DatasetError> {
    let mut scorer = ArcScorer::open(folder)?;
    let source = PredictionSource { path: folder.to_owned(), augmentations: 1 };
    let name = [format!("test pairs of {}", folder.display())];
    records.sort_by_key(|record| record.row);
    let expected = index.test_row_count(augmentations);
    if records.len() != expected {
        return Err(unfit(format!("{expected} records, one per row"), &records.len().to_string()));
    }
    let mut curve = Vec::new();
    let mut chunk: Vec<(TestRow, &ArcRecord)> = Vec::with_capacity(CHUNK);
    let mut rows = index.test_rows(augmentations).zip(&records).enumerate().peekable();
    while let Some((number, (row, record))) = rows.next() {
        if record.row != number as u64 || record.identifier != row.puzzle.identifier {
            let found = format!("row {} of identifier {}", record.row, record.identifier);
            return Err(unfit(format!("row {number} of identifier {}", row.puzzle.identifier), &found));
        }
        chunk.push((row, record));
        let next_rank = rows.peek().map(|(_, (next, _))| next.rank);
        let ends_point = next_rank != Some(row.rank) && (next_rank.is_none() || (row.rank + 1).is_power_of_two());
        if chunk.len() == CHUNK || ends_point {
            scorer.add(&rows_of(index, &chunk)?, &source)?;
            chunk.clear();
        }
        if ends_point {
            let report = scorer.report(&name, &[1, 2])?;
            let share = |metric: &str| report.accuracy(metric).map_or(Share::of(0, 0), |accuracy| accuracy.share);
            let (pass_at_1, pass_at_2) = (share("ARC/pass@1"), share("ARC/pass@2"));
            curve.push(VotesPoint { augmentations: row.rank + 1, pass_at_1, pass_at_2 });
        }
    }
    let steps = records.iter().map(|record| u64::from(record.steps)).sum();
    Ok((ArcFigures { report: scorer.report(&name, pass_ks)?, curve, steps }, scorer))
}

fn rows_of(index: &TaskIndex, chunk: &[(TestRow, &ArcRecord)]) -> Result<PredictionRows, DatasetError> {
    let mut rows = PredictionRows {
        seq_len: SEQ_LEN,
        first_row: 0,
        inputs: Vec::with_capacity(chunk.len() * SEQ_LEN),
        preds: Vec::with_capacity(chunk.len() * SEQ_LEN),
        puzzle_identifiers: chunk.iter().map(|(_, record)| record.identifier).collect(),
        q_halt_logits: chunk.iter().map(|(_, record)| f64::from(f32::from_bits(record.q_bits))).collect(),
    };
    let mut canvas = [0; SEQ_LEN];
    for (row, record) in chunk {
        let tokens = index.tokens_of_row(row).ok_or_else(|| unfit("a test pair".into(), &format!("{row:?}")))?;
        rows.inputs.extend(tokens.into_iter().map(|token| token as u8));
        let grid = parse(&record.grid).ok_or_else(|| unfit("a grid like 012/345".into(), &record.grid))?;
        encode(&grid, &Augmentation::IDENTITY, Placement::CORNER, &mut canvas);
        rows.preds.extend(canvas);
    }
    Ok(rows)
}

fn parse(text: &str) -> Option<Grid> {
    if text.is_empty() {
        return Some(Grid::empty());
    }
    let rows: Vec<Vec<u8>> =
        text.split('/').map(|row| row.bytes().map(|digit| digit.wrapping_sub(b'0')).collect()).collect();
    Grid::from_rows(&rows).ok()
}

fn unfit(expected: String, found: &str) -> DatasetError {
    DatasetError::Argument { name: "records of an ARC evaluation", expected, found: found.chars().take(200).collect() }
}
