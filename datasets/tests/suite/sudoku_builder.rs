//! The Sudoku-Extreme builder: byte parity with the reference, and what it refuses.

use std::fs;
use std::path::Path;

use crate::common::{assert_same_folder, fixture, names};
use datasets::DatasetError;
use datasets::builder::PuzzleListSource;
use datasets::builder::sudoku::{SudokuBuild, build};
use datasets::store::{DatasetSplit, Split};
use datasets::sudoku::{Board, GeneratorOptions, SudokuShape, held_out};

fn config(output: &Path) -> SudokuBuild {
    SudokuBuild {
        source: PuzzleListSource::Folder(fixture("sources/sudoku")),
        shape: SudokuShape::NINE,
        output_dir: output.to_owned(),
        subsample_size: None,
        num_aug: 0,
        min_difficulty: None,
        seed: 42,
        overwrite: false,
    }
}

fn build_quietly(config: &SudokuBuild) -> Result<(), DatasetError> {
    build(config, |_| ())
}

#[test]
fn builds_equal_the_reference_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plain = config(&folder.path().join("deep/plain"));
    let subsampled = SudokuBuild { subsample_size: Some(8), num_aug: 3, ..config(&folder.path().join("subsampled")) };
    let difficult =
        SudokuBuild { min_difficulty: Some(10), num_aug: 1, seed: 43, ..config(&folder.path().join("difficult")) };
    for (config, expected) in
        [(plain, "sudoku_plain"), (subsampled, "sudoku_sub8_aug3"), (difficult, "sudoku_mindiff10_aug1")]
    {
        build_quietly(&config).expect(expected);
        assert_same_folder(&config.output_dir, &fixture(expected));
    }
    assert_eq!(names(folder.path()), ["deep", "difficult", "subsampled"], "nothing is left beside the datasets");
}

/// A subsample at least as large as the list draws nothing from the stream, as in the reference.
#[test]
fn a_subsample_of_everything_keeps_the_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = SudokuBuild { subsample_size: Some(20), ..config(&folder.path().join("all")) };
    build_quietly(&config).expect("builds");
    assert_same_folder(&config.output_dir, &fixture("sudoku_plain"));
}

#[test]
fn existing_datasets_are_replaced_on_demand_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    fs::create_dir(&target).expect("an empty folder may be there");
    build_quietly(&config(&target)).expect("an empty folder is not a dataset");

    let difficult = SudokuBuild { min_difficulty: Some(10), num_aug: 1, seed: 43, ..config(&target) };
    let error = build_quietly(&difficult).expect_err("the dataset must not be replaced");
    assert!(matches!(error, DatasetError::AlreadyExists { .. }), "{error}");
    assert!(error.to_string().contains("--overwrite"), "{error}");
    assert_same_folder(&target, &fixture("sudoku_plain"));

    build_quietly(&SudokuBuild { overwrite: true, ..difficult }).expect("it may be replaced now");
    assert_same_folder(&target, &fixture("sudoku_mindiff10_aug1"));
    assert_eq!(names(folder.path()), ["set"]);
}

#[test]
fn folders_with_other_things_are_never_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().join("home");
    fs::create_dir_all(home.join("train")).expect("a folder");
    fs::write(home.join("thesis.tex"), "years of work").expect("a file");
    let error = build_quietly(&SudokuBuild { overwrite: true, ..config(&home) }).expect_err("not a dataset");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(names(&home), ["thesis.tex", "train"]);
    let error = build_quietly(&config(&home.join("thesis.tex"))).expect_err("a file");
    assert!(error.to_string().contains("found a file"), "{error}");
}

#[test]
fn unusable_lists_are_refused_with_file_and_line() {
    let good = fs::read_to_string(fixture("sources/sudoku/train.csv")).expect("the source list");
    let header = "source,question,answer,rating";
    let row = good.lines().nth(1).expect("a row");
    let (question, answer) = {
        let fields: Vec<&str> = row.split(',').collect();
        (fields[1], fields[2])
    };
    let swapped: String = answer.chars().map(|c| if c == '1' { '2' } else { c }).collect();
    let cases = [
        (String::new(), "expected a CSV with header source,question,answer,rating, found an empty file"),
        (format!("{row}\n"), "train.csv, line 1: expected source,question,answer,rating"),
        (format!("{header}\n"), "expected at least one puzzle, found none"),
        (format!("{header}\n{row}\n{row},9\n"), "train.csv, line 3: expected 4 columns"),
        (format!("{header}\n{row},1,2,3,4,5,6\n"), "train.csv, line 2: expected 4 columns"),
        (format!("{header}\r\n{row}\r\ngen,{question}\r\n"), "train.csv, line 3: expected 4 columns"),
        (format!("{header}\n\n{row}\ngen,{question},{answer},hard\n"), "line 4: expected a whole number as rating"),
        (format!("{header}\ngen,{},{answer},1\n", &question[1..]), "line 2: expected a question of 81 cells"),
        (format!("{header}\ngen,{question},{answer}1,1\n"), "line 2: expected an answer of 81 cells"),
        (format!("{header}\ngen,x{},{answer},1\n", &question[1..]), "line 2: expected a question of 81 cells"),
        (format!("{header}\ngen,{question},{question},1\n"), "line 2: expected an answer that solves its question"),
        (format!("{header}\ngen,{question},{swapped},1"), "line 2: expected an answer that solves its question"),
        (format!("{header}\n{}", "x".repeat(1 << 20)), "line 2: expected at most 65536 bytes per row"),
        (format!("{header}\n\"{}", "\n".repeat(1 << 20)), "expected at most 65536 bytes per row"),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    let target = folder.path().join("set");
    for (text, message) in cases {
        fs::write(source.join("train.csv"), text).expect("a list");
        let config = SudokuBuild { source: PuzzleListSource::Folder(source.clone()), ..config(&target) };
        let error = build_quietly(&config).expect_err(message).to_string();
        assert!(error.contains(message), "{error}\nshould contain: {message}");
        assert!(error.len() < 1000, "{error}");
        assert_eq!(names(folder.path()), ["source"], "a failed build leaves nothing behind");
    }
    fs::write(source.join("train.csv"), [header.as_bytes(), b"\ngen,\xff,\xfe,1\n"].concat()).expect("a list");
    let config_of =
        |source: &Path| SudokuBuild { source: PuzzleListSource::Folder(source.to_owned()), ..config(&target) };
    let error = build_quietly(&config_of(&source)).expect_err("bytes that are not text");
    assert!(error.to_string().contains("line 2: expected text in UTF-8"), "{error}");
    let error = build_quietly(&config_of(&folder.path().join("nowhere"))).expect_err("no such folder");
    assert!(error.to_string().contains("nowhere/train.csv"), "{error}");
}

#[test]
fn selections_that_leave_no_puzzle_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = SudokuBuild { min_difficulty: Some(100_000), ..config(&folder.path().join("set")) };
    let error = build_quietly(&config).expect_err("none is that hard");
    assert!(error.to_string().contains("rating 100000 or more (--min-difficulty), found none"), "{error}");
    let error = build_quietly(&SudokuBuild { subsample_size: Some(0), ..config }).expect_err("no puzzle is wanted");
    assert!(error.to_string().contains("--subsample-size: expected at least 1 puzzle"), "{error}");
}

/// Lists of other sizes are built as well, and every augmented copy is a puzzle with its solution.
#[test]
fn boards_of_every_size_are_built_and_augmented_within_the_rules() {
    for shape in SudokuShape::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let options = GeneratorOptions { size: shape.size(), ..GeneratorOptions::default() };
        let puzzles = held_out(&options, 2).expect("two puzzles");
        let rows = puzzles.iter().map(|one| format!("test,{},{},0\n", one.puzzle, one.solution));
        let csv = "source,question,answer,rating\n".to_owned() + &rows.collect::<String>();
        for name in ["train.csv", "test.csv"] {
            fs::write(folder.path().join(name), &csv).expect("a list");
        }
        let target = folder.path().join("built");
        let source = PuzzleListSource::Folder(folder.path().to_owned());
        build_quietly(&SudokuBuild { source, shape, num_aug: 5, ..config(&target) }).expect("a dataset");
        let cells = shape.cells();
        let array = |name: &str| -> Vec<u8> {
            let bytes = fs::read(target.join("train").join(name)).expect("an array");
            let values = &bytes[bytes.len() - 12 * cells * 8..];
            values.chunks_exact(8).map(|value| value[0]).collect()
        };
        let (inputs, labels) = (array("all__inputs.npy"), array("all__labels.npy"));
        let board = |tokens: &[u8]| {
            Board::from_cells(shape, tokens.iter().map(|token| token - 1).collect()).expect("cells of the board")
        };
        let mut distinct = std::collections::BTreeSet::new();
        for (input, label) in inputs.chunks_exact(cells).zip(labels.chunks_exact(cells)) {
            assert!(board(label).is_solution_of(&board(input)), "{shape:?}");
            distinct.insert(input.to_vec());
        }
        assert_eq!(distinct.len(), 12, "{shape:?}: two puzzles and five copies of each");
        let split = DatasetSplit::open(&target, Split::Train).expect("a readable split");
        assert_eq!((split.metadata().seq_len, split.metadata().vocab_size), (cells, shape.vocab_size()));
    }
}
