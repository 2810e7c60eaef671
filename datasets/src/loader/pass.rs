//! One training pass over a set: the reference's `_iter_train` and `_sample_batch` without the copying.
//! Owns the random order, identical on every rank; leaves slicing and copying to [`super::train`].

use super::assemble::Pick;
use crate::numpy::{LegacyGenerator, PhiloxGenerator};
use crate::store::PuzzleSet;

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

    use super::super::assemble::assemble;
    use super::*;
    use crate::store::{DatasetSplit, Split};
    use crate::{Batch, fixtures};

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
                    let mut batch = Batch::default();
                    assemble(split.metadata(), set, local, rows, &mut batch).expect("valid tokens");
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
