//! The endless training source: every example is drawn from the seed and its own number, nothing lies on disk.
//! Owns numbering, prefetching and batch assembly; leaves what an example is to the task that draws it.

use std::fmt::Debug;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::DatasetError;
use crate::batch::{Batch, IGNORE_LABEL_ID, SourcePosition, TrainingSource};
use crate::store::DatasetMetadata;

/// Examples that stand ready at most, drawn ahead by the background thread (about 0.2 kB each on 9×9 boards, 2 kB on
/// 30×30 mazes).
pub const PREFETCH_EXAMPLES: usize = 1_024;
/// Examples handed over at once; a wake-up per example would cost as much as the example.
const CHUNK_EXAMPLES: usize = 16;

const PAD_TOKEN: i32 = 0;
const BLANK_IDENTIFIER: i32 = 0;

/// A drawn example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnExample {
    /// `[seq_len]` input tokens.
    pub inputs: Vec<u8>,
    /// `[seq_len]` label tokens.
    pub labels: Vec<u8>,
}

/// Draws examples by number. What it remembers between draws may only save work: example `index` is the same whatever
/// was drawn before.
pub trait DrawExample: Debug + Clone + Send + 'static {
    /// Tokens per example.
    fn seq_len(&self) -> usize;

    /// Number of token values, padding included.
    fn vocab_size(&self) -> usize;

    /// Example number `index`.
    ///
    /// # Errors
    /// When the options allow no example.
    fn draw(&mut self, index: u64) -> Result<DrawnExample, DatasetError>;
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
pub struct EndlessSource<D> {
    drawer: D,
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
    chunks: Receiver<Result<Vec<DrawnExample>, DatasetError>>,
    /// What is left of the current chunk, next example last.
    ready: Vec<DrawnExample>,
}

impl<D: DrawExample> EndlessSource<D> {
    /// A source at its first example.
    ///
    /// # Errors
    /// When `rank` is not below `world_size`.
    pub fn of(drawer: D, rank: usize, world_size: usize) -> Result<Self, DatasetError> {
        if rank >= world_size {
            return Err(DatasetError::argument("rank", format!("a number below world_size {world_size}"), rank));
        }
        Ok(Self {
            metadata: metadata(&drawer),
            drawer,
            rank: rank as u64,
            world_size: world_size as u64,
            consumed: 0,
            supply: None,
        })
    }

    /// The next `count` examples, which are consumed only if all of them arrive.
    fn take(&mut self, count: usize) -> Result<Vec<DrawnExample>, DatasetError> {
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

    fn start(&self) -> Result<Supply, DatasetError> {
        let (sender, chunks) = sync_channel(PREFETCH_EXAMPLES / CHUNK_EXAMPLES);
        let drawer = self.drawer.clone();
        let indices = Indices { next: self.consumed * self.world_size + self.rank, step: self.world_size };
        thread::Builder::new()
            .name("puzzle-generator".to_owned())
            .spawn(move || supply_chunks(drawer, indices, &sender))
            .map_err(|error| DatasetError::GeneratorThread { reason: error.to_string() })?;
        Ok(Supply { chunks, ready: Vec::new() })
    }

    fn stopped(&self, offset: u64) -> DatasetError {
        DatasetError::GeneratorStopped { example: (self.consumed + offset) * self.world_size + self.rank }
    }
}

impl<D: DrawExample> TrainingSource for EndlessSource<D> {
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
            write_tokens(inputs, &example.inputs);
            write_tokens(labels, &example.labels);
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
            let expected = format!("iteration 0 and at most {last} examples consumed");
            let found = format!("iteration {} and {} examples", position.iteration, position.consumed);
            return Err(DatasetError::argument("position of the generated source", expected, found));
        }
        if position.consumed != self.consumed {
            self.supply = None;
            self.consumed = position.consumed;
        }
        Ok(())
    }
}

impl Iterator for Supply {
    type Item = Result<DrawnExample, DatasetError>;

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

/// The background thread: draws chunks until their receiver is gone or one cannot be drawn.
fn supply_chunks<D: DrawExample>(
    mut drawer: D,
    mut indices: Indices,
    chunks: &SyncSender<Result<Vec<DrawnExample>, DatasetError>>,
) {
    loop {
        let chunk = (0..CHUNK_EXAMPLES)
            .map(|_| {
                let index = indices.next;
                indices.next += indices.step;
                drawer.draw(index)
            })
            .collect::<Result<Vec<_>, _>>();
        let failed = chunk.is_err();
        if chunks.send(chunk).is_err() || failed {
            return;
        }
    }
}

fn metadata(drawer: &impl DrawExample) -> DatasetMetadata {
    DatasetMetadata {
        pad_id: PAD_TOKEN,
        ignore_label_id: Some(0),
        blank_identifier_id: BLANK_IDENTIFIER,
        vocab_size: drawer.vocab_size(),
        seq_len: drawer.seq_len(),
        num_puzzle_identifiers: 1,
        total_groups: 1,
        mean_puzzle_examples: 1.0,
        total_puzzles: 1,
        sets: vec!["all".to_owned()],
    }
}

fn write_tokens(row: &mut [i32], tokens: &[u8]) {
    for (cell, &token) in row.iter_mut().zip(tokens) {
        *cell = i32::from(token);
    }
}
