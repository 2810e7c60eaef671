//! The JSON of ARC tasks, parsed strictly: every error names task, pair and cell, and no number outside the
//! ten colours is ever stored. Owns keys and shapes; leaves files and missing outputs to [`super::reader`].

use std::collections::HashSet;
use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::augmentation::COLOURS;
use super::grid::{Grid, MAX_SIDE};

/// A pair before missing outputs are filled in.
#[derive(Debug)]
pub(super) struct RawPair {
    pub(super) input: Grid,
    pub(super) output: Option<Grid>,
    pub(super) output_first: bool,
}

/// A task before missing outputs are filled in.
#[derive(Debug)]
pub(super) struct RawTask {
    pub(super) train: Vec<RawPair>,
    pub(super) test: Vec<RawPair>,
    pub(super) test_first: bool,
}

/// `{name: item}` with every name once, in the order of the file.
pub(super) struct Named<S> {
    /// What an entry is called in messages: "task", "set".
    pub(super) kind: &'static str,
    pub(super) item: S,
}

impl<'de, S: DeserializeSeed<'de> + Clone> DeserializeSeed<'de> for Named<S> {
    type Value = Vec<(String, S::Value)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Clone> Visitor<'de> for Named<S> {
    type Value = Vec<(String, S::Value)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with a {} per key", self.kind)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format_args!("expected every {} once, found {name:?} twice", self.kind)));
            }
            let place = format!("{} {:?}", self.kind, shorten(&name));
            let item = map.next_value_seed(self.item.clone()).map_err(at(place))?;
            entries.push((name, item));
        }
        Ok(entries)
    }
}

impl<S: Clone> Clone for Named<S> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, item: self.item.clone() }
    }
}

/// `{"train": [pair, …], "test": [pair, …]}` in any order; what else a task says of itself, such as its name, is passed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskSeed;

impl<'de> DeserializeSeed<'de> for TaskSeed {
    type Value = RawTask;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawTask, D::Error> {
        let both = deserializer.deserialize_map(TwoKeys { names: ["train", "test"], seed: pairs })?;
        let (test_first, others) = (both.swapped, both.others());
        let [train, test] = both.values;
        let needed = |name: &str, pairs: Option<Vec<RawPair>>| match pairs {
            None => Err(de::Error::custom(format_args!(
                "expected the keys \"train\" and \"test\", found no {name:?}{others}"
            ))),
            Some(pairs) if pairs.is_empty() => {
                Err(de::Error::custom(format_args!("expected at least one {name} pair, found none")))
            }
            Some(pairs) => Ok(pairs),
        };
        Ok(RawTask { train: needed("train", train)?, test: needed("test", test)?, test_first })
    }
}

/// `[grid, …]`: the solutions of a task's test pairs.
#[derive(Debug, Clone, Copy)]
pub(super) struct GridsSeed;

impl<'de> DeserializeSeed<'de> for GridsSeed {
    type Value = Vec<Grid>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Grid>, D::Error> {
        deserializer.deserialize_seq(List { kind: "solution", item: GridSeed })
    }
}

/// The list of pairs under the key `name` of a task.
fn pairs(name: &'static str) -> List<PairSeed> {
    List { kind: if name == "train" { "train pair" } else { "test pair" }, item: PairSeed }
}

#[derive(Debug, Clone, Copy)]
struct PairSeed;

impl<'de> DeserializeSeed<'de> for PairSeed {
    type Value = RawPair;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawPair, D::Error> {
        let both = deserializer.deserialize_map(TwoKeys { names: ["input", "output"], seed: |_| GridSeed })?;
        let (output_first, others) = (both.swapped, both.others());
        let [input, output] = both.values;
        let missing = || de::Error::custom(format_args!("expected the key \"input\", found none{others}"));
        Ok(RawPair { input: input.ok_or_else(missing)?, output, output_first })
    }
}

/// Unknown keys that a message names.
const OTHERS_SHOWN: usize = 4;

/// An object of which two keys are known, each at most once; others are passed over.
struct TwoKeys<F> {
    names: [&'static str; 2],
    /// How the value of a key is read.
    seed: F,
}

struct TwoValues<T> {
    values: [Option<T>; 2],
    /// Whether the second key came first.
    swapped: bool,
    /// The first of the other keys, which may be misspelled.
    others: Vec<String>,
}

impl<T> TwoValues<T> {
    /// The other keys, for messages about a missing one.
    fn others(&self) -> String {
        if self.others.is_empty() { String::new() } else { format!(" (beside {})", self.others.join(", ")) }
    }
}

impl<'de, S: DeserializeSeed<'de>, F: Fn(&'static str) -> S> Visitor<'de> for TwoKeys<F> {
    type Value = TwoValues<S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with the keys {:?} and {:?}", self.names[0], self.names[1])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut both = TwoValues { values: [None, None], swapped: false, others: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            let Some(index) = self.names.iter().position(|name| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                if both.others.len() < OTHERS_SHOWN {
                    both.others.push(format!("{:?}", shorten(&key)));
                }
                continue;
            };
            if both.values[index].is_some() {
                return Err(de::Error::custom(format_args!("expected the key {key:?} once, found it twice")));
            }
            both.swapped |= index == 1 && both.values[0].is_none();
            let name = self.names[index];
            both.values[index] = map.next_value_seed(Nullable((self.seed)(name))).map_err(at(name))?;
        }
        // A lone second key stands where it would stand behind the first.
        both.swapped &= both.values[0].is_some();
        Ok(both)
    }
}

/// A value, or null where there is none.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list, or null")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// A list whose items are counted from 1 in messages.
#[derive(Debug, Clone, Copy)]
struct List<S> {
    kind: &'static str,
    item: S,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list with a {} each", self.kind)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(self.item).map_err(at(format!("{} {}", self.kind, items.len() + 1)))?
        {
            items.push(item);
        }
        Ok(items)
    }
}

/// `[[colour, …], …]`.
#[derive(Debug, Clone, Copy)]
struct GridSeed;

impl<'de> DeserializeSeed<'de> for GridSeed {
    type Value = Grid;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Grid, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for GridSeed {
    type Value = Grid;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a grid: a list of rows of colours")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Grid, A::Error> {
        let mut rows: Vec<Vec<u8>> = Vec::new();
        while let Some(row) = list.next_element_seed(RowSeed { row: rows.len() + 1 })? {
            if rows.len() == MAX_SIDE {
                return Err(de::Error::custom(format_args!("expected 1 to {MAX_SIDE} rows, found more")));
            }
            rows.push(row);
        }
        Grid::from_rows(&rows).map_err(de::Error::custom)
    }
}

#[derive(Debug, Clone, Copy)]
struct RowSeed {
    row: usize,
}

impl<'de> DeserializeSeed<'de> for RowSeed {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowSeed {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of colours as row {}", self.row)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = list.next_element_seed(CellSeed { row: self.row, column: cells.len() + 1 })? {
            if cells.len() == MAX_SIDE {
                let row = self.row;
                return Err(de::Error::custom(format_args!(
                    "expected 1 to {MAX_SIDE} columns, found more in row {row}"
                )));
            }
            cells.push(cell);
        }
        Ok(cells)
    }
}

#[derive(Debug, Clone, Copy)]
struct CellSeed {
    row: usize,
    column: usize,
}

impl<'de> DeserializeSeed<'de> for CellSeed {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_u8(self)
    }
}

impl Visitor<'_> for CellSeed {
    type Value = u8;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a colour from 0 to 9 in row {}, column {}", self.row, self.column)
    }

    fn visit_u64<E: de::Error>(self, colour: u64) -> Result<u8, E> {
        if colour < COLOURS as u64 {
            return Ok(colour as u8);
        }
        Err(E::invalid_value(Unexpected::Unsigned(colour), &self))
    }

    fn visit_i64<E: de::Error>(self, colour: i64) -> Result<u8, E> {
        Err(E::invalid_value(Unexpected::Signed(colour), &self))
    }
}

/// Puts the place of an error before its message.
fn at<E: de::Error>(place: impl Display) -> impl FnOnce(E) -> E {
    move |error| E::custom(format_args!("{place}: {error}"))
}

/// The beginning of a name that a message quotes.
fn shorten(name: &str) -> &str {
    name.char_indices().nth(80).map_or(name, |(end, _)| &name[..end])
}
