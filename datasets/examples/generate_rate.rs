//! How fast puzzles are drawn: `cargo run --release -p datasets --example generate_rate -- [PUZZLES]`.
//! Prints minimal puzzles per second of one thread, the rating solver's speed, and what a training source delivers;
//! leaves judging the figures to the reader.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use datasets::TrainingSource;
use datasets::sudoku::{
    Board, GeneratedSource, GeneratorOptions, PuzzleRequest, SudokuRng, SudokuShape, Symmetry, generate, solve,
};

fn main() -> anyhow::Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse::<u64>())?;
    let request = PuzzleRequest::minimal(SudokuShape::NINE);
    let begin = Instant::now();
    let puzzles =
        (0..count).map(|index| Ok(generate(&request, 1, index)?.puzzle)).collect::<anyhow::Result<Vec<_>>>()?;
    report("minimal 9x9 puzzles", count, begin.elapsed());
    rate(&puzzles);
    for (shape, count) in [(SudokuShape::FOUR, 5_000), (SudokuShape::SIX, 5_000), (SudokuShape::SIXTEEN, 20)] {
        draw_others(shape, count)?;
    }
    draw_of_givens(2_000)?;
    apply_symmetries(&puzzles)?;
    draw_batches(count)
}

/// Rates the puzzles and prints how they spread over givens and guesses.
fn rate(puzzles: &[Board]) {
    let (mut givens, mut guesses) = (BTreeMap::<usize, u32>::new(), [0_u32; 4]);
    let begin = Instant::now();
    for puzzle in puzzles {
        let bucket = match solve(puzzle).guesses {
            0 => 0,
            1..=3 => 1,
            4..=10 => 2,
            _ => 3,
        };
        guesses[bucket] += 1;
        *givens.entry(puzzle.givens()).or_default() += 1;
    }
    report("ratings of minimal 9x9 puzzles", puzzles.len() as u64, begin.elapsed());
    println!("  givens: {givens:?}\n  guesses 0, 1-3, 4-10, more: {guesses:?}");
}

fn draw_others(shape: SudokuShape, count: u64) -> anyhow::Result<()> {
    let request = PuzzleRequest::minimal(shape);
    let (mut givens, mut slowest) = (0, Duration::ZERO);
    let begin = Instant::now();
    for index in 0..count {
        let start = Instant::now();
        givens += generate(&request, 1, index)?.puzzle.givens();
        slowest = slowest.max(start.elapsed());
    }
    report(&format!("minimal {0}x{0} puzzles", shape.size()), count, begin.elapsed());
    println!("  mean givens {:.1}, slowest {slowest:?}", givens as f64 / count as f64);
    Ok(())
}

/// Drains a source of 16×16 puzzles with givens to spare.
fn draw_of_givens(count: usize) -> anyhow::Result<()> {
    let options = GeneratorOptions { size: 16, givens: Some((100, 130)), ..GeneratorOptions::default() };
    let mut source = GeneratedSource::new(options, 0, 1)?;
    let begin = Instant::now();
    let batch = source.next_batch(&vec![true; count])?;
    report("16x16 puzzles with 100 to 130 givens", count as u64, begin.elapsed());
    let givens = batch.inputs.iter().filter(|&&token| token > 1).count();
    println!("  mean givens {:.1}", givens as f64 / count as f64);
    Ok(())
}

fn apply_symmetries(puzzles: &[Board]) -> anyhow::Result<()> {
    let mut rng = SudokuRng::from_seed(1);
    let mut givens = 0;
    let begin = Instant::now();
    for puzzle in puzzles {
        givens += Symmetry::random(SudokuShape::NINE, &mut rng).apply(puzzle)?.givens();
    }
    report("random symmetries of 9x9 boards", puzzles.len() as u64, begin.elapsed());
    println!("  {givens} givens in all");
    Ok(())
}

/// Drains a source as fast as it delivers, in batches of 64.
fn draw_batches(examples: u64) -> anyhow::Result<()> {
    for symmetries_per_puzzle in [1, 8] {
        let options = GeneratorOptions { extra_clues: (0, 30), symmetries_per_puzzle, ..GeneratorOptions::default() };
        let mut source = GeneratedSource::new(options, 0, 1)?;
        let begin = Instant::now();
        for _ in 0..examples / 64 {
            source.next_batch(&[true; 64])?;
        }
        let label = format!("training examples, {symmetries_per_puzzle} per puzzle");
        report(&label, examples / 64 * 64, begin.elapsed());
    }
    Ok(())
}

fn report(what: &str, count: u64, elapsed: Duration) {
    println!("{what}: {count} in {:.2} s, {:.0}/s", elapsed.as_secs_f64(), count as f64 / elapsed.as_secs_f64());
}
