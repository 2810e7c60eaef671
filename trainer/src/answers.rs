//! What a model answers on an evaluation's puzzles and their symmetric copies: to a prediction file, to votes, or both.
//! Owns running the copies; leaves the file's form, symmetries and votes to `datasets::scoring`.

use std::path::Path;

use datasets::DatasetError;
use datasets::batch::Batch;
use datasets::scoring::predictions::{PredictionRows, PredictionSource, PredictionWriter};
use datasets::scoring::{ReportOptions, ScoreReport, Scorer, SymmetricCopies};
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::act::Reasoner;
use crate::evaluate::{Evaluation, answer, evaluate};
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;

/// Where answers go.
#[derive(Debug, Default)]
pub struct AnswerSink {
    writer: Option<PredictionWriter>,
    scorer: Option<Scorer>,
}

impl AnswerSink {
    /// Writes all answers to a prediction file, which appears once it is complete.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn with_file(
        mut self,
        path: &Path,
        puzzles: usize,
        seq_len: usize,
        copies: &SymmetricCopies,
    ) -> Result<Self, DatasetError> {
        let rows = puzzles.saturating_mul(copies.count());
        self.writer = Some(PredictionWriter::create(path, rows, seq_len, copies.count())?);
        Ok(self)
    }

    /// Lets all answers vote.
    #[must_use]
    pub fn with_votes(mut self, scorer: Scorer) -> Self {
        self.scorer = Some(scorer);
        self
    }

    fn is_empty(&self) -> bool {
        self.writer.is_none() && self.scorer.is_none()
    }

    fn take(&mut self, rows: &PredictionRows, source: &PredictionSource) -> Result<(), DatasetError> {
        if let Some(scorer) = &mut self.scorer {
            scorer.add(rows, source)?;
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.append(rows))
    }

    /// Completes the file and reports the votes, if there were to be any.
    ///
    /// # Errors
    /// When the file lacks rows or cannot be synced, or no answer belongs to a puzzle that is voted on.
    pub fn finish(self, name: &str) -> Result<Option<ScoreReport>, DatasetError> {
        if let Some(writer) = self.writer {
            writer.finish()?;
        }
        self.scorer.map(|scorer| scorer.report(&[name.to_owned()], &ReportOptions::default())).transpose()
    }
}

/// Evaluates `reasoner` on all of `batches` as [`evaluate`] does and hands the answers on
/// every symmetric copy, undone, to `sink`; the evaluation is that of the puzzles themselves, and all that there is where
/// no task gives symmetries. `progress` receives the number of answered rows, copies included.
///
/// # Errors
/// When a batch cannot be read or the sink fails.
pub fn evaluate_copies(
    reasoner: &Reasoner,
    arch: &models::ArchitectureConfig,
    parameters: &Parameters,
    batches: impl Iterator<Item = Result<Batch, TrainError>>,
    copies: Option<&SymmetricCopies>,
    sink: &mut AnswerSink,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation, TrainError> {
    let Some(copies) = copies.filter(|copies| copies.count() > 1 || !sink.is_empty()) else {
        return evaluate(reasoner, arch, parameters, batches, progress);
    };
    let source = PredictionSource { path: "the model's answers".into(), augmentations: copies.count() };
    let mut sums = StepMetrics::default();
    let mut first_example = 0;
    for batch in batches {
        let batch = batch?;
        for copy in 0..copies.count() {
            let answer = answer(reasoner, arch, parameters, &copies.apply(&batch, copy, first_example));
            if copy == 0 {
                sums.merge(&answer.metrics);
            }
            let mut preds = tokens_of(&answer.preds)?;
            copies.undo(&mut preds[..batch.real_rows * batch.seq_len], batch.seq_len, copy, first_example);
            sink.take(&PredictionRows::of_batch(&batch, &preds, &answer.q_halt), &source)?;
            progress(batch.real_rows);
        }
        first_example += batch.real_rows as u64;
    }
    Ok(Evaluation::of(&sums))
}

/// `[rows, seq_len]` predictions, flat.
pub(crate) fn tokens_of(preds: &Tensor) -> Result<Vec<i32>, TrainError> {
    let preds = preds.to_device(Device::Cpu).to_kind(Kind::Int).contiguous();
    Ok(Vec::try_from(preds.view(-1))?)
}
