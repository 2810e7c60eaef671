//! A task: pairs of grids to learn from and pairs to solve, as the JSON files of ARC hold it.
//! Owns the order of JSON keys, which decides the order of examples; leaves files to [`super::reader`].

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::grid::Grid;

/// An input and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcPair {
    /// The question.
    pub input: Grid,
    /// The answer; a single black cell where the files hold none, as in the reference.
    pub output: Grid,
    /// Whether "output" stands before "input" in the file.
    pub(super) output_first: bool,
}

impl ArcPair {
    /// A pair written input first.
    pub fn new(input: Grid, output: Grid) -> Self {
        Self { input, output, output_first: false }
    }
}

/// A task with at least one pair of each kind when it was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcTask {
    /// Its name, unique within a file.
    pub id: String,
    /// Demonstrations.
    pub train: Vec<ArcPair>,
    /// Pairs to solve.
    pub test: Vec<ArcPair>,
    /// Whether "test" stands before "train" in the file.
    pub(super) test_first: bool,
}

impl ArcTask {
    /// A task written train first.
    pub fn new(id: String, train: Vec<ArcPair>, test: Vec<ArcPair>) -> Self {
        Self { id, train, test, test_first: false }
    }

    /// All pairs in the order of the file.
    pub fn pairs(&self) -> impl Iterator<Item = &ArcPair> {
        let (first, second) = if self.test_first { (&self.test, &self.train) } else { (&self.train, &self.test) };
        first.iter().chain(second)
    }
}

impl Serialize for Grid {
    /// A list of rows.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

impl Serialize for ArcPair {
    /// An object with the keys in the order of the file.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = [("input", &self.input), ("output", &self.output)];
        serialize_two(serializer, fields, self.output_first)
    }
}

impl Serialize for ArcTask {
    /// An object with the keys in the order of the file; the task's name is its key one level up.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_two(serializer, [("train", &self.train), ("test", &self.test)], self.test_first)
    }
}

fn serialize_two<S: Serializer, T: Serialize>(
    serializer: S,
    mut fields: [(&str, T); 2],
    swapped: bool,
) -> Result<S::Ok, S::Error> {
    if swapped {
        fields.swap(0, 1);
    }
    let mut map = serializer.serialize_map(Some(2))?;
    for (key, value) in &fields {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
