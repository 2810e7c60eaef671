//! `datasets generate`: new puzzles with unique solutions.
//! Owns the flags and the three kinds of output; leaves drawing to [`datasets::builder::generated`].

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use datasets::DatasetError;
use datasets::builder::generated::{self, GeneratedBuild, GeneratedPuzzles};
use datasets::sudoku::{PuzzleRequest, SudokuShape};

use super::{UPDATE_EVERY, progress_bar};

/// Puzzles that can be generated.
#[derive(Subcommand)]
pub(crate) enum Generate {
    /// Sudoku puzzles, minimal unless --givens or --extra-clues says otherwise.
    Sudoku(Sudoku),
}

/// Flags of `datasets generate sudoku`.
#[derive(Args)]
pub(crate) struct Sudoku {
    /// Cells per side: 4, 6, 9 or 16.
    #[arg(long, default_value_t = 9)]
    size: usize,
    /// Number of puzzles (of the training split with --output-dir).
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Least difficulty: guesses that a solver with naked and hidden singles needs (before --extra-clues are given).
    #[arg(long, default_value_t = 0)]
    min_guesses: u32,
    /// Exact number of givens [default: as few as the minimal puzzle has].
    #[arg(long, conflicts_with = "extra_clues")]
    givens: Option<usize>,
    /// Blanks of the minimal puzzle to reveal.
    #[arg(long, default_value_t = 0)]
    extra_clues: usize,
    /// Seed; puzzle number i depends on the flags, the seed and i only.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Minimal puzzles to draw for each puzzle before giving up.
    #[arg(long, default_value_t = PuzzleRequest::minimal(SudokuShape::NINE).max_attempts)]
    max_attempts: u32,
    /// Write a dataset folder in the reference's format.
    #[arg(long, group = "output")]
    output_dir: Option<PathBuf>,
    /// Puzzles of the test split of --output-dir.
    #[arg(long, default_value_t = 1000, requires = "output_dir")]
    test_count: u64,
    /// Replace the dataset at the output folder if there is one.
    #[arg(long, requires = "output_dir")]
    overwrite: bool,
    /// Write a CSV: source,question,answer,rating, where the rating is the number of guesses.
    #[arg(long, group = "output")]
    csv: Option<PathBuf>,
}

impl Generate {
    /// Generates to the folder, the file or standard output.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self::Sudoku(arguments) = self;
        let puzzles = GeneratedPuzzles {
            request: PuzzleRequest {
                givens: arguments.givens,
                min_guesses: arguments.min_guesses,
                max_attempts: arguments.max_attempts,
                ..PuzzleRequest::minimal(SudokuShape::from_size(arguments.size)?)
            },
            extra_clues: arguments.extra_clues,
            seed: arguments.seed,
        };
        match (arguments.output_dir, arguments.csv) {
            (Some(output_dir), _) => write_folder(&GeneratedBuild {
                puzzles,
                train_count: arguments.count,
                test_count: arguments.test_count,
                output_dir,
                overwrite: arguments.overwrite,
            }),
            (None, Some(path)) => {
                let bar = progress_bar("generating", Some(arguments.count), false);
                generated::write_csv(&path, &puzzles, arguments.count, |done| {
                    if done.is_multiple_of(UPDATE_EVERY) {
                        bar.set_position(done);
                    }
                })?;
                bar.finish_and_clear();
                eprintln!("wrote {} ({} puzzles)", path.display(), arguments.count);
                Ok(())
            }
            (None, None) => print_lines(&puzzles, arguments.count),
        }
    }
}

fn write_folder(config: &GeneratedBuild) -> anyhow::Result<()> {
    let total = config.train_count.saturating_add(config.test_count);
    let bar = progress_bar("generating", Some(total), false);
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

/// A puzzle a line, as the Sudoku community exchanges them; each chunk is visible as soon as it is drawn.
fn print_lines(puzzles: &GeneratedPuzzles, count: u64) -> anyhow::Result<()> {
    let failed = |cause| DatasetError::Io { action: "write to", path: "standard output".into(), cause };
    let mut out = BufWriter::new(io::stdout().lock());
    puzzles.for_each(0..count, |puzzle| writeln!(out, "{}", puzzle.puzzle).map_err(failed))?;
    out.flush().map_err(failed)?;
    Ok(())
}
