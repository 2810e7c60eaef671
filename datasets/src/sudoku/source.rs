//! The endless training source: every example is drawn from the seed and its own number, nothing lies on disk.
//! Owns numbering, prefetching and batch assembly; leaves what a puzzle is to [`super::generator`].

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};

use super::SudokuRng;
use super::board::token_of;
use super::draw::Purpose;
use super::generator::{Puzzle, minimal_puzzle, reveal};
use super::{SudokuError, SudokuShape, Symmetry};
use crate::batch::{Batch, IGNORE_LABEL_ID, SourcePosition, TrainingSource};
use crate::error::DatasetError;
use crate::store::DatasetMetadata;

/// Examples that stand ready at most, drawn ahead by the background thread (about 0.3 kB each on 9×9 boards).
pub const PREFETCH_EXAMPLES: usize = 1_024;
/// Examples handed over at once; a wake-up per example would cost as much as the example.
const CHUNK_EXAMPLES: usize = 16;

const PAD_TOKEN: i32 = 0;
const BLANK_IDENTIFIER: i32 = 0;

/// What a [`GeneratedSource`] or a held-out set is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorOptions {
    /// Cells per side: 4, 6, 9 or 16.
    pub size: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Least and greatest number (inclusive) of blanks revealed on top of a minimal puzzle, drawn per example;
    /// a number beyond the blanks there are reveals them all.
    pub extra_clues: (usize, usize),
    /// Consecutive examples made from one minimal puzzle, each with its own symmetry and revealed clues.
    /// A higher number costs less and repeats puzzles (never visibly: a 9×9 puzzle has 1.2 · 10^12 arrangements).
    pub symmetries_per_puzzle: u64,
}

impl Default for GeneratorOptions {
    /// Minimal 9×9 puzzles, each seen once: several arrangements in a row make the batches of a small model alike, and
    /// drawing a puzzle (0.2 ms) costs little beside learning from it.
    fn default() -> Self {
        Self { size: 9, seed: 0, extra_clues: (0, 0), symmetries_per_puzzle: 1 }
    }
}

impl GeneratorOptions {
    /// Checks every option and gives the board shape.
    ///
    /// # Errors
    /// When the size is unsupported, the clue bounds are reversed or exceed the board, or no example per puzzle is
    /// asked for.
    pub fn validate(&self) -> Result<SudokuShape, SudokuError> {
        let shape = SudokuShape::from_size(self.size)?;
        let (least, greatest) = self.extra_clues;
        if least > greatest || greatest > shape.cells() {
            return Err(SudokuError::Option {
                name: "extra_clues",
                expected: format!("two numbers (least, greatest) with least <= greatest <= {}", shape.cells()),
                found: format!("({least}, {greatest})"),
            });
        }
        if self.symmetries_per_puzzle == 0 {
            return Err(SudokuError::Option {
                name: "symmetries_per_puzzle",
                expected: "1 or more".to_owned(),
                found: "0".to_owned(),
            });
        }
        Ok(shape)
    }

    /// The number of clues to reveal in one example.
    pub(super) fn draw_extra_clues(&self, rng: &mut SudokuRng) -> usize {
        let (least, greatest) = self.extra_clues;
        least + rng.below((greatest - least + 1) as u32) as usize
    }
}

/// An endless [`TrainingSource`] of freshly drawn puzzles, each labelled with its full solution.
///
/// Example `i` is a pure function of the options and `i`. Rank `r` of `w` draws the examples `r`, `r + w`, `r + 2w`, …
/// and a position counts the examples that this rank has consumed, so [`seek`](TrainingSource::seek) costs nothing.
/// Ranks consume at different rates, therefore each must save its own position.
///
/// Only rows with `wanted[row]` consume an example; the others hold pad tokens and ignored labels wherever they
/// stand in the batch, and `real_rows` is the number of rows. All puzzles share puzzle identifier 0.
///
/// A background thread keeps up to [`PREFETCH_EXAMPLES`] examples ready. It starts with the first batch and ends by
/// itself when the source is dropped or moved.
#[derive(Debug)]
pub struct GeneratedSource {
    options: GeneratorOptions,
    metadata: DatasetMetadata,
    rank: u64,
    world_size: u64,
    /// Examples consumed by this rank.
    consumed: u64,
    supply: Option<Supply>,
}

/// The receiving end of the background thread.
#[derive(Debug)]
struct Supply {
    chunks: Receiver<Result<Vec<Puzzle>, SudokuError>>,
    /// What is left of the current chunk, next example last.
    ready: Vec<Puzzle>,
}

impl GeneratedSource {
    /// A source at its first example.
    ///
    /// # Errors
    /// When the options are invalid or `rank` is not below `world_size`.
    pub fn new(options: GeneratorOptions, rank: usize, world_size: usize) -> Result<Self, SudokuError> {
        let shape = options.validate()?;
        if rank >= world_size {
            return Err(SudokuError::Option {
                name: "rank",
                expected: format!("a number below world_size {world_size}"),
                found: rank.to_string(),
            });
        }
        Ok(Self {
            options,
            metadata: metadata(shape),
            rank: rank as u64,
            world_size: world_size as u64,
            consumed: 0,
            supply: None,
        })
    }

    /// The options that the source was opened with.
    pub fn options(&self) -> &GeneratorOptions {
        &self.options
    }

    /// The next `count` examples, which are consumed only if all of them arrive.
    fn take(&mut self, count: usize) -> Result<Vec<Puzzle>, SudokuError> {
        let mut supply = match self.supply.take() {
            Some(supply) => supply,
            None => self.start()?,
        };
        let examples = (0..count as u64)
            .map(|offset| supply.next().unwrap_or_else(|| Err(self.stopped(offset))))
            .collect::<Result<Vec<_>, _>>()?;
        // Past a failure the supply stays dropped, so that another call starts again at `consumed`.
        self.supply = Some(supply);
        self.consumed += count as u64;
        Ok(examples)
    }

    fn start(&self) -> Result<Supply, SudokuError> {
        let (sender, chunks) = sync_channel(PREFETCH_EXAMPLES / CHUNK_EXAMPLES);
        let options = self.options.clone();
        let indices = Indices { next: self.consumed * self.world_size + self.rank, step: self.world_size };
        thread::Builder::new()
            .name("sudoku-generator".to_owned())
            .spawn(move || supply_chunks(options, indices, &sender))
            .map_err(|error| SudokuError::GeneratorThread { reason: error.to_string() })?;
        Ok(Supply { chunks, ready: Vec::new() })
    }

    fn stopped(&self, offset: u64) -> SudokuError {
        SudokuError::GeneratorStopped { example: (self.consumed + offset) * self.world_size + self.rank }
    }
}

impl TrainingSource for GeneratedSource {
    /// The facts of an endless source, counted so that one epoch is one example: `total_groups`, `total_puzzles` and
    /// `mean_puzzle_examples` are 1. Training for `n` examples is training for `n` epochs.
    fn metadata(&self) -> &DatasetMetadata {
        &self.metadata
    }

    fn next_batch(&mut self, wanted: &[bool]) -> Result<Batch, DatasetError> {
        let seq_len = self.metadata.seq_len;
        let examples = self.take(wanted.iter().filter(|&&row| row).count())?;
        let mut inputs = vec![PAD_TOKEN; wanted.len() * seq_len];
        let mut labels = vec![IGNORE_LABEL_ID; wanted.len() * seq_len];
        let rows = inputs.chunks_exact_mut(seq_len).zip(labels.chunks_exact_mut(seq_len));
        let wanted_rows = rows.zip(wanted).filter_map(|(row, &wanted)| wanted.then_some(row));
        for ((inputs, labels), example) in wanted_rows.zip(examples) {
            write_tokens(inputs, example.puzzle.cells());
            write_tokens(labels, example.solution.cells());
        }
        Ok(Batch {
            seq_len,
            inputs,
            labels,
            puzzle_identifiers: vec![BLANK_IDENTIFIER; wanted.len()],
            real_rows: wanted.len(),
        })
    }

    fn position(&self) -> SourcePosition {
        SourcePosition { iteration: 0, consumed: self.consumed }
    }

    fn seek(&mut self, position: &SourcePosition) -> Result<(), DatasetError> {
        // Half of the index range is left ahead of any position: no run gets through it.
        let last = u64::MAX / 2 / self.world_size;
        if position.iteration != 0 || position.consumed > last {
            return Err(DatasetError::Sudoku(SudokuError::Option {
                name: "position of the generated source",
                expected: format!("iteration 0 and at most {last} examples consumed"),
                found: format!("iteration {} and {} examples", position.iteration, position.consumed),
            }));
        }
        if position.consumed != self.consumed {
            self.supply = None;
            self.consumed = position.consumed;
        }
        Ok(())
    }
}

impl Iterator for Supply {
    type Item = Result<Puzzle, SudokuError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            match self.chunks.recv().ok()? {
                Ok(chunk) => self.ready = chunk,
                Err(error) => return Some(Err(error)),
            }
            self.ready.reverse();
        }
        self.ready.pop().map(Ok)
    }
}

/// Example numbers of one rank.
struct Indices {
    next: u64,
    step: u64,
}

/// The background thread: draws chunks until nobody wants them any more or one cannot be drawn.
fn supply_chunks(
    options: GeneratorOptions,
    mut indices: Indices,
    chunks: &SyncSender<Result<Vec<Puzzle>, SudokuError>>,
) {
    let mut examples = Examples { options, base: None };
    loop {
        let chunk = (0..CHUNK_EXAMPLES)
            .map(|_| {
                let index = indices.next;
                indices.next += indices.step;
                examples.draw(index)
            })
            .collect::<Result<Vec<_>, _>>();
        let failed = chunk.is_err();
        if chunks.send(chunk).is_err() || failed {
            return;
        }
    }
}

/// Draws examples by number and remembers the minimal puzzle that neighbours share.
struct Examples {
    options: GeneratorOptions,
    base: Option<(u64, Puzzle)>,
}

impl Examples {
    fn draw(&mut self, index: u64) -> Result<Puzzle, SudokuError> {
        let shape = SudokuShape::from_size(self.options.size)?;
        let number = index / self.options.symmetries_per_puzzle;
        let base = match self.base.take() {
            Some((known, base)) if known == number => base,
            _ => minimal_puzzle(shape, &mut Purpose::TrainingPuzzle.stream(self.options.seed, shape, number))?,
        };
        let mut rng = Purpose::TrainingExample.stream(self.options.seed, shape, index);
        let symmetry = Symmetry::random(shape, &mut rng);
        let mut example = Puzzle { puzzle: symmetry.apply(&base.puzzle)?, solution: symmetry.apply(&base.solution)? };
        let extra_clues = self.options.draw_extra_clues(&mut rng);
        example.puzzle = reveal(&example, extra_clues, &mut rng);
        self.base = Some((number, base));
        Ok(example)
    }
}

fn metadata(shape: SudokuShape) -> DatasetMetadata {
    DatasetMetadata {
        pad_id: PAD_TOKEN,
        ignore_label_id: Some(0),
        blank_identifier_id: BLANK_IDENTIFIER,
        vocab_size: shape.vocab_size(),
        seq_len: shape.cells(),
        num_puzzle_identifiers: 1,
        total_groups: 1,
        mean_puzzle_examples: 1.0,
        total_puzzles: 1,
        sets: vec!["all".to_owned()],
    }
}

fn write_tokens(tokens: &mut [i32], cells: &[u8]) {
    for (token, &value) in tokens.iter_mut().zip(cells) {
        *token = token_of(value);
    }
}
