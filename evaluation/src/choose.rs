//! Which policy a model's puzzles are worth: candidates, and the rule that chooses among measured ones.
//! Owns both; leaves measuring to the program.

use std::cmp::Ordering;

use datasets::scoring::Share;
use engine::{Policy, Restarts};
use models::checkpoint::{InferenceDefaults, Measured, NoiseTarget};
use serde::{Deserialize, Serialize};

/// What a puzzle that stays unsolved costs, in steps. A twentieth of a point of accuracy is then worth half a step more
/// on average: further chains run only where the earlier ones have failed, so accuracy is cheap, but not at any price.
pub const UNSOLVED_STEPS: f64 = 1000.0;
/// The rule in words.
pub const RULE: &str =
    "fewest mean steps, a puzzle that stays unsolved counted as 1000 steps; of equal ones the one with the most chains";
/// Steps of a chain that is tried alone, and of the last resort on the puzzle as it is, unless the model is not safe so
/// deep.
const DEPTH: usize = 128;

/// A policy and what it was measured to be worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The policy.
    pub policy: Policy,
    /// Puzzles solved by the rules.
    pub verified: Share,
    /// Supervision steps per puzzle, of all chains.
    pub mean_steps: f64,
}

impl Candidate {
    /// Steps per puzzle, [`UNSOLVED_STEPS`] more for each that stays unsolved.
    fn cost(&self) -> f64 {
        self.mean_steps + UNSOLVED_STEPS * (1.0 - self.verified.accuracy)
    }

    /// Whether it goes before `other`. Chains that none of the puzzles needed cost nothing, and the next may need them.
    fn order(&self, other: &Self) -> Ordering {
        let chains = |candidate: &Self| candidate.policy.restarts.augmentations + candidate.policy.restarts.rollouts;
        self.cost().total_cmp(&other.cost()).then_with(|| chains(other).cmp(&chains(self)))
    }
}

/// The outcome of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Everything that was measured.
    pub candidates: Vec<Candidate>,
    /// Which of them was chosen.
    pub chosen: usize,
    /// How.
    pub rule: String,
}

/// Policies worth measuring for a model that was trained with `halt_max_steps` and can run for `safe_max_steps`: the
/// first chain alone, copies with and without noise, rollouts, in two, four and all eighths of the steps.
pub fn candidates(halt_max_steps: usize, safe_max_steps: usize) -> Vec<Policy> {
    let none = Restarts::NONE;
    let copies = |augmentations, sigma, noise| Restarts { augmentations, sigma, noise, ..none };
    let rollouts = |rollouts, sigma, noise| Restarts { rollouts, sigma, noise, ..none };
    let further = [
        copies(8, 0.0, NoiseTarget::Latent),
        copies(32, 0.0, NoiseTarget::Latent),
        copies(32, 0.1, NoiseTarget::Latent),
        copies(8, 0.25, NoiseTarget::Answer),
        copies(16, 0.25, NoiseTarget::Answer),
        copies(32, 0.25, NoiseTarget::Answer),
        rollouts(8, 0.25, NoiseTarget::Latent),
        rollouts(8, 0.25, NoiseTarget::All),
    ];
    let mut policies =
        vec![Policy::plain(halt_max_steps), Policy::plain(DEPTH.min(safe_max_steps).max(halt_max_steps))];
    for eighths in [2, 4, 8] {
        let max_steps = (halt_max_steps * eighths).div_ceil(8);
        let depth = DEPTH.min(safe_max_steps).max(max_steps);
        policies.extend(
            further.map(|restarts| Policy { restarts: Restarts { depth, ..restarts }, ..Policy::plain(max_steps) }),
        );
    }
    // Of a model with very few steps several are the same.
    let mut distinct: Vec<Policy> = Vec::with_capacity(policies.len());
    for policy in policies {
        if !distinct.contains(&policy) {
            distinct.push(policy);
        }
    }
    distinct
}

/// The candidate that [`RULE`] prefers. `None` without candidates.
pub fn choose(candidates: &[Candidate]) -> Option<usize> {
    let all = candidates.iter().enumerate();
    all.min_by(|left, right| left.1.order(right.1)).map(|(index, _)| index)
}

/// What goes into the manifest.
pub fn defaults(candidate: &Candidate, safe_max_steps: Option<usize>, measured: Measured) -> InferenceDefaults {
    let Policy { max_steps, restarts, .. } = candidate.policy;
    let Restarts { augmentations, rollouts, sigma, noise, depth } = restarts;
    InferenceDefaults {
        max_steps,
        augmentations,
        rollouts,
        sigma,
        noise,
        depth,
        safe_max_steps,
        measured: Some(measured),
        int8: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(solved: u64, mean_steps: f64) -> Candidate {
        Candidate { policy: Policy::plain(16), verified: Share::of(solved, 2000), mean_steps }
    }

    #[test]
    fn an_unsolved_puzzle_costs_a_thousand_steps() {
        // One of 2000 puzzles is worth half a step of the mean.
        let measured = [candidate(1995, 12.0), candidate(1996, 12.4), candidate(1997, 13.1), candidate(1994, 12.4)];
        assert_eq!(choose(&measured), Some(1));
        assert_eq!(choose(&[measured[0], measured[2]]), Some(0));
        assert_eq!(choose(&[candidate(2000, 3.0), candidate(2000, 3.0)]), Some(0));
        let mut more_chains = candidate(2000, 3.0);
        more_chains.policy.restarts.augmentations = 32;
        assert_eq!(choose(&[candidate(2000, 3.0), more_chains]), Some(1));
        assert_eq!(choose(&[candidate(0, 16.0), candidate(0, 5.0)]), Some(1));
        assert_eq!(choose(&[]), None);
        assert!(RULE.contains(&UNSOLVED_STEPS.to_string()));
    }

    #[test]
    fn candidates_are_different_and_no_deeper_than_is_safe() {
        for (halt, safe) in [(16, 256), (16, 32), (4, 4), (1, 1)] {
            let all = candidates(halt, safe);
            for (index, policy) in all.iter().enumerate() {
                assert!(!all[..index].contains(policy), "{policy:?} stands twice");
                assert!(policy.max_steps.max(policy.restarts.depth) <= safe.max(halt), "{policy:?}");
            }
        }
        assert_eq!(candidates(16, 256).len(), 2 + 3 * 8);
    }
}
