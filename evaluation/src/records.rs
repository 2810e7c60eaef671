//! What the logs of a board evaluation hold: a record per puzzle and part, with the facts that figures are made of.
//! Owns what an answer and its trace come down to; leaves sums to the tallies.

use datasets::scoring::{Ballot, VoteRule, halting_probability};
use datasets::sudoku::Hardness;
use engine::{Answer, Rules, StepTrace, Stopped};
use serde::{Deserialize, Serialize};

use super::BoardPuzzle;

/// A line of a log: a result, or a line of a puzzle file that holds no usable puzzle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry<R> {
    /// There was no puzzle.
    Skipped(Skipped),
    /// What became of it.
    Puzzle(R),
}

/// A line of a puzzle file that holds no usable puzzle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Number in its source, from 0.
    pub puzzle: u64,
    /// Line in the file, from 1.
    pub line: u64,
    /// Why.
    pub problem: String,
}

/// What is known about a puzzle without a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Number in its source, from 0.
    pub puzzle: u64,
    /// As [`BoardPuzzle::hardness`].
    pub hardness: u64,
    /// As [`BoardPuzzle::givens`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub givens: Option<u64>,
    /// As [`BoardPuzzle::rating`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Hardness>,
}

/// The first chain, step by step, without regard to the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepsRecord {
    /// The puzzle.
    #[serde(flatten)]
    pub facts: Facts,
    /// Of the steps looked at, those whose prediction equals the label.
    pub exact_at: Vec<usize>,
    /// Of the steps looked at, those whose prediction obeys the rules.
    pub obeys_at: Vec<usize>,
    /// Of the steps looked at, those after which the model takes its answer for right.
    pub q_at: Vec<usize>,
    /// The first of all steps whose prediction obeys the rules.
    pub first_verified: Option<usize>,
    /// Cells that equal the label after the steps of the raw run.
    pub correct_cells: usize,
    /// Cells that have a label.
    pub labelled_cells: usize,
}

/// An answer as a client would get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedRecord {
    /// The puzzle.
    #[serde(flatten)]
    pub facts: Facts,
    /// The answer obeys the rules.
    pub verified: bool,
    /// The answer equals the label.
    pub exact: bool,
    /// Why the search ended.
    pub stopped: Stopped,
    /// Chain that gave the answer.
    pub chain: usize,
    /// Chains that took a step.
    pub chains: usize,
    /// Steps of the chain that gave the answer.
    pub steps: usize,
    /// Steps of all chains.
    pub total_steps: usize,
    /// Microseconds from the first step to the answer.
    pub compute_us: u64,
}

/// Several chains to their end, for the numbers of chains looked at: the first one, two, four …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChainsRecord {
    /// The puzzle.
    #[serde(flatten)]
    pub facts: Facts,
    /// pass@K: one of the first K last answers equals the label.
    pub pass_at: Vec<usize>,
    /// vote@K: the most frequent of them does, by mean Q where that is a draw.
    pub vote_at: Vec<usize>,
    /// best-q@K: the one that the model trusts most does.
    pub best_q_at: Vec<usize>,
    /// verified@K: some step of the first K chains obeys the rules.
    pub verified_at: Vec<usize>,
}

impl Facts {
    /// Of a puzzle.
    pub fn of(puzzle: &BoardPuzzle) -> Self {
        Self { puzzle: puzzle.number, hardness: puzzle.hardness, givens: puzzle.givens, rating: puzzle.rating }
    }
}

impl StepsRecord {
    /// Of an answer with its trace, looked at after `points` steps (ascending); `raw_steps` is one of them.
    pub fn of(puzzle: &BoardPuzzle, answer: &Answer, points: &[usize], raw_steps: usize, rules: &dyn Rules) -> Self {
        let mut record = Self {
            facts: Facts::of(puzzle),
            exact_at: Vec::new(),
            obeys_at: Vec::new(),
            q_at: Vec::new(),
            first_verified: None,
            correct_cells: 0,
            labelled_cells: labelled(puzzle).count(),
        };
        // Predictions change seldom in late steps, and the rules of a maze need a search.
        let mut last: Option<(&[i64], bool)> = None;
        for step in answer.trace.iter().filter(|step| step.chain == 0) {
            let obeys = match last {
                Some((tokens, obeys)) if tokens == step.tokens => obeys,
                _ => rules.obeyed(&puzzle.tokens, &step.tokens),
            };
            last = Some((&step.tokens, obeys));
            if obeys && record.first_verified.is_none() {
                record.first_verified = Some(step.step);
            }
            if step.step == raw_steps {
                record.correct_cells = correct_cells(puzzle, &step.tokens);
            }
            if points.contains(&step.step) {
                let facts = [is_exact(puzzle, &step.tokens), obeys, step.q > 0.0];
                let lists = [&mut record.exact_at, &mut record.obeys_at, &mut record.q_at];
                for list in lists.into_iter().zip(facts).filter_map(|(list, fact)| fact.then_some(list)) {
                    list.push(step.step);
                }
            }
        }
        record
    }
}

impl ServedRecord {
    /// Of an answer.
    pub fn of(puzzle: &BoardPuzzle, answer: &Answer) -> Self {
        Self {
            facts: Facts::of(puzzle),
            verified: answer.verified,
            exact: is_exact(puzzle, &answer.tokens),
            stopped: answer.stopped,
            chain: answer.chain,
            chains: answer.chains,
            steps: answer.steps,
            total_steps: answer.total_steps,
            compute_us: answer.timings.compute.as_micros() as u64,
        }
    }
}

impl ChainsRecord {
    /// Of an answer with the traces of its chains, looked at for the numbers of chains in `points` (ascending).
    pub fn of(puzzle: &BoardPuzzle, answer: &Answer, points: &[usize], rules: &dyn Rules) -> Self {
        let mut last: Vec<&StepTrace> = Vec::new();
        let mut verified_from = None;
        let mut steps: Vec<&StepTrace> = answer.trace.iter().collect();
        steps.sort_by_key(|step| (step.chain, step.step));
        for step in steps {
            match last.last_mut() {
                Some(previous) if previous.chain == step.chain => *previous = step,
                _ => last.push(step),
            }
            if verified_from.is_none() && rules.obeyed(&puzzle.tokens, &step.tokens) {
                verified_from = Some(last.len());
            }
        }
        let holds = |test: &dyn Fn(&[&StepTrace]) -> bool| -> Vec<usize> {
            points.iter().copied().filter(|&chains| test(&last[..chains.min(last.len())])).collect()
        };
        Self {
            facts: Facts::of(puzzle),
            pass_at: holds(&|chains| chains.iter().any(|step| is_exact(puzzle, &step.tokens))),
            vote_at: holds(&|chains| voted(chains).is_some_and(|tokens| is_exact(puzzle, tokens))),
            best_q_at: holds(&|chains| most_trusted(chains).is_some_and(|tokens| is_exact(puzzle, tokens))),
            verified_at: points
                .iter()
                .copied()
                .filter(|&chains| verified_from.is_some_and(|from| from <= chains))
                .collect(),
        }
    }
}

fn voted<'c>(chains: &[&'c StepTrace]) -> Option<&'c [i64]> {
    let mut ballot: Ballot<&[i64]> = Ballot::default();
    for step in chains {
        ballot.vote(step.tokens.as_slice(), halting_probability(f64::from(step.q)));
    }
    ballot.ranking(VoteRule::CountThenMeanQ).first().map(|&best| *ballot.candidate(best).0)
}

fn most_trusted<'c>(chains: &[&'c StepTrace]) -> Option<&'c [i64]> {
    // Of equal ones the first, as in every vote.
    chains.iter().rev().max_by(|left, right| left.q.total_cmp(&right.q)).map(|step| step.tokens.as_slice())
}

fn labelled(puzzle: &BoardPuzzle) -> impl Iterator<Item = (usize, i64)> + '_ {
    puzzle.label.iter().copied().enumerate().filter(|&(_, label)| label >= 0)
}

fn correct_cells(puzzle: &BoardPuzzle, tokens: &[i64]) -> usize {
    labelled(puzzle).filter(|&(cell, label)| tokens.get(cell) == Some(&label)).count()
}

fn is_exact(puzzle: &BoardPuzzle, tokens: &[i64]) -> bool {
    labelled(puzzle).all(|(cell, label)| tokens.get(cell) == Some(&label))
}
