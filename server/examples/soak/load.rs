//! Clients of all kinds at random moments, and how each fared.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
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
    /// When a server died, and when one answered again.
    outages: Mutex<Vec<(Instant, Option<Instant>)>>,
}

impl Service {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address: RwLock::new(address), outages: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.address.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends whoever comes now to `address`.
    pub(crate) fn move_to(&self, address: SocketAddr) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// A server is about to be killed.
    pub(crate) fn dies(&self) {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), None));
    }

    /// The next one is ready.
    pub(crate) fn lives(&self) {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, end)) = outages.last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Whether some of the time from `sent` until now fell into an outage.
    fn was_dead_since(&self, sent: Instant) -> bool {
        let outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.iter().any(|(_, end)| end.is_none_or(|end| end > sent))
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
                    Outcome::CutOff(what) if !service.was_dead_since(sent) => Outcome::Broken(what),
                    Outcome::Loading if !service.was_dead_since(sent) => {
                        Outcome::Broken(format!("{kind:?}: 503 from a server that was ready"))
                    }
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
