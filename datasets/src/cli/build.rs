//! `datasets build`: published puzzle lists become dataset folders.
//! Owns the flags, named as the reference's; leaves building to [`datasets::builder`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datasets::builder::sudoku::{self, BuildProgress, DEFAULT_REPOSITORY, PuzzleListSource, SudokuBuild};
use indicatif::ProgressBar;

use super::{UPDATE_EVERY, progress_bar};

/// Datasets that can be built.
#[derive(Subcommand)]
pub(crate) enum Build {
    /// Sudoku-Extreme: byte for byte what the reference's builder makes after np.random.seed(SEED).
    Sudoku(Sudoku),
}

/// Flags of `datasets build sudoku`.
#[derive(Args)]
pub(crate) struct Sudoku {
    /// Folder that the dataset appears in, once it is complete.
    #[arg(long, default_value = "data/sudoku-extreme-full")]
    output_dir: PathBuf,
    /// Dataset repository on the Hugging Face hub that holds train.csv and test.csv.
    #[arg(long, default_value = DEFAULT_REPOSITORY)]
    source_repo: String,
    /// Local folder with train.csv and test.csv (source,question,answer,rating), instead of the hub.
    #[arg(long, conflicts_with = "source_repo")]
    source_dir: Option<PathBuf>,
    /// Number of training puzzles to draw at random [default: all].
    #[arg(long)]
    subsample_size: Option<usize>,
    /// Augmented copies of each training puzzle.
    #[arg(long, default_value_t = 0)]
    num_aug: usize,
    /// Lowest rating of the puzzles to take, in both splits [default: any].
    #[arg(long, allow_negative_numbers = true)]
    min_difficulty: Option<i64>,
    /// Seed of NumPy's generator for subsampling and augmentation. (The reference's builder never seeds it.)
    #[arg(long, default_value_t = sudoku::DEFAULT_SEED)]
    seed: u32,
    /// Replace the dataset at the output folder if there is one.
    #[arg(long)]
    overwrite: bool,
}

impl Build {
    /// Builds and says what was built.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self::Sudoku(arguments) = self;
        let config = SudokuBuild {
            source: match arguments.source_dir {
                Some(folder) => PuzzleListSource::Folder(folder),
                None => PuzzleListSource::Hub(arguments.source_repo),
            },
            output_dir: arguments.output_dir,
            subsample_size: arguments.subsample_size,
            num_aug: arguments.num_aug,
            min_difficulty: arguments.min_difficulty,
            seed: arguments.seed,
            overwrite: arguments.overwrite,
        };
        let mut bars = Bars::default();
        sudoku::build(&config, |progress| bars.update(progress))?;
        bars.finish();
        eprintln!("wrote {} (seed {})", config.output_dir.display(), config.seed);
        Ok(())
    }
}

/// The bar of the stage that the build is in.
#[derive(Default)]
struct Bars {
    current: Option<(String, ProgressBar)>,
}

impl Bars {
    fn update(&mut self, progress: BuildProgress) {
        let (verb, split, done, total) = match progress {
            BuildProgress::Fetching(split, done, total) => ("fetching", split, done, total),
            BuildProgress::Reading(split, done) => ("reading", split, done as u64, None),
            BuildProgress::Writing(split, done, total) => ("writing", split, done as u64, Some(total as u64)),
        };
        let is_fetching = verb == "fetching";
        if !is_fetching && !done.is_multiple_of(UPDATE_EVERY) && total != Some(done) {
            return;
        }
        let label = format!("{verb} {}", split.name());
        if self.current.as_ref().is_none_or(|(current, _)| *current != label) {
            self.finish();
            let bar = progress_bar(&label, total, is_fetching);
            self.current = Some((label, bar));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(done);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}
