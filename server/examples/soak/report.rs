//! What was counted, as a table, as JSON, and as a verdict.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;
use serde_json::Value;

use crate::kinds::{Kind, Outcome};
use crate::restarts::Restarts;

/// Outcomes by kind, filled by all clients.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Kind, Counts>>);

#[derive(Debug, Clone, Default, Serialize)]
struct Counts {
    sent: usize,
    answered: usize,
    puzzles: usize,
    verified: usize,
    overloaded: usize,
    refused: usize,
    gone: usize,
    nobody_listened: usize,
    cut_off: usize,
    broken: Vec<String>,
    #[serde(skip)]
    answer_ms: Vec<f64>,
}

/// One look at the server's memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct MemorySample {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) arguments: String,
    /// Puzzles per second.
    pub(crate) capacity: f64,
    /// For which new clients came; the last answers took longer.
    pub(crate) load_seconds: f64,
    pub(crate) overload: f64,
    pub(crate) not_sent: usize,
    pub(crate) kinds: Vec<KindReport>,
    pub(crate) memory: Vec<MemorySample>,
    /// Counters of every engine at the end.
    pub(crate) counters: Value,
    /// From SIGTERM to the end.
    pub(crate) drain_seconds: f64,
    /// The second phase.
    pub(crate) restarts: Option<Restarts>,
}

/// How the clients of one kind fared.
#[derive(Debug, Serialize)]
pub(crate) struct KindReport {
    kind: Kind,
    #[serde(flatten)]
    counts: Counts,
    p50_ms: f64,
    p99_ms: f64,
}

impl Tally {
    pub(crate) fn add(&self, kind: Kind, outcome: Outcome, time: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(kind).or_default();
        counts.sent += 1;
        match outcome {
            Outcome::Answered { puzzles, verified } => {
                counts.answered += 1;
                counts.puzzles += puzzles;
                counts.verified += verified;
                counts.answer_ms.push(time.as_secs_f64() * 1e3);
            }
            Outcome::Overloaded => counts.overloaded += 1,
            Outcome::Refused => counts.refused += 1,
            Outcome::Gone => counts.gone += 1,
            Outcome::NobodyListened(_) => counts.nobody_listened += 1,
            Outcome::CutOff(_) => counts.cut_off += 1,
            Outcome::Broken(what) => counts.broken.push(what),
        }
    }

    pub(crate) fn by_kind(&self) -> Vec<KindReport> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = Kind::all().map(|kind| {
            let mut counts = all.get(&kind).cloned().unwrap_or_default();
            counts.answer_ms.sort_by(f64::total_cmp);
            let (p50_ms, p99_ms) = (percentile(&counts.answer_ms, 0.5), percentile(&counts.answer_ms, 0.99));
            KindReport { kind, counts, p50_ms, p99_ms }
        });
        kinds.collect()
    }
}

impl Report {
    pub(crate) fn to_table(&self) -> String {
        let megabytes =
            |sample: &MemorySample| format!("{:.0} MB at {:.0} s", sample.bytes as f64 / 1e6, sample.seconds);
        let memory: Vec<String> = self.memory.iter().step_by(30).chain(self.memory.last()).map(megabytes).collect();
        format!("{}\nmemory   {}\ndrained  in {:.1} s", table(&self.kinds), memory.join(", "), self.drain_seconds)
    }

    /// What did not hold, in words.
    pub(crate) fn broken_promises(&self, flat: f64) -> Vec<String> {
        let restarted = self.restarts.iter().flat_map(|restarts| &restarts.kinds);
        let kinds = self.kinds.iter().chain(restarted);
        let mut broken: Vec<String> = kinds.flat_map(|kind| kind.counts.broken.iter().take(5).cloned()).collect();
        if let Some((early, late)) = self.memory_growth()
            && late as f64 > flat * early as f64
        {
            broken.push(format!("memory grew from {early} bytes at minute 5 to {late}"));
        }
        for (model, counters) in self.counters.as_object().into_iter().flatten() {
            let count = |name: &str| counters[name].as_u64().unwrap_or(u64::MAX);
            let ended = ["answered", "cancelled", "expired", "failed"]
                .map(count)
                .iter()
                .fold(0, |sum: u64, &n| sum.saturating_add(n));
            if count("accepted") != ended {
                broken.push(format!("{model}: {} puzzles were accepted, {ended} ended: {counters}", count("accepted")));
            }
        }
        broken
    }

    /// Memory at minute 5 and when the last client came; `None` for shorter runs.
    fn memory_growth(&self) -> Option<(u64, u64)> {
        let early = self.memory.iter().find(|sample| sample.seconds >= 300.0)?;
        let late = self.memory.iter().rfind(|sample| sample.seconds <= self.load_seconds)?;
        Some((early.bytes, late.bytes))
    }
}

/// The second phase in a table.
pub(crate) fn restarts_table(restarts: &Restarts) -> String {
    let seconds = |all: &[f64]| all.iter().map(|one| format!("{one:.1}")).collect::<Vec<_>>().join(", ");
    format!(
        "{}\nreplaced {} servers; drained in {} s\nkilled   {} servers; the next one was ready after {} s",
        table(&restarts.kinds),
        restarts.drain_seconds.len(),
        seconds(&restarts.drain_seconds),
        restarts.outage_seconds.len(),
        seconds(&restarts.outage_seconds),
    )
}

fn table(kinds: &[KindReport]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "client",
        "sent",
        "answered",
        "puzzles",
        "verified",
        "429",
        "refused",
        "gone",
        "not there",
        "cut off",
        "broken",
        "p50 ms",
        "p99 ms",
    ]);
    for KindReport { kind, counts, p50_ms, p99_ms } in kinds {
        let counted = [counts.sent, counts.answered, counts.puzzles, counts.verified, counts.overloaded];
        let ended = [counts.refused, counts.gone, counts.nobody_listened, counts.cut_off, counts.broken.len()];
        let mut row = vec![format!("{kind:?}")];
        row.extend(counted.iter().chain(&ended).map(ToString::to_string));
        row.extend([p50_ms, p99_ms].map(|ms| if counts.answered > 0 { format!("{ms:.0}") } else { "–".into() }));
        table.add_row(row);
    }
    table
}

fn percentile(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}
