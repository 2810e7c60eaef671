//! What a run does at each evaluation: measures, saves the answers that it is asked for, and lets them vote on ARC.
//! Owns these files in the run's folder; leaves measuring to `evaluate`, files of predictions and votes to `datasets`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use datasets::batch::Batch;
use datasets::scoring::ArcScorer;
use datasets::scoring::predictions::{PredictionArray, PredictionRows, PredictionSource, PredictionWriter};

use crate::TrainError;
use crate::act::Reasoner;
use crate::answers::tokens_of;
use crate::config::{EvaluatorConfig, PretrainConfig};
use crate::data::EvaluationData;
use crate::evaluate::{BatchAnswer, Evaluation, evaluate_on_ranks, evaluate_until};
use crate::learner::Learner;

/// Folder of saved outputs in a run.
const PREDICTIONS_FOLDER: &str = "predictions";
/// Prediction files hold a token in a byte.
const MOST_TOKENS: usize = 256;

/// The evaluations of a run.
#[derive(Debug)]
pub(crate) struct RunEvaluation {
    data: EvaluationData,
    outputs: Vec<PredictionArray>,
    voting: Option<Voting>,
    /// Whether answers are written or vote, so that rank 0 needs those of all ranks.
    collects: bool,
}

#[derive(Debug)]
struct Voting {
    scorer: ArcScorer,
    config: EvaluatorConfig,
}

/// A batch with the model's answers, in a form that travels from rank to rank.
struct AnsweredRows {
    batch: Batch,
    /// `[rows, seq_len]`
    preds: Vec<i32>,
    /// `[rows]`
    q_halt: Vec<f32>,
}

impl AnsweredRows {
    /// Little-endian numbers of four bytes: real rows, rows, tokens of a row, and the arrays one after the other.
    fn to_bytes(&self) -> Vec<u8> {
        let batch = &self.batch;
        let header = [batch.real_rows, batch.rows(), batch.seq_len].map(|count| count as i32);
        let logits: Vec<i32> = self.q_halt.iter().map(|value| value.to_bits().cast_signed()).collect();
        let arrays = [&batch.inputs, &batch.labels, &batch.puzzle_identifiers, &self.preds, &logits];
        header.iter().chain(arrays.into_iter().flatten()).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// What [`to_bytes`](Self::to_bytes) was given.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk));
        let mut take = |count: usize| numbers.by_ref().take(count).collect::<Vec<i32>>();
        let header: Vec<usize> = take(3).into_iter().map(|count| count as usize).collect();
        let [real_rows, rows, seq_len] = header.try_into().unwrap_or_default();
        let cells = rows * seq_len;
        let (inputs, labels, puzzle_identifiers) = (take(cells), take(cells), take(rows));
        let preds = take(cells);
        let q_halt = take(rows).into_iter().map(|bits| f32::from_bits(bits.cast_unsigned())).collect();
        Self { batch: Batch { seq_len, inputs, labels, puzzle_identifiers, real_rows }, preds, q_halt }
    }
}

/// What an evaluation found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Accuracies and losses.
    pub(crate) evaluation: Evaluation,
    /// Accuracies of votes, `ARC/pass@K`.
    pub(crate) votes: Vec<(String, f64)>,
}

impl Found {
    /// Names and values of everything.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, f64)> {
        let votes = self.votes.iter().map(|(name, value)| (name.as_str(), *value));
        self.evaluation.entries().into_iter().chain(votes)
    }
}

impl RunEvaluation {
    /// Those that `config` asks for, whose files and votes are rank 0's (`is_first`); `None` where there is nothing to evaluate on.
    ///
    /// # Errors
    /// When held-out puzzles cannot be drawn, or evaluators or saved outputs do not fit the data.
    pub(crate) fn of(config: &PretrainConfig, is_first: bool) -> Result<Option<Self>, TrainError> {
        let Some(data) = EvaluationData::of_run(config)? else {
            for (key, asked) in [
                ("evaluators", !config.evaluators.is_empty()),
                ("eval_save_outputs", !config.eval_save_outputs.is_empty()),
            ] {
                if asked {
                    return Err(TrainError::setting(
                        key,
                        "is set, but the data has no test split; set data_paths_test",
                    ));
                }
            }
            return Ok(None);
        };
        if !config.eval_save_outputs.is_empty() {
            data.check_that_rows_fit_a_file(MOST_TOKENS)?;
        }
        let evaluator = config.evaluators.first().filter(|_| is_first);
        let voting = evaluator.map(|evaluator| Voting::new(evaluator, &data)).transpose()?;
        let collects = !config.evaluators.is_empty() || !config.eval_save_outputs.is_empty();
        let outputs = if is_first { config.eval_save_outputs.clone() } else { Vec::new() };
        Ok(Some(Self { data, outputs, voting, collects }))
    }

    /// The first batch of an evaluation.
    ///
    /// # Errors
    /// When it cannot be read, or there is none.
    pub(crate) fn first_batch(&self) -> Result<Batch, TrainError> {
        self.data.batches()?.next().unwrap_or_else(|| {
            Err(TrainError::setting("log_recursion", "has no row to look at: the test split is empty"))
        })
    }

    /// Rows of an evaluation.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn rows(&self) -> Result<usize, TrainError> {
        self.data.rows()
    }

    /// Evaluates `learner` and writes into the run's folder `directory`; `None` where `stop` became true before the end,
    /// and nothing is written then.
    ///
    /// # Errors
    /// When data cannot be read, or the disk refuses.
    pub(crate) fn run(
        &mut self,
        stop: &AtomicBool,
        learner: &Learner,
        directory: &Path,
    ) -> Result<Option<Found>, TrainError> {
        let config = &learner.config;
        let parameters = learner.weights_to_use();
        let reasoner = Reasoner::new(&config.arch, &config.dims, &parameters, config.loss_type)?;
        let mut writer = self.writer(directory, learner.step)?;
        let source = PredictionSource { path: "the model's answers".into(), augmentations: 1 };
        if let Some(voting) = &mut self.voting {
            voting.scorer.clear();
            voting.scorer.begin_pass();
        }
        let voting = &mut self.voting;
        let mut take = |answers: &AnsweredRows| -> Result<(), TrainError> {
            let AnsweredRows { batch, preds, q_halt } = answers;
            let rows = PredictionRows::of_batch(batch, preds, q_halt);
            if let Some(writer) = &mut writer {
                writer.append_with_labels(&rows, &batch.labels[..rows.inputs.len()])?;
            }
            Ok(voting.as_mut().map_or(Ok(()), |voting| voting.scorer.add(&rows, &source))?)
        };
        let (ranks, collects) = (&learner.ranks, self.collects);
        let take = |batch: &Batch, answer: &BatchAnswer| {
            if !collects {
                return Ok(());
            }
            let preds = tokens_of(&answer.preds)?;
            let own = AnsweredRows { batch: batch.clone(), preds, q_halt: answer.q_halt.clone() };
            let others = ranks.bytes_to_first(|| own.to_bytes())?;
            if ranks.rank() > 0 {
                return Ok(());
            }
            take(&own)?;
            others.iter().try_for_each(|bytes| take(&AnsweredRows::from_bytes(bytes)))
        };
        let arch = &config.arch;
        let found = if ranks.size() == 1 {
            evaluate_until(stop, &reasoner, arch, &parameters, self.data.batches()?, take)?
        } else {
            let batches = self.data.batches_of(ranks.rank(), ranks.size())?;
            evaluate_on_ranks(stop, ranks, &reasoner, arch, &parameters, batches, take)?
        };
        let Some(evaluation) = found else { return Ok(None) };
        if let Some(writer) = writer {
            writer.finish()?;
        }
        let votes = self.voting.as_ref().map_or(Ok(Vec::new()), |voting| voting.finish(directory, learner.step))?;
        Ok(Some(Found { evaluation, votes }))
    }

    fn writer(&self, directory: &Path, step: u64) -> Result<Option<PredictionWriter>, TrainError> {
        if self.outputs.is_empty() {
            return Ok(None);
        }
        // Not in the run's own folder, on which the run holds the lock that the writer of a file takes on its folder.
        let folder = directory.join(PREDICTIONS_FOLDER);
        std::fs::create_dir_all(&folder).map_err(TrainError::io(&folder))?;
        let path = folder.join(format!("step_{step}_all_preds.safetensors"));
        let (rows, seq_len) = (self.data.rows()?, self.data.seq_len()?);
        Ok(Some(PredictionWriter::create_with(&path, rows, seq_len, 1, &self.outputs)?))
    }
}

impl Voting {
    fn new(config: &EvaluatorConfig, data: &EvaluationData) -> Result<Self, TrainError> {
        let EvaluationData::Folders { paths, .. } = data else {
            return Err(TrainError::setting(
                "evaluators",
                "vote on ARC, and generated boards are none; set evaluators=[]",
            ));
        };
        let [folder] = paths.as_slice() else {
            let problem =
                format!("vote on one data set, and {} are evaluated; set data_paths_test to one", paths.len());
            return Err(TrainError::setting("evaluators", problem));
        };
        Ok(Self { scorer: ArcScorer::open(folder)?, config: config.clone() })
    }

    /// Writes the submission and gives the accuracies of the paper's rule.
    fn finish(&self, directory: &Path, step: u64) -> Result<Vec<(String, f64)>, TrainError> {
        let folder: PathBuf = directory.join(format!("evaluator_ARC_step_{step}"));
        std::fs::create_dir_all(&folder).map_err(TrainError::io(&folder))?;
        self.scorer.write_submission(&folder.join("submission.json"), self.config.submission_k)?;
        let report = self.scorer.report(&[format!("step {step}")], &self.config.pass_ks)?;
        let names = self.config.pass_ks.iter().map(|k| format!("ARC/pass@{k}"));
        Ok(names.filter_map(|name| Some((name.clone(), report.accuracy(&name)?.share.accuracy))).collect())
    }
}
