//! The engine's thread and the handle that requests go through.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use super::metrics::Metrics;
use super::policy::in_range;
use super::queue::{Job, Queue, Refusal};
use super::scheduler::{MAX_SLOTS, Scheduler};
use super::{
    Answer, Clock, EngineError, Histograms, MetricsSnapshot, Policy, PolicyLimits, Request, Rules, StepModel,
    SystemClock,
};

/// How the rows of a batch are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Batching {
    /// Rows that fall free are refilled at every step; the batch has the smallest of a few sizes that holds all.
    #[default]
    Continuous,
    /// As `continuous`, but every batch has all slots. An answer then depends on its request alone, to the last bit:
    /// kernels for other batch sizes round differently.
    Padded,
    /// A batch is filled once and runs until its last puzzle is done, as servers of one-pass models do. For comparison.
    Static,
}

/// Limits of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EngineOptions {
    /// Puzzles solved at the same time, 1 to 128.
    pub slots: usize,
    /// Puzzles that may wait.
    pub queue_capacity: usize,
    /// Longest time that a puzzle may have to wait, as far as the measured rate can tell.
    pub max_wait: Duration,
    /// How the slots are shared out.
    pub batching: Batching,
    /// Chains besides the first that one request may have in rows at the same time under
    /// [`Halting::Verified`](super::Halting::Verified). On a processor, where a row's step costs the same in any batch,
    /// one at a time wastes nothing; on a GPU, where further rows are nearly free, several at once answer sooner.
    pub chains_at_once: usize,
    /// The policy of requests that set none.
    pub default_policy: Policy,
    /// What a request may ask for.
    pub limits: PolicyLimits,
}

/// A running engine. Dropping it refuses new requests, answers the accepted ones and waits for the thread.
#[derive(Debug)]
pub struct Engine {
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    options: EngineOptions,
    seq_len: usize,
    num_puzzle_identifiers: usize,
    has_symmetries: bool,
    thread: Option<JoinHandle<()>>,
}

/// The way to an answer: a future, or [`wait`](Self::wait). Dropping it frees the puzzle's slot at the next step.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Answer, EngineError>>);

impl Engine {
    /// Starts the thread that owns `model`.
    ///
    /// # Errors
    /// [`EngineError::Request`] when an option lies outside its range, [`EngineError::Step`] when the system starts
    /// no thread.
    pub fn start(
        model: impl StepModel + 'static,
        rules: Arc<dyn Rules>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        Self::start_with_clock(model, rules, options, Arc::new(SystemClock))
    }

    /// As [`start`](Self::start), with a clock that need not be the system's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_clock(
        model: impl StepModel + 'static,
        rules: Arc<dyn Rules>,
        options: EngineOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let has_symmetries = rules.has_symmetries();
        in_range("slots", options.slots, 1, MAX_SLOTS)?;
        in_range("chains at once", options.chains_at_once, 1, MAX_SLOTS)?;
        in_range("queue capacity", options.queue_capacity, 1, 1 << 20)?;
        options.default_policy.check(&options.limits, has_symmetries)?;
        let queue = Arc::new(Queue::new(options.queue_capacity));
        let metrics = Arc::new(Metrics::default());
        let (seq_len, num_puzzle_identifiers) = (model.seq_len(), model.num_puzzle_identifiers());
        let scheduler = Scheduler::new(model, rules, metrics.clone(), clock.clone(), &options);
        let closing = ClosingGuard(queue.clone());
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let mut scheduler = scheduler;
                // Dropped first: a client that loses its answer to a panic must find the engine closed.
                let closing = closing;
                run(&mut scheduler, &closing);
            })
            .map_err(|error| EngineError::Step(format!("cannot start the engine's thread: {error}")))?;
        let thread = Some(thread);
        Ok(Self { queue, metrics, clock, options, seq_len, num_puzzle_identifiers, has_symmetries, thread })
    }

    /// Queues one puzzle.
    ///
    /// # Errors
    /// When the request does not fit the model, the queue is full, or the engine shuts down.
    pub fn submit(&self, request: Request) -> Result<Pending, EngineError> {
        let mut pending = self.submit_all(vec![request])?;
        pending.pop().ok_or(EngineError::Stopped)
    }

    /// Queues all puzzles or none.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); also when there are more puzzles than the queue holds.
    pub fn submit_all(&self, requests: Vec<Request>) -> Result<Vec<Pending>, EngineError> {
        in_range("puzzles in one request", requests.len(), 1, self.options.queue_capacity)?;
        let submitted = self.clock.now();
        let mut jobs = Vec::with_capacity(requests.len());
        let mut pending = Vec::with_capacity(requests.len());
        for request in requests {
            self.check(&request)?;
            let (reply, receiver) = oneshot::channel();
            jobs.push(Job { request, reply, submitted });
            pending.push(Pending(receiver));
        }
        let count = jobs.len() as u64;
        match self.queue.push(jobs, self.longest_queue()) {
            Ok(()) => {
                self.metrics.accepted.add(count);
                Ok(pending)
            }
            Err(Refusal::Full { waiting }) => {
                self.metrics.rejected.add(count);
                Err(EngineError::QueueFull { waiting, retry_after: self.retry_after_of(waiting) })
            }
            Err(Refusal::Closed) => Err(EngineError::Stopped),
        }
    }

    /// Whether the thread still accepts requests.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Limits in force.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Counters since the start.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.metrics.snapshot(self.queue.len())
    }

    /// How the answers since the start are distributed.
    pub fn histograms(&self) -> Histograms {
        self.metrics.histograms()
    }

    /// When half of those who wait now will have been served, at the rate so far: when to try again.
    pub fn retry_after(&self) -> Duration {
        self.retry_after_of(self.queue.len())
    }

    fn check(&self, request: &Request) -> Result<(), EngineError> {
        if request.tokens.len() != self.seq_len {
            let (expected, found) = (self.seq_len.to_string(), request.tokens.len().to_string());
            return Err(EngineError::Request { name: "number of tokens", expected, found });
        }
        if request.puzzle_identifier >= self.num_puzzle_identifiers {
            let expected = format!("0 to {}", self.num_puzzle_identifiers.saturating_sub(1));
            let found = request.puzzle_identifier.to_string();
            return Err(EngineError::Request { name: "puzzle identifier", expected, found });
        }
        request.policy.map_or(Ok(()), |policy| policy.check(&self.options.limits, self.has_symmetries))
    }

    /// Puzzles that may wait before the next has to wait too long.
    fn longest_queue(&self) -> usize {
        let each = self.metrics.time_per_answer().filter(|each| !each.is_zero());
        each.map_or(usize::MAX, |each| self.options.max_wait.div_duration_f64(each) as usize)
    }

    fn retry_after_of(&self, waiting: usize) -> Duration {
        let each = self.metrics.time_per_answer().unwrap_or(Duration::from_millis(100));
        (each * u32::try_from(waiting.div_ceil(2)).unwrap_or(u32::MAX))
            .clamp(Duration::from_secs(1), Duration::from_mins(1))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook; here there is nothing left to save.
            let _ = thread.join();
        }
    }
}

impl Pending {
    /// Blocks until the answer is there. Not for asynchronous code: await the value there.
    ///
    /// # Errors
    /// When the engine could not answer.
    pub fn wait(self) -> Result<Answer, EngineError> {
        self.0.blocking_recv().unwrap_or(Err(EngineError::Stopped))
    }
}

impl Future for Pending {
    type Output = Result<Answer, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or(Err(EngineError::Stopped)))
    }
}

/// Closes the queue when the thread ends, also by a panic, so that no client waits for an answer that never comes.
struct ClosingGuard(Arc<Queue>);

impl Drop for ClosingGuard {
    fn drop(&mut self) {
        self.0.close();
        self.0.clear();
    }
}

fn run<M: StepModel>(scheduler: &mut Scheduler<M>, guard: &ClosingGuard) {
    let queue = &*guard.0;
    while !scheduler.is_idle() || queue.wait() {
        scheduler.turn(queue);
    }
}
