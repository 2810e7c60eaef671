//! `datasets build sudoku`: flags of the Sudoku-Extreme builder.
//! Owns names and defaults; leaves building to [`datasets::builder::sudoku`].

use std::path::PathBuf;

use clap::Args;
use datasets::DatasetError;
use datasets::builder::sudoku::{self, DEFAULT_REPOSITORY, SudokuBuild};
use datasets::builder::{BuildProgress, PuzzleListSource};
use datasets::sudoku::SudokuShape;

/// Flags of `datasets build sudoku`.
#[derive(Args)]
pub(crate) struct Sudoku {
    /// Folder that the dataset appears in, once it is complete.
    #[arg(long, default_value = "data/sudoku-extreme-full")]
    output_dir: PathBuf,
    /// Dataset repository on the Hugging Face hub that holds train.csv and test.csv, or its short name.
    #[arg(long, default_value = DEFAULT_REPOSITORY)]
    source_repo: String,
    /// Local folder with train.csv and test.csv (source,question,answer,rating), instead of the hub.
    #[arg(long, conflicts_with = "source_repo")]
    source_dir: Option<PathBuf>,
    /// Side length of the lists' boards: 4, 6, 9 or 16.
    #[arg(long, default_value_t = 9)]
    size: usize,
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

impl Sudoku {
    /// Builds and says what was built.
    pub(super) fn run(self, progress: impl FnMut(BuildProgress)) -> Result<String, DatasetError> {
        let config = SudokuBuild {
            source: match self.source_dir {
                Some(folder) => PuzzleListSource::Folder(folder),
                None => PuzzleListSource::Hub(self.source_repo),
            },
            shape: SudokuShape::from_size(self.size)?,
            output_dir: self.output_dir,
            subsample_size: self.subsample_size,
            num_aug: self.num_aug,
            min_difficulty: self.min_difficulty,
            seed: self.seed,
            overwrite: self.overwrite,
        };
        sudoku::build(&config, progress)?;
        Ok(format!("wrote {} (seed {})", config.output_dir.display(), config.seed))
    }
}
