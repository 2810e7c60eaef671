//! `datasets generate`: new puzzles.
//! Owns the three kinds of output; leaves flags to one file per task and drawing to [`datasets::builder::generated`].

mod maze;
mod sudoku;
mod sudoku_pool;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use datasets::DatasetError;
use datasets::builder::generated::{self, GeneratedBuild, NumberedPuzzles};
use files::progress::{Unit, progress_bar};

use super::UPDATE_EVERY;

/// Puzzles that can be generated.
#[derive(Subcommand)]
pub(crate) enum Generate {
    /// Sudoku puzzles, minimal unless --givens or --extra-clues says otherwise.
    Sudoku(sudoku::Sudoku),
    /// Rare 9x9 Sudoku puzzles (few clues, hard, hardest), searched for as long as one likes.
    SudokuPool(sudoku_pool::SudokuPool),
    /// Mazes with a long shortest path.
    Maze(maze::Maze),
}

impl Generate {
    /// Generates to the folder, the file or standard output.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Sudoku(arguments) => arguments.run(),
            Self::SudokuPool(arguments) => arguments.run(),
            Self::Maze(arguments) => arguments.run(),
        }
    }
}

/// What puzzles are written to.
#[derive(Args)]
struct Destination {
    /// Number of puzzles (of the training split with --output-dir).
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Seed; puzzle number i depends on the flags, the seed and i only.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a dataset folder in the reference's format.
    #[arg(long, group = "output")]
    output_dir: Option<PathBuf>,
    /// Puzzles of the test split of --output-dir.
    #[arg(long, default_value_t = 1000, requires = "output_dir")]
    test_count: u64,
    /// Replace the dataset at the output folder if there is one.
    #[arg(long, requires = "output_dir")]
    overwrite: bool,
    /// Write a CSV: source,question,answer,rating. The rating is the number of guesses (Sudoku) or the length of the
    /// shortest path (maze).
    #[arg(long, group = "output")]
    csv: Option<PathBuf>,
}

impl Destination {
    /// Writes the folder or the file, or prints each puzzle.
    fn write<P: NumberedPuzzles>(self, puzzles: P, print: impl Fn(&P::Puzzle) -> String) -> anyhow::Result<()> {
        match (self.output_dir, self.csv) {
            (Some(output_dir), _) => write_folder(&GeneratedBuild {
                puzzles,
                train_count: self.count,
                test_count: self.test_count,
                output_dir,
                overwrite: self.overwrite,
            }),
            (None, Some(path)) => {
                let bar = progress_bar("generating", Some(self.count), Unit::Items);
                generated::write_csv(&path, &puzzles, self.count, |done| {
                    if done.is_multiple_of(UPDATE_EVERY) {
                        bar.set_position(done);
                    }
                })?;
                bar.finish_and_clear();
                eprintln!("wrote {} ({} puzzles)", path.display(), self.count);
                Ok(())
            }
            (None, None) => print_each(&puzzles, self.count, print),
        }
    }
}

fn write_folder<P: NumberedPuzzles>(config: &GeneratedBuild<P>) -> anyhow::Result<()> {
    let total = config.train_count.saturating_add(config.test_count);
    let bar = progress_bar("generating", Some(total), Unit::Items);
    let mut written = 0;
    generated::build(config, |_, _| {
        written += 1;
        if u64::is_multiple_of(written, UPDATE_EVERY) {
            bar.set_position(written);
        }
    })?;
    bar.finish_and_clear();
    eprintln!("wrote {} ({} + {} puzzles)", config.output_dir.display(), config.train_count, config.test_count);
    Ok(())
}

/// Each chunk is visible as soon as it is drawn.
fn print_each<P: NumberedPuzzles>(puzzles: &P, count: u64, print: impl Fn(&P::Puzzle) -> String) -> anyhow::Result<()> {
    let failed = |cause| DatasetError::Io { action: "write to", path: "standard output".into(), cause };
    let mut out = BufWriter::new(io::stdout().lock());
    puzzles.for_each(0..count, |puzzle| out.write_all(print(&puzzle).as_bytes()).map_err(failed))?;
    out.flush().map_err(failed)?;
    Ok(())
}
