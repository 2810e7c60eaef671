//! Writing a dataset folder byte for byte as the reference's builders do, visible only once it is complete.
//! Owns file names and index arrays; leaves staging to [`files`] and tokens to the builders.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use files::StagedFolder;
use serde::Serialize;

use super::json;
use super::metadata::DatasetMetadata;
use super::npy::{DType, NpyWriter};
use super::set::{Split, field_path};
use crate::DatasetError;

/// The one set that the reference's builders write.
const SET: &str = "all";
/// Names of all puzzle identifiers.
pub(crate) const IDENTIFIERS_FILE: &str = "identifiers.json";
/// The original puzzles of the test split.
pub(crate) const TEST_PUZZLES_FILE: &str = "test_puzzles.json";
/// The other original puzzles, in builds without examples.
pub(crate) const TRAIN_PUZZLES_FILE: &str = "train_puzzles.json";
/// Everything that may lie at the root of a dataset folder; a folder with anything else is never replaced.
const ROOT_ENTRIES: [&str; 5] = ["train", "test", IDENTIFIERS_FILE, TEST_PUZZLES_FILE, TRAIN_PUZZLES_FILE];

/// A dataset under construction. Dropping it without [`publish`](Self::publish) leaves no trace.
#[derive(Debug)]
pub struct DatasetWriter {
    target: PathBuf,
    overwrite: bool,
    folder: StagedFolder,
}

impl DatasetWriter {
    /// Prepares a dataset that will appear at `target`, whose parent folders are created.
    ///
    /// # Errors
    /// When `target` is a non-empty folder and `overwrite` is not set, or it is something else than a dataset.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, DatasetError> {
        check_target(target, overwrite)?;
        Ok(Self { target: target.to_owned(), overwrite, folder: StagedFolder::create(target)? })
    }

    /// Begins a split of `[examples, seq_len]` tokens.
    pub fn split(&self, split: Split, seq_len: usize, dtype: DType) -> Result<SplitWriter, DatasetError> {
        let folder = self.folder.path().join(split.name());
        fs::create_dir(&folder).map_err(DatasetError::io("create", &folder))?;
        SplitWriter::create(folder, seq_len, dtype)
    }

    /// Writes `identifiers.json`: the name of every puzzle identifier, from 0 on.
    pub fn identifiers<N: Serialize>(&self, names: impl IntoIterator<Item = N>) -> Result<(), DatasetError> {
        write_synced(&self.folder.path().join(IDENTIFIERS_FILE), |out| json::write_python_list(out, names))
    }

    /// Writes `test_puzzles.json`: the original test puzzles by name, as their source spelled them.
    pub fn test_puzzles<K: Serialize, V: Serialize>(
        &self,
        puzzles: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), DatasetError> {
        write_synced(&self.folder.path().join(TEST_PUZZLES_FILE), |out| json::write_python_map(out, puzzles))
    }

    /// Writes `train_puzzles.json`: the other original puzzles by name.
    pub fn train_puzzles<K: Serialize, V: Serialize>(
        &self,
        puzzles: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), DatasetError> {
        write_synced(&self.folder.path().join(TRAIN_PUZZLES_FILE), |out| json::write_python_map(out, puzzles))
    }

    /// Writes a split's `dataset.json` alone, for a dataset without examples.
    pub fn metadata(&self, split: Split, metadata: &DatasetMetadata) -> Result<(), DatasetError> {
        let folder = self.folder.path().join(split.name());
        fs::create_dir(&folder).map_err(DatasetError::io("create", &folder))?;
        write_synced(&folder.join("dataset.json"), |out| out.write_all(&metadata.to_json_bytes()))
    }

    /// Makes the dataset visible at its target, replacing a former one in one step where the system can.
    ///
    /// # Errors
    /// As [`create`](Self::create), should the target have changed meanwhile.
    pub fn publish(self) -> Result<(), DatasetError> {
        check_target(&self.target, self.overwrite)?;
        self.folder.publish(self.overwrite).map_err(|error| match error.cause.kind() {
            io::ErrorKind::AlreadyExists => DatasetError::AlreadyExists { path: self.target },
            _ => error.into(),
        })
    }
}

/// One split under construction: examples are pushed, puzzles and groups are closed behind them.
#[derive(Debug)]
pub struct SplitWriter {
    folder: PathBuf,
    seq_len: usize,
    inputs: NpyWriter,
    labels: NpyWriter,
    /// Examples written.
    examples: i32,
    puzzle_indices: Vec<i32>,
    group_indices: Vec<i32>,
    puzzle_identifiers: Vec<i32>,
}

impl SplitWriter {
    fn create(folder: PathBuf, seq_len: usize, dtype: DType) -> Result<Self, DatasetError> {
        let inputs = NpyWriter::create(&field_path(&folder, SET, "inputs"), dtype, &[seq_len])?;
        let labels = NpyWriter::create(&field_path(&folder, SET, "labels"), dtype, &[seq_len])?;
        Ok(Self {
            folder,
            seq_len,
            inputs,
            labels,
            examples: 0,
            puzzle_indices: vec![0],
            group_indices: vec![0],
            puzzle_identifiers: Vec::new(),
        })
    }

    /// Appends an example of `[seq_len]` input and label tokens to the current puzzle.
    ///
    /// # Panics
    /// When the tokens are not `seq_len`.
    pub fn example(&mut self, inputs: &[u8], labels: &[u8]) -> Result<(), DatasetError> {
        assert_eq!((inputs.len(), labels.len()), (self.seq_len, self.seq_len), "an example has seq_len tokens");
        self.count(1)?;
        self.inputs.extend(inputs)?;
        self.labels.extend(labels)
    }

    /// Appends many examples, `[examples, seq_len]` input and label tokens, to both files at once. Their puzzles are
    /// given by [`puzzle`](Self::puzzle), before or after.
    ///
    /// # Panics
    /// When the tokens are not whole examples, as many labels as inputs.
    pub fn examples(&mut self, inputs: &[u8], labels: &[u8]) -> Result<(), DatasetError> {
        assert!(inputs.len() == labels.len() && inputs.len().is_multiple_of(self.seq_len), "whole examples");
        self.count(inputs.len() / self.seq_len)?;
        let Self { inputs: input_file, labels: label_file, .. } = self;
        at_once(|| input_file.extend(inputs), || label_file.extend(labels))
    }

    /// Closes the current puzzle, which holds all examples since the last one.
    pub fn end_puzzle(&mut self, identifier: i32) {
        self.puzzle_indices.push(self.examples);
        self.puzzle_identifiers.push(identifier);
    }

    /// Adds a puzzle of so many examples, whether or not they are written yet.
    pub fn puzzle(&mut self, examples: usize, identifier: i32) -> Result<(), DatasetError> {
        let end = i32::try_from(examples).ok().and_then(|examples| self.indexed().checked_add(examples));
        self.puzzle_indices.push(end.ok_or_else(|| self.too_many())?);
        self.puzzle_identifiers.push(identifier);
        Ok(())
    }

    /// Closes the current group.
    pub fn end_group(&mut self) {
        self.group_indices.push(self.puzzle_identifiers.len() as i32);
    }

    /// Groups closed so far.
    pub fn groups(&self) -> usize {
        self.group_indices.len() - 1
    }

    /// Puzzles closed so far.
    pub fn puzzles(&self) -> usize {
        self.puzzle_identifiers.len()
    }

    /// Writes the index arrays and `dataset.json`; `metadata.sets` names the one set, `all`.
    ///
    /// # Panics
    /// When the puzzles do not end where the examples end.
    pub fn finish(self, metadata: &DatasetMetadata) -> Result<(), DatasetError> {
        assert_eq!(self.indexed(), self.examples, "every example belongs to a puzzle");
        let (inputs, labels) = (self.inputs, self.labels);
        at_once(|| inputs.finish(), || labels.finish())?;
        for (field, values) in [
            ("puzzle_identifiers", &self.puzzle_identifiers),
            ("puzzle_indices", &self.puzzle_indices),
            ("group_indices", &self.group_indices),
        ] {
            let mut writer = NpyWriter::create(&field_path(&self.folder, SET, field), DType::Int32, &[])?;
            writer.extend_i32(values)?;
            writer.finish()?;
        }
        write_synced(&self.folder.join("dataset.json"), |out| out.write_all(&metadata.to_json_bytes()))
    }

    fn count(&mut self, examples: usize) -> Result<(), DatasetError> {
        let sum = i32::try_from(examples).ok().and_then(|examples| self.examples.checked_add(examples));
        self.examples = sum.ok_or_else(|| self.too_many())?;
        Ok(())
    }

    /// Examples that belong to puzzles.
    fn indexed(&self) -> i32 {
        self.puzzle_indices.last().copied().unwrap_or(0)
    }

    fn too_many(&self) -> DatasetError {
        let expected = format!("at most {} examples (indices are int32)", i32::MAX);
        DatasetError::format(&self.folder, expected, "more")
    }
}

/// Does two things that wait for the disk, on threads of their own so that no worker of the processor waits with them.
fn at_once(
    one: impl FnOnce() -> Result<(), DatasetError> + Send,
    other: impl FnOnce() -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        one.join().unwrap_or_else(|panic| resume_unwind(panic)).and(other)
    })
}

/// Refuses a target that is not ours to replace.
fn check_target(target: &Path, overwrite: bool) -> Result<(), DatasetError> {
    if !target.exists() {
        return Ok(());
    }
    if !target.is_dir() {
        return Err(DatasetError::format(target, "a dataset folder or nothing", "a file"));
    }
    let mut entries = BTreeSet::new();
    for entry in fs::read_dir(target).map_err(DatasetError::io("read", target))? {
        let entry = entry.map_err(DatasetError::io("read", target))?;
        entries.insert(entry.file_name().to_string_lossy().into_owned());
    }
    if entries.is_empty() {
        return Ok(());
    }
    if let Some(foreign) = entries.iter().find(|entry| !ROOT_ENTRIES.contains(&entry.as_str())) {
        let expected = "a dataset folder (train, test, identifiers.json); choose another output folder";
        return Err(DatasetError::format(target, expected, format!("{foreign:?} in it")));
    }
    if overwrite { Ok(()) } else { Err(DatasetError::AlreadyExists { path: target.to_owned() }) }
}

fn write_synced(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), DatasetError> {
    let mut out = BufWriter::new(File::create_new(path).map_err(DatasetError::io("create", path))?);
    write(&mut out)
        .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all())
        .map_err(DatasetError::io("write", path))
}
