//! The folder of an evaluation: `run.json` (what it is about), a log per part, the report. Owns names and how a report is
//! made of logs, those of one run or of all its shards.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use engine::Policy;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::output::say;
use crate::Shard;
use crate::choose::Choice;
use crate::curve::probe;
use crate::log::{LogContents, header_of, read_records};
use crate::report::{Report, RunFacts};
use crate::tally::{ChainsTally, ServedTally, StepsTally};

/// What an evaluation is about.
pub(super) const RUN_FILE: &str = "run.json";
/// The finished report.
pub(super) const REPORT_FILE: &str = "report.json";

/// A part of an evaluation that every run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The first chain, step by step.
    Steps,
    /// Answers as clients get them.
    Served,
    /// Several chains to their end.
    Chains,
}

impl Part {
    /// The name in headers and of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Served => "served",
            Self::Chains => "chains",
        }
    }
}

/// The log of a part in the folder of a run.
pub(super) fn log_path(folder: &Path, part: &str) -> PathBuf {
    folder.join("log").join(format!("{part}.jsonl"))
}

/// The unfinished folder under results/ of the very run whose parts have these identities, the first part first, if
/// there is one; else a new one, named after the time and what is evaluated.
pub(super) fn default_folder(
    name: &str,
    parts: &[(&str, Value)],
    shard: Shard,
    started: SystemTime,
) -> Result<PathBuf> {
    let results = Path::new("results");
    let is_this_run = |folder: &PathBuf| {
        let agrees = |(index, (part, identity)): (usize, &(&str, Value))| match header_of(&log_path(folder, part)) {
            Ok(header) => header.run == *identity && header.shard == shard,
            // Killed before it came so far.
            Err(_) => index > 0,
        };
        !folder.join(REPORT_FILE).exists() && parts.iter().enumerate().all(agrees)
    };
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten();
    let mut unfinished: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_this_run).collect();
    unfinished.sort();
    if let Some(folder) = unfinished.pop() {
        say(format_args!("going on in {}", folder.display()))?;
        return Ok(folder);
    }
    let time = humantime::format_rfc3339_seconds(started).to_string().replace(':', "-");
    let part = if shard == Shard::WHOLE { String::new() } else { format!("-{}-of-{}", shard.index, shard.of) };
    Ok(results.join(format!("{time}-{name}{part}")))
}

/// Writes what the run in `folder` is about; an earlier note of the same run stays, with its start and command.
pub(super) fn note_run(folder: &Path, facts: RunFacts) -> Result<RunFacts> {
    let path = folder.join(RUN_FILE);
    if path.is_file() {
        return read_run(folder);
    }
    let mut json = serde_json::to_vec_pretty(&facts)?;
    json.push(b'\n');
    files::write(&path, &json)?;
    Ok(facts)
}

/// What the run in `folder` is about.
pub(super) fn read_run(folder: &Path) -> Result<RunFacts> {
    let path = folder.join(RUN_FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: cannot read; expected the folder of an evaluation", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: is not a description of an evaluation", path.display()))
}

/// The report on the logs in `folders`, which are one run's or all its shards'.
pub(super) fn report(
    folders: &[PathBuf],
    facts: RunFacts,
    clients: usize,
    choice: Option<Choice>,
) -> Result<(Report, StepsTally)> {
    let mut steps = StepsTally::new(&facts.step_points, facts.steps);
    let (_, raw_seconds) = read_all(folders, Part::Steps, |entry| steps.add(entry))?;
    if steps.puzzles() == 0 {
        match steps.first_skipped() {
            Some(first) => {
                bail!("{}: holds no usable puzzle; line {}: {}", facts.dataset, first.line, first.problem)
            }
            None => bail!("{}: there are no puzzles to evaluate", facts.dataset),
        }
    }
    let mut served = ServedTally::default();
    let (policy, served_seconds) = read_all(folders, Part::Served, |entry| served.add(&entry))?;
    let mut chains_curve = Vec::new();
    if !facts.chain_points.is_empty() {
        let mut chains = ChainsTally::new(&facts.chain_points);
        read_all(folders, Part::Chains, |entry| chains.add(&entry))?;
        chains_curve = chains.curve();
    }
    let raw = steps.score(Some(&served));
    let steps_curve = steps.curve();
    let goes_deeper = facts.step_points.last().is_some_and(|&deepest| deepest > facts.steps);
    let report = Report {
        puzzles: raw.overall.puzzles,
        skipped_lines: steps.skipped() as usize,
        exact_accuracy: raw.overall.raw.accuracy,
        exact_accuracy_interval: raw.overall.raw.interval,
        verified_accuracy: raw.overall.verified.accuracy,
        verified_accuracy_interval: raw.overall.verified.interval,
        raw,
        engine: served.score(policy, clients, served_seconds),
        depth_probe: if goes_deeper { probe(&steps_curve) } else { None },
        steps_curve,
        chains_curve,
        choice,
        raw_seconds,
        run: facts,
    };
    Ok((report, steps))
}

/// Hands every record of a part to `take`; the policy it was measured with and the seconds it took.
fn read_all<R: DeserializeOwned>(folders: &[PathBuf], part: Part, mut take: impl FnMut(R)) -> Result<(Policy, f64)> {
    let mut seconds = 0.0;
    let mut policy = None;
    for folder in folders {
        let path = log_path(folder, part.name());
        let contents: LogContents = read_records(&path, &mut take)?;
        if contents.finished.is_none() {
            bail!("{}: is not complete; run its command again, it goes on where it ended", path.display());
        }
        seconds += contents.elapsed.as_secs_f64();
        policy = Some(serde_json::from_value(header_of(&path)?.run["policy"].clone())?);
    }
    Ok((policy.context("there is no log to report on")?, seconds))
}
