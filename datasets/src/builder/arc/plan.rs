//! Which augmentations every task gets, and the puzzles' identifiers: the reference's first pass over its generator.
//! Owns shuffling, draws and duplicates; leaves translation and tokens, its second pass, to [`super::rows`].

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::ops::Range;

use rayon::prelude::*;

use crate::DatasetError;
use crate::arc::{ArcPair, ArcTask, Augmentation, Digest, grid_hash, puzzle_hash};
use crate::numpy::LegacyGenerator;
use crate::store::Split;

/// Draws per wanted augmentation before a task is left with fewer (`ARCAugmentRetriesFactor`).
const RETRIES_FACTOR: usize = 5;

/// Tasks that are drawn together.
pub(super) struct Subset {
    pub(super) tasks: Vec<ArcTask>,
    /// Whether the test pairs go to the test split.
    pub(super) held_out: bool,
}

/// A task and its augmentations: one group of the dataset.
pub(super) struct Group<'a> {
    pub(super) task: &'a ArcTask,
    /// Whether the test pairs go to the test split.
    pub(super) held_out: bool,
    /// Its puzzles in the plan, the unchanged one first.
    puzzles: Range<usize>,
}

/// All puzzles of a dataset, some 15 bytes each.
pub(super) struct Plan<'a> {
    groups: Vec<Group<'a>>,
    augmentations: Vec<Augmentation>,
    identifiers: Vec<i32>,
    first_identifier: usize,
    num_identifiers: usize,
    split_order: [Split; 2],
}

/// The name of a puzzle identifier, put together only where it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum PuzzleName<'a> {
    Blank,
    Puzzle(&'a str, Augmentation),
}

impl<'a> Plan<'a> {
    /// Draws everything up to the identifiers; `progress` gets the tasks done and their total.
    pub(super) fn draw(
        subsets: &'a [Subset],
        num_aug: usize,
        first_identifier: usize,
        rng: &mut LegacyGenerator,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self, DatasetError> {
        let total = subsets.iter().map(|subset| subset.tasks.len()).sum();
        let mut groups = Vec::with_capacity(total);
        let mut augmentations = Vec::new();
        for subset in subsets {
            let mut tasks: Vec<&ArcTask> = subset.tasks.iter().collect();
            rng.shuffle(&mut tasks);
            for task in tasks {
                let start = augmentations.len();
                augmentations.push(Augmentation::IDENTITY);
                augmentations.extend(draw_different(task, num_aug, rng));
                groups.push(Group { task, held_out: subset.held_out, puzzles: start..augmentations.len() });
                progress(groups.len(), total);
            }
        }
        // The splits come in the order in which groups meet them. A held-out group meets both at once, in the order of
        // a Python set: what is taken here is that of PYTHONHASHSEED=0.
        let test_first = groups.first().is_some_and(|group| group.held_out);
        let split_order = if test_first { [Split::Test, Split::Train] } else { [Split::Train, Split::Test] };
        let mut plan =
            Self { groups, augmentations, identifiers: Vec::new(), first_identifier, num_identifiers: 0, split_order };
        plan.identify()?;
        Ok(plan)
    }

    /// The splits in the order in which they are numbered, drawn and written.
    pub(super) fn split_order(&self) -> [Split; 2] {
        self.split_order
    }

    /// All groups in the order of drawing.
    pub(super) fn groups(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// Puzzles of a group: augmentation and identifier.
    pub(super) fn puzzles(&self, group: &Group<'_>) -> impl Iterator<Item = (Augmentation, i32)> {
        let puzzles = group.puzzles.clone();
        self.augmentations[puzzles.clone()].iter().copied().zip(self.identifiers[puzzles].iter().copied())
    }

    /// Number of examples in a split.
    pub(super) fn examples(&self, split: Split) -> usize {
        self.groups.iter().map(|group| group.examples(split).count() * group.puzzles.len()).sum()
    }

    /// Groups and puzzles that a split has examples of.
    pub(super) fn groups_and_puzzles(&self, split: Split) -> (usize, usize) {
        let groups = self.groups.iter().filter(|group| group.examples(split).next().is_some());
        groups.fold((0, 0), |(groups, puzzles), group| (groups + 1, puzzles + group.puzzles.len()))
    }

    /// One more than the highest identifier.
    pub(super) fn num_identifiers(&self) -> usize {
        self.num_identifiers
    }

    /// Tasks with fewer puzzles than `num_aug` and the original, and how many they have.
    pub(super) fn not_full(&self, num_aug: usize) -> Vec<(String, usize)> {
        let short = self.groups.iter().filter(|group| group.puzzles.len() <= num_aug);
        short.map(|group| (group.task.id.clone(), group.puzzles.len())).collect()
    }

    /// The names of identifiers 0, 1, 2, …
    pub(super) fn names(&self) -> impl Iterator<Item = PuzzleName<'_>> {
        let mut next = self.first_identifier;
        let of_groups = self.groups_by_identifier().flat_map(move |group| {
            self.puzzles(group).map(move |(augmentation, identifier)| {
                (identifier as usize, PuzzleName::Puzzle(group.task.id.as_str(), augmentation))
            })
        });
        // A name that was met before has an identifier from then.
        let new = of_groups.filter_map(move |(identifier, name)| {
            let is_new = identifier == next;
            next += usize::from(is_new);
            is_new.then_some(name)
        });
        std::iter::repeat_n(PuzzleName::Blank, self.first_identifier).chain(new)
    }

    /// Numbers all names; a task that comes twice keeps the identifiers of the names it has again.
    fn identify(&mut self) -> Result<(), DatasetError> {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for group in &self.groups {
            *times.entry(&group.task.id).or_default() += 1;
        }
        let mut again: HashMap<(&str, Augmentation), i32> = HashMap::new();
        let mut identifiers = vec![0; self.augmentations.len()];
        let mut next = self.first_identifier;
        for group in self.groups_by_identifier() {
            let id = group.task.id.as_str();
            for puzzle in group.puzzles.clone() {
                let Ok(new) = i32::try_from(next) else {
                    let expected = "identifiers that stay below 2^31 (lower --num-aug or --puzzle-identifiers-start)";
                    return Err(DatasetError::argument("puzzle identifiers", expected, next));
                };
                // Only names of repeated tasks can meet again. The identity stands for the original alone: drawn, it
                // would have been its duplicate.
                let key = (id, self.augmentations[puzzle]);
                let identifier = if times[id] == 1 { new } else { *again.entry(key).or_insert(new) };
                next += usize::from(identifier == new);
                identifiers[puzzle] = identifier;
            }
        }
        self.identifiers = identifiers;
        self.num_identifiers = next;
        Ok(())
    }

    /// All groups, those of the first split first.
    fn groups_by_identifier(&self) -> impl Iterator<Item = &Group<'a>> {
        let first = self.split_order[0];
        let early = move |group: &&Group<'a>| group.is_in(first);
        self.groups.iter().filter(early).chain(self.groups.iter().filter(move |group| !early(group)))
    }
}

impl<'a> Group<'a> {
    /// The pairs that are examples of a split, in order.
    pub(super) fn examples(&self, split: Split) -> impl Iterator<Item = &'a ArcPair> + use<'a> {
        let task = self.task;
        let (all, part): (bool, &[ArcPair]) = match (self.held_out, split) {
            (false, Split::Train) => (true, &[]),
            (false, Split::Test) => (false, &[]),
            (true, Split::Train) => (false, &task.train),
            (true, Split::Test) => (false, &task.test),
        };
        all.then(|| task.pairs()).into_iter().flatten().chain(part)
    }

    fn is_in(&self, split: Split) -> bool {
        split == Split::Train || self.held_out
    }
}

impl Display for PuzzleName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => formatter.write_str("<blank>"),
            Self::Puzzle(id, Augmentation::IDENTITY) => formatter.write_str(id),
            Self::Puzzle(id, augmentation) => write!(formatter, "{id}{augmentation}"),
        }
    }
}

impl serde::Serialize for PuzzleName<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Up to `num_aug` augmentations that give different puzzles, none of them the original.
///
/// The stream is sequential: as long as `missing` augmentations are missing, at least so many more are drawn whatever
/// becomes of them. So many are drawn at once and hashed in parallel.
fn draw_different(task: &ArcTask, num_aug: usize, rng: &mut LegacyGenerator) -> Vec<Augmentation> {
    let mut different = Vec::with_capacity(num_aug);
    if num_aug == 0 {
        return different;
    }
    let mut hashes = HashSet::from([augmented_hash(task, &Augmentation::IDENTITY)]);
    let mut trials_left = RETRIES_FACTOR * num_aug;
    while different.len() < num_aug && trials_left > 0 {
        let certain = trials_left.min(num_aug - different.len());
        let drawn: Vec<Augmentation> = (0..certain).map(|_| Augmentation::draw(rng)).collect();
        trials_left -= certain;
        let drawn_hashes: Vec<Digest> =
            drawn.par_iter().with_min_len(16).map(|augmentation| augmented_hash(task, augmentation)).collect();
        different.extend(
            drawn.into_iter().zip(drawn_hashes).filter(|(_, hash)| hashes.insert(*hash)).map(|(drawn, _)| drawn),
        );
    }
    different
}

fn augmented_hash(task: &ArcTask, augmentation: &Augmentation) -> Digest {
    let hash = |grid| grid_hash(&augmentation.apply(grid));
    puzzle_hash(task.pairs().map(|pair| (hash(&pair.input), hash(&pair.output))))
}
