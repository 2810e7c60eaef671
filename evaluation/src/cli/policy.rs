//! `--write-policy`: measures candidates on the puzzles of the evaluation and writes the chosen one into the manifest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::default_policy::{DefaultPolicy, PolicyOverrides};
use engine::task::Task;
use models::Manifest;
use models::checkpoint::{MANIFEST_FILE, Measured, MeasuredInt8};

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

/// Writes what was measured into the manifest of `checkpoint`: the chosen policy, or of a model in 8-bit integers what its
/// policy reaches. Says what it is.
pub(super) fn write(checkpoint: &Path, task: Task, report: &Report) -> Result<String> {
    let Some(choice) = &report.choice else { return write_int8(checkpoint, task, report) };
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

fn write_int8(checkpoint: &Path, task: Task, report: &Report) -> Result<String> {
    let path = checkpoint.join(MANIFEST_FILE);
    let mut manifest = Manifest::read(&path)?;
    let Some((inference, measured)) = manifest
        .inference
        .as_mut()
        .and_then(|inference| inference.measured.clone().map(|measured| (inference, measured)))
    else {
        bail!(
            "{} has no measured policy that int8 could be compared with; --write-policy in float32 first",
            path.display()
        );
    };
    let halt_max_steps = report.run.model.arch.halt_max_steps();
    let of_manifest = DefaultPolicy::of(task, halt_max_steps, Some(&*inference), &PolicyOverrides::NONE).policy;
    if report.engine.policy != of_manifest {
        bail!(
            "int8 is measured with the policy in {} ({}), and this run had {}; leave the flags of the policy out",
            path.display(),
            policy_in_words(&of_manifest),
            policy_in_words(&report.engine.policy)
        );
    }
    let (data, puzzles) = (report.run.dataset.clone(), report.puzzles as u64);
    if (&measured.data, measured.puzzles) != (&data, puzzles) {
        bail!(
            "the policy in {} was measured on {} puzzles, {}, and int8 on {puzzles}, {data}; measure both on the same",
            path.display(),
            measured.puzzles,
            measured.data
        );
    }
    let (found, weights_sha256) = (report.engine.verified, report.run.model.sha256.clone());
    let int8 = MeasuredInt8 { data, puzzles, weights_sha256, verified_accuracy: found.accuracy };
    inference.int8 = Some(int8);
    let is_as_accurate = inference.int8_is_as_accurate(&report.run.model.sha256);
    files::write(&path, manifest.to_json().as_bytes())?;
    let outcome = if is_as_accurate { "takes int8 where there are kernels" } else { "stays with float32" };
    Ok(format!(
        "int8 solves {:.2} %, float32 {:.2} %: --quantize auto {outcome}; written to {}",
        100.0 * found.accuracy,
        100.0 * measured.verified_accuracy,
        path.display()
    ))
}

fn safe_max_steps(evaluation: &Evaluation) -> Result<usize> {
    let mut tally = StepsTally::new(evaluation.step_points(), evaluation.steps);
    read_records(&log_path(&evaluation.folder, "steps"), |entry| tally.add(entry))?;
    Ok(probe(&tally.curve()).map_or(evaluation.steps, |probe| probe.safe_max_steps))
}
