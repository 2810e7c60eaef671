//! The two files beside an ARC dataset's arrays: `test_puzzles.json` (answers) and `identifiers.json` (names).
//! Owns names, without keeping a string each, and the index of test inputs; leaves tasks' JSON to [`crate::arc`].

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};

use super::arc::{ArcPair, ArcTask, TestInput};
use super::packed::PackedGrid;
use crate::DatasetError;
use crate::arc::{Augmentation, inverse_aug, read_tasks};

/// Bound for a name in `identifiers.json`; those of the reference's builder have 26 characters.
const MAX_NAME_BYTES: u64 = 256;

/// What `test_puzzles.json` holds.
pub(super) struct Puzzles {
    pub(super) tasks: Vec<ArcTask>,
    pub(super) inputs: Vec<TestInput>,
    pub(super) input_index: HashMap<(u32, PackedGrid), u32>,
}

/// Reads the test pairs of all tasks, in the file's order.
pub(super) fn read_test_puzzles(folder: &Path) -> Result<Puzzles, DatasetError> {
    let path = folder.join("test_puzzles.json");
    if !path.is_file() {
        let expected = "the answers to vote on, which `datasets build arc` writes beside train/ and test/";
        return Err(DatasetError::format(&path, expected, "no such file"));
    }
    let mut puzzles = Puzzles { tasks: Vec::new(), inputs: Vec::new(), input_index: HashMap::new() };
    for task in read_tasks(&path)? {
        let index = puzzles.tasks.len() as u32;
        let mut pairs = Vec::with_capacity(task.test.len());
        for pair in &task.test {
            let label = PackedGrid::new(&pair.output);
            let next = puzzles.inputs.len() as u32;
            let input = *puzzles.input_index.entry((index, PackedGrid::new(&pair.input))).or_insert(next);
            if input == next {
                puzzles.inputs.push(TestInput::new());
            }
            puzzles.inputs[input as usize].add_label(label.clone());
            pairs.push(ArcPair { input, label });
        }
        puzzles.tasks.push(ArcTask { name: task.id, pairs });
    }
    if puzzles.tasks.is_empty() {
        return Err(DatasetError::format(&path, "at least one task", "none"));
    }
    Ok(puzzles)
}

/// Reads what the name of each identifier says, for tasks that have test pairs.
pub(super) fn read_names(
    folder: &Path,
    num_puzzle_identifiers: usize,
    task_index: &HashMap<&str, u32>,
) -> Result<Vec<Option<(u32, Augmentation)>>, DatasetError> {
    let path = folder.join("identifiers.json");
    let most = (num_puzzle_identifiers as u64 + 16) * MAX_NAME_BYTES;
    let mut names = Vec::with_capacity(num_puzzle_identifiers);
    let mut json = serde_json::Deserializer::from_reader(open(&path, most)?);
    Names { names: &mut names, task_index }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| bad_json(&path, &error))?;
    if names.len() != num_puzzle_identifiers {
        let expected = format!("num_puzzle_identifiers {num_puzzle_identifiers} names");
        return Err(DatasetError::format(&path, expected, names.len().to_string()));
    }
    Ok(names)
}

fn open(path: &Path, most: u64) -> Result<impl Read, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io("open", path))?;
    let bytes = file.metadata().map_err(DatasetError::io("read", path))?.len();
    if bytes > most {
        return Err(DatasetError::format(path, format!("JSON of at most {most} bytes"), format!("{bytes} bytes")));
    }
    Ok(BufReader::with_capacity(1 << 16, file.take(most)))
}

fn bad_json(path: &Path, error: &serde_json::Error) -> DatasetError {
    DatasetError::format(path, "valid JSON of its form", error.to_string())
}

/// Parses names one by one.
struct Names<'a> {
    names: &'a mut Vec<Option<(u32, Augmentation)>>,
    task_index: &'a HashMap<&'a str, u32>,
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of puzzle names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<(), A::Error> {
        while let Some(name) = names.next_element::<String>()? {
            let (task, augmentation) = inverse_aug(&name).map_err(A::Error::custom)?;
            self.names.push(self.task_index.get(task).map(|&task| (task, augmentation)));
        }
        Ok(())
    }
}
