//! Mixed load at a multiple of the server's capacity for as long as you like, and whether every promise held:
//! `cargo run --release -p server --example soak -- --minutes 30 [--overload 2] [--report soak.json] [-- SERVER FLAGS]`.
//!
//! Starts the release build of `server` on a free port, measures its capacity with well-behaved clients, then sends
//! valid puzzles, batches, streams, pictures, malformed and huge bodies, slow and vanishing clients at random moments; then
//! the same load again to servers that are replaced as a rolling update does it and killed with SIGKILL, in turns.
//! Ends with an error when a status was not the one to expect, an answer was lost, doubled or another puzzle's, a
//! connection broke while no server was dead, or memory grew. Owns the phases and the verdict; `client` speaks HTTP,
//! `kinds` and `mazes` know what to send and to expect, `load` when, `restarts` replaces servers.

mod client;
mod kinds;
mod load;
mod mazes;
mod report;
mod restarts;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use kinds::{Kind, Outcome, Puzzles};
use load::{Load, Service};
use report::{Report, Tally};
use target::{ANY_PORT, Target};

/// Soaks the server in mixed load.
#[derive(Debug, Parser)]
struct Args {
    /// Length of the mixed phase.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Length of the phase in which servers are replaced and killed; 0 leaves it out.
    #[arg(long, default_value_t = 5.0)]
    restart_minutes: f64,
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
/// Between two looks at the server's memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Growth of memory after minute 5 that is still called flat.
const FLAT: f64 = 1.1;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let target = Target::start(args.server.clone(), ANY_PORT, &args.flags).await?;
    let puzzles = Arc::new(Puzzles::new(args.seed)?);
    println!("server   pid {} on {}", target.pid(), target.address);

    let capacity = capacity(&target, &puzzles, Duration::from_secs(args.capacity_seconds)).await?;
    println!("capacity {capacity:.1} puzzles/s with {CLIENTS} clients that wait for their answers");
    let load = |minutes: f64| Load {
        puzzles: puzzles.clone(),
        seed: args.seed,
        puzzles_per_second: args.overload * capacity,
        length: Duration::from_secs_f64(minutes * 60.0),
    };
    let tally = Arc::new(Tally::default());
    let done = Arc::new(AtomicBool::new(false));
    let memory = tokio::spawn(watch_memory(target.pid(), done.clone(), Instant::now()));
    let not_sent = load(args.minutes).send(&Arc::new(Service::new(target.address)), &tally).await?;
    done.store(true, Ordering::Relaxed);
    let memory = memory.await.context("the memory's watcher broke")?;

    let mut report = Report {
        arguments: args_line(),
        capacity,
        load_seconds: args.minutes * 60.0,
        overload: args.overload,
        not_sent,
        kinds: tally.by_kind(),
        memory,
        counters: target.counters().await?,
        drain_seconds: target.stop().await?.as_secs_f64(),
        restarts: None,
    };
    println!("{}", report.to_table());
    if args.restart_minutes > 0.0 {
        let restarts = restarts::run(args.server.clone(), &args.flags, load(args.restart_minutes)).await?;
        println!("{}", report::restarts_table(&restarts));
        report.restarts = Some(restarts);
    }
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
