//! Batches against those of the reference's `PuzzleDataset`, and the promises that the reference does not make:
//! resumable positions and clear errors.

use std::path::PathBuf;

use crate::common::fixture;
use datasets::loader::{FolderSource, LoaderOptions, TestBatches, total_steps};
use datasets::store::Split;
use datasets::{Batch, IGNORE_LABEL_ID, SourcePosition, TrainingSource};
use safetensors::SafeTensors;

/// Global batch 8 and the seed of the fixtures.
fn options(rank: usize, world_size: usize) -> LoaderOptions {
    LoaderOptions { rank, world_size, epochs_per_iter: 2, ..LoaderOptions::new(8) }
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| fixture(name)).collect()
}

fn assert_same(batch: &Batch, expected: &SafeTensors, name: &str) {
    let fields =
        [("inputs", &batch.inputs), ("labels", &batch.labels), ("puzzle_identifiers", &batch.puzzle_identifiers)];
    for (field, values) in fields {
        let tensor = expected.tensor(&format!("{name}.{field}")).expect("recorded");
        let recorded: Vec<i32> = tensor.data().as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect();
        assert!(*values == recorded, "{name}.{field} differs from the reference");
    }
}

#[test]
fn test_batches_equal_the_reference() {
    // Rows per batch over all ranks; the last one is padded.
    let cases = [
        ("sudoku_plain", 0, 1, vec![8, 2]),
        ("sudoku_plain", 0, 2, vec![8, 2]),
        ("sudoku_plain", 1, 2, vec![8, 2]),
        ("sudoku_sub8_aug3", 0, 1, vec![8, 2]),
        ("sudoku_sub8_aug3", 0, 2, vec![8, 2]),
        ("sudoku_sub8_aug3", 1, 2, vec![8, 2]),
        ("arc_aug8", 0, 1, vec![8, 8, 8, 8, 8, 8, 6]),
        ("arc_aug8", 0, 2, vec![8, 8, 8, 8, 8, 8, 6]),
        ("arc_aug8", 1, 2, vec![8, 8, 8, 8, 8, 8, 6]),
    ];
    for (dataset, rank, world_size, global_rows) in cases {
        let name = format!("batches/{dataset}_test_ws{world_size}_rank{rank}.safetensors");
        let bytes = std::fs::read(fixture(&name)).expect("the fixture is in the repository");
        let expected = SafeTensors::deserialize(&bytes).expect("the fixture is intact");
        let batches = TestBatches::open(&paths(&[dataset]), Split::Test, options(rank, world_size)).expect("opens");
        let batches: Vec<_> = batches.map(|batch| batch.expect("valid data")).collect();
        assert_eq!((batches.len(), batches.len()), (expected.len() / 3, global_rows.len()), "{name}");
        for (index, (batch, global_rows)) in batches.iter().zip(global_rows).enumerate() {
            assert_same(&batch.batch, &expected, &format!("batch{index}"));
            assert_eq!((batch.set.as_str(), batch.global_rows), ("all", global_rows));
            let local = 8 / world_size;
            assert_eq!(batch.batch.real_rows, global_rows.saturating_sub(rank * local).min(local));
            assert_eq!(batch.batch.rows(), local);
        }
    }
}

#[test]
fn training_batches_equal_the_reference() {
    for (rank, world_size) in [(0, 1), (0, 2), (1, 2)] {
        let name = format!("batches/sudoku_sub8_aug3_train_ws{world_size}_rank{rank}.safetensors");
        let bytes = std::fs::read(fixture(&name)).expect("the fixture is in the repository");
        let expected = SafeTensors::deserialize(&bytes).expect("the fixture is intact");
        let mut source = FolderSource::open(&paths(&["sudoku_sub8_aug3"]), options(rank, world_size)).expect("opens");
        let wanted = vec![true; 8 / world_size];
        for iteration in 0..2 {
            for index in 0..2 {
                let batch = source.next_batch(&wanted).expect("a batch");
                assert_eq!(source.position().iteration, iteration);
                assert_same(&batch, &expected, &format!("iter{iteration}.batch{index}"));
            }
        }
    }
}

/// Two ranks see together what one process sees, several passes on.
#[test]
fn ranks_share_the_global_batch() {
    let open = |rank, world_size| FolderSource::open(&paths(&["arc_aug8"]), options(rank, world_size)).expect("opens");
    let (mut whole, mut first, mut second) = (open(0, 1), open(0, 2), open(1, 2));
    for _ in 0..25 {
        let all = whole.next_batch(&[true; 8]).expect("a batch");
        let (left, right) =
            (first.next_batch(&[true; 4]).expect("a batch"), second.next_batch(&[true; 4]).expect("a batch"));
        assert_eq!(all.inputs, [left.inputs, right.inputs].concat());
        assert_eq!(all.labels, [left.labels, right.labels].concat());
        assert_eq!(all.puzzle_identifiers, [left.puzzle_identifiers, right.puzzle_identifiers].concat());
    }
}

#[test]
fn a_source_continues_from_every_position() {
    let open = || FolderSource::open(&paths(&["arc_aug8", "arc_aug8"]), options(0, 1)).expect("opens");
    let mut source = open();
    let mut seen = Vec::new();
    for _ in 0..45 {
        let position = source.position();
        seen.push((position, source.next_batch(&[true; 8]).expect("a batch")));
    }
    assert!(seen.last().expect("45 batches").0.iteration >= 4, "the test must cross several passes and both folders");
    for start in [0, 1, 8, 9, 17, 18, 30, 44] {
        let mut resumed = open();
        resumed.seek(&seen[start].0).expect("a position of this source");
        for (position, batch) in &seen[start..] {
            assert_eq!((&resumed.position(), &resumed.next_batch(&[true; 8]).expect("a batch")), (position, batch));
        }
    }
}

#[test]
fn positions_of_other_data_are_refused_and_change_nothing() {
    let mut source = FolderSource::open(&paths(&["sudoku_sub8_aug3"]), options(0, 1)).expect("opens");
    source.next_batch(&[true; 8]).expect("a batch");
    let before = source.position();
    for consumed in [3, 17, u64::MAX] {
        let error = source.seek(&SourcePosition { iteration: 0, consumed }).expect_err("no batch ends there");
        assert!(error.to_string().contains("data position"), "{error}");
        assert_eq!(source.position(), before);
    }
}

/// Puzzle choice and order differ from pass to pass and from seed to seed.
#[test]
fn order_depends_on_pass_and_seed() {
    let first_batch = |seed| {
        let options = LoaderOptions { seed, ..options(0, 1) };
        let mut source = FolderSource::open(&paths(&["sudoku_sub8_aug3"]), options).expect("opens");
        source.next_batch(&[true; 8]).expect("a batch").inputs
    };
    assert_ne!(first_batch(0), first_batch(1));
    assert_eq!(first_batch(1), first_batch(1));
}

#[test]
fn several_folders_are_merged_as_in_the_reference() {
    let source = FolderSource::open(&paths(&["arc_aug8", "arc_aug8"]), options(0, 1)).expect("opens");
    let metadata = source.metadata();
    assert_eq!((metadata.num_puzzle_identifiers, metadata.total_groups, metadata.total_puzzles), (222, 26, 220));
    assert!((metadata.mean_puzzle_examples - 3.327_272_727_272_727).abs() < 1e-12);
    let batches = TestBatches::open(&paths(&["sudoku_plain", "sudoku_sub8_aug3"]), Split::Test, options(0, 1));
    let batches = batches.expect("opens");
    assert_eq!(batches.total_examples(), 20);
    let sets: Vec<_> = batches.map(|batch| batch.expect("valid").set).collect();
    assert_eq!(sets, ["all", "all", "all1", "all1"]);
}

#[test]
fn options_and_data_that_cannot_work_are_named() {
    let cases = [
        (
            LoaderOptions { world_size: 3, ..options(0, 1) },
            "global_batch_size: expected a positive multiple of world_size 3, found 8",
        ),
        (
            LoaderOptions { rank: 2, world_size: 2, ..options(0, 1) },
            "rank: expected a rank below world_size 2, found 2",
        ),
        (LoaderOptions { global_batch_size: 0, ..options(0, 1) }, "global_batch_size"),
        (LoaderOptions { epochs_per_iter: 0, ..options(0, 1) }, "epochs_per_iter"),
        (LoaderOptions { world_size: 0, ..options(0, 1) }, "rank"),
    ];
    for (options, message) in cases {
        let error = FolderSource::open(&paths(&["sudoku_plain"]), options).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
    let error = FolderSource::open(&paths(&["sudoku_plain", "arc_aug8"]), options(0, 1)).expect_err("sizes differ");
    assert!(error.to_string().contains("seq_len 81 as in the first of data_paths, found 900"), "{error}");
    assert!(FolderSource::open(&[], options(0, 1)).is_err());

    let large = LoaderOptions { global_batch_size: 64, ..options(0, 1) };
    let mut source = FolderSource::open(&paths(&["sudoku_plain"]), large).expect("opens");
    let error = source.next_batch(&[true; 64]).expect_err("a pass has 40 examples");
    assert!(error.to_string().contains("20 groups x 2 epochs_per_iter"), "{error}");
    let error = source.next_batch(&[true; 8]).expect_err("64 rows are due");
    assert!(error.to_string().contains("64 rows"), "{error}");
}

#[test]
fn total_steps_follow_the_reference() {
    let source = FolderSource::open(&paths(&["arc_aug8"]), options(0, 1)).expect("opens");
    // int(100000 * 13 * 3.327272727272727 / 768)
    assert_eq!(total_steps(source.metadata(), 100_000, 768), 5632);
    let source = FolderSource::open(&paths(&["sudoku_sub8_aug3"]), options(0, 1)).expect("opens");
    assert_eq!(source.total_steps(50_000), 50_000);
}

#[test]
fn ignored_labels_and_padding_carry_the_common_id() {
    let mut batches = TestBatches::open(&paths(&["arc_aug8"]), Split::Test, options(0, 1)).expect("opens");
    let first = batches.next().expect("7 batches").expect("valid").batch;
    assert!(first.labels.contains(&IGNORE_LABEL_ID), "ARC labels are 0 (ignored) around the grid");
    assert!(!first.labels.contains(&0));
    let last = batches.last().expect("7 batches").expect("valid").batch;
    assert_eq!(last.real_rows, 6);
    assert!(last.labels[6 * 900..].iter().all(|&label| label == IGNORE_LABEL_ID));
    assert!(last.inputs[6 * 900..].iter().all(|&token| token == 0));
    assert_eq!(last.puzzle_identifiers[6..], [0, 0]);
}
