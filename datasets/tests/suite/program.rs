//! The program `datasets` as its user meets it: outputs, exit codes, kill -9, closed pipes, an unreachable hub.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::common::{assert_same_folder, errors, fixture, names, program, run};
use datasets::maze::Maze;
use datasets::sudoku::{Board, SudokuShape, solve};

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Starts a build that writes the training split and then waits for its test list: `test.csv` is a pipe.
fn start_waiting_build(folder: &Path, target: &Path, arguments: &[&str]) -> Child {
    let source = folder.join("source");
    fs::create_dir_all(&source).expect("a folder");
    fs::copy(fixture("sources/sudoku/train.csv"), source.join("train.csv")).expect("the list");
    let pipe = source.join("test.csv");
    if !pipe.exists() {
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    }
    let mut child = program()
        .args(["build", "sudoku", "--source-dir", text(&source), "--output-dir", text(target)])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let parent = target.parent().expect("a parent");
    while !staged(parent).iter().any(|path| path.join("train/dataset.json").exists()) {
        assert!(child.try_wait().expect("the child can be asked").is_none(), "the build ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Hidden folders under construction.
fn staged(parent: &Path) -> Vec<PathBuf> {
    names(parent).into_iter().filter(|name| name.contains(".building-")).map(|name| parent.join(name)).collect()
}

#[test]
fn a_killed_build_leaves_no_dataset_and_the_next_one_cleans_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let mut child = start_waiting_build(folder.path(), &target, &[]);
    child.kill().expect("kill -9");
    child.wait().expect("it is gone");
    assert!(!target.exists(), "half a dataset must not be visible");
    assert_eq!(staged(folder.path()).len(), 1, "a killed process cannot clean up");

    let source = fixture("sources/sudoku");
    let output = run(&["build", "sudoku", "--source-dir", text(&source), "--output-dir", text(&target)]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_same_folder(&target, &fixture("sudoku_plain"));
    assert_eq!(names(folder.path()), ["set", "source"], "the leftover is gone");
}

#[test]
fn a_killed_overwrite_leaves_the_old_dataset_untouched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    crate::common::copy_folder(&fixture("sudoku_mindiff10_aug1"), &target);
    let mut child = start_waiting_build(folder.path(), &target, &["--overwrite"]);
    child.kill().expect("kill -9");
    child.wait().expect("it is gone");
    assert_same_folder(&target, &fixture("sudoku_mindiff10_aug1"));
}

/// Two builds of one target: neither takes the other's unfinished folder for a leftover, and the later one fails.
#[test]
fn concurrent_builds_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let slow = start_waiting_build(folder.path(), &target, &[]);
    let source = fixture("sources/sudoku");
    let output = run(&[
        "build",
        "sudoku",
        "--source-dir",
        text(&source),
        "--output-dir",
        text(&target),
        "--num-aug",
        "3",
        "--subsample-size",
        "8",
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(staged(folder.path()).len(), 1, "the slow build's folder is still there");

    let list = fs::read(source.join("test.csv")).expect("the list");
    fs::write(folder.path().join("source/test.csv"), list).expect("the pipe takes the list");
    let output = slow.wait_with_output().expect("it ends");
    assert!(!output.status.success());
    assert!(errors(&output).contains("already exists"), "{}", errors(&output));
    assert_same_folder(&target, &fixture("sudoku_sub8_aug3"));
    assert!(staged(folder.path()).is_empty());
}

#[test]
fn generated_lines_are_puzzles_and_follow_the_seed() {
    let lines = |arguments: &[&str]| {
        let output = run(&[&["generate", "sudoku"], arguments].concat());
        assert!(output.status.success(), "{}", errors(&output));
        let text = String::from_utf8(output.stdout).expect("ASCII");
        text.lines().map(|line| line.parse::<Board>().expect("a board")).collect::<Vec<_>>()
    };
    let nine = lines(&["--count", "5", "--seed", "7", "--min-guesses", "2"]);
    assert_eq!(nine.len(), 5);
    assert!(nine.iter().all(|board| solve(board).unique().is_some() && solve(board).guesses >= 2));
    assert_eq!(lines(&["--count", "3", "--seed", "7", "--min-guesses", "2"]), nine[..3]);
    assert_ne!(lines(&["--count", "5", "--seed", "8", "--min-guesses", "2"]), nine);

    let four = lines(&["--size", "4", "--count", "20"]);
    let easier = lines(&["--size", "4", "--count", "20", "--extra-clues", "3"]);
    for (minimal, revealed) in four.iter().zip(&easier) {
        assert_eq!(minimal.shape(), SudokuShape::FOUR);
        assert_eq!(revealed.givens(), minimal.givens() + 3);
        assert!(solve(minimal).unique().expect("unique").agrees_with(revealed));
    }
    assert!(lines(&["--size", "6", "--count", "5", "--givens", "20"]).iter().all(|board| board.givens() == 20));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = program()
        .args(["generate", "sudoku", "--size", "4", "--count", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line.trim_end().len(), 16);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{:?}: {}", output.status, errors(&output));
    assert_eq!(errors(&output), "");
}

/// A generated CSV can be built, a generated folder can be shown.
#[test]
fn generated_lists_and_folders_are_usable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (split, seed) in [("train", "1"), ("test", "2")] {
        let path = folder.path().join(format!("{split}.csv"));
        let output = run(&["generate", "sudoku", "--count", "6", "--seed", seed, "--csv", text(&path)]);
        assert!(output.status.success(), "{}", errors(&output));
    }
    let built = folder.path().join("built");
    let output =
        run(&["build", "sudoku", "--source-dir", text(folder.path()), "--output-dir", text(&built), "--num-aug", "1"]);
    assert!(output.status.success(), "{}", errors(&output));

    let generated = folder.path().join("generated");
    let arguments = ["--size", "4", "--count", "30", "--test-count", "5", "--output-dir", text(&generated)];
    let output = run(&[&["generate", "sudoku"], &arguments[..]].concat());
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(names(folder.path()), ["built", "generated", "test.csv", "train.csv"]);

    for (path, set) in [(&built, "[12, 81] int64, 12 puzzles in 6 groups"), (&generated, "[30, 16] uint8")] {
        let output = run(&["show", text(path), "--index", "4"]);
        let shown = String::from_utf8(output.stdout).expect("ASCII");
        assert!(output.status.success() && shown.contains(set) && shown.contains('|'), "{shown}");
    }
    let output = run(&["show", text(&generated), "--split", "test", "--index", "5"]);
    assert!(errors(&output).contains("expected a number below 5"), "{}", errors(&output));
    let output = run(&["show", text(&fixture("arc_aug8"))]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("task arc"));
    let output = run(&["show", text(folder.path())]);
    assert!(!output.status.success() && errors(&output).contains("found neither"), "{}", errors(&output));
}

/// Mazes as drawings, as lines, as a list that can be built, as a folder that can be shown.
#[test]
fn generated_mazes_are_usable_in_every_form() {
    let generate = |arguments: &[&str]| {
        let output = run(&[&["generate", "maze", "--size", "9", "--count", "4", "--seed", "6"], arguments].concat());
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).expect("ASCII")
    };
    let lines = generate(&["--lines", "--shortest-paths", "unique"]);
    let mazes: Vec<Maze> = lines.lines().map(|line| Maze::parse(line).expect("a maze")).collect();
    assert_eq!((mazes.len(), mazes[0].shape().side()), (4, 9));
    let drawings = generate(&["--shortest-paths", "unique"]);
    let drawn: Vec<Maze> =
        drawings.trim_end_matches('\n').split("\n\n").map(|text| text.parse().expect("a maze")).collect();
    assert_eq!(drawn, mazes);
    assert!(mazes.iter().all(|maze| maze.shortest_path_count() == 1 && maze.path_length() >= Some(18)));

    let folder = tempfile::tempdir().expect("a temporary folder");
    for split in ["train", "test"] {
        generate(&["--style", "perfect", "--csv", text(&folder.path().join(format!("{split}.csv")))]);
    }
    let built = folder.path().join("built");
    let output = run(&["build", "maze", "--source-dir", text(folder.path()), "--output-dir", text(&built), "--aug"]);
    assert!(output.status.success(), "{}", errors(&output));
    let generated = folder.path().join("generated");
    generate(&["--output-dir", text(&generated), "--test-count", "3"]);
    for (path, set) in [(&built, "[32, 81] uint8, 32 puzzles in 4 groups"), (&generated, "[4, 81] uint8")] {
        let output = run(&["show", text(path), "--index", "3"]);
        let shown = String::from_utf8(output.stdout).expect("ASCII");
        assert!(output.status.success() && shown.contains(set) && shown.contains("task maze-9x9"), "{shown}");
    }
    for (arguments, message) in [
        (&["--size", "41"][..], "size: expected 5 to 40 cells per side, found 41"),
        (&["--style", "perfect", "--shortest-paths", "several"], "shortest_paths: expected any or unique"),
        (&["--style", "spiral"], "perfect, loops, random-walls or hard"),
        (
            &["--size", "5", "--min-length", "17", "--max-attempts", "100"],
            "no 5x5 maze with a shortest path of 17 cells",
        ),
    ] {
        let output = run(&[&["generate", "maze"], arguments].concat());
        assert!(!output.status.success() && errors(&output).contains(message), "{}", errors(&output));
    }
}

/// Runs the program with files limited to 512 or 1,024 bytes, which is what a full disk looks like to it.
fn run_with_full_disk(arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    // A signal that is ignored stays ignored in the program: writing fails instead of killing it.
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_datasets")]);
    command.args(arguments).output().expect("a shell")
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = |name: &str| text(&folder.path().join(name)).to_owned();
    let (sudoku, maze) = (fixture("sources/sudoku"), fixture("sources/maze"));
    let dataset = fixture("maze_plain");
    let cases: [&[&str]; 7] = [
        &["build", "sudoku", "--source-dir", text(&sudoku), "--output-dir", &target("a")],
        &["build", "maze", "--source-dir", text(&maze), "--output-dir", &target("b")],
        &["generate", "maze", "--size", "20", "--style", "perfect", "--output-dir", &target("c"), "--test-count", "9"],
        &["generate", "maze", "--size", "20", "--style", "perfect", "--csv", &target("d.csv")],
        &["generate", "sudoku", "--csv", &target("e.csv")],
        &["show", text(&dataset), "--png", &target("f.png")],
        &["show", text(&dataset), "--gif", &target("g.gif")],
    ];
    for arguments in cases {
        let output = run_with_full_disk(arguments);
        let message = errors(&output);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(message.contains("cannot write") && message.contains("File too large"), "{arguments:?}: {message}");
        assert!(message.contains(text(folder.path())), "the file is named: {message}");
        assert!(names(folder.path()).is_empty(), "{arguments:?} left {:?}", names(folder.path()));
    }
    for task in ["sudoku", "maze"] {
        let full = fs::File::options().write(true).open("/dev/full").expect("the full device");
        let output = program().args(["generate", task]).stdout(full).output().expect("the program starts");
        let message = errors(&output);
        assert!(!output.status.success() && message.contains("standard output"), "{message}");
    }
}

#[test]
fn examples_become_pictures_and_pictures_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = |name: &str| text(&folder.path().join(name)).to_owned();
    let shown = |arguments: &[&str]| {
        let output = program().arg("show").args(arguments).env_remove("NO_COLOR").output().expect("the program starts");
        assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let (maze, arc, sudoku) = (fixture("maze_plain"), fixture("arc_aug8"), fixture("sudoku_plain"));
    let [maze, arc, sudoku] = [&maze, &arc, &sudoku].map(|path| text(path));
    let plain = shown(&[maze, "--png", &target("maze.png"), "--part", "question"]);
    let read = shown(&[&target("maze.png")]);
    assert!(plain.contains(&read) && read.lines().count() == 30, "the picture is the example's question:\n{read}");
    let plain = shown(&[arc, "--split", "test", "--png", &target("arc.png"), "--part", "question"]);
    let read = shown(&[&target("arc.png")]);
    assert!(read.lines().all(|line| plain.contains(line.trim_end_matches('|'))), "{read}\nof\n{plain}");

    // Pipes are plain, --color always is not, and NO_COLOR does not silence an explicit flag.
    assert!(!plain.contains('\x1b'));
    for path in [maze, arc, sudoku] {
        assert!(shown(&[path, "--color", "always"]).contains("\x1b["));
    }

    let trace = target("trace.json");
    let list = fs::read_to_string(fixture("sources/sudoku").join("train.csv")).expect("the list");
    let fields: Vec<&str> = list.lines().nth(1).expect("a row").split(',').collect();
    let steps = [fields[1], fields[2]].map(|board| serde_json::json!({"step": 1, "answer": board, "q": 0.5}));
    fs::write(&trace, serde_json::json!({"solution": fields[2], "trace": steps}).to_string()).expect("a file");
    shown(&[sudoku, "--gif", &target("steps.gif"), "--trace", &trace, "--png", &target("last.png")]);
    let gif = fs::read(target("steps.gif")).expect("the animation");
    assert!(gif.starts_with(b"GIF89a") && gif.len() > 1000);

    let first = fs::read_to_string(fixture("arc_aug8").join("test_puzzles.json")).expect("the tasks");
    let tasks: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    let (name, task) = tasks.as_object().and_then(|tasks| tasks.iter().next()).expect("a task");
    let attempts: Vec<_> = task["test"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| serde_json::json!({"attempt_1": pair["output"], "attempt_2": [[0]]}))
        .collect();
    let submission = target("submission.json");
    fs::write(&submission, serde_json::json!({name: attempts}).to_string()).expect("a file");
    shown(&[arc, "--task", name, "--submission", &submission, "--png", &target("sheet.png")]);
    assert!(fs::read(target("sheet.png")).expect("the sheet").starts_with(b"\x89PNG"));

    fs::write(target("text.png"), "no picture").expect("a file");
    fs::write(target("empty.json"), "{}").expect("a file");
    for (arguments, message) in [
        (&[&target("text.png")[..]][..], "text.png: no readable PNG"),
        (&[arc, "--task", "unknown", "--png", &target("x.png")], "--task: expected one of the"),
        (&[sudoku, "--gif", &target("x.gif"), "--trace", &target("empty.json")], "expected steps in \"trace\""),
        (&[maze, "--gif", &target("x.gif"), "--trace", &trace], "step 1"),
    ] {
        let output = run(&[&["show"], arguments].concat());
        assert!(!output.status.success() && errors(&output).contains(message), "{message}: {}", errors(&output));
    }
    assert!(!names(folder.path()).iter().any(|name| name.starts_with('x') || name.starts_with('.')));
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Answers every request from `pages`, else 404; ends with the test.
fn serve(pages: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = pages.get(path).map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
            let about = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{:x}-{}\"\r\n", path.len(), body.len());
            let head =
                format!("HTTP/1.1 {status}\r\n{about}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let sent = if request.starts_with("HEAD") { &[][..] } else { body };
            let _ = stream.write_all(&[head.as_bytes(), sent].concat());
        }
    });
    address
}

#[test]
fn lists_come_from_the_hub_and_stay_in_its_cache() {
    let list = |name: &str| fs::read(fixture("sources/sudoku").join(name)).expect("the list");
    let repository = "datasets/someone/puzzles";
    let endpoint = serve(HashMap::from([
        // What a file is, is asked of the branch; the file itself, of the commit.
        (format!("/{repository}/resolve/main/train.csv"), list("train.csv")),
        (format!("/{repository}/resolve/{COMMIT}/train.csv"), list("train.csv")),
        (format!("/{repository}/resolve/main/test.csv"), list("test.csv")),
        (format!("/{repository}/resolve/{COMMIT}/test.csv"), list("test.csv")),
    ]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().join("home");
    let build = |target: &str, repository: &str, variables: &[(&str, &str)]| {
        program()
            .args(["build", "sudoku", "--source-repo", repository, "--output-dir", text(&folder.path().join(target))])
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_TOKEN")
            .env("HF_HOME", &home)
            .env("NO_PROXY", "127.0.0.1")
            .envs(variables.iter().copied())
            .output()
            .expect("the program starts")
    };
    let output = build("first", "someone/puzzles", &[("HF_ENDPOINT", &endpoint)]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_same_folder(&folder.path().join("first"), &fixture("sudoku_plain"));
    let cache = home.join("hub/datasets--someone--puzzles");
    assert_eq!(fs::read_to_string(cache.join("refs/main")).expect("the reference"), COMMIT);
    assert_eq!(names(&cache.join("snapshots").join(COMMIT)), ["test.csv", "train.csv"]);

    let output = build("second", "someone/puzzles", &[("HF_HUB_OFFLINE", "1")]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_same_folder(&folder.path().join("second"), &fixture("sudoku_plain"));

    let output = build("third", "someone/other", &[("HF_ENDPOINT", &endpoint)]);
    let message = errors(&output);
    assert!(
        message.contains("cannot fetch dataset file train.csv of someone/other") && message.contains("404"),
        "{message}"
    );
    let output = build("third", "someone/other", &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    let message = errors(&output);
    assert!(message.contains("http://127.0.0.1:9") && message.contains("--source-dir"), "{message}");
    // A short name stands for its repository.
    let output = build("third", "sudoku-extreme", &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(errors(&output).contains("train.csv of sapientinc/sudoku-extreme"), "{}", errors(&output));
    let output = build("third", "../../etc", &[("HF_ENDPOINT", &endpoint)]);
    assert!(errors(&output).contains("a name like owner/name"), "{}", errors(&output));
    assert_eq!(names(folder.path()), ["first", "home", "second"]);
}
