//! The waiting room: bounded, in arrival order, closed once at shutdown.
//! Owns jobs until a slot is free, and drops those whose client has gone; leaves running them to the scheduler.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::metrics::Metrics;
use super::{Answer, EngineError, Request};

/// A request with the way back to its client.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<Answer, EngineError>>,
    pub(super) submitted: Instant,
}

/// Jobs that wait for a slot.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    room: Mutex<Room>,
    arrival: Condvar,
}

#[derive(Debug, Default)]
struct Room {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// Why a queue did not take the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full { waiting: usize },
    Closed,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, room: Mutex::default(), arrival: Condvar::new() }
    }

    /// Takes all jobs or none: none when more would wait than there is room for, or more than `longest` wait already.
    pub(super) fn push(&self, jobs: Vec<Job>, longest: usize) -> Result<(), Refusal> {
        let mut room = self.lock();
        if room.closed {
            return Err(Refusal::Closed);
        }
        let waiting = room.waiting.len();
        if waiting + jobs.len() > self.capacity || waiting > longest {
            return Err(Refusal::Full { waiting });
        }
        room.waiting.extend(jobs);
        self.arrival.notify_one();
        Ok(())
    }

    /// Sleeps until something waits; `false` when the queue is closed and empty.
    pub(super) fn wait(&self) -> bool {
        let room = self.lock();
        let room = self
            .arrival
            .wait_while(room, |room| room.waiting.is_empty() && !room.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !room.waiting.is_empty()
    }

    /// Up to `count` jobs in order of arrival. Jobs whose client has gone or whose deadline has passed leave, too,
    /// wherever they stand, so that they hold no place.
    pub(super) fn take(&self, count: usize, now: Instant, metrics: &Metrics) -> Vec<Job> {
        let mut room = self.lock();
        let (lost, waiting): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut room.waiting).into_iter().partition(|job| job.is_lost(now));
        room.waiting = waiting;
        let count = count.min(room.waiting.len());
        let taken = room.waiting.drain(..count).collect();
        drop(room);
        for job in lost {
            job.dismiss(now, metrics);
        }
        taken
    }

    /// Refuses jobs from now on; those that wait stay.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrival.notify_all();
    }

    /// Drops whatever waits; their clients learn that the engine has stopped.
    pub(super) fn clear(&self) {
        self.lock().waiting.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        // No code that can panic runs under the lock, so a poisoned room is still a consistent one.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn is_lost(&self, now: Instant) -> bool {
        self.reply.is_closed() || self.request.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn dismiss(self, now: Instant, metrics: &Metrics) {
        if self.reply.is_closed() {
            metrics.cancelled.add(1);
        } else {
            metrics.expired.add(1);
            let waited = now.saturating_duration_since(self.submitted);
            // The client may go away in this very moment; it has no use for the message then.
            let _ = self.reply.send(Err(EngineError::DeadlineExceeded { waited }));
        }
    }
}
