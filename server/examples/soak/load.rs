//! Clients of all kinds at random moments, and how each fared.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp};
use tokio::sync::Semaphore;

use crate::kinds::{self, Kind, Outcome, Puzzles};
use crate::report::Tally;

/// Requests in flight beyond which none is sent: this machine's sockets, not the server's limit.
const MOST_IN_FLIGHT: usize = 4000;

/// Where clients go: what a balancer knows of a server.
pub(crate) struct Service {
    address: RwLock<SocketAddr>,
    outages: Mutex<Vec<Outage>>,
}

/// A server is killed, and another one takes its place.
struct Outage {
    /// From here on the old one cannot have taken anything.
    dead: Option<Instant>,
    /// From here on the new one answers.
    end: Option<Instant>,
}

impl Service {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address: RwLock::new(address), outages: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.address.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends later clients to `address`.
    pub(crate) fn move_to(&self, address: SocketAddr) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// A server is about to be killed.
    pub(crate) fn dies(&self) {
        self.outages().push(Outage { dead: None, end: None });
    }

    /// It was killed.
    pub(crate) fn is_dead(&self) {
        if let Some(outage) = self.outages().last_mut() {
            outage.dead = Some(Instant::now());
        }
    }

    /// The next one is ready.
    pub(crate) fn lives(&self) {
        if let Some(outage) = self.outages().last_mut() {
            outage.end = Some(Instant::now());
        }
    }

    /// Whether the server may have been down when a request was sent.
    fn was_down_at(&self, sent: Instant) -> bool {
        self.outages().iter().any(|outage| outage.end.is_none_or(|end| end > sent))
    }

    /// Whether a server died between the moment when a request was sent and now.
    fn has_died_since(&self, sent: Instant) -> bool {
        self.outages().iter().any(|outage| outage.dead.is_none_or(|dead| dead > sent))
    }

    fn outages(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load.
pub(crate) struct Load {
    pub(crate) puzzles: Arc<Puzzles>,
    pub(crate) seed: u64,
    /// Arriving puzzles per second.
    pub(crate) puzzles_per_second: f64,
    pub(crate) length: Duration,
}

impl Load {
    /// Sends until the time is over and waits for whatever is in flight. Gives how many requests were not sent because
    /// too many were in flight.
    pub(crate) async fn send(&self, service: &Arc<Service>, tally: &Arc<Tally>) -> Result<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let rate = self.puzzles_per_second / kinds::mean_puzzles();
        let minutes = self.length.as_secs_f64() / 60.0;
        println!("load     {rate:.1} requests/s, {:.1} puzzles/s, for {minutes:.1} min", self.puzzles_per_second);
        let between = Exp::new(rate).context("the server has answered nothing")?;
        let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let started = Instant::now();
        let (mut next, mut skipped) = (started, 0);
        while started.elapsed() < self.length {
            next += Duration::from_secs_f64(between.sample(&mut rng));
            tokio::time::sleep_until(next.into()).await;
            let kind = Kind::draw(rng.next_u64());
            let Ok(permit) = in_flight.clone().try_acquire_owned() else {
                skipped += 1;
                continue;
            };
            let (service, puzzles, tally) = (service.clone(), self.puzzles.clone(), tally.clone());
            tokio::spawn(async move {
                let sent = Instant::now();
                let outcome = match kinds::run(kind, service.address(), &puzzles).await {
                    Outcome::NobodyListened(what) if !service.was_down_at(sent) => Outcome::Broken(what),
                    Outcome::CutOff(what) if !service.has_died_since(sent) => Outcome::Broken(what),
                    other => other,
                };
                tally.add(kind, outcome, sent.elapsed());
                drop(permit);
            });
        }
        let all = u32::try_from(MOST_IN_FLIGHT)?;
        let waited = tokio::time::timeout(Duration::from_mins(2), in_flight.acquire_many(all)).await;
        waited.context("requests were still open two minutes after the last was sent")??.forget();
        Ok(skipped)
    }
}
