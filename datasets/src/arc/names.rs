//! `identifiers.json` of a dataset folder: the name of every row of a puzzle-embedding table, 876,406 of them for
//! published ARC weights. Owns reading it name by name within bounds; leaves what a name says to [`inverse_aug`].
//!
//! [`inverse_aug`]: super::inverse_aug

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::error::ArcError;
use crate::DatasetError;
use crate::store::{DatasetMetadata, IDENTIFIERS_FILE, Split, TEST_PUZZLES_FILE, TRAIN_PUZZLES_FILE};

/// Name of the rows that belong to no puzzle: padding, and identifiers before the first.
pub const BLANK_NAME: &str = "<blank>";
/// Folder in a checkpoint that tells which task each row of its puzzle-embedding table belongs to: a data set without
/// examples, as `datasets build arc --names-only` writes it.
pub const ARC_DATA_FOLDER: &str = "arc-data";
/// Bound for a name; those of the reference's builder have 26 characters.
const MAX_NAME_BYTES: u64 = 256;

/// Gives every name of `folder`'s `identifiers.json` to `each`, in the order of the identifiers from 0 on. No more than
/// one name lies in memory.
///
/// # Errors
/// When the file is missing, is not a list of names, holds other than `expected` names, or `each` refuses one.
pub fn for_each_name(
    folder: &Path,
    expected: usize,
    mut each: impl FnMut(&str) -> Result<(), ArcError>,
) -> Result<(), DatasetError> {
    let path = folder.join(IDENTIFIERS_FILE);
    let most = (expected as u64 + 16) * MAX_NAME_BYTES;
    let mut found = 0;
    let mut json = serde_json::Deserializer::from_reader(open(&path, most)?);
    Names { each: &mut each, found: &mut found }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| DatasetError::format(&path, "valid JSON of its form", error.to_string()))?;
    if found == expected {
        return Ok(());
    }
    Err(DatasetError::format(&path, format!("num_puzzle_identifiers {expected} names"), found.to_string()))
}

/// The files of a data set without examples, relative to its `folder`, which must number `rows` puzzles and hold every task.
///
/// # Errors
/// When a file is missing, or numbers other puzzles.
pub fn names_only_files(folder: &Path, rows: usize) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = vec![PathBuf::from(IDENTIFIERS_FILE)];
    for (split, tasks) in [(Split::Train, TRAIN_PUZZLES_FILE), (Split::Test, TEST_PUZZLES_FILE)] {
        let metadata = Path::new(split.name()).join("dataset.json");
        let path = folder.join(&metadata);
        if !path.is_file() {
            continue;
        }
        let found = DatasetMetadata::read(&path)?.num_puzzle_identifiers;
        if found != rows {
            let expected = format!("num_puzzle_identifiers {rows}, the rows of the checkpoint's puzzle table");
            return Err(DatasetError::format(&path, expected, found.to_string()));
        }
        if !folder.join(tasks).is_file() {
            let expected = "the tasks themselves; build the data set with --names-only";
            return Err(DatasetError::format(&folder.join(tasks), expected, "no such file"));
        }
        files.extend([metadata, PathBuf::from(tasks)]);
    }
    if files.len() == 1 {
        return Err(DatasetError::format(
            folder,
            "an ARC data set (datasets build arc --names-only)",
            "no dataset.json",
        ));
    }
    for_each_name(folder, rows, |_| Ok(()))?;
    Ok(files)
}

fn open(path: &Path, most: u64) -> Result<impl Read, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io("open", path))?;
    let bytes = file.metadata().map_err(DatasetError::io("read", path))?.len();
    if bytes > most {
        return Err(DatasetError::format(path, format!("JSON of at most {most} bytes"), format!("{bytes} bytes")));
    }
    Ok(BufReader::with_capacity(1 << 16, file.take(most)))
}

/// The whole list.
struct Names<'a, F> {
    each: &'a mut F,
    found: &'a mut usize,
}

impl<'de, F: FnMut(&str) -> Result<(), ArcError>> DeserializeSeed<'de> for Names<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), ArcError>> Visitor<'de> for Names<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of puzzle names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<(), A::Error> {
        while names.next_element_seed(Name(&mut *self.each))?.is_some() {
            *self.found += 1;
        }
        Ok(())
    }
}

/// One of them.
struct Name<'a, F>(&'a mut F);

impl<'de, F: FnMut(&str) -> Result<(), ArcError>> DeserializeSeed<'de> for Name<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F: FnMut(&str) -> Result<(), ArcError>> Visitor<'_> for Name<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a puzzle's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        (self.0)(name).map_err(E::custom)
    }
}
