//! Which files belong together: a path is one pass over the test set, a folder holds the parts of its ranks.
//! Owns their order, which decides exact ties; leaves contents to [`super::read`].

use std::path::{Path, PathBuf};

use super::PREDS;
use super::read::PredictionFile;
use crate::DatasetError;
use crate::store::DatasetMetadata;

/// The prediction files of one pass over the test set, in the order in which their votes count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionPass {
    /// The path as the user named it.
    pub path: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
}

impl PredictionPass {
    /// Opens the files one after the other.
    pub fn open<'a>(
        &'a self,
        metadata: &'a DatasetMetadata,
    ) -> impl Iterator<Item = (&'a Path, Result<PredictionFile, DatasetError>)> {
        self.files.iter().map(|path| (path.as_path(), PredictionFile::open(path, metadata)))
    }
}

/// The passes that `paths` name: each a file, a folder of `.npy` arrays, or a folder of such parts (one per rank), which
/// are taken in the order of their names, numbers by value (`preds.2` before `preds.10`).
///
/// # Errors
/// When a path does not exist or is a folder without parts.
pub fn prediction_passes(paths: &[PathBuf]) -> Result<Vec<PredictionPass>, DatasetError> {
    paths.iter().map(|path| Ok(PredictionPass { path: path.clone(), files: files_of(path)? })).collect()
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let kind = std::fs::metadata(path).map_err(DatasetError::io("open", path))?;
    if !kind.is_dir() || is_array_folder(path) {
        return Ok(vec![path.to_owned()]);
    }
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(path).map_err(DatasetError::io("read", path))? {
        let part = entry.map_err(DatasetError::io("read", path))?.path();
        let hidden = part.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && (part.is_file() || is_array_folder(&part)) {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Err(DatasetError::format(path, "a folder of prediction files", "none in it"));
    }
    parts.sort_by_cached_key(|part| natural_key(&part.file_name().unwrap_or_default().to_string_lossy()));
    Ok(parts)
}

fn is_array_folder(path: &Path) -> bool {
    path.join(format!("{PREDS}.npy")).is_file()
}

/// Runs of digits count by their value.
fn natural_key(name: &str) -> Vec<(u128, String)> {
    let mut key: Vec<(u128, String)> = Vec::new();
    for run in name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let text = String::from_utf8_lossy(run).into_owned();
        key.push((text.parse().map_or(u128::MAX, |value: u128| value), text));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_by_number() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["step_7_all_preds.10", "step_7_all_preds.2", "step_7_all_preds.0", ".hidden"] {
            std::fs::write(folder.path().join(name), b"").expect("written");
        }
        let passes = prediction_passes(&[folder.path().to_owned()]).expect("a folder of parts");
        let names: Vec<_> = passes[0].files.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["step_7_all_preds.0", "step_7_all_preds.2", "step_7_all_preds.10"]);
    }
}
