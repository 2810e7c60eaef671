//! Scores of Sudoku and maze predictions: each for itself, and voted over symmetric copies and passes.
//! Owns votes by whole board; leaves rules to the tasks, votes by cell to [`super::cells`] and reports to
//! [`super::board_report`].

use std::path::Path;

use indexmap::IndexMap;

use super::ballot::{Ballot, halting_probability};
use super::packed::Packed;
use super::predictions::{PredictionRows, PredictionSource};
use super::report::Criterion;
use crate::store::{DatasetMetadata, DatasetSplit, Split};
use crate::sudoku::Board;
use crate::{Batch, DatasetError, IGNORE_LABEL_ID, Task, maze};

/// Label of a cell that does not count; the pad token, which no label holds.
const UNLABELLED: u8 = 0;

/// What one answer is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoardVerdict {
    /// Every labelled cell equals the label.
    pub exact: bool,
    /// The answer obeys the rules and keeps the givens.
    pub valid: bool,
    /// Mazes: valid, and no path is shorter.
    pub shortest: bool,
}

impl BoardVerdict {
    pub(super) fn meets(self, criterion: Criterion) -> bool {
        match criterion {
            Criterion::Valid => self.valid,
            Criterion::Shortest => self.shortest,
            _ => self.exact,
        }
    }
}

/// Votes on the puzzles of a Sudoku or maze test set.
#[derive(Debug)]
pub struct BoardScorer {
    metadata: DatasetMetadata,
    pub(super) task: Task,
    pub(super) seq_len: usize,
    pub(super) vocab_size: usize,
    pub(super) puzzles: IndexMap<Packed, Puzzle>,
    pub(super) sums: RowSums,
    allow_duplicates: bool,
}

#[derive(Debug)]
pub(super) struct Puzzle {
    label: Packed,
    /// How often the dataset holds the puzzle.
    copies: u32,
    rows_in_pass: u64,
    pub(super) ballot: Ballot<Packed>,
    /// Of each candidate, in the ballot's order.
    pub(super) verdicts: Vec<BoardVerdict>,
}

/// Sums over predictions, each for itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowSums {
    pub(super) rows: u64,
    pub(super) padding_rows: u64,
    pub(super) unmatched_rows: u64,
    pub(super) exact: u64,
    pub(super) valid: u64,
    pub(super) shortest: u64,
    pub(super) token: f64,
    pub(super) q_halt: u64,
}

impl BoardScorer {
    /// A scorer for puzzles of a task, which are added afterwards.
    ///
    /// # Errors
    /// When the task is ARC.
    pub fn new(task: Task) -> Result<Self, DatasetError> {
        let (vocab_size, seq_len) = task.dims();
        Self::with_metadata(DatasetMetadata {
            pad_id: 0,
            ignore_label_id: Some(0),
            blank_identifier_id: 0,
            vocab_size,
            seq_len,
            num_puzzle_identifiers: 1,
            total_groups: 0,
            mean_puzzle_examples: 1.0,
            total_puzzles: 0,
            sets: Vec::new(),
        })
    }

    /// A scorer for the test split of a dataset folder.
    ///
    /// # Errors
    /// When the folder is unreadable, of another task, or holds one puzzle with two answers.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let split = DatasetSplit::open(folder, Split::Test)?;
        let mut scorer = Self::with_metadata(split.metadata().clone())?;
        let (mut input, mut label) = (Vec::new(), Vec::new());
        for set in split.sets() {
            scorer.puzzles.reserve(set.examples());
            for example in 0..set.examples() {
                input.clear();
                label.clear();
                set.append_input(example, &mut input)?;
                set.append_label(example, &mut label)?;
                if !scorer.add_puzzle(&input, &label) {
                    let found = format!("another one in example {example} of set {:?}", set.name());
                    return Err(DatasetError::format(folder, "one answer per puzzle", found));
                }
            }
        }
        Ok(scorer)
    }

    fn with_metadata(metadata: DatasetMetadata) -> Result<Self, DatasetError> {
        let task = Task::infer(metadata.vocab_size, metadata.seq_len).filter(|task| *task != Task::Arc);
        let Some(task) = task else {
            let found = format!("vocab_size {} and seq_len {}", metadata.vocab_size, metadata.seq_len);
            return Err(DatasetError::argument("task", "the shape of a Sudoku or a maze", found));
        };
        Ok(Self {
            task,
            seq_len: metadata.seq_len,
            vocab_size: metadata.vocab_size,
            metadata,
            puzzles: IndexMap::new(),
            sums: RowSums::default(),
            allow_duplicates: false,
        })
    }

    /// The dataset's shape, which its predictions must have.
    pub fn metadata(&self) -> &DatasetMetadata {
        &self.metadata
    }

    /// Adds a puzzle of `[seq_len]` tokens with its label, in which [`IGNORE_LABEL_ID`] stands for cells that don't
    /// count. A puzzle that is there already only counts once more; `false` if its label is another one, which is not
    /// added.
    ///
    /// # Panics
    /// When a token is not below the vocabulary's size.
    pub fn add_puzzle(&mut self, input: &[i32], label: &[i32]) -> bool {
        let token = |&token: &i32| u8::try_from(token).expect("tokens are below vocab_size");
        let label_token = |label: &i32| if *label == IGNORE_LABEL_ID { UNLABELLED } else { token(label) };
        let input = Packed::new(&input.iter().map(token).collect::<Vec<u8>>(), self.vocab_size);
        let label = Packed::new(&label.iter().map(label_token).collect::<Vec<u8>>(), self.vocab_size);
        let puzzle = self.puzzles.entry(input).or_insert_with(|| Puzzle {
            label: label.clone(),
            copies: 0,
            rows_in_pass: 0,
            ballot: Ballot::default(),
            verdicts: Vec::new(),
        });
        puzzle.copies += 1;
        puzzle.label == label
    }

    /// Adds the puzzles of a batch; those that are there stay as they are.
    ///
    /// # Panics
    /// As [`add_puzzle`](Self::add_puzzle).
    pub fn add_batch(&mut self, batch: &Batch) {
        for row in 0..batch.real_rows {
            let cells = row * batch.seq_len..(row + 1) * batch.seq_len;
            self.add_puzzle(&batch.inputs[cells.clone()], &batch.labels[cells]);
        }
    }

    /// Whether a puzzle may be answered more often in one pass than the dataset holds it.
    pub fn allow_duplicates(&mut self, allow: bool) {
        self.allow_duplicates = allow;
    }

    /// Begins another pass over the test set; votes stay.
    pub fn begin_pass(&mut self) {
        for puzzle in self.puzzles.values_mut() {
            puzzle.rows_in_pass = 0;
        }
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        self.sums = RowSums::default();
        for puzzle in self.puzzles.values_mut() {
            puzzle.rows_in_pass = 0;
            puzzle.ballot = Ballot::default();
            puzzle.verdicts = Vec::new();
        }
    }

    /// Counts predictions, whose symmetric copies (if any) have been undone: their inputs are the dataset's.
    ///
    /// # Errors
    /// When a puzzle is answered more often in this pass than the source announces.
    pub fn add(&mut self, rows: &PredictionRows, source: &PredictionSource) -> Result<(), DatasetError> {
        for row in 0..rows.len() {
            let (input, pred) = (rows.input(row), rows.pred(row));
            if input.iter().all(|&token| token == 0) {
                self.sums.padding_rows += 1;
                continue;
            }
            let Some(puzzle) = self.puzzles.get_mut(&Packed::new(input, self.vocab_size)) else {
                self.sums.unmatched_rows += 1;
                continue;
            };
            let most = u64::from(puzzle.copies) * source.augmentations as u64;
            if puzzle.rows_in_pass == most && !self.allow_duplicates {
                let expected = format!("at most {most} rows per puzzle; if this is meant, --allow-duplicate-rows");
                let found = format!("more, the next one in row {}", rows.first_row + row);
                return Err(DatasetError::format(&source.path, expected, found));
            }
            puzzle.rows_in_pass += 1;
            let logit = rows.q_halt_logits[row];
            let candidate = Packed::new(pred, self.vocab_size);
            let (index, is_new) = puzzle.ballot.vote(candidate, halting_probability(logit));
            let label = puzzle.label.unpack(self.seq_len, self.vocab_size);
            if is_new {
                puzzle.verdicts.push(judge(self.task, input, &label, pred));
            }
            self.sums.add(puzzle.verdicts[index], token_accuracy(&label, pred), logit);
        }
        Ok(())
    }

    /// The verdict on a board of this puzzle that need not be one of the candidates.
    pub(super) fn judge(&self, input: &Packed, puzzle: &Puzzle, board: &[u8]) -> BoardVerdict {
        let unpack = |packed: &Packed| packed.unpack(self.seq_len, self.vocab_size);
        judge(self.task, &unpack(input), &unpack(&puzzle.label), board)
    }
}

impl RowSums {
    fn add(&mut self, verdict: BoardVerdict, token_accuracy: f64, logit: f64) {
        self.rows += 1;
        self.exact += u64::from(verdict.exact);
        self.valid += u64::from(verdict.valid);
        self.shortest += u64::from(verdict.shortest);
        self.token += token_accuracy;
        // As the reference counts it: a logit of 0 says "halt".
        self.q_halt += u64::from((logit >= 0.0) == verdict.exact);
    }
}

fn judge(task: Task, input: &[u8], label: &[u8], pred: &[u8]) -> BoardVerdict {
    let exact = label.iter().zip(pred).all(|(&label, &pred)| label == UNLABELLED || label == pred);
    match task {
        Task::Sudoku(_) => {
            let board = |tokens: &[u8]| Board::from_tokens(&widened(tokens)).ok();
            let valid = board(pred).zip(board(input)).is_some_and(|(answer, givens)| answer.is_solution_of(&givens));
            BoardVerdict { exact, valid, shortest: false }
        }
        Task::Maze(_) => {
            let rules = maze::score(&widened(input), &widened(label), &widened(pred)).unwrap_or_default();
            BoardVerdict { exact, valid: rules.valid, shortest: rules.shortest }
        }
        Task::Arc => BoardVerdict { exact, ..BoardVerdict::default() },
    }
}

/// Share of labelled tokens that are right.
fn token_accuracy(label: &[u8], pred: &[u8]) -> f64 {
    let labelled = label.iter().zip(pred).filter(|&(&label, _)| label != UNLABELLED);
    let (right, all) =
        labelled.fold((0_u32, 0_u32), |(right, all), (label, pred)| (right + u32::from(label == pred), all + 1));
    f64::from(right) / f64::from(all.max(1))
}

pub(super) fn widened(tokens: &[u8]) -> Vec<i32> {
    tokens.iter().copied().map(i32::from).collect()
}
