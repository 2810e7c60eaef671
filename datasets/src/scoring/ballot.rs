//! Votes for the answers of one puzzle, and the rules that rank them.
//! Owns counting and ordering; leaves what an answer is (a grid, a board) and where votes come from to the scorers.

use std::fmt::{self, Display};
use std::hash::Hash;

use indexmap::IndexMap;
use serde::Serialize;

/// How candidates are ordered, best first. Exact ties keep the order of the first vote under every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteRule {
    /// By votes, then by mean Q: the rule of the paper's evaluator, and of every figure that names no other.
    CountThenMeanQ,
    /// By votes alone.
    Count,
    /// By mean Q alone, however few votes there are.
    MeanQ,
    /// By the sum of Q: every vote weighs as much as the model trusts it.
    QWeighted,
}

impl VoteRule {
    /// All rules, the paper's first.
    pub const ALL: [Self; 4] = [Self::CountThenMeanQ, Self::Count, Self::MeanQ, Self::QWeighted];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CountThenMeanQ => "count_then_mean_q",
            Self::Count => "count",
            Self::MeanQ => "mean_q",
            Self::QWeighted => "q_weighted",
        }
    }

    /// What a candidate is ranked by: larger is better, the first number decides.
    fn key(self, tally: Tally) -> (f64, f64) {
        let votes = f64::from(tally.votes);
        match self {
            Self::CountThenMeanQ => (votes, tally.mean_q()),
            Self::Count => (votes, 0.0),
            Self::MeanQ => (tally.mean_q(), 0.0),
            Self::QWeighted => (tally.q_sum, 0.0),
        }
    }
}

impl Display for VoteRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The votes for one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// Predictions that equal the candidate.
    pub votes: u32,
    /// Sum of their halting probabilities, in the order of the votes.
    pub q_sum: f64,
}

impl Tally {
    /// Mean halting probability.
    pub fn mean_q(self) -> f64 {
        self.q_sum / f64::from(self.votes)
    }
}

/// The candidates of one puzzle in the order of their first votes.
#[derive(Debug, Clone)]
pub struct Ballot<C> {
    candidates: IndexMap<C, Tally>,
}

impl<C> Default for Ballot<C> {
    fn default() -> Self {
        Self { candidates: IndexMap::new() }
    }
}

impl<C: Hash + Eq> Ballot<C> {
    /// Counts a vote with the halting probability `q`; gives the candidate's index and whether it is new.
    pub fn vote(&mut self, candidate: C, q: f64) -> (usize, bool) {
        let entry = self.candidates.entry(candidate);
        let index = entry.index();
        let mut is_new = false;
        let tally = entry.or_insert_with(|| {
            is_new = true;
            Tally { votes: 0, q_sum: 0.0 }
        });
        tally.votes += 1;
        tally.q_sum += q;
        (index, is_new)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Number of different candidates.
    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Candidates with their votes, in the order of the first vote.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&C, Tally)> {
        self.candidates.iter().map(|(candidate, &tally)| (candidate, tally))
    }

    /// The candidate at an index of [`vote`](Self::vote) or [`ranking`](Self::ranking).
    ///
    /// # Panics
    /// When this ballot gave no such index.
    pub fn candidate(&self, index: usize) -> (&C, Tally) {
        let (candidate, tally) = self.candidates.get_index(index).expect("an index that this ballot gave");
        (candidate, *tally)
    }

    /// Indices of the candidates, best first.
    pub fn ranking(&self, rule: VoteRule) -> Vec<usize> {
        let keys: Vec<(f64, f64)> = self.candidates.values().map(|&tally| rule.key(tally)).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| keys[b].0.total_cmp(&keys[a].0).then(keys[b].1.total_cmp(&keys[a].1)));
        order
    }

    /// Place of a candidate in the ranking, from 0.
    pub(super) fn place_of(&self, candidate: &C, rule: VoteRule) -> Option<usize> {
        let (index, _, tally) = self.candidates.get_full(candidate)?;
        let key = rule.key(*tally);
        let ahead = |(other, tally): (usize, &Tally)| {
            let order = rule.key(*tally).0.total_cmp(&key.0).then(rule.key(*tally).1.total_cmp(&key.1));
            order.is_gt() || (order.is_eq() && other < index)
        };
        Some(self.candidates.values().enumerate().filter(|&vote| ahead(vote)).count())
    }
}

/// Halting probability of a logit, in 64 bits as the reference computes it.
pub fn halting_probability(q_halt_logit: f64) -> f64 {
    1.0 / (1.0 + (-q_halt_logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(votes: &[(&'static str, f64)]) -> Ballot<&'static str> {
        let mut ballot = Ballot::default();
        for &(candidate, q) in votes {
            ballot.vote(candidate, q);
        }
        ballot
    }

    fn ranked(ballot: &Ballot<&'static str>, rule: VoteRule) -> Vec<&'static str> {
        ballot.ranking(rule).into_iter().map(|index| *ballot.candidate(index).0).collect()
    }

    #[test]
    fn every_rule_has_its_own_winner_and_places_agree_with_rankings() {
        // Votes, mean Q, sum of Q: late 3, 0.1, 0.3; often 3, 0.2, 0.6; sure 1, 0.9, 0.9; solid 2, 0.5, 1.0.
        let votes = [
            ("late", 0.1),
            ("often", 0.2),
            ("late", 0.1),
            ("sure", 0.9),
            ("often", 0.2),
            ("solid", 0.5),
            ("often", 0.2),
            ("late", 0.1),
            ("solid", 0.5),
        ];
        let ballot = ballot(&votes);
        assert_eq!(ranked(&ballot, VoteRule::CountThenMeanQ), ["often", "late", "solid", "sure"]);
        assert_eq!(ranked(&ballot, VoteRule::Count), ["late", "often", "solid", "sure"]);
        assert_eq!(ranked(&ballot, VoteRule::MeanQ), ["sure", "solid", "often", "late"]);
        assert_eq!(ranked(&ballot, VoteRule::QWeighted), ["solid", "sure", "often", "late"]);
        for rule in VoteRule::ALL {
            for (place, candidate) in ranked(&ballot, rule).into_iter().enumerate() {
                assert_eq!(ballot.place_of(&candidate, rule), Some(place), "{candidate} under {rule}");
            }
            assert_eq!(ballot.place_of(&"nobody", rule), None);
        }
    }

    #[test]
    fn exact_ties_keep_the_order_of_the_first_votes() {
        let ballot = ballot(&[("b", 0.25), ("a", 0.75), ("c", 0.5), ("a", 0.25), ("b", 0.75), ("c", 0.5)]);
        for rule in VoteRule::ALL {
            assert_eq!(ranked(&ballot, rule), ["b", "a", "c"], "{rule}");
            assert_eq!(ballot.place_of(&"a", rule), Some(1));
        }
    }

    #[test]
    fn halting_probabilities_are_finite_for_every_logit() {
        for (logit, probability) in
            [(0.0, 0.5), (f64::INFINITY, 1.0), (f64::NEG_INFINITY, 0.0), (-1e4, 0.0), (1e4, 1.0)]
        {
            assert_eq!(halting_probability(logit).to_bits(), f64::to_bits(probability));
        }
    }
}
