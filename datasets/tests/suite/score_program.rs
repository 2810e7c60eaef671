//! `datasets score` as its user meets it: tables, JSON, submissions, passes and ranks, and refusals.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{errors, fixture, names, run};
use datasets::scoring::predictions::{PredictionRows, PredictionWriter};
use datasets::store::{DatasetSplit, Split};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Predictions for a dataset's test split: `answer` gives each example's prediction and logit.
fn write_predictions(
    path: &Path,
    dataset: &Path,
    rows: std::ops::Range<usize>,
    answer: impl Fn(usize, &[u8], &[u8]) -> (Vec<u8>, f64),
) {
    let split = DatasetSplit::open(dataset, Split::Test).expect("the dataset opens");
    let set = &split.sets()[0];
    let seq_len = split.metadata().seq_len;
    let mut writer = PredictionWriter::create(path, rows.len(), seq_len, 1).expect("a new file");
    for example in rows {
        let (mut input, mut label) = (Vec::new(), Vec::new());
        set.append_input(example, &mut input).expect("tokens");
        set.append_label(example, &mut label).expect("tokens");
        // Labels that don't count are padding in all tasks.
        let bytes = |tokens: &[i32]| tokens.iter().map(|&token| token.max(0) as u8).collect::<Vec<u8>>();
        let (input, label) = (bytes(&input), bytes(&label));
        let (pred, logit) = answer(example, &input, &label);
        let identifier = set.puzzle_identifier(set.puzzle_of(example));
        writer
            .append(&PredictionRows {
                seq_len,
                first_row: 0,
                inputs: input,
                preds: pred,
                puzzle_identifiers: vec![identifier.cast_unsigned()],
                q_halt_logits: vec![logit],
            })
            .expect("written");
    }
    writer.finish().expect("complete");
}

fn right(_: usize, _: &[u8], label: &[u8]) -> (Vec<u8>, f64) {
    (label.to_vec(), 2.0)
}

fn unsolved(_: usize, input: &[u8], _: &[u8]) -> (Vec<u8>, f64) {
    (input.to_vec(), -2.0)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("written")).expect("JSON")
}

fn value(report: &Value, name: &str) -> Option<f64> {
    report["accuracies"].as_array()?.iter().find(|accuracy| accuracy["name"] == name)?["accuracy"].as_f64()
}

#[test]
fn ranks_and_passes_of_arc_vote_together_or_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let data = fixture("arc_aug8");
    // The first pass: two ranks, all wrong. The second pass: one file, all right and surer.
    fs::create_dir(path("first")).expect("a folder");
    write_predictions(&path("first/step_1_all_preds.0"), &data, 0..30, unsolved);
    write_predictions(&path("first/step_1_all_preds.1"), &data, 30..54, unsolved);
    write_predictions(&path("second.safetensors"), &data, 0..54, right);
    let score = |more: &[&str]| {
        let (first, second) = (path("first"), path("second.safetensors"));
        let arguments = ["score", "--data", text(&data), "--predictions", text(&first), text(&second)];
        run(&[&arguments[..], more].concat())
    };

    let output = score(&["--json", text(&path("all.json")), "--submission", text(&path("submission.json"))]);
    assert!(output.status.success(), "{}", errors(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for says in
        ["arc: 108 rows", "6 test pairs", "pass@1000 %", "count_then_mean_q", "q_weighted", "task (5)", "test pair (6)"]
    {
        assert!(table.contains(says), "{says:?} is not in\n{table}");
    }
    let scores = json(&path("all.json"));
    assert_eq!(
        (&scores["aggregated_voting"], scores["reports"].as_array().map(Vec::len)),
        (&Value::Bool(true), Some(1))
    );
    let report = &scores["reports"][0];
    assert_eq!(value(report, "ARC/pass@1"), Some(1.0), "equal votes, larger Q");
    assert_eq!(value(report, "ARC/pass@1/count"), Some(0.0), "equal votes, the first pass came first");
    assert_eq!(value(report, "ARC/exact_accuracy"), Some(0.5));
    let submission = json(&path("submission.json"));
    assert_eq!(submission.as_object().map(serde_json::Map::len), Some(5));
    assert_eq!(submission["syn00e02"].as_array().map(Vec::len), Some(2));
    assert!(submission["syn00e02"][1]["attempt_2"].is_array());

    let output = score(&["--per-pass", "--json", text(&path("each.json")), "--pass-k", "1,3"]);
    assert!(output.status.success(), "{}", errors(&output));
    let scores = json(&path("each.json"));
    let passes: Vec<Option<f64>> =
        scores["reports"].as_array().expect("a report each").iter().map(|report| value(report, "ARC/pass@1")).collect();
    assert_eq!(passes, [Some(0.0), Some(1.0)]);
    assert_eq!(value(&scores["reports"][1], "ARC/example_pass@3"), Some(1.0));

    let output = score(&["--per-pass", "--submission", text(&path("no.json"))]);
    assert!(errors(&output).contains("found 2 with --per-pass"), "{}", errors(&output));
    assert!(!path("no.json").exists());
}

#[test]
fn sudoku_and_maze_predictions_are_scored_by_their_dataset() {
    for (dataset, list, by) in [
        ("sudoku_plain", "sources/sudoku/test.csv", vec!["rating", "guesses", "clues"]),
        ("maze_plain", "sources/maze/test.csv", vec!["rating", "path_length"]),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = fixture(dataset);
        let path = |name: &str| folder.path().join(name);
        let rows = DatasetSplit::open(&data, Split::Test).expect("opens").sets()[0].examples();
        write_predictions(&path("right"), &data, 0..rows, right);
        write_predictions(&path("wrong"), &data, 0..rows, unsolved);
        write_predictions(&path("also_right"), &data, 0..rows, |_, _, label| (label.to_vec(), -1.0));
        let (right, wrong, also, report) = (path("right"), path("wrong"), path("also_right"), path("report.json"));
        let ratings = fixture(list);
        let output = run(&[
            "score",
            "--data",
            text(&data),
            "--predictions",
            text(&wrong),
            text(&right),
            text(&also),
            "--json",
            text(&report),
            "--ratings",
            text(&ratings),
        ]);
        assert!(output.status.success(), "{}", errors(&output));
        let scores = json(&report);
        let report = &scores["reports"][0];
        assert!((value(report, "exact_accuracy").expect("there") - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(value(report, "exact_pass@1/count_then_mean_q"), Some(1.0));
        assert_eq!(value(report, "valid_pass@1/cell"), Some(1.0));
        assert_eq!(value(report, "exact_pass@2/sampled"), Some(1.0));
        let mut measures: Vec<&str> =
            report["buckets"].as_array().expect("buckets").iter().filter_map(|bucket| bucket["by"].as_str()).collect();
        measures.dedup();
        assert_eq!(measures, by);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains("Votes, exact answers") && table.contains("By difficulty"), "{table}");
    }
}

#[test]
fn mistakes_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let (arc, sudoku) = (fixture("arc_aug8"), fixture("sudoku_plain"));
    write_predictions(&path("arc"), &arc, 0..54, right);
    write_predictions(&path("sudoku"), &sudoku, 0..10, right);
    let half: PathBuf = path("half");
    let whole = fs::read(path("arc")).expect("readable");
    fs::write(&half, &whole[..whole.len() / 2]).expect("written");
    fs::create_dir(path("empty")).expect("a folder");
    fs::create_dir(path("twice")).expect("a folder");
    fs::write(path("twice/a"), &whole).expect("written");
    fs::write(path("twice/b"), &whole).expect("written");
    let before = names(folder.path());
    let out = path("out.json");
    let score = |data: &Path, predictions: &Path, more: &[&str]| {
        let arguments = ["score", "--data", text(data), "--predictions", text(predictions), "--json", text(&out)];
        let output = run(&[&arguments[..], more].concat());
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!errors(&output).contains("panicked"), "{}", errors(&output));
        errors(&output)
    };
    for (data, predictions, more, says) in [
        (&arc, path("sudoku"), &[][..], "sudoku: expected inputs of shape [rows, 900]"),
        (&arc, half, &[][..], "half: expected "),
        (&arc, path("gone"), &[][..], "gone: No such file"),
        (&arc, path("empty"), &[][..], "empty: expected a folder of prediction files, found none in it"),
        (&arc, path("twice"), &[][..], "b: expected at most 1 rows per pass for one test input of puzzle"),
        (&arc, path("arc"), &["--ratings", "list.csv"][..], "--ratings: expected a Sudoku or maze dataset"),
        (&sudoku, path("sudoku"), &["--submission", "s.json"][..], "--submission: expected an ARC dataset"),
        (&arc, path("arc"), &["--pass-k", "0"][..], "expected at least 1, found 0"),
        (&path("empty"), path("arc"), &[][..], "dataset.json"),
    ] {
        let message = score(data, &predictions, more);
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    }
    assert_eq!(names(folder.path()), before, "no report, no leftovers");
    let twice = path("twice");
    let output = run(&["score", "--data", text(&arc), "--predictions", text(&twice), "--allow-duplicate-rows"]);
    assert!(output.status.success(), "{}", errors(&output));
}
