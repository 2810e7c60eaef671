//! `datasets build maze`: flags of the Maze-Hard builder.
//! Owns names and defaults; leaves building to [`datasets::builder::maze`].

use std::path::PathBuf;

use clap::Args;
use datasets::DatasetError;
use datasets::builder::maze::{self, DEFAULT_REPOSITORY, MazeBuild};
use datasets::builder::{BuildProgress, PuzzleListSource};

/// Flags of `datasets build maze`.
#[derive(Args)]
pub(crate) struct Maze {
    /// Folder that the dataset appears in, once it is complete.
    #[arg(long, default_value = "data/maze-30x30-hard-1k")]
    output_dir: PathBuf,
    /// Dataset repository on the Hugging Face hub that holds train.csv and test.csv, or its short name.
    #[arg(long, default_value = DEFAULT_REPOSITORY)]
    source_repo: String,
    /// Local folder with train.csv and test.csv (source,question,answer,rating), instead of the hub.
    #[arg(long, conflicts_with = "source_repo")]
    source_dir: Option<PathBuf>,
    /// Number of training mazes to draw at random [default: all].
    #[arg(long)]
    subsample_size: Option<usize>,
    /// Add the seven turned and reflected copies of each training maze.
    #[arg(long)]
    aug: bool,
    /// Seed of NumPy's generator for subsampling. (The reference's builder never seeds it.)
    #[arg(long, default_value_t = maze::DEFAULT_SEED)]
    seed: u32,
    /// Replace the dataset at the output folder if there is one.
    #[arg(long)]
    overwrite: bool,
}

impl Maze {
    /// Builds and says what was built.
    pub(super) fn run(self, progress: impl FnMut(BuildProgress)) -> Result<String, DatasetError> {
        let config = MazeBuild {
            source: match self.source_dir {
                Some(folder) => PuzzleListSource::Folder(folder),
                None => PuzzleListSource::Hub(self.source_repo),
            },
            output_dir: self.output_dir,
            subsample_size: self.subsample_size,
            aug: self.aug,
            seed: self.seed,
            overwrite: self.overwrite,
        };
        maze::build(&config, progress)?;
        Ok(format!("wrote {} (seed {})", config.output_dir.display(), config.seed))
    }
}
