//! Datasets that lie: every damage is an error that names the file and what is wrong, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy_folder, fixture};
use datasets::loader::{FolderSource, LoaderOptions, TestBatches};
use datasets::store::{DatasetMetadata, DatasetSplit, Split};

const HEADER_BYTES: usize = 128;

type Damage = fn(&mut Vec<u8>);

/// Copies a fixture, lets `damage` change the bytes of one file of the training split, and gives the error of opening.
fn error_after(dataset: &str, file: &str, damage: Damage) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&fixture(dataset), folder.path());
    let path = folder.path().join("train").join(file);
    let mut bytes = fs::read(&path).expect("the file is there");
    damage(&mut bytes);
    fs::write(&path, bytes).expect("the file can be changed");
    let error = DatasetSplit::open(folder.path(), Split::Train).expect_err("damage must be noticed").to_string();
    assert!(error.contains(file), "{error}\nshould name {file}");
    error
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8_lossy(&bytes[..]).into_owned();
    assert!(bytes.is_ascii() && text.contains(from), "{from:?} not found");
    *bytes = text.replacen(from, to, 1).into_bytes();
}

/// Replaces text in an npy header, keeping its length.
fn replace_in_header(bytes: &mut [u8], from: &str, to: &str) {
    let header = String::from_utf8_lossy(&bytes[10..HEADER_BYTES]).into_owned();
    assert!(header.contains(from), "{from:?} not in {header:?}");
    let mut changed = header.replacen(from, to, 1);
    while changed.len() > HEADER_BYTES - 10 {
        let blank = changed.rfind(' ').expect("the header is padded with blanks");
        changed.remove(blank);
    }
    let padding = HEADER_BYTES - 10 - changed.len();
    changed.insert_str(changed.len() - 1, &" ".repeat(padding));
    bytes[10..HEADER_BYTES].copy_from_slice(changed.as_bytes());
}

fn set_i32(bytes: &mut [u8], index: usize, value: i32) {
    let start = HEADER_BYTES + 4 * index;
    bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn damaged_arrays_are_named() {
    let inputs = "all__inputs.npy";
    let cases: [(&str, Damage, &str); 10] = [
        (inputs, Vec::clear, "expected an .npy file"),
        (inputs, |bytes| bytes.truncate(100), "expected a complete .npy header, found a file of 100 bytes"),
        (
            inputs,
            |bytes| bytes.truncate(bytes.len() - 1),
            "1748 bytes for uint8 of shape [20, 81], found a file of 1747",
        ),
        (inputs, |bytes| bytes.push(0), "found a file of 1749 bytes"),
        (inputs, |bytes| bytes[8..10].copy_from_slice(&[0xff, 0xff]), "at most 10000 bytes, found 65535"),
        (inputs, |bytes| replace_in_header(bytes, "|u1", "<f8"), "found \"<f8\""),
        (
            inputs,
            |bytes| replace_in_header(bytes, "(20, 81)", "(81, 20)"),
            "shape [examples, 81], found shape [81, 20]",
        ),
        (inputs, |bytes| replace_in_header(bytes, "(20, 81)", "(1620,)"), "found shape [1620]"),
        (
            inputs,
            |bytes| replace_in_header(bytes, "(20, 81)", "(9999999999999999, 9999999999999999)"),
            "expected more than 2^64 bytes",
        ),
        (
            "all__labels.npy",
            |bytes| {
                replace_in_header(bytes, "(20, 81)", "(19, 81)");
                bytes.truncate(HEADER_BYTES + 19 * 81);
            },
            "expected shape [20, 81], found shape [19, 81]",
        ),
    ];
    for (file, damage, message) in cases {
        let error = error_after("sudoku_plain", file, damage);
        assert!(error.contains(message), "{error}\nshould contain: {message}");
    }
}

#[test]
fn inconsistent_indices_are_named() {
    let cases: [(&str, Damage, &str); 9] = [
        ("all__puzzle_indices.npy", |bytes| set_i32(bytes, 0, 1), "expected 0 at index 0, found 1"),
        (
            "all__puzzle_indices.npy",
            |bytes| set_i32(bytes, 5, 4),
            "strictly increasing indices (more than 4 here), found 4 at index 5",
        ),
        ("all__puzzle_indices.npy", |bytes| set_i32(bytes, 5, -7), "found -7 at index 5"),
        ("all__puzzle_indices.npy", |bytes| set_i32(bytes, 32, 33), "number of examples, 32, as last index, found 33"),
        ("all__group_indices.npy", |bytes| set_i32(bytes, 8, 31), "number of puzzles, 32, as last index, found 31"),
        (
            "all__group_indices.npy",
            |bytes| {
                replace_in_header(bytes, "(9,)", "(34,)");
                bytes.resize(HEADER_BYTES + 4 * 34, 0);
            },
            "at most 33 indices for 32 puzzles, found 34",
        ),
        (
            "all__group_indices.npy",
            |bytes| {
                replace_in_header(bytes, "(9,)", "(0,)");
                bytes.truncate(HEADER_BYTES);
            },
            "expected 0 at index 0, found an empty array",
        ),
        (
            "all__puzzle_identifiers.npy",
            |bytes| set_i32(bytes, 3, 1),
            "identifiers below num_puzzle_identifiers 1, found 1 at index 3",
        ),
        ("all__puzzle_identifiers.npy", |bytes| replace_in_header(bytes, "(32,)", "(16, 2)"), "expected one dimension"),
    ];
    for (file, damage, message) in cases {
        let error = error_after("sudoku_sub8_aug3", file, damage);
        assert!(error.contains(message), "{error}\nshould contain: {message}");
    }
}

#[test]
fn damaged_metadata_is_named() {
    let cases: [(Damage, &str); 14] = [
        (|bytes| bytes.truncate(40), "expected valid JSON"),
        (|bytes| bytes.resize(2 << 20, b' '), "JSON of at most 1048576 bytes, found a larger file"),
        (|bytes| *bytes = b"[".repeat(1 << 19), "expected valid JSON"),
        (|bytes| replace(bytes, "\"seq_len\": 81, ", ""), "seq_len"),
        (|bytes| replace(bytes, "\"seq_len\": 81", "\"seq_len\": 80"), "found shape [20, 81]"),
        (|bytes| replace(bytes, "\"seq_len\": 81", "\"seq_len\": 0"), "seq_len in 1..=2147483647, found 0"),
        (|bytes| replace(bytes, "\"seq_len\": 81", "\"seq_len\": -1"), "expected valid JSON"),
        (|bytes| replace(bytes, "\"vocab_size\": 11", "\"vocab_size\": 9999999999"), "vocab_size in 1..=2147483647"),
        (|bytes| replace(bytes, "\"pad_id\": 0", "\"pad_id\": 11"), "pad_id below vocab_size 11, found 11"),
        (|bytes| replace(bytes, "\"blank_identifier_id\": 0", "\"blank_identifier_id\": 1"), "blank_identifier_id"),
        (|bytes| replace(bytes, "examples\": 1.0", "examples\": -1.0"), "mean_puzzle_examples"),
        (|bytes| replace(bytes, "[\"all\"]", "[]"), "at least one name in sets"),
        (|bytes| replace(bytes, "[\"all\"]", "[\"../../etc\"]"), "found \"../../etc\""),
        (|bytes| replace(bytes, "[\"all\"]", "[\"all\", \"all\"]"), "\"all\" twice"),
    ];
    for (damage, message) in cases {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy_folder(&fixture("sudoku_plain"), folder.path());
        let path = folder.path().join("train/dataset.json");
        let mut bytes = fs::read(&path).expect("the metadata");
        damage(&mut bytes);
        fs::write(&path, bytes).expect("the file can be changed");
        let error = DatasetSplit::open(folder.path(), Split::Train).expect_err(message).to_string();
        assert!(error.contains(message), "{error}\nshould contain: {message}");
    }
}

#[test]
fn tokens_outside_the_vocabulary_are_noticed_in_the_batch() {
    let damages: [(&str, usize, &str); 2] = [
        ("train/all__inputs.npy", 8 * (3 * 81 + 7), "tokens below vocab_size 11"),
        ("test/all__labels.npy", 3 * 81 + 7, "in row 3, column 7"),
    ];
    for (file, position, message) in damages {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy_folder(&fixture("sudoku_sub8_aug3"), folder.path());
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).expect("the array");
        // In the int64 array this makes a number beyond 32 bits, whose lower half alone would look harmless.
        let width = if file.starts_with("train") { 5 } else { 0 };
        bytes[HEADER_BYTES + position + width] = 200;
        fs::write(&path, bytes).expect("the file can be changed");
        let paths = [PathBuf::from(folder.path())];
        let error = if file.starts_with("train") {
            let mut source = FolderSource::open(&paths, LoaderOptions { epochs_per_iter: 50, ..LoaderOptions::new(8) })
                .expect("opens");
            std::iter::repeat_with(|| datasets::TrainingSource::next_batch(&mut source, &[true; 8]))
                .take(50)
                .find_map(Result::err)
                .expect("the damaged row comes up")
        } else {
            let mut batches = TestBatches::open(&paths, Split::Test, LoaderOptions::new(8)).expect("opens");
            batches.find_map(Result::err).expect("the damaged row comes up")
        };
        let error = error.to_string();
        assert!(error.contains(message) && error.contains(Path::new(file).to_str().expect("ASCII")), "{error}");
    }
}

#[test]
fn missing_files_and_folders_in_their_place_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&fixture("sudoku_plain"), folder.path());
    let labels = folder.path().join("train/all__labels.npy");
    fs::remove_file(&labels).expect("the file can be removed");
    let error = DatasetSplit::open(folder.path(), Split::Train).expect_err("no labels").to_string();
    assert!(error.contains("all__labels.npy"), "{error}");
    fs::create_dir(&labels).expect("a folder in its place");
    let error = DatasetSplit::open(folder.path(), Split::Train).expect_err("no file").to_string();
    assert!(error.contains("expected a regular file"), "{error}");
    let error = DatasetSplit::open(&folder.path().join("nowhere"), Split::Test).expect_err("nothing").to_string();
    assert!(error.contains("nowhere/test/dataset.json"), "{error}");
}

/// Reading and writing give back the reference's bytes, its floats included.
#[test]
fn metadata_survives_a_round_trip() {
    for path in ["arc_aug8/train", "arc_aug8/test", "sudoku_plain/train", "sudoku_mindiff10_aug1/test"] {
        let path = fixture(path).join("dataset.json");
        let metadata = DatasetMetadata::read(&path).expect("valid");
        assert_eq!(metadata.to_json_bytes(), fs::read(&path).expect("readable"), "{}", path.display());
    }
    let mut metadata = DatasetMetadata::read(&fixture("arc_aug8/train/dataset.json")).expect("valid");
    metadata.ignore_label_id = None;
    let text = String::from_utf8(metadata.to_json_bytes()).expect("ASCII");
    assert!(text.contains("\"ignore_label_id\": null, "), "{text}");
}

/// HRM's builders write no `total_puzzles`: each group counts as a puzzle then, as the Sudoku and maze builders count.
#[test]
fn metadata_without_total_puzzles_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&fixture("maze_sub2_aug"), folder.path());
    let path = folder.path().join("train/dataset.json");
    let whole = DatasetMetadata::read(&path).expect("valid");
    let mut bytes = fs::read(&path).expect("readable");
    replace(&mut bytes, "\"total_puzzles\": 2, ", "");
    fs::write(&path, bytes).expect("the file can be changed");
    let opened = DatasetSplit::open(folder.path(), Split::Train).expect("a dataset of HRM");
    assert_eq!(opened.metadata(), &whole);
}
