//! `--write-policy`: measures candidates on the puzzles of the evaluation and writes the chosen one into the manifest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use models::Manifest;
use models::checkpoint::{MANIFEST_FILE, Measured};

use super::boards::Evaluation;
use super::logs::log_path;
use crate::choose::{self, Candidate, Choice, RULE};
use crate::curve::probe;
use crate::log::read_records;
use crate::policy_in_words;
use crate::report::Report;
use crate::tally::{ServedTally, StepsTally};

/// Deepest chain among the candidates.
pub(super) const DEEPEST: usize = 128;

/// Measures all candidates, each with a log of its own, and chooses.
pub(super) fn choose(evaluation: &Evaluation) -> Result<Choice> {
    if evaluation.shard != crate::Shard::WHOLE {
        bail!("--write-policy needs all puzzles in one place; leave --shard out");
    }
    let safe = safe_max_steps(evaluation)?;
    let mut candidates = Vec::new();
    let policies = choose::candidates(evaluation.model.card.arch.halt_max_steps(), safe);
    let count = policies.len();
    for (index, policy) in policies.into_iter().enumerate() {
        let part = format!("candidate-{:02}", index + 1);
        let message = format!("policy {} of {count}: {}", index + 1, policy_in_words(&policy));
        evaluation.run_served(&part, policy, &message)?;
        let mut tally = ServedTally::default();
        read_records(&log_path(&evaluation.folder, &part), |entry| tally.add(&entry))?;
        let (verified, mean_steps) = tally.verified_and_mean_steps();
        candidates.push(Candidate { policy, verified, mean_steps });
    }
    let chosen = choose::choose(&candidates).context("there are no candidates")?;
    Ok(Choice { candidates, chosen, rule: RULE.into() })
}

/// Writes the chosen policy into the manifest of `checkpoint`; says what it is.
pub(super) fn write(checkpoint: &Path, report: &Report) -> Result<String> {
    let choice = report.choice.as_ref().context("no policy was chosen")?;
    let chosen = &choice.candidates[choice.chosen];
    let halt_max_steps = report.run.model.arch.halt_max_steps();
    let plain = report.steps_curve.iter().find(|point| point.steps == halt_max_steps);
    let plain = plain.context("the raw run has fewer steps than the model was trained with; leave --steps out")?;
    let measured = Measured {
        data: report.run.dataset.clone(),
        puzzles: report.puzzles as u64,
        weights_sha256: report.run.model.sha256.clone(),
        rule: choice.rule.clone(),
        exact_accuracy: plain.exact.accuracy,
        verified_accuracy_plain: plain.verified.accuracy,
        verified_accuracy: chosen.verified.accuracy,
        mean_steps: chosen.mean_steps,
    };
    let safe = report.depth_probe.as_ref().map(|probe| probe.safe_max_steps);
    let path = checkpoint.join(MANIFEST_FILE);
    let manifest = Manifest { inference: Some(choose::defaults(chosen, safe, measured)), ..Manifest::read(&path)? };
    files::write(&path, manifest.to_json().as_bytes())?;
    Ok(format!("{}; written to {}", policy_in_words(&chosen.policy), path.display()))
}

fn safe_max_steps(evaluation: &Evaluation) -> Result<usize> {
    let mut tally = StepsTally::new(evaluation.step_points(), evaluation.steps);
    read_records(&log_path(&evaluation.folder, "steps"), |entry| tally.add(entry))?;
    Ok(probe(&tally.curve()).map_or(evaluation.steps, |probe| probe.safe_max_steps))
}
