//! Writing whole or not at all: beside the target, synced, renamed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use super::{HostTensor, MANIFEST_FILE, Manifest, WEIGHTS_FILE};
use crate::ModelError;

/// Writes the checkpoint folder `directory`; `extra` may put further files into the folder before it becomes visible.
///
/// The folder is prepared beside its place and renamed into it, so that a reader sees all of it or nothing. An
/// existing folder of that name is replaced.
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
    write_directory(directory, |staging| {
        let manifest_path = staging.join(MANIFEST_FILE);
        fs::write(&manifest_path, manifest.to_json()).map_err(ModelError::io(&manifest_path, "cannot write"))?;
        fill(staging)
    })
}

/// As [`write_folder`], for a folder that is not a checkpoint: `fill` puts files and folders of any depth into the folder
/// that it is given, which then takes its place.
///
/// # Errors
/// When the disk refuses, or `fill` fails; nothing is left behind then.
pub fn write_directory(directory: &Path, fill: impl FnOnce(&Path) -> Result<(), ModelError>) -> Result<(), ModelError> {
    let parent = parent_of(directory);
    fs::create_dir_all(parent).map_err(ModelError::io(parent, "cannot create"))?;
    let staging = tempfile::Builder::new()
        .prefix(".checkpoint-")
        .suffix(".tmp")
        .tempdir_in(parent)
        .map_err(ModelError::io(parent, "cannot create a folder in"))?;
    fill(staging.path())?;
    settle(staging.path())?;
    // A rename cannot replace a folder that holds files: the old one steps aside first, and is deleted last.
    let aside = tempfile::Builder::new()
        .prefix(".checkpoint-")
        .suffix(".tmp")
        .tempdir_in(parent)
        .map_err(ModelError::io(parent, "cannot create a folder in"))?;
    if directory.exists() {
        fs::rename(directory, aside.path().join("replaced")).map_err(ModelError::io(directory, "cannot move aside"))?;
    }
    fs::rename(staging.path(), directory).map_err(ModelError::io(directory, "cannot rename the new folder to"))?;
    // Its folder has moved: there is nothing left to clean up.
    let _ = staging.keep();
    sync(parent)
}

/// Writes a safetensors file; the same tensors give the same bytes.
///
/// # Errors
/// When the disk refuses.
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, HostTensor>) -> Result<(), ModelError> {
    safetensors::serialize_to_file(tensors, None, path)
        .map_err(|e| ModelError::format(path, format!("cannot write: {e}")))
}

/// Writes `path` whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn write_file_atomically(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    write_file_with(path, |staging| fs::write(staging, bytes).map_err(ModelError::io(path, "cannot write")))
}

/// As [`write_file_atomically`], for content that is not in memory: `fill` writes the file that it is given, which then
/// takes its place.
///
/// # Errors
/// When the disk refuses, or `fill` fails; nothing is left behind then.
pub fn write_file_with(path: &Path, fill: impl FnOnce(&Path) -> Result<(), ModelError>) -> Result<(), ModelError> {
    let parent = parent_of(path);
    fs::create_dir_all(parent).map_err(ModelError::io(parent, "cannot create"))?;
    let file = tempfile::NamedTempFile::new_in(parent).map_err(ModelError::io(parent, "cannot create a file in"))?;
    fill(file.path())?;
    file.as_file().sync_all().map_err(ModelError::io(path, "cannot sync"))?;
    set_readable(file.path())?;
    file.persist(path).map_err(|e| ModelError::io(path, "cannot rename the new file to")(e.error))?;
    sync(parent)
}

pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Syncs the folder and all that is in it, and opens it to readers: owner-only permissions of temporary folders would
/// hide what is shared from its users.
fn settle(folder: &Path) -> Result<(), ModelError> {
    for entry in fs::read_dir(folder).map_err(ModelError::io(folder, "cannot list"))? {
        let path = entry.map_err(ModelError::io(folder, "cannot list"))?.path();
        if path.is_dir() {
            settle(&path)?;
        } else {
            set_readable(&path)?;
            sync(&path)?;
        }
    }
    sync(folder)?;
    set_readable(folder)
}

fn sync(path: &Path) -> Result<(), ModelError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(ModelError::io(path, "cannot sync"))
}

#[cfg(unix)]
fn set_readable(path: &Path) -> Result<(), ModelError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(ModelError::io(path, "cannot set permissions of"))
}

#[cfg(not(unix))]
fn set_readable(_path: &Path) -> Result<(), ModelError> {
    Ok(())
}
