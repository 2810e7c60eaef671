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
use crate::evaluate::{BatchAnswer, Evaluation, evaluate_until};
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
}

#[derive(Debug)]
struct Voting {
    scorer: ArcScorer,
    config: EvaluatorConfig,
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
    /// Those that `config` asks for; `None` where there is nothing to evaluate on.
    ///
    /// # Errors
    /// When held-out puzzles cannot be drawn, or evaluators or saved outputs do not fit the data.
    pub(crate) fn of(config: &PretrainConfig) -> Result<Option<Self>, TrainError> {
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
        let voting = config.evaluators.first().map(|evaluator| Voting::new(evaluator, &data)).transpose()?;
        Ok(Some(Self { data, outputs: config.eval_save_outputs.clone(), voting }))
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
        let take = |batch: &Batch, answer: &BatchAnswer| {
            if writer.is_none() && voting.is_none() {
                return Ok(());
            }
            let rows = PredictionRows::of_batch(batch, &tokens_of(&answer.preds)?, &answer.q_halt);
            if let Some(writer) = &mut writer {
                writer.append_with_labels(&rows, &batch.labels[..rows.inputs.len()])?;
            }
            Ok(voting.as_mut().map_or(Ok(()), |voting| voting.scorer.add(&rows, &source))?)
        };
        let found = evaluate_until(stop, &reasoner, &config.arch, &parameters, self.data.batches()?, take)?;
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
