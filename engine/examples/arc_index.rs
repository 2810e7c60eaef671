//! What the list of an ARC model's tasks costs in time and memory:
//! `cargo run --release -p engine --example arc_index [-- --rows 876406]`, or of a real one `-- --arc-data DIR`.
//!
//! Without a folder a synthetic one of so many names is made in the temporary folder, and read in a process of its own,
//! which reports its largest resident set. Linux only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use datasets::PuzzleRng;
use datasets::arc::{ArcPair, ArcTask, Augmentation, Grid, SEQ_LEN, SentTask, VOCAB_SIZE};
use datasets::numpy::LegacyGenerator;
use datasets::store::{DatasetMetadata, DatasetWriter, Split};
use engine::arc::TaskIndex;
use models::benchmark::peak_memory_bytes;

/// Reads the tasks of an ARC data set as the server does, and finds each by its demonstrations.
#[derive(Debug, Parser)]
struct Args {
    /// Names of the synthetic data set; both sets of ARC-AGI-1 and a third one, a thousand augmentations each, have the default.
    #[arg(long, default_value_t = 876_406)]
    rows: usize,
    /// A real data set folder.
    #[arg(long, value_name = "DIR")]
    arc_data: Option<PathBuf>,
}

/// Puzzles of a task: itself and a thousand augmentations.
const PUZZLES: usize = 1001;

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(folder) = &args.arc_data {
        return measure(folder);
    }
    let parent = tempfile::tempdir()?;
    let folder = parent.path().join("data");
    make(&folder, args.rows)?;
    let status = Command::new(std::env::current_exe()?).arg("--arc-data").arg(&folder).status()?;
    ensure!(status.success(), "the measurement failed");
    Ok(())
}

fn measure(folder: &Path) -> Result<()> {
    let bytes = std::fs::metadata(folder.join("identifiers.json"))?.len();
    let reading = Instant::now();
    let index = TaskIndex::open(folder)?;
    let seconds = reading.elapsed().as_secs_f64();
    let known = index.tasks().iter().filter_map(|known| known.task.as_ref());
    let sent: Vec<SentTask> =
        known.map(|task| SentTask { has_output: vec![true; task.test.len()], task: task.clone() }).collect();
    let looking = Instant::now();
    for sent in &sent {
        let found = index.recognise(None, Some(sent)).with_context(|| sent.task.id.clone())?;
        ensure!(found.name == sent.task.id, "{} is found as {}", sent.task.id, found.name);
    }
    let each = looking.elapsed().as_secs_f64() * 1e6 / sent.len().max(1) as f64;
    println!(
        "| names | bytes of identifiers.json | tasks | seconds to read | peak RSS, MiB | µs to find a task by content |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {} | {bytes} | {} | {seconds:.2} | {} | {each:.0} |",
        index.num_puzzle_identifiers(),
        index.tasks().len(),
        peak_memory()?
    );
    Ok(())
}

/// Largest resident set of this process so far, in MiB.
fn peak_memory() -> Result<u64> {
    Ok(peak_memory_bytes().context("only Linux tells how much memory was held")? >> 20)
}

/// Writes names and tasks, half of these held out.
fn make(folder: &Path, rows: usize) -> Result<()> {
    let mut rng = PuzzleRng::from_seed(1);
    let tasks: Vec<ArcTask> = (0..rows.div_ceil(PUZZLES)).map(|number| task(number, &mut rng)).collect();
    let mut draws = LegacyGenerator::new(1);
    let names = (0..rows - 1).map(|row| {
        let id = &tasks[row / PUZZLES].id;
        if row % PUZZLES == 0 { id.clone() } else { Augmentation::draw(&mut draws).name(id) }
    });
    let metadata = DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: VOCAB_SIZE,
        seq_len: SEQ_LEN,
        num_puzzle_identifiers: rows,
        total_groups: tasks.len(),
        mean_puzzle_examples: 4.0,
        total_puzzles: rows,
        sets: vec!["all".into()],
    };
    let dataset = DatasetWriter::create(folder, false)?;
    dataset.metadata(Split::Train, &metadata)?;
    dataset.metadata(Split::Test, &metadata)?;
    dataset.identifiers(std::iter::once("<blank>".to_owned()).chain(names))?;
    let (held_out, trained_on) = tasks.split_at(tasks.len() / 2);
    dataset.test_puzzles(held_out.iter().map(|task| (&task.id, task)))?;
    dataset.train_puzzles(trained_on.iter().map(|task| (&task.id, task)))?;
    dataset.publish()?;
    Ok(())
}

/// As large as ARC's tasks: four pairs of some 12×12 cells.
fn task(number: usize, rng: &mut PuzzleRng) -> ArcTask {
    let mut grid = || {
        let (rows, columns) = (3 + rng.below(18) as usize, 3 + rng.below(18) as usize);
        let cells = (0..rows * columns).map(|_| rng.below(10) as u8).collect();
        Grid::from_cells(rows, columns, cells).expect("a grid of colours")
    };
    let mut pairs: Vec<ArcPair> = (0..4).map(|_| ArcPair::new(grid(), grid())).collect();
    let test = pairs.pop().into_iter().collect();
    ArcTask::new(format!("{number:08x}"), pairs, test)
}
