//! The maze builder: byte parity with the reference, and what it refuses.

use std::fs;
use std::path::Path;

use crate::common::{assert_same_folder, fixture, names};
use datasets::DatasetError;
use datasets::builder::PuzzleListSource;
use datasets::builder::maze::{MazeBuild, build};
use datasets::maze::{MazeScore, score};
use datasets::store::{DatasetSplit, Split};

fn config(source: &Path, output: &Path) -> MazeBuild {
    MazeBuild {
        source: PuzzleListSource::Folder(source.to_owned()),
        output_dir: output.to_owned(),
        subsample_size: None,
        aug: false,
        seed: 42,
        overwrite: false,
    }
}

fn build_quietly(config: &MazeBuild) -> Result<(), DatasetError> {
    build(config, |_| ())
}

#[test]
fn builds_equal_the_reference_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = fixture("sources/maze");
    let plain = config(&source, &folder.path().join("plain"));
    let all = MazeBuild { subsample_size: Some(6), ..config(&source, &folder.path().join("all")) };
    let augmented =
        MazeBuild { subsample_size: Some(2), aug: true, seed: 44, ..config(&source, &folder.path().join("augmented")) };
    for (config, expected) in [(plain, "maze_plain"), (all, "maze_plain"), (augmented, "maze_sub2_aug")] {
        build_quietly(&config).expect(expected);
        assert_same_folder(&config.output_dir, &fixture(expected));
    }
}

/// What the reference calls a maze and its answer is a maze and a shortest path to our rules.
#[test]
fn built_examples_obey_the_rules() {
    for set in ["maze_plain", "maze_sub2_aug"] {
        for split in Split::ALL {
            let opened = DatasetSplit::open(&fixture(set), split).expect("a dataset");
            let examples = &opened.sets()[0];
            for example in 0..examples.examples() {
                let (mut input, mut label) = (Vec::new(), Vec::new());
                examples.append_input(example, &mut input).expect("tokens");
                examples.append_label(example, &mut label).expect("tokens");
                let found = score(&input, &label, &label).expect("a maze");
                assert_eq!(found, MazeScore { exact: true, valid: true, shortest: true }, "{set}, {example}");
            }
        }
    }
}

#[test]
fn unusable_lists_are_refused_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    let target = folder.path().join("set");
    // 3x3: S at the top left, G at the bottom right, a wall in the middle.
    let (question, answer) = ("S   #   G", "Soo #o  G");
    let row = |question: &str, answer: &str| {
        format!("source,question,answer,rating\nx,S   #   G,Soo #o  G,3\nx,{question},{answer},3\n")
    };
    let cases = [
        ("source,question,answer,rating\n".to_owned(), "train.csv: expected at least one maze, found none"),
        (row("", ""), "line 3: expected a question of 9 cells (3x3, as all before), found 0 cells"),
        (row("S  G", "SooG"), "line 3: expected a question of 9 cells (3x3, as all before), found 4 cells"),
        (row(question, "Soo #o  "), "line 3: expected an answer of 9 cells (3x3, as all before), found 8 cells"),
        (row("    #   G", answer), "the maze has no start ('S')"),
        (row("S   #    ", answer), "the maze has no goal ('G')"),
        (row("S  S#   G", answer), "two cells marked start ('S'): row 1, column 1 and row 2, column 1"),
        (row("S  G#   G", answer), "two cells marked goal ('G'): row 2, column 1 and row 3, column 3"),
        (row("S x #   G", answer), "character 'x' at row 1, column 3 is not a maze cell"),
        (row(question, "S0o #o  G"), "character '0' at row 1, column 2 is not a maze cell"),
        (row(answer, answer), "row 1, column 2 is marked as path"),
        (
            row(question, question),
            "line 3: expected an answer that marks a path through its question, found the marked",
        ),
        (row(question, "Soo #   G"), "they reach row 1, column 3"),
        (row(question, "Soooo   G"), "row 2, column 2 is wall in the maze, but token 5 (path) in the answer"),
        (row(question, "Soo #o o "), "row 3, column 3 is goal in the maze, but token 2 (free) in the answer"),
        (row(question, "Soo #oo G"), "the marked cell at row 3, column 1 is not connected with the path"),
        (row(question, "Soo #o oG"), "the path has a dead end at row 3, column 2"),
        (row(question, "Soo \u{1F600}o  G"), "character '\u{1F600}' at row 2, column 2"),
        ("source,question,answer,rating\nx,S  G ,SooG ,1\n".to_owned(), "line 2: expected a square maze as question"),
    ];
    for (text, message) in cases {
        fs::write(source.join("train.csv"), text).expect("a list");
        let error = build_quietly(&config(&source, &target)).expect_err(message).to_string();
        assert!(error.contains(message) && error.contains("train.csv"), "{error}\nshould contain: {message}");
        assert!(error.len() < 1000, "{error}");
        assert_eq!(names(folder.path()), ["source"], "a failed build leaves nothing behind");
    }

    // Both splits have one shape.
    fs::write(source.join("train.csv"), row(question, answer)).expect("a list");
    fs::write(source.join("test.csv"), "source,question,answer,rating\nx,S  G,So G,1\n").expect("a list");
    let error = build_quietly(&config(&source, &target)).expect_err("2x2 after 3x3").to_string();
    assert!(error.contains("test.csv, line 2: expected a question of 9 cells (3x3, as all before)"), "{error}");
    let none = MazeBuild { subsample_size: Some(0), ..config(&source, &target) };
    let error = build_quietly(&none).expect_err("no maze is wanted").to_string();
    assert!(error.contains("--subsample-size: expected at least 1 puzzle"), "{error}");
    assert_eq!(names(folder.path()), ["source"]);
}

/// Sides other than 30 build as well, and longer detours than the shortest path are accepted as labels.
#[test]
fn mazes_of_other_sizes_build() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for split in ["train.csv", "test.csv"] {
        let row = "source,question,answer,rating\r\nx,S     G  ,Soo  oGoo,5\r\n";
        fs::write(folder.path().join(split), row).expect("a list");
    }
    let target = folder.path().join("set");
    build_quietly(&MazeBuild { aug: true, ..config(folder.path(), &target) }).expect("builds");
    let train = DatasetSplit::open(&target, Split::Train).expect("a dataset");
    assert_eq!((train.metadata().seq_len, train.metadata().vocab_size, train.sets()[0].examples()), (9, 6, 8));
    let mut label = Vec::new();
    train.sets()[0].append_label(1, &mut label).expect("a label");
    assert_eq!(label, [5, 5, 5, 5, 2, 5, 3, 2, 4], "a quarter turn counter-clockwise");
}
