//! Writing a checkpoint folder; that it appears whole or not at all is [`files`]' doing.

use std::collections::BTreeMap;
use std::path::Path;

use super::{HostTensor, MANIFEST_FILE, Manifest, WEIGHTS_FILE};
use crate::ModelError;

/// Writes the checkpoint folder `directory`; `extra` may put further files into the folder before it becomes visible.
///
/// A reader sees all of the folder or nothing. An existing folder of that name is replaced.
///
/// # Errors
/// When the disk refuses, or `extra` fails; nothing is left behind then.
pub fn write(
    directory: &Path,
    manifest: &Manifest,
    tensors: &BTreeMap<String, HostTensor>,
    extra: impl FnOnce(&Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    write_folder(directory, manifest, |staging| {
        write_tensors(&staging.join(WEIGHTS_FILE), tensors)?;
        extra(staging)
    })
}

/// As [`write()`], for weights that are not in memory: `fill` puts the weight file, and whatever else, into the folder that
/// it is given.
///
/// # Errors
/// When the disk refuses, or `fill` fails; nothing is left behind then.
pub fn write_folder(
    directory: &Path,
    manifest: &Manifest,
    fill: impl FnOnce(&Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    files::write_folder(directory, |staging| {
        files::write(&staging.join(MANIFEST_FILE), manifest.to_json())?;
        fill(staging)
    })
}

/// Writes a safetensors file; the same tensors give the same bytes.
///
/// # Errors
/// When the disk refuses.
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, HostTensor>) -> Result<(), ModelError> {
    safetensors::serialize_to_file(tensors, None, path)
        .map_err(|e| ModelError::format(path, format!("cannot write: {e}")))
}
