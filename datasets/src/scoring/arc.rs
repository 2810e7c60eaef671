//! Votes on the test pairs of an ARC dataset.
//! Owns which row votes for which pair; leaves a pair's votes to [`super::grid_ballot`] and figures to
//! [`super::arc_report`].

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use super::ballot::VoteRule;
use super::grid_ballot::{GridBallot, RankedGrid, original};
use super::packed::PackedGrid;
use super::predictions::{PredictionRows, PredictionSource};
use crate::arc::{Augmentation, SEQ_LEN, VOCAB_SIZE, for_each_name, inverse_aug, read_test_tasks};
use crate::store::{DatasetMetadata, Split};
use crate::{DatasetError, Task};

/// Votes on all test pairs of an ARC dataset. Only the votes are kept, never rows.
#[derive(Debug)]
pub struct ArcScorer {
    metadata: DatasetMetadata,
    pub(super) tasks: Vec<ArcTask>,
    pub(super) inputs: Vec<TestInput>,
    /// Index into `inputs` of a task's test input.
    input_index: HashMap<(u32, PackedGrid), u32>,
    /// By puzzle identifier: the task and what was done to it; `None` for puzzles without test pairs.
    names: Vec<Option<(u32, Augmentation)>>,
    pub(super) sums: ArcSums,
    /// Rows of the current pass by (identifier, input).
    rows_in_pass: HashMap<(u32, u32), u32>,
    allow_duplicates: bool,
}

/// A task with test pairs.
#[derive(Debug)]
pub(super) struct ArcTask {
    pub(super) name: String,
    pub(super) pairs: Vec<ArcPair>,
}

#[derive(Debug)]
pub(super) struct ArcPair {
    /// Index into [`ArcScorer::inputs`].
    pub(super) input: u32,
    pub(super) label: PackedGrid,
}

/// A test input; pairs of one task that have the same input share its votes, as in the reference.
#[derive(Debug)]
pub(super) struct TestInput {
    pub(super) ballot: GridBallot,
    labels: Vec<PackedGrid>,
}

/// Sums over rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ArcSums {
    pub(super) rows: u64,
    pub(super) padding_rows: u64,
    pub(super) unmatched_rows: u64,
    pub(super) exact: u64,
}

/// What a row turns out to be.
enum Row {
    Padding,
    Unmatched,
    Vote { input: u32, candidate: PackedGrid },
}

impl ArcScorer {
    /// Opens a dataset folder: `test/dataset.json`, `identifiers.json` and `test_puzzles.json`.
    ///
    /// # Errors
    /// When a file is missing or malformed, or the dataset is not ARC.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let metadata_path = folder.join(Split::Test.name()).join("dataset.json");
        let metadata = DatasetMetadata::read(&metadata_path)?;
        if Task::infer(metadata.vocab_size, metadata.seq_len) != Some(Task::Arc) {
            let expected = format!("an ARC dataset (vocab_size {VOCAB_SIZE}, seq_len {SEQ_LEN})");
            let found = format!("vocab_size {}, seq_len {}", metadata.vocab_size, metadata.seq_len);
            return Err(DatasetError::format(&metadata_path, expected, found));
        }
        let Puzzles { tasks, inputs, input_index } = read_test_puzzles(folder)?;
        let task_index = tasks.iter().enumerate().map(|(index, task)| (task.name.as_str(), index as u32)).collect();
        let names = read_names(folder, metadata.num_puzzle_identifiers, &task_index)?;
        Ok(Self {
            metadata,
            tasks,
            inputs,
            input_index,
            names,
            sums: ArcSums::default(),
            rows_in_pass: HashMap::new(),
            allow_duplicates: false,
        })
    }

    /// The dataset's shape, which its predictions must have.
    pub fn metadata(&self) -> &DatasetMetadata {
        &self.metadata
    }

    /// Whether a puzzle may be answered more often in one pass than the dataset holds it.
    pub fn allow_duplicates(&mut self, allow: bool) {
        self.allow_duplicates = allow;
    }

    /// Begins another pass over the test set; votes stay.
    pub fn begin_pass(&mut self) {
        self.rows_in_pass.clear();
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        self.sums = ArcSums::default();
        self.rows_in_pass.clear();
        for input in &mut self.inputs {
            input.ballot = GridBallot::default();
        }
    }

    /// Counts predictions, in the order of the rows.
    ///
    /// # Errors
    /// When a puzzle's test input is answered more often in this pass than the dataset holds it.
    ///
    /// # Panics
    /// When an identifier is not below `num_puzzle_identifiers` or a row is not a canvas.
    pub fn add(&mut self, rows: &PredictionRows, source: &PredictionSource) -> Result<(), DatasetError> {
        let votes: Vec<Row> = (0..rows.len()).into_par_iter().map(|row| self.read(rows, row)).collect();
        for (row, vote) in votes.into_iter().enumerate() {
            match vote {
                Row::Padding => self.sums.padding_rows += 1,
                Row::Unmatched => self.sums.unmatched_rows += 1,
                Row::Vote { input, candidate } => {
                    self.count_row(rows, row, input, source)?;
                    let votes = &mut self.inputs[input as usize];
                    self.sums.rows += 1;
                    self.sums.exact += u64::from(votes.labels.contains(&candidate));
                    // The logit of this very row: the reference takes it from another one when padding comes first.
                    votes.ballot.vote_packed(candidate, rows.q_halt_logits[row]);
                }
            }
        }
        Ok(())
    }

    /// Names of the tasks with their numbers of test pairs, in the dataset's order.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tasks.iter().map(|task| (task.name.as_str(), task.pairs.len()))
    }

    /// The candidates of a test pair, best first; empty without predictions, `None` for an unknown pair.
    pub fn ranking(&self, task: &str, pair: usize, rule: VoteRule) -> Option<Vec<RankedGrid>> {
        let task = self.tasks.iter().find(|known| known.name == task)?;
        Some(self.ranked(task.pairs.get(pair)?, rule, usize::MAX))
    }

    /// The best `most` candidates of a pair.
    pub(super) fn ranked(&self, pair: &ArcPair, rule: VoteRule, most: usize) -> Vec<RankedGrid> {
        self.inputs[pair.input as usize].ballot.ranked(rule, most)
    }

    /// Finds out what a row says about which pair.
    fn read(&self, rows: &PredictionRows, row: usize) -> Row {
        let identifier = rows.puzzle_identifiers[row];
        if i64::from(identifier) == i64::from(self.metadata.blank_identifier_id) {
            return Row::Padding;
        }
        let Some((task, augmentation)) = self.names[identifier as usize] else {
            return Row::Unmatched;
        };
        match self.input_index.get(&(task, original(augmentation, rows.input(row)))) {
            Some(&input) => Row::Vote { input, candidate: original(augmentation, rows.pred(row)) },
            None => Row::Unmatched,
        }
    }

    fn count_row(
        &mut self,
        rows: &PredictionRows,
        row: usize,
        input: u32,
        source: &PredictionSource,
    ) -> Result<(), DatasetError> {
        let identifier = rows.puzzle_identifiers[row];
        let most = self.inputs[input as usize].labels.len() * source.augmentations;
        let count = self.rows_in_pass.entry((identifier, input)).or_default();
        *count += 1;
        if *count as usize <= most || self.allow_duplicates {
            return Ok(());
        }
        let expected = format!(
            "at most {most} rows per pass for one test input of puzzle {identifier}; if this is meant, \
             --allow-duplicate-rows"
        );
        Err(DatasetError::format(&source.path, expected, format!("another one in row {}", rows.first_row + row)))
    }
}

impl TestInput {
    pub(super) fn new() -> Self {
        Self { ballot: GridBallot::default(), labels: Vec::new() }
    }

    pub(super) fn add_label(&mut self, label: PackedGrid) {
        self.labels.push(label);
    }
}

/// What `test_puzzles.json` holds.
struct Puzzles {
    tasks: Vec<ArcTask>,
    inputs: Vec<TestInput>,
    input_index: HashMap<(u32, PackedGrid), u32>,
}

/// Reads the test pairs of all tasks, in the file's order.
fn read_test_puzzles(folder: &Path) -> Result<Puzzles, DatasetError> {
    let mut puzzles = Puzzles { tasks: Vec::new(), inputs: Vec::new(), input_index: HashMap::new() };
    for task in read_test_tasks(folder)? {
        let index = puzzles.tasks.len() as u32;
        let mut pairs = Vec::with_capacity(task.test.len());
        for pair in &task.test {
            let label = PackedGrid::new(&pair.output);
            let next = puzzles.inputs.len() as u32;
            let input = *puzzles.input_index.entry((index, PackedGrid::new(&pair.input))).or_insert(next);
            if input == next {
                puzzles.inputs.push(TestInput::new());
            }
            puzzles.inputs[input as usize].add_label(label.clone());
            pairs.push(ArcPair { input, label });
        }
        puzzles.tasks.push(ArcTask { name: task.id, pairs });
    }
    Ok(puzzles)
}

/// Reads what the name of each identifier says, for tasks that have test pairs.
fn read_names(
    folder: &Path,
    num_puzzle_identifiers: usize,
    task_index: &HashMap<&str, u32>,
) -> Result<Vec<Option<(u32, Augmentation)>>, DatasetError> {
    let mut names = Vec::with_capacity(num_puzzle_identifiers);
    for_each_name(folder, num_puzzle_identifiers, |name| {
        let (task, augmentation) = inverse_aug(name)?;
        names.push(task_index.get(task).map(|&task| (task, augmentation)));
        Ok(())
    })?;
    Ok(names)
}
