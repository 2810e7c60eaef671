//! Continuous batching by reasoning step: which chain sits in which row, and when it leaves.
//! Owns the rows and the turn; leaves waiting to the queue, what a step means to the searches, the thread to the worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::metrics::Metrics;
use super::queue::Queue;
use super::search::{Chain, Search, SearchId, Verdict};
use super::{Batching, Clock, EngineOptions, Noise, Policy, Reply, Rules, StepBatch, StepModel, StepOutcome};

/// Batch sizes that the engine runs, up to its number of slots: few, so that the backend's memory stays flat, and
/// close enough that at most a third of a batch beyond four rows is padding.
const BATCH_SIZES: [usize; 13] = [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// Most slots an engine can have.
pub(super) const MAX_SLOTS: usize = BATCH_SIZES[BATCH_SIZES.len() - 1];

/// The batch sizes of an engine with `slots` slots, ascending; the last is `slots`.
pub(super) fn batch_sizes(slots: usize) -> impl DoubleEndedIterator<Item = usize> {
    BATCH_SIZES.into_iter().filter(move |&size| size < slots).chain([slots])
}

/// Of this many rows that fall free while both wait, one goes to a further chain of an admitted request and the others
/// to new requests: most puzzles need no further chain, and those that do are not starved by newcomers.
const GRANTS_PER_FURTHER_CHAIN: usize = 4;

/// The rows of the batch and the model that steps them.
pub(super) struct Scheduler<M> {
    model: M,
    rules: Arc<dyn Rules>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    slots: usize,
    batching: Batching,
    chains_at_once: usize,
    default_policy: Policy,
    rows: Vec<Option<Chain>>,
    /// In order of admission.
    searches: BTreeMap<SearchId, Search>,
    next_search: SearchId,
    /// Rows granted so far.
    grants: usize,
    tokens: Vec<i64>,
    carried: Vec<Option<usize>>,
    puzzle_identifiers: Vec<usize>,
    noise: Vec<Option<Noise>>,
}

impl<M: StepModel> Scheduler<M> {
    pub(super) fn new(
        model: M,
        rules: Arc<dyn Rules>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        options: &EngineOptions,
    ) -> Self {
        let EngineOptions { slots, batching, chains_at_once, default_policy, .. } = *options;
        Self {
            model,
            rules,
            metrics,
            clock,
            slots,
            batching,
            chains_at_once,
            default_policy,
            rows: Vec::with_capacity(slots),
            searches: BTreeMap::new(),
            next_search: 0,
            grants: 0,
            tokens: Vec::new(),
            carried: Vec::new(),
            puzzle_identifiers: Vec::new(),
            noise: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.searches.is_empty()
    }

    /// Frees the rows of clients that have gone, fills free rows, runs one step and sends the answers that are ready.
    pub(super) fn turn(&mut self, queue: &Queue) {
        let started = self.clock.now();
        self.drop_abandoned();
        self.admit(queue, started);
        self.metrics.set_slots_in_use(self.occupied());
        if self.is_idle() {
            return;
        }
        self.fill_inputs();
        let batch = StepBatch {
            tokens: &self.tokens,
            carried: &self.carried,
            puzzle_identifiers: &self.puzzle_identifiers,
            noise: &self.noise,
        };
        let stepping = self.clock.now();
        let outcome = self.model.step(&batch);
        let stepped = self.clock.now();
        let replies = match outcome.map_err(|error| error.to_string()).and_then(|outcome| self.check(outcome)) {
            Ok(outcome) => self.judge(&outcome, stepped),
            Err(message) => {
                tracing::error!("a reasoning step failed: {message}");
                self.fail(&message)
            }
        };
        self.metrics.set_slots_in_use(self.occupied());
        // Before the replies, so that a client who reads the counters finds its own turn in them.
        self.metrics.add_turn(stepped - stepping, self.clock.now() - started, replies.len());
        for (reply, answer) in replies {
            // A client that went away during the step has no use for the answer.
            let _ = reply.send(answer);
        }
    }

    fn occupied(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    fn drop_abandoned(&mut self) {
        let before = self.searches.len();
        self.searches.retain(|_, search| !search.is_abandoned());
        let abandoned = before - self.searches.len();
        if abandoned > 0 {
            self.metrics.cancelled.add(abandoned as u64);
            self.free_rows_without_search();
        }
    }

    fn free_rows_without_search(&mut self) {
        for row in &mut self.rows {
            row.take_if(|chain| !self.searches.contains_key(&chain.search));
        }
    }

    /// Grants free rows: to new requests in order of arrival and to further chains in order of their requests'.
    fn admit(&mut self, queue: &Queue, now: Instant) {
        if self.is_idle() {
            // What idle engines do next depends on nothing but what is asked next: evaluations rely on it.
            self.grants = 0;
        }
        let occupied = self.occupied();
        let free = self.slots - occupied;
        let waiting: usize = self.searches.values().map(Search::waiting_chains).sum();
        let due = (self.grants + free) / GRANTS_PER_FURTHER_CHAIN - self.grants / GRANTS_PER_FURTHER_CHAIN;
        let is_closed = self.batching == Batching::Static && occupied > 0;
        let jobs = if is_closed { Vec::new() } else { queue.take(free - due.min(waiting), now, &self.metrics) };
        self.grants += jobs.len();
        let mut admitted: Vec<Chain> = Vec::with_capacity(free);
        for job in jobs {
            let policy = job.request.policy.unwrap_or(self.default_policy);
            let mut search = Search::new(job, policy, now, self.chains_at_once);
            let id = self.next_search;
            self.next_search += 1;
            admitted.push(search.start_chain(id, &*self.rules));
            self.searches.insert(id, search);
        }
        // After the new requests, since under some halting rules all chains of a request begin with its first.
        let further = self.start_further_chains(free - admitted.len());
        self.grants += further.len();
        admitted.extend(further);
        self.resize(occupied + admitted.len());
        let free_rows = self.rows.iter_mut().filter(|row| row.is_none());
        for (row, chain) in free_rows.zip(admitted) {
            *row = Some(chain);
        }
    }

    fn start_further_chains(&mut self, count: usize) -> Vec<Chain> {
        let mut chains = Vec::with_capacity(count);
        for (&id, search) in &mut self.searches {
            while chains.len() < count && search.waiting_chains() > 0 {
                chains.push(search.start_chain(id, &*self.rules));
            }
        }
        chains
    }

    /// Gives the batch the smallest size that holds `occupied` rows. Chains stay in their rows where they can, so
    /// that the model need not move states.
    fn resize(&mut self, occupied: usize) {
        let size = match occupied {
            0 => 0,
            _ if self.batching == Batching::Padded => self.slots,
            _ if self.batching == Batching::Static && occupied <= self.rows.len() => self.rows.len(),
            _ => batch_sizes(self.slots).find(|&size| size >= occupied).unwrap_or(self.slots),
        };
        let displaced: Vec<Chain> = self.rows.drain(size.min(self.rows.len())..).flatten().collect();
        self.rows.resize_with(size, || None);
        for (row, chain) in self.rows.iter_mut().filter(|row| row.is_none()).zip(displaced) {
            *row = Some(chain);
        }
    }

    fn fill_inputs(&mut self) {
        let seq_len = self.model.seq_len();
        self.tokens.clear();
        self.carried.clear();
        self.puzzle_identifiers.clear();
        self.noise.clear();
        for row in &self.rows {
            let chain = row.as_ref().and_then(|chain| Some((chain, self.searches.get(&chain.search)?)));
            if let Some((chain, search)) = chain {
                self.tokens.extend_from_slice(chain.tokens(search.inputs()));
                self.carried.push(chain.state_row);
                self.puzzle_identifiers.push(search.puzzle_identifier());
                self.noise.push(chain.noise(search.policy()));
            } else {
                self.tokens.resize(self.tokens.len() + seq_len, 0);
                self.carried.push(None);
                self.puzzle_identifiers.push(0);
                self.noise.push(None);
            }
        }
    }

    /// A backend whose output has the wrong size must not reach the clients' rows.
    fn check(&self, outcome: StepOutcome) -> Result<StepOutcome, String> {
        let (rows, seq_len) = (self.rows.len(), self.model.seq_len());
        if outcome.answers.len() == rows * seq_len && outcome.q_halt.len() == rows {
            return Ok(outcome);
        }
        Err(format!(
            "expected {rows} rows of {seq_len} predictions and {rows} q values, found {} and {}",
            outcome.answers.len(),
            outcome.q_halt.len()
        ))
    }

    /// Lets the searches judge their chains, and empties the rows that are done.
    fn judge(&mut self, outcome: &StepOutcome, now: Instant) -> Vec<Reply> {
        let mut replies = Vec::new();
        let answers = outcome.answers.chunks_exact(self.model.seq_len());
        for (index, ((row, answer), &q)) in self.rows.iter_mut().zip(answers).zip(&outcome.q_halt).enumerate() {
            let Some(chain) = row else {
                self.metrics.padding_rows.add(1);
                continue;
            };
            self.metrics.rows.add(1);
            // Settled by another of its chains in this very turn.
            let Some(search) = self.searches.get_mut(&chain.search) else { continue };
            chain.advance(index, answer);
            match search.judge(chain, q, &*self.rules, now) {
                Verdict::GoOn => {}
                Verdict::ChainOver => *row = None,
                Verdict::Settled => {
                    let settled = self.searches.remove(&chain.search).map(|search| search.settle(now));
                    self.metrics.add_answer(settled.as_ref().and_then(|(_, answer)| answer.as_ref().ok()));
                    replies.extend(settled);
                    *row = None;
                }
            }
        }
        if !replies.is_empty() {
            self.free_rows_without_search();
        }
        replies
    }

    /// Empties all rows.
    fn fail(&mut self, message: &str) -> Vec<Reply> {
        self.rows.clear();
        let searches = std::mem::take(&mut self.searches).into_values();
        let replies: Vec<Reply> = searches.map(|search| search.fail(message)).collect();
        self.metrics.failed.add(replies.len() as u64);
        replies
    }
}
