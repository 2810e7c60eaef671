//! How hard puzzles are: `cargo run --release -p datasets --example sudoku_hardness -- 20000` rates random minimal ones,
//! with a file of puzzles (one a line, also `.gz`) in place of the number it rates these.

use std::path::Path;
use std::time::Instant;

use datasets::sudoku::{Hardness, LogicLevel, PuzzlePool, SudokuRng, SudokuShape, hardness, minimal_puzzle};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("expected a number of random puzzles or a file of puzzles")?;
    let puzzles = if let Ok(count) = argument.parse::<usize>() {
        let mut rng = SudokuRng::from_seed(99);
        (0..count).map(|_| minimal_puzzle(SudokuShape::NINE, &mut rng)).collect::<Result<Vec<_>, _>>()?
    } else {
        let pool = PuzzlePool::read(Path::new(&argument), None)?;
        (0..pool.len()).map(|index| pool.puzzle(index)).collect()
    };
    let start = Instant::now();
    let mut rated = puzzles.iter().map(|puzzle| hardness(&puzzle.puzzle)).collect::<Result<Vec<Hardness>, _>>()?;
    println!("{} puzzles, {:.1?} each", rated.len(), start.elapsed() / rated.len().max(1) as u32);
    for level in LogicLevel::ALL {
        let count = rated.iter().filter(|rating| rating.level == level).count();
        println!("{:10} {count:7} {:6.2} %", level.name(), 100.0 * count as f64 / rated.len() as f64);
    }
    rated.sort_unstable_by(|left, right| left.guesses.total_cmp(&right.guesses));
    for quantile in [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0] {
        let rank = (quantile * rated.len() as f64).ceil().max(1.0) as usize;
        if let Some(rating) = rated.get(rank - 1) {
            println!("guesses at {:5.1} %: {:.1}", 100.0 * quantile, rating.guesses);
        }
    }
    let mut givens = [0_usize; 82];
    for puzzle in &puzzles {
        givens[puzzle.puzzle.givens()] += 1;
    }
    for (givens, count) in givens.iter().enumerate().filter(|(_, count)| **count > 0) {
        println!("{givens} givens: {count}");
    }
    Ok(())
}
