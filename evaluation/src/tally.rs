//! From records to figures. Sums are whole numbers, so that they do not depend on the order in which records come, and
//! memory depends on how many kinds of puzzles there are, not on how many puzzles.

use std::collections::BTreeMap;

use datasets::scoring::Share;
use datasets::scoring::difficulty::{BucketKey, hardness_bucket};
use engine::Policy;

use super::curve::{ChainPoint, StepPoint};
use super::records::{ChainsRecord, Entry, Facts, ServedRecord, Skipped, StepsRecord};
use super::score::{EngineScore, Group, Grouping, RawScore, percentile};

/// Puzzles of one kind, and how many of them were solved in which sense.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Solved {
    pub(super) puzzles: u64,
    pub(super) raw: u64,
    pub(super) verified: u64,
    pub(super) engine: u64,
}

/// What puzzles of one kind have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// As [`Facts::hardness`].
    pub(super) hardness: u64,
    /// As [`Facts::givens`].
    pub(super) givens: Option<u64>,
    /// Bucket of [`Facts::rating`].
    pub(super) rating: Option<BucketKey>,
}

/// Sums over [`StepsRecord`]s.
#[derive(Debug, Clone)]
pub struct StepsTally {
    raw_steps: usize,
    points: Vec<usize>,
    kinds: BTreeMap<Kind, Solved>,
    exact: Vec<u64>,
    obeys: Vec<u64>,
    verified: Vec<u64>,
    correct_cells: u64,
    labelled_cells: u64,
    q_right: u64,
    verified_steps: u64,
    verified_puzzles: u64,
    skipped: u64,
    first_skipped: Option<Skipped>,
    longest: Option<(usize, u64)>,
}

/// Sums over [`ServedRecord`]s.
#[derive(Debug, Clone, Default)]
pub struct ServedTally {
    kinds: BTreeMap<Kind, u64>,
    puzzles: u64,
    verified: u64,
    exact: u64,
    restarted: u64,
    steps: u64,
    compute_us: Vec<u64>,
}

/// Sums over [`ChainsRecord`]s.
#[derive(Debug, Clone)]
pub struct ChainsTally {
    points: Vec<usize>,
    puzzles: u64,
    pass: Vec<u64>,
    vote: Vec<u64>,
    best_q: Vec<u64>,
    verified: Vec<u64>,
}

impl StepsTally {
    /// Nothing yet; records were looked at after `points` steps, of which `raw_steps` is one.
    pub fn new(points: &[usize], raw_steps: usize) -> Self {
        let zeros = vec![0; points.len()];
        Self {
            raw_steps,
            points: points.to_vec(),
            kinds: BTreeMap::new(),
            exact: zeros.clone(),
            obeys: zeros.clone(),
            verified: zeros,
            correct_cells: 0,
            labelled_cells: 0,
            q_right: 0,
            verified_steps: 0,
            verified_puzzles: 0,
            skipped: 0,
            first_skipped: None,
            longest: None,
        }
    }

    /// Adds a record.
    pub fn add(&mut self, entry: Entry<StepsRecord>) {
        let record = match entry {
            Entry::Puzzle(record) => record,
            Entry::Skipped(skipped) => {
                self.skipped += 1;
                if self.first_skipped.as_ref().is_none_or(|first| skipped.line < first.line) {
                    self.first_skipped = Some(skipped);
                }
                return;
            }
        };
        let by = |steps: usize| record.first_verified.is_some_and(|first| first <= steps);
        count(&mut self.exact, &self.points, |point| record.exact_at.contains(&point));
        count(&mut self.obeys, &self.points, |point| record.obeys_at.contains(&point));
        count(&mut self.verified, &self.points, by);
        let is_exact = record.exact_at.contains(&self.raw_steps);
        let solved = self.kinds.entry(kind(&record.facts)).or_default();
        solved.puzzles += 1;
        solved.raw += u64::from(is_exact);
        solved.verified += u64::from(by(self.raw_steps));
        self.correct_cells += record.correct_cells as u64;
        self.labelled_cells += record.labelled_cells as u64;
        self.q_right += u64::from(record.q_at.contains(&self.raw_steps) == is_exact);
        if let Some(first) = record.first_verified.filter(|&first| first <= self.raw_steps) {
            self.verified_steps += first as u64;
            self.verified_puzzles += 1;
            // Of equal ones the first, whatever the order of the records.
            let (steps, number) = (first, record.facts.puzzle);
            if self.longest.is_none_or(|(most, other)| steps > most || (steps == most && number < other)) {
                self.longest = Some((steps, number));
            }
        }
    }

    /// Puzzles so far, without skipped lines.
    pub fn puzzles(&self) -> u64 {
        self.kinds.values().map(|solved| solved.puzzles).sum()
    }

    /// Lines that held no usable puzzle.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first of them.
    pub fn first_skipped(&self) -> Option<&Skipped> {
        self.first_skipped.as_ref()
    }

    /// The puzzle that took most steps until verified.
    pub fn most_steps(&self) -> Option<u64> {
        self.longest.map(|(_, number)| number)
    }

    /// Accuracies after each number of steps looked at.
    pub fn curve(&self) -> Vec<StepPoint> {
        let puzzles = self.puzzles();
        let point = |(index, &steps): (usize, &usize)| StepPoint {
            steps,
            exact: Share::of(self.exact[index], puzzles),
            obeys: Share::of(self.obeys[index], puzzles),
            verified: Share::of(self.verified[index], puzzles),
        };
        self.points.iter().enumerate().map(point).collect()
    }

    /// The figures of the raw run, beside what the engine made of the same puzzles, if it was asked.
    pub fn score(&self, served: Option<&ServedTally>) -> RawScore {
        let mut kinds = self.kinds.clone();
        for (kind, &engine) in served.iter().flat_map(|served| &served.kinds) {
            kinds.entry(kind.clone()).or_default().engine = engine;
        }
        let grouping = Grouping { kinds: &kinds, has_engine: served.is_some() };
        let puzzles = self.puzzles();
        let share = |count: u64, total: u64| count as f64 / total.max(1) as f64;
        let at = self.points.iter().position(|&point| point == self.raw_steps);
        RawScore {
            overall: grouping.overall(),
            rules_accuracy: Share::of(at.map_or(0, |index| self.obeys[index]), puzzles),
            token_accuracy: share(self.correct_cells, self.labelled_cells),
            q_halt_accuracy: share(self.q_right, puzzles),
            mean_verified_step: (self.verified_puzzles > 0).then(|| share(self.verified_steps, self.verified_puzzles)),
            by_guesses: grouping.by_guesses(),
            by_hardness: grouping.by_hardness(),
            by_givens: grouping.by_givens(),
            by_length: grouping.by_length(),
        }
    }
}

impl ServedTally {
    /// Adds a record.
    pub fn add(&mut self, entry: &Entry<ServedRecord>) {
        let Entry::Puzzle(record) = entry else { return };
        *self.kinds.entry(kind(&record.facts)).or_default() += u64::from(record.verified);
        self.puzzles += 1;
        self.verified += u64::from(record.verified);
        self.exact += u64::from(record.exact);
        self.restarted += u64::from(record.chains > 1);
        self.steps += record.total_steps as u64;
        self.compute_us.push(record.compute_us);
    }

    /// Share of puzzles that were solved by the rules, and steps of all their chains per puzzle.
    pub fn verified_and_mean_steps(&self) -> (Share, f64) {
        (Share::of(self.verified, self.puzzles), self.steps as f64 / self.puzzles.max(1) as f64)
    }

    /// The figures; `seconds` is the time that the blocks took.
    pub fn score(&self, policy: Policy, clients: usize, seconds: f64) -> EngineScore {
        let mut sorted = self.compute_us.clone();
        sorted.sort_unstable();
        let (verified, mean_steps) = self.verified_and_mean_steps();
        EngineScore {
            clients,
            policy,
            verified,
            exact: Share::of(self.exact, self.puzzles),
            restarted: self.restarted as f64 / self.puzzles.max(1) as f64,
            mean_steps,
            puzzles_per_second: self.puzzles as f64 / seconds.max(f64::MIN_POSITIVE),
            latency_p50_ms: percentile(&sorted, 0.5),
            latency_p99_ms: percentile(&sorted, 0.99),
        }
    }
}

impl ChainsTally {
    /// Nothing yet; records were looked at for these numbers of chains.
    pub fn new(points: &[usize]) -> Self {
        let zeros = vec![0; points.len()];
        Self {
            points: points.to_vec(),
            puzzles: 0,
            pass: zeros.clone(),
            vote: zeros.clone(),
            best_q: zeros.clone(),
            verified: zeros,
        }
    }

    /// Adds a record.
    pub fn add(&mut self, entry: &Entry<ChainsRecord>) {
        let Entry::Puzzle(record) = entry else { return };
        self.puzzles += 1;
        for (counts, held) in [
            (&mut self.pass, &record.pass_at),
            (&mut self.vote, &record.vote_at),
            (&mut self.best_q, &record.best_q_at),
            (&mut self.verified, &record.verified_at),
        ] {
            count(counts, &self.points, |point| held.contains(&point));
        }
    }

    /// Accuracies for each number of chains looked at.
    pub fn curve(&self) -> Vec<ChainPoint> {
        let share = |counts: &[u64], index: usize| Share::of(counts[index], self.puzzles);
        let point = |(index, &chains): (usize, &usize)| ChainPoint {
            chains,
            pass: share(&self.pass, index),
            vote: share(&self.vote, index),
            best_q: share(&self.best_q, index),
            verified: share(&self.verified, index),
        };
        self.points.iter().enumerate().map(point).collect()
    }
}

impl Solved {
    pub(super) fn group(self, label: String, has_engine: bool) -> Group {
        Group {
            label,
            puzzles: self.puzzles as usize,
            raw: Share::of(self.raw, self.puzzles),
            verified: Share::of(self.verified, self.puzzles),
            engine: has_engine.then(|| Share::of(self.engine, self.puzzles)),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.puzzles += other.puzzles;
        self.raw += other.raw;
        self.verified += other.verified;
        self.engine += other.engine;
    }
}

fn kind(facts: &Facts) -> Kind {
    let &Facts { hardness, givens, rating, .. } = facts;
    Kind { hardness, givens, rating: rating.as_ref().map(hardness_bucket) }
}

fn count(counts: &mut [u64], points: &[usize], holds: impl Fn(usize) -> bool) {
    for (count, &point) in counts.iter_mut().zip(points) {
        *count += u64::from(holds(point));
    }
}
