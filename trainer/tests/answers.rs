//! Evaluation over symmetric copies: the puzzles' own accuracies stay, answers vote, and the file holds what voted.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;

use datasets::scoring::predictions::{PredictionFile, prediction_passes};
use datasets::scoring::{ReportOptions, Scorer};
use datasets::sudoku::SudokuShape;
use process::{refuse, succeed, tiny, words, write_data};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn copies_vote_and_the_saved_answers_give_the_same_votes() {
    let folder = TempDir::new().unwrap();
    let arguments = [words("pretrain"), tiny(40), words("checkpoint_path=run eval_interval_steps=1000")].concat();
    succeed(folder.path(), &arguments);
    write_data(&folder.path().join("data"), 8, 24, SudokuShape::FOUR);
    let eval = |more: &str| -> Value {
        let line = format!("eval --checkpoint run/last --batch-size 10 --json {more}");
        serde_json::from_str(&succeed(folder.path(), &words(&line))).unwrap()
    };
    let plain = eval("--data data");
    let mut voted = eval("--data data --augmentations 3 --save-predictions answers.safetensors");
    let votes = voted.as_object_mut().unwrap().remove("votes").unwrap();
    assert_eq!(voted, plain, "the first copy is the puzzle itself");
    assert!(plain["votes"].is_null());

    let path = folder.path().join("answers.safetensors");
    let mut scorer = Scorer::open(&folder.path().join("data")).unwrap();
    let file = PredictionFile::open(&path, scorer.metadata()).unwrap();
    assert_eq!((file.rows(), file.source().augmentations), (72, 3));
    let passes = prediction_passes(&[path]).unwrap();
    scorer.add_pass(&passes[0], |_| ()).unwrap();
    let report = scorer.report(&["run/last".into()], &ReportOptions::default()).unwrap();
    assert_eq!((report.coverage.rows, report.coverage.unmatched_rows), (72, 0));
    assert_eq!(serde_json::to_value(&report).unwrap(), votes);
    let names: Vec<&str> = report.accuracies.iter().map(|accuracy| accuracy.name.as_str()).collect();
    assert!(names.contains(&"exact_pass@1/cell") && names.contains(&"valid_pass@2/sampled"), "{names:?}");

    // The same symmetries each time, others from another seed.
    let tokens = |name: &str| fs::read(folder.path().join(name)).unwrap();
    eval("--data data --augmentations 3 --save-predictions again.safetensors");
    assert!(tokens("again.safetensors") == tokens("answers.safetensors"));
    eval("--data data --augmentations 3 --augmentation-seed 1 --save-predictions other.safetensors");
    assert!(tokens("other.safetensors") != tokens("answers.safetensors"));

    let generated = eval("--count 12 --augmentations 2");
    assert_eq!(generated["votes"]["coverage"]["rows"], 24, "generated puzzles vote as well");
    let line = "eval --checkpoint run/last --data data --augmentations 0 --save-predictions no.safetensors";
    let message = refuse(folder.path(), &words(line));
    assert!(message.contains("--augmentations: expected 1 to 1048576 copies of a sudoku-4x4, found 0"), "{message}");
    assert!(!folder.path().join("no.safetensors").exists());
}
