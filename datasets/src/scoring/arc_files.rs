//! The two files beside an ARC dataset's arrays: `test_puzzles.json` (answers) and `identifiers.json` (names).
//! Owns what of them the votes need, and the index of test inputs; leaves reading to [`crate::arc`].

use std::collections::HashMap;
use std::path::Path;

use super::arc::{ArcPair, ArcTask, TestInput};
use super::packed::PackedGrid;
use crate::DatasetError;
use crate::arc::{Augmentation, for_each_name, inverse_aug, read_test_tasks};

/// What `test_puzzles.json` holds.
pub(super) struct Puzzles {
    pub(super) tasks: Vec<ArcTask>,
    pub(super) inputs: Vec<TestInput>,
    pub(super) input_index: HashMap<(u32, PackedGrid), u32>,
}

/// Reads the test pairs of all tasks, in the file's order.
pub(super) fn read_test_puzzles(folder: &Path) -> Result<Puzzles, DatasetError> {
    let mut puzzles = Puzzles { tasks: Vec::new(), inputs: Vec::new(), input_index: HashMap::new() };
    for task in read_test_tasks(folder)? {
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
    Ok(puzzles)
}

/// Reads what the name of each identifier says, for tasks that have test pairs.
pub(super) fn read_names(
    folder: &Path,
    num_puzzle_identifiers: usize,
    task_index: &HashMap<&str, u32>,
) -> Result<Vec<Option<(u32, Augmentation)>>, DatasetError> {
    let mut names = Vec::with_capacity(num_puzzle_identifiers);
    for_each_name(folder, num_puzzle_identifiers, |name| {
        let (task, augmentation) = inverse_aug(name)?;
        names.push(task_index.get(task).map(|&task| (task, augmentation)));
        Ok(())
    })?;
    Ok(names)
}
