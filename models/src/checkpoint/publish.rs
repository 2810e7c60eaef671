//! A checkpoint's weights for others: in the smallest type that serves, with the manifest (what is shipped and
//! uploaded), or under the reference's names (what Python loads). Both are written tensor by tensor.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Checkpoint, PlannedTensor, TableResize, WEIGHTS_FILE, stream_tensors, write_folder};
use crate::{ForwardDtype, ModelError, ParameterKind, ParameterSpec};

/// What stands before a parameter's name in the reference's checkpoints: the wrappers of `torch.compile` and of the loss.
pub const REFERENCE_PREFIX: &str = "_orig_mod.model.";

/// Writes the weights of `checkpoint` as `dtype`, with its manifest, into the folder `directory`.
///
/// # Errors
/// When a tensor cannot be read or the disk refuses.
pub fn publish(checkpoint: &Checkpoint, directory: &Path, dtype: ForwardDtype) -> Result<(), ModelError> {
    publish_with(checkpoint, directory, dtype, &[])
}

/// As [`publish`], with copies of further files: where each lies, and its path in the folder.
///
/// # Errors
/// As [`publish`]; also when a file cannot be read.
pub fn publish_with(
    checkpoint: &Checkpoint,
    directory: &Path,
    dtype: ForwardDtype,
    further: &[(PathBuf, PathBuf)],
) -> Result<(), ModelError> {
    let manifest = &checkpoint.manifest;
    let plan = |spec: &ParameterSpec| PlannedTensor { name: spec.name.clone(), dtype, shape: spec.shape.clone() };
    write_folder(directory, manifest, |staging| {
        for (from, to) in further {
            let to = staging.join(to);
            let parent = files::parent_of(&to);
            fs::create_dir_all(parent).map_err(ModelError::io(parent, "cannot create"))?;
            fs::copy(from, &to).map_err(ModelError::io(from, "cannot copy"))?;
        }
        stream_tensors(
            &staging.join(WEIGHTS_FILE),
            checkpoint.parameter_specs().iter().map(plan).collect(),
            |tensor, sink| checkpoint.for_each_piece(&tensor.name, |values| sink.put(values)),
        )
    })
}

/// Writes the safetensors file `path` that the reference's model loads with `load_state_dict`: its names behind
/// `prefix` ([`REFERENCE_PREFIX`] for its compiled model), initial states in the forward type, everything else float32.
///
/// The puzzle table gets `num_puzzle_identifiers` rows where that is given and differs; the result says so.
///
/// # Errors
/// When a tensor cannot be read, a table would have no rows, or the disk refuses.
pub fn write_state_dict(
    checkpoint: &Checkpoint,
    path: &Path,
    prefix: &str,
    num_puzzle_identifiers: Option<usize>,
) -> Result<Option<TableResize>, ModelError> {
    let manifest = &checkpoint.manifest;
    let expected = num_puzzle_identifiers.unwrap_or(manifest.dims.num_puzzle_identifiers);
    let resize = checkpoint.resize_puzzle_table(expected)?;
    let plan = |spec: &ParameterSpec| {
        let dtype = match spec.kind {
            ParameterKind::Buffer => manifest.arch.forward_dtype(),
            ParameterKind::Weight | ParameterKind::PuzzleTable => ForwardDtype::Float32,
        };
        let mut shape = spec.shape.clone();
        if spec.kind == ParameterKind::PuzzleTable {
            shape[0] = expected;
        }
        PlannedTensor { name: format!("{prefix}{}", spec.name), dtype, shape }
    };
    let table = checkpoint.puzzle_table().map(|spec| format!("{prefix}{}", spec.name));
    let plans = checkpoint.parameter_specs().iter().map(plan).collect();
    files::write_at(path, |staging| {
        stream_tensors(staging, plans, |tensor, sink| match &resize {
            Some(resize) if table.as_ref() == Some(&tensor.name) => {
                (0..expected).try_for_each(|_| sink.put(resize.mean()))
            }
            _ => checkpoint.for_each_piece(&tensor.name[prefix.len()..], |values| sink.put(values)),
        })
    })?;
    Ok(resize)
}
