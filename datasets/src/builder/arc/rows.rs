//! The examples of a split on their canvases: the reference's second pass over its generator, which moves the grids of
//! the training split. Owns chunks that are drawn in order, rendered in parallel and written while the next ones are
//! rendered; leaves files to [`crate::store`].

use std::panic::resume_unwind;
use std::thread;

use rayon::prelude::*;

use super::plan::Plan;
use crate::DatasetError;
use crate::arc::{ArcPair, Augmentation, Placement, SEQ_LEN, encode};
use crate::numpy::LegacyGenerator;
use crate::store::{Split, SplitWriter};

/// Rows that are rendered and written together: 2 · 7 MB, twice.
const CHUNK: usize = 8192;

/// One example to come.
struct Row<'a> {
    pair: &'a ArcPair,
    augmentation: Augmentation,
    placement: Placement,
}

/// Rendered rows.
#[derive(Default)]
struct Chunk {
    inputs: Vec<u8>,
    labels: Vec<u8>,
}

/// Rendered rows that wait to be written, and room for the next ones.
struct Pipeline<'a, 'w> {
    writer: &'w mut SplitWriter,
    rows: Vec<Row<'a>>,
    rendered: Chunk,
    room: Chunk,
    written: usize,
}

/// Draws and writes all examples of a split; `progress` gets the number of those written.
pub(super) fn write(
    plan: &Plan,
    split: Split,
    rng: &mut LegacyGenerator,
    writer: &mut SplitWriter,
    mut progress: impl FnMut(usize),
) -> Result<(), DatasetError> {
    let mut pipeline = Pipeline {
        writer,
        rows: Vec::with_capacity(CHUNK),
        rendered: Chunk::default(),
        room: Chunk::default(),
        written: 0,
    };
    for group in plan.groups() {
        let pairs: Vec<&ArcPair> = group.examples(split).collect();
        if pairs.is_empty() {
            continue;
        }
        for (augmentation, identifier) in plan.puzzles(group) {
            // Drawn for the test split as well, where nothing is moved.
            let unmoved = rng.randint(0..pairs.len() as u64) as usize;
            for (index, &pair) in pairs.iter().enumerate() {
                let moved = split == Split::Train && index != unmoved;
                let placement = if moved { place(rng, pair, &augmentation) } else { Placement::CORNER };
                pipeline.rows.push(Row { pair, augmentation, placement });
            }
            pipeline.writer.puzzle(pairs.len(), identifier)?;
            if pipeline.rows.len() >= CHUNK {
                pipeline.advance()?;
                progress(pipeline.written);
            }
        }
        pipeline.writer.end_group();
    }
    // The last rows are rendered while the last but one chunk is written, then written themselves.
    pipeline.advance()?;
    pipeline.advance()?;
    progress(pipeline.written);
    Ok(())
}

fn place(rng: &mut LegacyGenerator, pair: &ArcPair, augmentation: &Augmentation) -> Placement {
    let [input, output] =
        [&pair.input, &pair.output].map(|grid| augmentation.transform.shape(grid.rows(), grid.columns()));
    Placement::draw(rng, input, output)
}

impl Pipeline<'_, '_> {
    /// Writes what is rendered and renders what is drawn.
    fn advance(&mut self) -> Result<(), DatasetError> {
        let Self { writer, rows, rendered, room, .. } = self;
        thread::scope(|scope| {
            // Not one of rayon's threads: those render while this one waits for the disk.
            let written = scope.spawn(|| writer.examples(&rendered.inputs, &rendered.labels));
            room.render(rows);
            written.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        self.written += self.rendered.inputs.len() / SEQ_LEN;
        self.rows.clear();
        std::mem::swap(&mut self.rendered, &mut self.room);
        Ok(())
    }
}

impl Chunk {
    fn render(&mut self, rows: &[Row]) {
        self.inputs.resize(rows.len() * SEQ_LEN, 0);
        self.labels.resize(rows.len() * SEQ_LEN, 0);
        let inputs = self.inputs.par_chunks_exact_mut(SEQ_LEN);
        let labels = self.labels.par_chunks_exact_mut(SEQ_LEN);
        rows.par_iter().zip(inputs).zip(labels).with_min_len(64).for_each(|((row, inputs), labels)| {
            encode(&row.pair.input, &row.augmentation, row.placement, inputs);
            encode(&row.pair.output, &row.augmentation, row.placement, labels);
        });
    }
}
