//! `datasets build`: published puzzle lists become dataset folders.
//! Owns the choice of task and the progress bar; leaves flags to one file per task and building to [`datasets::builder`].

mod arc;
mod maze;
mod sudoku;

use std::time::Duration;

use clap::Subcommand;
use datasets::builder::BuildProgress;
use datasets::builder::arc::ArcProgress;
use files::progress::{Unit, progress_bar};
use indicatif::ProgressBar;

use super::UPDATE_EVERY;

/// Time between two looks of a spinner.
const TICK: Duration = Duration::from_millis(200);

/// Datasets that can be built.
#[derive(Subcommand)]
pub(crate) enum Build {
    /// Sudoku-Extreme: byte for byte what the reference's builder makes after np.random.seed(SEED).
    Sudoku(sudoku::Sudoku),
    /// Maze-Hard, or mazes of any one size: byte for byte what the reference's builder makes after np.random.seed(SEED).
    Maze(maze::Maze),
    /// ARC-AGI: byte for byte what the reference's builder makes of the same tasks and seed.
    Arc(arc::Arc),
}

impl Build {
    /// Builds and says what was built.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut bars = Bars::default();
        let built = match self {
            Self::Sudoku(arguments) => arguments.run(|progress| bars.update(progress)),
            Self::Maze(arguments) => arguments.run(|progress| bars.update(progress)),
            Self::Arc(arguments) => arguments.run(|progress| bars.update_arc(progress)),
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
        let unit = if verb == "fetching" { Unit::Bytes } else { Unit::Items };
        if unit == Unit::Items && !done.is_multiple_of(UPDATE_EVERY) && total != Some(done) {
            return;
        }
        self.show(&format!("{verb} {}", split.name()), done, total, unit);
    }

    fn update_arc(&mut self, progress: ArcProgress) {
        match progress {
            ArcProgress::Augmenting(done, total) => {
                self.show("augmenting", done as u64, Some(total as u64), Unit::Items);
            }
            ArcProgress::Writing(split, done, total) => {
                self.show(&format!("writing {}", split.name()), done as u64, Some(total as u64), Unit::Items);
            }
            ArcProgress::Syncing(split) => self.show(&format!("syncing {}", split.name()), 0, None, Unit::Items),
        }
    }

    fn show(&mut self, label: &str, done: u64, total: Option<u64>, unit: Unit) {
        if self.current.as_ref().is_none_or(|(current, _)| *current != label) {
            self.finish();
            let bar = progress_bar(label, total, unit);
            // Where a stage has no steps to report, the clock turns the spinner.
            if total.is_none() && unit == Unit::Items {
                bar.enable_steady_tick(TICK);
            }
            self.current = Some((label.to_owned(), bar));
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
