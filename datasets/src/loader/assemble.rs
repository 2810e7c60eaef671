//! Copies examples into a [`Batch`] and pads it; the reference's `_collate_batch`.
//! Owns padding values; leaves the choice of examples to its callers.

use crate::store::{DatasetMetadata, PuzzleSet};
use crate::{Batch, DatasetError, IGNORE_LABEL_ID};

/// An example and the puzzle it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) example: usize,
    pub(super) puzzle: usize,
}

/// Makes `batch` one of `rows` rows: the picked examples, then padding. Its memory is used again; after an error its
/// content means nothing.
pub(super) fn assemble(
    metadata: &DatasetMetadata,
    set: &PuzzleSet,
    picks: &[Pick],
    rows: usize,
    batch: &mut Batch,
) -> Result<(), DatasetError> {
    let tokens = rows * metadata.seq_len;
    let Batch { inputs, labels, puzzle_identifiers, .. } = batch;
    inputs.clear();
    inputs.reserve_exact(tokens);
    labels.clear();
    labels.reserve_exact(tokens);
    for pick in picks {
        set.append_input(pick.example, inputs)?;
        set.append_label(pick.example, labels)?;
    }
    inputs.resize(tokens, metadata.pad_id);
    labels.resize(tokens, IGNORE_LABEL_ID);
    puzzle_identifiers.clear();
    puzzle_identifiers.extend(picks.iter().map(|pick| set.puzzle_identifier(pick.puzzle)));
    puzzle_identifiers.resize(rows, metadata.blank_identifier_id);
    batch.seq_len = metadata.seq_len;
    batch.real_rows = picks.len();
    Ok(())
}
