//! The tasks that an ARC checkpoint was trained on, by name and by content, and the rows of its puzzle-embedding table
//! that belong to each. Owns reading them out of the data set's folder; leaves the files' forms to `datasets`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datasets::DatasetError;
use datasets::arc::{
    ARC_DATA_FOLDER, ArcPair, ArcTask, Augmentation, BLANK_NAME, Digest, find_grid, for_each_name, grid_hash,
    inverse_aug, puzzle_hash, read_test_tasks, read_train_tasks,
};
use datasets::store::{DatasetMetadata, DatasetSplit, PuzzleSet, Split};

use crate::task::Task;

/// What a checkpoint knows.
#[derive(Debug)]
pub struct TaskIndex {
    /// In the order of their identifiers.
    tasks: Vec<KnownTask>,
    by_name: HashMap<String, u32>,
    /// Tasks that have a pair among those that were trained on.
    by_pair: HashMap<Digest, Vec<u32>>,
    /// All puzzles, task by task.
    puzzles: Vec<AugmentedPuzzle>,
    num_puzzle_identifiers: usize,
}

/// A task of the data set.
#[derive(Debug)]
pub struct KnownTask {
    /// As the data set calls it.
    pub name: String,
    /// Its pairs, where the data set tells which are to be solved; held-out tasks have their answers.
    pub task: Option<ArcTask>,
    /// Whether its test pairs were held out of training.
    pub held_out: bool,
    /// Different pairs that were trained on.
    pairs: usize,
    puzzles: Range<usize>,
}

/// A task under an augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AugmentedPuzzle {
    /// Its row of the puzzle-embedding table.
    pub identifier: u32,
    /// What was done to the task.
    pub augmentation: Augmentation,
}

impl TaskIndex {
    /// Reads `identifiers.json`, `test_puzzles.json` and the tasks of the training split of a folder that `datasets
    /// build arc` made. Without the training split's arrays or `train_puzzles.json`, tasks that were not held out are
    /// known by name only.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let num_puzzle_identifiers = num_puzzle_identifiers(folder)?;
        let mut index = Self::read_names(folder, num_puzzle_identifiers)?;
        if has_split(folder, Split::Test) {
            index.learn(read_test_tasks(folder)?, true);
        }
        match read_train_tasks(folder)? {
            Some(tasks) => index.learn(tasks, false),
            None if has_arrays(folder, Split::Train) => index.learn_from_examples(folder)?,
            None => {}
        }
        Ok(index)
    }

    /// The data set that lies in the folder of a checkpoint, where there is one.
    pub fn folder_in(checkpoint: &Path) -> Option<PathBuf> {
        Some(checkpoint.join(ARC_DATA_FOLDER)).filter(|folder| folder.is_dir())
    }

    /// Rows that the puzzle-embedding table must have.
    pub fn num_puzzle_identifiers(&self) -> usize {
        self.num_puzzle_identifiers
    }

    /// All tasks, in the order of their identifiers.
    pub fn tasks(&self) -> &[KnownTask] {
        &self.tasks
    }

    /// The task of that name.
    pub fn named(&self, name: &str) -> Option<(usize, &KnownTask)> {
        let index = *self.by_name.get(name)? as usize;
        Some((index, &self.tasks[index]))
    }

    /// A task with its augmentations, the unchanged one first, then in the order of the data set.
    pub fn puzzles_of(&self, task: usize) -> &[AugmentedPuzzle] {
        &self.puzzles[self.tasks[task].puzzles.clone()]
    }

    /// The task that was trained on all of `pairs`, whatever their order: of several the one with the fewest pairs
    /// besides, then the first.
    pub fn with_pairs<'a>(&self, pairs: impl IntoIterator<Item = &'a ArcPair>) -> Option<usize> {
        let mut pairs = pairs.into_iter().map(|pair| self.by_pair.get(&pair_digest(pair)));
        let mut candidates = pairs.next()??.clone();
        for tasks in pairs {
            let tasks = tasks?;
            candidates.retain(|task| tasks.contains(task));
        }
        candidates.into_iter().map(|task| task as usize).min_by_key(|&task| (self.tasks[task].pairs, task))
    }

    /// Whether a task was trained on all of `pairs`.
    pub fn has_pairs<'a>(&self, task: usize, pairs: impl IntoIterator<Item = &'a ArcPair>) -> bool {
        let knows = |pair| self.by_pair.get(&pair_digest(pair)).is_some_and(|tasks| tasks.contains(&(task as u32)));
        pairs.into_iter().all(knows)
    }

    /// Whether the pairs of a task are known at all.
    pub fn is_known_by_content(&self, task: usize) -> bool {
        self.tasks[task].pairs > 0
    }

    fn read_names(folder: &Path, num_puzzle_identifiers: usize) -> Result<Self, DatasetError> {
        let (mut tasks, mut by_name) = (Vec::<String>::new(), HashMap::<String, u32>::new());
        let mut puzzles: Vec<(u32, AugmentedPuzzle)> = Vec::with_capacity(num_puzzle_identifiers);
        let mut next = 0_u32;
        for_each_name(folder, num_puzzle_identifiers, |name| {
            let identifier = next;
            next += 1;
            if name == BLANK_NAME {
                return Ok(());
            }
            let (task, augmentation) = inverse_aug(name)?;
            // Names of one task follow each other but for tasks that come twice.
            let task = match tasks.last() {
                Some(last) if last == task => tasks.len() as u32 - 1,
                _ => *by_name.entry(task.to_owned()).or_insert_with(|| {
                    tasks.push(task.to_owned());
                    tasks.len() as u32 - 1
                }),
            };
            puzzles.push((task, AugmentedPuzzle { identifier, augmentation }));
            Ok(())
        })?;
        puzzles.sort_by_key(|(task, puzzle)| (*task, puzzle.augmentation != Augmentation::IDENTITY));
        let mut start = 0;
        let tasks = tasks.into_iter().enumerate().map(|(index, name)| {
            let end = start + puzzles[start..].partition_point(|(task, _)| *task as usize <= index);
            let puzzles = std::mem::replace(&mut start, end)..end;
            KnownTask { name, task: None, held_out: false, pairs: 0, puzzles }
        });
        let tasks = tasks.collect();
        let puzzles = puzzles.into_iter().map(|(_, puzzle)| puzzle).collect();
        Ok(Self { tasks, by_name, by_pair: HashMap::new(), puzzles, num_puzzle_identifiers })
    }

    /// Takes note of whole tasks: all their pairs were trained on, or those of held-out ones that demonstrate.
    fn learn(&mut self, tasks: Vec<ArcTask>, held_out: bool) {
        for task in tasks {
            let Some(&index) = self.by_name.get(&task.id) else { continue };
            let tests: &[ArcPair] = if held_out { &[] } else { &task.test };
            for pair in task.train.iter().chain(tests) {
                self.add_pair(index, pair);
            }
            let known = &mut self.tasks[index as usize];
            // A task that is in both has its test pairs held out.
            if known.task.is_none() {
                (known.held_out, known.task) = (held_out, Some(task));
            }
        }
    }

    /// Reads the pairs of unchanged puzzles back from their canvases.
    fn learn_from_examples(&mut self, folder: &Path) -> Result<(), DatasetError> {
        let mut originals = HashMap::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let first = self.puzzles[task.puzzles.start];
            if first.augmentation == Augmentation::IDENTITY {
                originals.insert(i64::from(first.identifier), index as u32);
            }
        }
        for set in DatasetSplit::open(folder, Split::Train)?.sets() {
            for puzzle in 0..set.puzzles() {
                let Some(&task) = originals.get(&i64::from(set.puzzle_identifier(puzzle))) else { continue };
                for example in set.examples_of(puzzle) {
                    if let Some(pair) = pair_of(set, example)? {
                        self.add_pair(task, &pair);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_pair(&mut self, task: u32, pair: &ArcPair) {
        let tasks = self.by_pair.entry(pair_digest(pair)).or_default();
        if !tasks.contains(&task) {
            tasks.push(task);
            self.tasks[task as usize].pairs += 1;
        }
    }
}

/// What `dataset.json` of whichever split there is says.
fn num_puzzle_identifiers(folder: &Path) -> Result<usize, DatasetError> {
    let split = if has_split(folder, Split::Train) { Split::Train } else { Split::Test };
    let path = folder.join(split.name()).join("dataset.json");
    let metadata = DatasetMetadata::read(&path)?;
    if Task::infer(metadata.vocab_size, metadata.seq_len) == Some(Task::Arc) {
        return Ok(metadata.num_puzzle_identifiers);
    }
    Err(DatasetError::Format {
        path,
        expected: "an ARC data set (vocab_size 12, seq_len 900)".into(),
        found: format!("vocab_size {}, seq_len {}", metadata.vocab_size, metadata.seq_len),
    })
}

fn has_split(folder: &Path, split: Split) -> bool {
    folder.join(split.name()).join("dataset.json").is_file()
}

/// Folders that were built or copied without examples have sizes, but no arrays.
fn has_arrays(folder: &Path, split: Split) -> bool {
    let is_array = |path: &Path| path.extension().is_some_and(|extension| extension == "npy");
    let entries = std::fs::read_dir(folder.join(split.name())).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| is_array(&path))
}

fn pair_of(set: &PuzzleSet, example: usize) -> Result<Option<ArcPair>, DatasetError> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    set.append_input(example, &mut input)?;
    set.append_label(example, &mut output)?;
    Ok(find_grid(&input).zip(find_grid(&output)).map(|(input, output)| ArcPair::new(input, output)))
}

fn pair_digest(pair: &ArcPair) -> Digest {
    puzzle_hash([(grid_hash(&pair.input), grid_hash(&pair.output))])
}
