//! `datasets build`: published puzzle lists become dataset folders.
//! Owns the choice of task and the progress bar; leaves flags to one file per task and building to [`datasets::builder`].

mod maze;
mod sudoku;

use clap::Subcommand;
use datasets::builder::BuildProgress;
use indicatif::ProgressBar;

use super::{UPDATE_EVERY, progress_bar};

/// Datasets that can be built.
#[derive(Subcommand)]
pub(crate) enum Build {
    /// Sudoku-Extreme: byte for byte what the reference's builder makes after np.random.seed(SEED).
    Sudoku(sudoku::Sudoku),
    /// Maze-Hard, or mazes of any one size: byte for byte what the reference's builder makes after np.random.seed(SEED).
    Maze(maze::Maze),
}

impl Build {
    /// Builds and says what was built.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut bars = Bars::default();
        let progress = |progress| bars.update(progress);
        let built = match self {
            Self::Sudoku(arguments) => arguments.run(progress),
            Self::Maze(arguments) => arguments.run(progress),
        }?;
        bars.finish();
        eprintln!("{built}");
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
