//! A request in flight and its chains, each of which is a row of the batch: which chains may start, what they have
//! answered, and when the request is settled. Leaves rows and steps to the scheduler.

use std::time::Instant;

use datasets::scoring::{Ballot, VoteRule, halting_probability};

use super::queue::Job;
use super::{Answer, EngineError, Halting, Noise, Policy, Reply, Rules, StepTrace, Stopped, SymmetricCopy, Timings};

/// A request that has been admitted.
#[derive(Debug)]
pub(super) struct Search {
    job: Job,
    policy: Policy,
    admitted: Instant,
    /// Chains that have started; the next one's index.
    started: usize,
    /// Further chains that may run at the same time under [`Halting::Verified`].
    chains_at_once: usize,
    /// Whether the first chain has failed.
    first_failed: bool,
    /// Whether the deadline has passed, so that no chain may start any more.
    is_late: bool,
    running: usize,
    total_steps: usize,
    candidates: Vec<Candidate>,
    trace: Vec<StepTrace>,
}

/// The last answer of a chain that has ended.
#[derive(Debug)]
struct Candidate {
    chain: usize,
    tokens: Vec<i64>,
    q: f32,
    steps: usize,
    stopped: Stopped,
    verified: bool,
}

/// What a step means for the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The chain goes on.
    GoOn,
    /// The chain is over, the search is not.
    ChainOver,
    /// The search is over, and all its chains with it.
    Settled,
}

impl Search {
    pub(super) fn new(job: Job, policy: Policy, admitted: Instant, chains_at_once: usize) -> Self {
        Self {
            job,
            policy,
            admitted,
            chains_at_once,
            started: 0,
            first_failed: false,
            is_late: false,
            running: 0,
            total_steps: 0,
            candidates: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn inputs(&self) -> &[i64] {
        &self.job.request.tokens
    }

    pub(super) fn puzzle_identifier(&self) -> usize {
        self.job.request.puzzle_identifier
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the client has gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.job.reply.is_closed()
    }

    /// Chains that could start if there were rows.
    pub(super) fn waiting_chains(&self) -> usize {
        let left = self.policy.chains() - self.started;
        if self.is_late {
            return 0;
        }
        // Under the other rules nothing tells whether the first chain has failed.
        if self.policy.halting != Halting::Verified {
            return left;
        }
        if self.started == 0 {
            return 1;
        }
        if !self.first_failed {
            return 0;
        }
        // The deep chain is the last resort.
        let before_deep = self.policy.deep_chain().map_or(left, |deep| deep.saturating_sub(self.started));
        if before_deep == 0 && self.running > 0 {
            return 0;
        }
        before_deep.max(left.min(1)).min(self.chains_at_once.saturating_sub(self.running))
    }

    pub(super) fn start_chain(&mut self, id: SearchId, rules: &dyn Rules) -> Chain {
        let chain = Chain::new(id, self.started, self.inputs(), &self.policy, rules);
        self.started += 1;
        self.running += 1;
        chain
    }

    /// Judges the step that `chain` has just taken.
    pub(super) fn judge(&mut self, chain: &Chain, q: f32, rules: &dyn Rules, now: Instant) -> Verdict {
        self.total_steps += 1;
        self.report(chain, q);
        if self.policy.halting == Halting::Verified && rules.obeyed(self.inputs(), chain.answer()) {
            // Whatever other chains have answered: this one is right.
            self.candidates.clear();
            self.keep(chain, q, Stopped::Verified, true);
            return Verdict::Settled;
        }
        let expired = self.job.request.deadline.is_some_and(|deadline| deadline <= now);
        let stopped = match chain.end(q, &self.policy) {
            Some(ChainEnd::Q) => Stopped::Q,
            Some(ChainEnd::Stable) => Stopped::Stable,
            Some(ChainEnd::Steps) => Stopped::Steps,
            None if expired => Stopped::Deadline,
            None => return Verdict::GoOn,
        };
        // Under the rule `verified` this answer has just failed the check.
        let verified = self.policy.halting != Halting::Verified && rules.obeyed(self.inputs(), chain.answer());
        self.keep(chain, q, stopped, verified);
        self.running -= 1;
        self.first_failed |= chain.index == 0;
        self.is_late |= expired;
        if self.running == 0 && self.waiting_chains() == 0 { Verdict::Settled } else { Verdict::ChainOver }
    }

    /// Sends the answer to the client, if it is still there.
    pub(super) fn settle(self, now: Instant) -> Reply {
        let timings = Timings {
            queue: self.admitted.saturating_duration_since(self.job.submitted),
            compute: now.saturating_duration_since(self.admitted),
        };
        let (winner, votes) = elect(&self.candidates);
        let stopped = match self.candidates.as_slice() {
            [only] => only.stopped,
            all if all.iter().any(|candidate| candidate.stopped == Stopped::Deadline) => Stopped::Deadline,
            _ => Stopped::Vote,
        };
        let answer = Answer {
            tokens: winner.tokens.clone(),
            verified: winner.verified,
            steps: winner.steps,
            q: winner.q,
            stopped,
            chain: winner.chain,
            chains: self.started,
            votes,
            total_steps: self.total_steps,
            trace: self.trace,
            timings,
        };
        (self.job.reply, Ok(answer))
    }

    /// Tells the client that the model failed.
    pub(super) fn fail(self, message: &str) -> Reply {
        (self.job.reply, Err(EngineError::Step(message.to_owned())))
    }

    fn keep(&mut self, chain: &Chain, q: f32, stopped: Stopped, verified: bool) {
        let (tokens, steps) = (chain.answer().to_vec(), chain.steps);
        self.candidates.push(Candidate { chain: chain.index, tokens, q, steps, stopped, verified });
    }

    fn report(&mut self, chain: &Chain, q: f32) {
        let request = &self.job.request;
        if !request.trace && request.events.is_none() {
            return;
        }
        let step = StepTrace { chain: chain.index, step: chain.steps, tokens: chain.answer().to_vec(), q };
        if let Some(events) = &request.events {
            // Full or closed: a reader who is slow or gone must not hold up the batch.
            let _ = events.try_send(step.clone());
        }
        if request.trace {
            self.trace.push(step);
        }
    }
}

/// The answer that obeys the rules, if there is one; else the most frequent, of equally frequent ones that of the higher
/// mean halting probability, then the first: the vote@K of evaluations. With it, how many chains gave it.
///
/// # Panics
/// Without candidates: a search is settled by its last chain.
fn elect(candidates: &[Candidate]) -> (&Candidate, usize) {
    let mut ballot: Ballot<&[i64]> = Ballot::default();
    for candidate in candidates {
        ballot.vote(&candidate.tokens, halting_probability(f64::from(candidate.q)));
    }
    let ranking = ballot.ranking(VoteRule::CountThenMeanQ);
    let elected = |place: &usize| {
        let (tokens, tally) = ballot.candidate(*place);
        let first = candidates.iter().find(|candidate| candidate.tokens == *tokens).expect("it was voted for");
        (first, tally.votes as usize)
    };
    let best = ranking.iter().map(elected).find(|(first, _)| first.verified);
    best.unwrap_or_else(|| elected(&ranking[0]))
}

/// Names a search among those in flight.
pub(super) type SearchId = u64;

/// A chain in a row.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) search: SearchId,
    /// Position among the chains of its search; 0 sees the puzzle as it is.
    pub(super) index: usize,
    /// Row of the last step that holds its state; `None` before its first step.
    pub(super) state_row: Option<usize>,
    pub(super) steps: usize,
    copy: Option<SymmetricCopy>,
    /// The model as it was trained, without noise.
    is_quiet: bool,
    max_steps: usize,
    last: Vec<i64>,
    /// Steps in a row that gave `last`.
    unchanged: usize,
}

/// Whether a chain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainEnd {
    Q,
    Stable,
    Steps,
}

impl Chain {
    /// Chain number `index` of a search for the solution of `inputs`: first the puzzle, then its copies, then rollouts, then
    /// the puzzle again, deep.
    pub(super) fn new(search: SearchId, index: usize, inputs: &[i64], policy: &Policy, rules: &dyn Rules) -> Self {
        let is_copy = (1..=policy.restarts.augmentations).contains(&index);
        let copy = is_copy.then(|| rules.copy(inputs, policy.seed, index as u64)).flatten();
        let is_quiet = index == 0 || policy.deep_chain() == Some(index);
        let max_steps = policy.steps_of(index);
        Self { search, index, state_row: None, steps: 0, copy, is_quiet, max_steps, last: Vec::new(), unchanged: 0 }
    }

    /// What the model sees of the puzzle `inputs`.
    pub(super) fn tokens<'a>(&'a self, inputs: &'a [i64]) -> &'a [i64] {
        self.copy.as_ref().map_or(inputs, |copy| &copy.tokens)
    }

    /// The noise of the next step.
    pub(super) fn noise(&self, policy: &Policy) -> Option<Noise> {
        // The initial state lies inside the graph.
        if self.is_quiet || self.steps == 0 || policy.restarts.sigma == 0.0 {
            return None;
        }
        let stream = (self.index as u64) << 32 | self.steps as u64;
        Some(Noise { seed: policy.seed, stream, sigma: policy.restarts.sigma, target: policy.restarts.noise })
    }

    /// Takes note of a step in `row` and gives its answer in the frame of the puzzle.
    pub(super) fn advance(&mut self, row: usize, answer: &[i64]) -> &[i64] {
        self.state_row = Some(row);
        self.steps += 1;
        let answer = self.copy.as_ref().map_or_else(|| answer.to_vec(), |copy| (copy.undo)(answer));
        self.unchanged = if answer == self.last { self.unchanged + 1 } else { 1 };
        self.last = answer;
        &self.last
    }

    /// The last answer, in the frame of the puzzle.
    pub(super) fn answer(&self) -> &[i64] {
        &self.last
    }

    /// Why the chain ends here without regard to the rules; `None` when it goes on.
    pub(super) fn end(&self, q: f32, policy: &Policy) -> Option<ChainEnd> {
        match policy.halting {
            Halting::Q if q > 0.0 => Some(ChainEnd::Q),
            Halting::Stable if self.unchanged >= policy.stable_steps => Some(ChainEnd::Stable),
            _ if self.steps >= self.max_steps => Some(ChainEnd::Steps),
            _ => None,
        }
    }
}
