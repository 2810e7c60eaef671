//! What an ARC model of a site knows: its tasks with their augmentations, and the rows of its puzzle-embedding table.

use std::sync::Arc;

use datasets::arc::ArcPair;
use engine::arc::{AugmentedPuzzle, TaskIndex};
use engine::model::ModelCard;
use models::Checkpoint;
use models::checkpoint::PuzzleEmbeddings;
use serde::Serialize;

use super::{Folder, SiteError, packed};

/// Largest table that a site carries; published models have 1.8 GB.
pub(super) const MAX_TABLE_BYTES: usize = 32 << 20;

/// Where a model's tasks lie in the site.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ArcFiles {
    /// JSON, packed: [`Tasks`].
    tasks: String,
    /// Float32, little-endian, packed: the rows of the table by their number, zero-padded to whole positions.
    rows: String,
    /// Numbers in a row.
    row_size: usize,
}

#[derive(Serialize)]
struct Tasks<'a> {
    tasks: Vec<SiteTask<'a>>,
}

#[derive(Serialize)]
struct SiteTask<'a> {
    task_id: &'a str,
    train: &'a [ArcPair],
    test: &'a [ArcPair],
    /// Whether its test pairs were held out of training.
    held_out: bool,
    /// The task itself first.
    copies: Vec<Copy>,
}

#[derive(Serialize)]
struct Copy {
    row: u32,
    transform: usize,
    /// New colours of colours 0 to 9, as ten digits.
    colours: String,
}

/// Writes the tasks of `index` that are known with their pairs, and the table of `checkpoint`.
pub(super) fn write(
    folder: &mut Folder,
    card: &ModelCard,
    index: &TaskIndex,
    checkpoint: Checkpoint,
) -> Result<ArcFiles, SiteError> {
    let copy = |puzzle: &AugmentedPuzzle| Copy {
        row: puzzle.identifier,
        transform: puzzle.augmentation.transform.id(),
        colours: puzzle.augmentation.colours.to_string(),
    };
    let known = index.tasks().iter().enumerate().filter_map(|(number, known)| {
        let task = known.task.as_ref()?;
        let copies = index.puzzles_of(number).iter().map(copy).collect();
        let (task_id, held_out) = (known.name.as_str(), known.held_out);
        Some(SiteTask { task_id, train: &task.train, test: &task.test, held_out, copies })
    });
    let tasks =
        serde_json::to_vec(&Tasks { tasks: known.collect() }).expect("names and numbers are written without fail");
    let count = card.dims.num_puzzle_identifiers;
    let bytes = count * card.arch.puzzle_emb_len() * card.arch.hidden_size() * size_of::<f32>();
    if bytes > MAX_TABLE_BYTES {
        return Err(SiteError::Table { checkpoint: checkpoint.directory().to_owned(), bytes });
    }
    let rows = match PuzzleEmbeddings::of(Arc::new(checkpoint)) {
        Some(table) => table.rows(&(0..count).collect::<Vec<_>>())?,
        None => Vec::new(),
    };
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    let name = |ending: &str| format!("models/{}.{ending}.gz", card.name);
    let files = ArcFiles { tasks: name("tasks.json"), rows: name("rows"), row_size: rows.len() / count.max(1) };
    folder.add(&files.tasks, &packed(&tasks))?;
    folder.add(&files.rows, &packed(&bytes))?;
    Ok(files)
}
