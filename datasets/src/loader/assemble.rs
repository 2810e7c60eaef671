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

/// A batch of `rows` rows: the picked examples, then padding.
pub(super) fn assemble(
    metadata: &DatasetMetadata,
    set: &PuzzleSet,
    picks: &[Pick],
    rows: usize,
) -> Result<Batch, DatasetError> {
    let tokens = rows * metadata.seq_len;
    let mut inputs = Vec::with_capacity(tokens);
    let mut labels = Vec::with_capacity(tokens);
    for pick in picks {
        set.append_input(pick.example, &mut inputs)?;
        set.append_label(pick.example, &mut labels)?;
    }
    inputs.resize(tokens, metadata.pad_id);
    labels.resize(tokens, IGNORE_LABEL_ID);
    let mut puzzle_identifiers: Vec<i32> = picks.iter().map(|pick| set.puzzle_identifier(pick.puzzle)).collect();
    puzzle_identifiers.resize(rows, metadata.blank_identifier_id);
    Ok(Batch { seq_len: metadata.seq_len, inputs, labels, puzzle_identifiers, real_rows: picks.len() })
}
