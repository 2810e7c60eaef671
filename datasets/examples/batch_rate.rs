//! How fast a dataset opens and batches are assembled: `cargo run --release --package datasets --example batch_rate --
//! DATASET [BATCH]` (batch 768 if not given). One thread; the files should be in the page cache, so run it twice. The
//! processor's time per batch is printed beside the clock's, for machines that have other things to do.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use datasets::TrainingSource;
use datasets::loader::{FolderSource, LoaderOptions, TestBatches};
use datasets::store::Split;

const BATCHES: usize = 500;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().context("usage: batch_rate DATASET [BATCH]")?);
    let rows = match arguments.next() {
        Some(rows) => rows.to_string_lossy().parse().context("BATCH: expected a number of rows")?,
        None => 768,
    };
    let options = LoaderOptions::new(rows);

    let started = Instant::now();
    let mut source = FolderSource::open(std::slice::from_ref(&path), options.clone())?;
    let opened = started.elapsed();
    let metadata = source.metadata().clone();
    let wanted = vec![true; rows];
    // The first batches meet pages that this process has not touched yet; later ones show the lasting speed.
    for name in ["train, first", "train, later", "train, later"] {
        let mut times = Vec::with_capacity(BATCHES);
        let busy = busy_milliseconds();
        for _ in 0..BATCHES {
            let started = Instant::now();
            std::hint::black_box(source.next_batch(&wanted)?);
            times.push(started.elapsed());
        }
        report(name, opened, [rows, metadata.seq_len], times, busy_milliseconds() - busy);
    }

    let started = Instant::now();
    let mut batches = TestBatches::open(&[path], Split::Test, options)?;
    let opened = started.elapsed();
    let mut times = Vec::with_capacity(BATCHES);
    let busy = busy_milliseconds();
    let mut started = Instant::now();
    while times.len() < BATCHES
        && let Some(batch) = batches.next()
    {
        std::hint::black_box(batch?);
        times.push(started.elapsed());
        started = Instant::now();
    }
    report("test", opened, [rows, metadata.seq_len], times, busy_milliseconds() - busy);
    Ok(())
}

fn report(split: &str, opened: Duration, shape: [usize; 2], mut times: Vec<Duration>, busy: f64) {
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{split}: opened in {:.1} ms; {} batches of {shape:?}: median {:.3} ms, 90 % below {:.3} ms, fastest {:.3} ms, \
         processor {:.3} ms each",
        milliseconds(opened),
        times.len(),
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() * 9 / 10]),
        milliseconds(times[0]),
        busy / times.len() as f64
    );
}

/// What this thread has had of a processor so far; not a number where the system does not tell (other than Linux).
fn busy_milliseconds() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split_whitespace().next().and_then(|count| count.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |count| count / 1e6)
}
