//! Mixed load at a multiple of the server's capacity for as long as you like, and whether every promise held:
//! `cargo run --release -p server --example soak -- --minutes 30 [--overload 2] [--report soak.json] [-- SERVER FLAGS]`.
//!
//! Starts the release build of `server` on a free port, measures its capacity with well-behaved clients, then sends
//! valid puzzles, batches, streams, pictures, malformed and huge bodies, slow and vanishing clients at random moments.
//! Ends with an error when a status was not the one to expect, an answer was lost, doubled or another puzzle's, or
//! memory grew. Owns the phases and the verdict; `client` speaks HTTP, `kinds` knows what to send and to expect.

mod client;
mod kinds;
mod report;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp};
use tokio::sync::Semaphore;

use kinds::{Kind, Outcome, Puzzles};
use report::{Report, Tally};
use target::Target;

/// Soaks the server in mixed load.
#[derive(Debug, Parser)]
struct Args {
    /// Length of the mixed phase.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Arriving puzzles per second, as a multiple of the measured capacity.
    #[arg(long, default_value_t = 2.0)]
    overload: f64,
    /// Seconds for which the capacity is measured.
    #[arg(long, default_value_t = 20)]
    capacity_seconds: u64,
    /// Fixes what is sent and when.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The program; default: `server` beside the folder of this one.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the figures go as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Flags for the server, after `--`.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// Clients of the capacity phase.
const CLIENTS: usize = 64;
/// Requests in flight beyond which none is sent: this machine's sockets, not the server's limit.
const MOST_IN_FLIGHT: usize = 4000;
/// Between two looks at the server's memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Growth of memory after minute 5 that is still called flat.
const FLAT: f64 = 1.1;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let target = Target::start(args.server.clone(), &args.flags).await?;
    let puzzles = Arc::new(Puzzles::new(args.seed)?);
    println!("server   pid {} on {}", target.pid(), target.address);

    let capacity = capacity(&target, &puzzles, Duration::from_secs(args.capacity_seconds)).await?;
    println!("capacity {capacity:.1} puzzles/s with {CLIENTS} clients that wait for their answers");
    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let done = Arc::new(AtomicBool::new(false));
    let memory = tokio::spawn(watch_memory(target.pid(), done.clone(), started));
    let skipped = mixed_load(&args, &target, &puzzles, &tally, capacity, started, length).await?;
    done.store(true, Ordering::Relaxed);
    let memory = memory.await.context("the memory's watcher broke")?;

    let counters = target.counters().await?;
    let drained = target.stop().await?;
    let report = Report::new(&args_line(), capacity, args.overload, &tally, skipped, memory, counters, drained);
    println!("{}", report.to_table());
    if let Some(path) = &args.report {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    let broken = report.broken_promises(FLAT);
    ensure!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
    println!("every promise held");
    Ok(())
}

/// Verified or given-up puzzles per second of clients that send the next puzzle when the last is answered.
async fn capacity(target: &Target, puzzles: &Arc<Puzzles>, time: Duration) -> Result<f64> {
    let answered = Arc::new(AtomicUsize::new(0));
    let deadline = Instant::now() + time;
    let clients = (0..CLIENTS).map(|_| {
        let (address, puzzles, answered) = (target.address, puzzles.clone(), answered.clone());
        tokio::spawn(async move {
            while Instant::now() < deadline {
                match kinds::run(Kind::Puzzle, address, &puzzles).await {
                    Outcome::Answered { .. } => _ = answered.fetch_add(1, Ordering::Relaxed),
                    other => bail!("a well-behaved client got {other:?}"),
                }
            }
            Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.context("a client broke")??;
    }
    Ok(answered.load(Ordering::Relaxed) as f64 / time.as_secs_f64())
}

/// Sends until `length` is over and waits for whatever is in flight. Gives how many requests were not sent because too
/// many were in flight.
async fn mixed_load(
    args: &Args,
    target: &Target,
    puzzles: &Arc<Puzzles>,
    tally: &Arc<Tally>,
    capacity: f64,
    started: Instant,
    length: Duration,
) -> Result<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let rate = args.overload * capacity / kinds::mean_puzzles();
    println!("load     {rate:.1} requests/s, {:.1} puzzles/s, for {:.1} min", args.overload * capacity, args.minutes);
    let between = Exp::new(rate).context("the server has answered nothing")?;
    let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
    let (mut next, mut skipped) = (started, 0);
    while started.elapsed() < length {
        next += Duration::from_secs_f64(between.sample(&mut rng));
        tokio::time::sleep_until(next.into()).await;
        let kind = Kind::draw(rng.next_u64());
        let Ok(permit) = in_flight.clone().try_acquire_owned() else {
            skipped += 1;
            continue;
        };
        let (address, puzzles, tally) = (target.address, puzzles.clone(), tally.clone());
        tokio::spawn(async move {
            let sent = Instant::now();
            let outcome = kinds::run(kind, address, &puzzles).await;
            tally.add(kind, outcome, sent.elapsed());
            drop(permit);
        });
    }
    let all = u32::try_from(MOST_IN_FLIGHT)?;
    let waited = tokio::time::timeout(Duration::from_mins(2), in_flight.acquire_many(all)).await;
    waited.context("requests were still open two minutes after the last was sent")??.forget();
    Ok(skipped)
}

/// Resident bytes of the server at every look.
async fn watch_memory(pid: u32, done: Arc<AtomicBool>, started: Instant) -> Vec<report::MemorySample> {
    let mut samples = Vec::new();
    while !done.load(Ordering::Relaxed) {
        if let Some(bytes) = target::resident_bytes(pid) {
            samples.push(report::MemorySample { seconds: started.elapsed().as_secs_f64(), bytes });
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
    samples
}

fn args_line() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}
