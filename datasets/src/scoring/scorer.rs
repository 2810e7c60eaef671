//! One scorer for every task: which one a dataset needs, and whole passes read from their files.
//! Owns that choice; leaves counting to the tasks' own scorers.

use std::path::Path;

use super::predictions::{PredictionPass, PredictionRows, PredictionSource};
use super::{ArcScorer, BoardScorer, ReportOptions, ScoreReport};
use crate::store::{DatasetMetadata, Split};
use crate::{DatasetError, Task};

/// A dataset's votes.
#[derive(Debug)]
pub enum Scorer {
    /// ARC: votes per test pair.
    Arc(Box<ArcScorer>),
    /// Sudoku and maze: votes per puzzle.
    Board(Box<BoardScorer>),
}

impl Scorer {
    /// Opens the test split of a dataset folder; its shape tells the task.
    ///
    /// # Errors
    /// When a file is missing or malformed, or the shape is of no known task.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let path = folder.join(Split::Test.name()).join("dataset.json");
        let metadata = DatasetMetadata::read(&path)?;
        match Task::infer(metadata.vocab_size, metadata.seq_len) {
            Some(Task::Arc) => Ok(Self::Arc(Box::new(ArcScorer::open(folder)?))),
            Some(_) => Ok(Self::Board(Box::new(BoardScorer::open(folder)?))),
            None => {
                let found = format!("vocab_size {}, seq_len {}", metadata.vocab_size, metadata.seq_len);
                Err(DatasetError::format(&path, "the shape of a Sudoku, a maze or ARC", found))
            }
        }
    }

    /// The dataset's shape, which its predictions must have.
    pub fn metadata(&self) -> &DatasetMetadata {
        match self {
            Self::Arc(scorer) => scorer.metadata(),
            Self::Board(scorer) => scorer.metadata(),
        }
    }

    /// Whether a puzzle may be answered more often in one pass than the dataset and the file's number of copies say.
    pub fn allow_duplicates(&mut self, allow: bool) {
        match self {
            Self::Arc(scorer) => scorer.allow_duplicates(allow),
            Self::Board(scorer) => scorer.allow_duplicates(allow),
        }
    }

    /// Begins another pass over the test set; votes stay.
    pub fn begin_pass(&mut self) {
        match self {
            Self::Arc(scorer) => scorer.begin_pass(),
            Self::Board(scorer) => scorer.begin_pass(),
        }
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        match self {
            Self::Arc(scorer) => scorer.clear(),
            Self::Board(scorer) => scorer.clear(),
        }
    }

    /// Counts predictions, in the order of the rows.
    ///
    /// # Errors
    /// When a puzzle is answered more often in this pass than the source announces.
    pub fn add(&mut self, rows: &PredictionRows, source: &PredictionSource) -> Result<(), DatasetError> {
        match self {
            Self::Arc(scorer) => scorer.add(rows, source),
            Self::Board(scorer) => scorer.add(rows, source),
        }
    }

    /// Counts a whole pass, a chunk of rows at a time; `progress` receives the rows of each.
    ///
    /// # Errors
    /// When a file is unusable; votes of the rows before it have been counted.
    pub fn add_pass(&mut self, pass: &PredictionPass, mut progress: impl FnMut(usize)) -> Result<(), DatasetError> {
        self.begin_pass();
        let metadata = self.metadata().clone();
        for (_, file) in pass.open(&metadata) {
            let file = file?;
            let source = file.source().clone();
            for rows in file {
                let rows = rows?;
                self.add(&rows, &source)?;
                progress(rows.len());
            }
        }
        Ok(())
    }

    /// What the votes so far give; `predictions` names them.
    ///
    /// # Errors
    /// When no row answers a puzzle of the dataset.
    pub fn report(&self, predictions: &[String], options: &ReportOptions) -> Result<ScoreReport, DatasetError> {
        match self {
            Self::Arc(scorer) => scorer.report(predictions, &options.pass_ks),
            Self::Board(scorer) => scorer.report(predictions, options),
        }
    }
}
