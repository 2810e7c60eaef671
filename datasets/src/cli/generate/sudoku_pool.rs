//! `datasets generate sudoku-pool`: searches for rare 9×9 puzzles, in the background for as long as one likes.
//! Owns the flags; leaves the file to [`datasets::builder::sudoku_pool`] and the search to [`datasets::sudoku`].

use std::path::PathBuf;

use clap::Args;
use datasets::builder::sudoku_pool::{self, PoolBuild};
use datasets::sudoku::{PoolDomain, PoolKind};
use files::progress::{Unit, progress_bar};

/// Flags of `datasets generate sudoku-pool`.
#[derive(Args)]
pub(crate) struct SudokuPool {
    /// File that grows, a puzzle a line; stop at any time, the same command goes on where it was.
    #[arg(long)]
    out: PathBuf,
    /// few-clues (17 and 18 givens), hard (ten guesses or more, as fewer than one in 200 random minimal puzzles has) or
    /// hardest (nested assumptions).
    #[arg(long)]
    kind: PoolKind,
    /// Stop when the file has this many puzzles.
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// Moves of a chain: short ones find less, long ones find neighbours; default by kind.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    moves: Option<u32>,
    /// Seed of the search; chain number i depends on the kind, the moves, the seed and i only.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Search for evaluation: chains that no training pool runs.
    #[arg(long)]
    held_out: bool,
    /// Files of puzzles to keep away from: no puzzle with the same solution grid, or a symmetric copy of it, is taken.
    #[arg(long, num_args = 1..)]
    exclude: Vec<PathBuf>,
}

impl SudokuPool {
    /// Searches and says what the file holds.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = PoolBuild {
            path: self.out,
            kind: self.kind,
            domain: if self.held_out { PoolDomain::HeldOut } else { PoolDomain::Training },
            moves: self.moves.unwrap_or_else(|| self.kind.default_moves()),
            seed: self.seed,
            exclude: self.exclude,
            count: self.count,
        };
        let bar = progress_bar("searching", Some(config.count as u64), Unit::Items);
        let progress = sudoku_pool::build(&config, |progress| bar.set_position(progress.puzzles as u64))?;
        bar.finish_and_clear();
        eprintln!("{} holds {} puzzles of {} chains", config.path.display(), progress.puzzles, progress.chains);
        Ok(())
    }
}
