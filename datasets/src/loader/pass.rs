//! One training pass over a set, and the examples of a batch: the reference's `_iter_train`, `_sample_batch` and
//! `_collate_batch`.
//! Owns the random order, identical on every rank, and padding; leaves slicing to [`super::train`].

use crate::numpy::{LegacyGenerator, PhiloxGenerator};
use crate::store::{DatasetMetadata, PuzzleSet};
use crate::{Batch, DatasetError, IGNORE_LABEL_ID};

/// An example and the puzzle it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) example: usize,
    pub(super) puzzle: usize,
}

/// A batch of `rows` rows: the picked examples, then padding.
pub(super) fn assemble(
    metadata: &DatasetMetadata,
    set: &PuzzleSet,
    picks: &[Pick],
    rows: usize,
) -> Result<Batch, DatasetError> {
    let tokens = rows * metadata.seq_len;
    let (mut inputs, mut labels) = (Vec::with_capacity(tokens), Vec::with_capacity(tokens));
    for pick in picks {
        set.append_input(pick.example, &mut inputs)?;
        set.append_label(pick.example, &mut labels)?;
    }
    inputs.resize(tokens, metadata.pad_id);
    labels.resize(tokens, IGNORE_LABEL_ID);
    let mut puzzle_identifiers: Vec<i32> = picks.iter().map(|pick| set.puzzle_identifier(pick.puzzle)).collect();
    puzzle_identifiers.resize(rows, metadata.blank_identifier_id);
    Ok(Batch { seq_len: metadata.seq_len, inputs, labels, puzzle_identifiers, real_rows: picks.len() })
}

/// The order in which one pass visits groups, puzzles and examples.
///
/// The reference draws all permutations of a pass before anything else. Here a second generator draws them again, one
/// at a time: 5,000 epochs of 1,000 groups need not lie in memory.
#[derive(Debug)]
pub(super) struct Pass {
    permutations: PhiloxGenerator,
    permutations_left: usize,
    /// The current permutation, next group last.
    upcoming: Vec<usize>,
    groups: usize,
    /// Groups visited so far.
    consumed: usize,
    rng: PhiloxGenerator,
    /// Picks examples inside a puzzle; the reference takes the unseeded global `np.random` here.
    example_choice: LegacyGenerator,
}

impl Pass {
    /// Begins pass number `iteration` (from 0) over a set: `Generator(Philox(seed + iteration + 1))` shuffles the
    /// groups `epochs_per_iter` times.
    pub(super) fn start(seed: u64, iteration: u64, groups: usize, epochs_per_iter: usize) -> Self {
        let pass_seed = seed.wrapping_add(iteration).wrapping_add(1);
        // A stream of its own: were the choices drawn from `rng`, the groups would leave the reference's order.
        let choice_seed = PhiloxGenerator::new(!pass_seed).integers(0..1 << 32) as u32;
        Self::with_choice(pass_seed, LegacyGenerator::new(choice_seed), groups, epochs_per_iter)
    }

    fn with_choice(pass_seed: u64, example_choice: LegacyGenerator, groups: usize, epochs_per_iter: usize) -> Self {
        let permutations = PhiloxGenerator::new(pass_seed);
        let mut rng = permutations.clone();
        for _ in 0..epochs_per_iter {
            rng.permutation(groups);
        }
        let (permutations_left, upcoming) = (epochs_per_iter, Vec::new());
        Self { permutations, permutations_left, upcoming, groups, consumed: 0, rng, example_choice }
    }

    /// Groups visited so far.
    pub(super) fn consumed(&self) -> usize {
        self.consumed
    }

    /// The next global batch; fewer than `global_batch_size` picks at the end of the pass.
    pub(super) fn sample(&mut self, set: &PuzzleSet, global_batch_size: usize) -> Vec<Pick> {
        let mut picks = Vec::with_capacity(global_batch_size);
        while picks.len() < global_batch_size
            && let Some(group) = self.next_group()
        {
            let puzzles = set.puzzles_of(group);
            let puzzle = self.rng.integers(puzzles.start as u64..puzzles.end as u64) as usize;
            let examples = set.examples_of(puzzle);
            let wanted = examples.len().min(global_batch_size - picks.len());
            let chosen = self.example_choice.choice_without_replacement(examples.len(), wanted);
            picks.extend(chosen.into_iter().map(|index| Pick { example: examples.start + index, puzzle }));
        }
        picks
    }

    fn next_group(&mut self) -> Option<usize> {
        while self.upcoming.is_empty() {
            self.permutations_left = self.permutations_left.checked_sub(1)?;
            self.upcoming = self.permutations.permutation(self.groups);
            self.upcoming.reverse();
        }
        self.consumed += 1;
        self.upcoming.pop()
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::fixtures;
    use crate::store::{DatasetSplit, Split};

    /// With the choice of examples seeded as the fixture's author seeded it (`np.random.seed(123)`, once), even the
    /// batches with several examples per puzzle equal the reference's.
    #[test]
    fn batches_equal_the_reference_when_its_example_choice_is_seeded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["arc_aug8", "batches"] {
            fixtures::unpack(&fixtures::packed().join(name), &folder.path().join(name));
        }
        let split = DatasetSplit::open(&folder.path().join("arc_aug8"), Split::Train).expect("the fixture opens");
        for (rank, world_size) in [(0, 1), (0, 2), (1, 2)] {
            let name = format!("batches/arc_aug8_train_ws{world_size}_rank{rank}.safetensors");
            let bytes = std::fs::read(folder.path().join(name)).expect("readable");
            let expected = SafeTensors::deserialize(&bytes).expect("safetensors");
            assert_equals_the_reference(&split, &expected, rank, world_size);
        }
    }

    /// Global batch 8; the reference recorded the first three batches of two passes.
    fn assert_equals_the_reference(split: &DatasetSplit, expected: &SafeTensors, rank: usize, world_size: usize) {
        let set = &split.sets()[0];
        let rows = 8 / world_size;
        let mut example_choice = LegacyGenerator::new(123);
        for iteration in 0..2 {
            let mut pass = Pass::with_choice(iteration + 1, example_choice, set.groups(), 2);
            let mut full_batches = 0;
            loop {
                let picks = pass.sample(set, 8);
                if picks.len() < 8 {
                    break;
                }
                if full_batches < 3 {
                    let local = &picks[rank * rows..(rank + 1) * rows];
                    let batch = assemble(split.metadata(), set, local, rows).expect("valid tokens");
                    for (field, values) in [
                        ("inputs", batch.inputs),
                        ("labels", batch.labels),
                        ("puzzle_identifiers", batch.puzzle_identifiers),
                    ] {
                        let name = format!("iter{iteration}.batch{full_batches}.{field}");
                        let tensor = expected.tensor(&name).expect("recorded");
                        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                        assert!(tensor.data() == bytes, "{name} differs");
                    }
                }
                full_batches += 1;
            }
            assert_eq!(full_batches, 9, "full batches of pass {iteration}");
            example_choice = pass.example_choice;
        }
    }
}
