//! Evaluations from outside: killed and resumed, shared out and merged, on damaged logs, with readers that go away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use datasets::maze::MazeShape;
use engine::default_policy::{PolicyOverrides, PolicySource};
use engine::registry::{EngineLimits, ServedModel};
use exporter::runtime::SessionOptions;
use models::Manifest;
use models::checkpoint::{InferenceDefaults, MANIFEST_FILE};
use serde_json::Value;

use crate::random_checkpoint::write_maze;

/// A model that knows nearly everything: the shipped one for 4×4 boards.
fn learned() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped/sudoku-4x4")
}

/// A model that needs many steps: the shipped one for 9×9 boards, in few steps.
fn eval_hard(out: &Path, arguments: &[&str]) -> Command {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped/sudoku-9x9");
    let dials = ["--block", "4", "--steps", "3", "--augmentations", "2", "--depth", "6"];
    let mut command = command(
        env!("CARGO_BIN_EXE_speedrun-inference"),
        &["sudoku", "--checkpoint", text(&checkpoint), "--out", text(out)],
    );
    command.args(dials).args(arguments);
    command
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(["--threads", "1", "--no-show"]).env_remove("TRM_MODELS_DIR");
    command
}

fn eval(out: &Path, arguments: &[&str]) -> Command {
    let checkpoint = learned();
    let mut command = command(
        env!("CARGO_BIN_EXE_speedrun-inference"),
        &["sudoku", "--checkpoint", text(&checkpoint), "--out", text(out)],
    );
    command.args(arguments);
    command
}

fn merge(shards: &[&Path], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
    command.arg("merge").args(shards).arg("--out").arg(out).output().unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn refused(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.starts_with("error: "), "{stderr}");
    stderr
}

/// What must not depend on how often a run was interrupted or shared out: everything but times and the command.
fn figures(out: &Path) -> Value {
    let mut report: Value = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    let fields = report.as_object_mut().unwrap();
    for time in ["raw_seconds", "started", "command"] {
        assert!(fields.shift_remove(time).is_some(), "{time}");
    }
    let engine = fields["engine"].as_object_mut().unwrap();
    for time in ["puzzles_per_second", "latency_p50_ms", "latency_p99_ms"] {
        assert!(engine.shift_remove(time).is_some(), "{time}");
    }
    report
}

/// Returns when the log has its first complete block.
pub(crate) fn wait_for_block(process: &mut Child, log: &Path) {
    loop {
        assert_eq!(process.try_wait().unwrap(), None, "the run ended before it could be killed");
        if fs::read_to_string(log).is_ok_and(|text| text.contains("{\"block\":")) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_goes_on_and_reports_what_an_uninterrupted_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let arguments = ["--count", "24"];
    done(eval_hard(&whole, &arguments));
    for log in ["steps", "served"] {
        let mut process = eval_hard(&killed, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_block(&mut process, &killed.join(format!("log/{log}.jsonl")));
        // SIGKILL.
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(!killed.join("report.json").exists());
    }
    done(eval_hard(&killed, &arguments));
    assert_eq!(figures(&killed), figures(&whole));
    // A model that solves neither all nor nothing, and some puzzles only after restarts: figures that could differ.
    let report = figures(&whole);
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!(number("/exact_accuracy") > 0.1 && number("/exact_accuracy") < 0.9, "{}", number("/exact_accuracy"));
    assert!(number("/engine/restarted") > 0.0);
}

#[test]
fn a_finished_run_is_reported_again_without_being_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    done(eval(&out, &["--count", "10", "--steps", "4"]));
    let (log, report) = (fs::read(out.join("log/served.jsonl")).unwrap(), fs::read(out.join("report.json")).unwrap());
    fs::remove_file(out.join("report.json")).unwrap();
    done(eval(&out, &["--count", "10", "--steps", "4"]));
    assert_eq!(fs::read(out.join("log/served.jsonl")).unwrap(), log);
    // Times too: they are in the log.
    assert_eq!(fs::read(out.join("report.json")).unwrap(), report);
}

#[test]
fn shards_merge_to_the_report_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let arguments = ["--count", "21", "--curve", "--curve-steps", "6", "--curve-chains", "2"];
    done(eval_hard(&at("whole"), &arguments));
    for shard in 1..=3 {
        let mut command = eval_hard(&at(&shard.to_string()), &arguments);
        command.args(["--shard", &format!("{shard}/3")]);
        done(command);
    }
    let (one, two, three) = (at("1"), at("2"), at("3"));
    let output = merge(&[&two, &one, &three], &at("merged"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (merged, whole) = (figures(&at("merged")), figures(&at("whole")));
    assert_eq!(merged, whole);
    assert_eq!(merged["puzzles"], 21);
    for chart in ["curve-steps.svg", "curve-steps.png", "curve-chains.svg", "curve-chains.png"] {
        assert!(fs::metadata(at("merged").join(chart)).unwrap().len() > 1000, "{chart}");
    }

    let missing = refused(&merge(&[&one, &three], &at("none")));
    assert!(missing.contains("shard 2/3 is missing"), "{missing}");
    let doubled = refused(&merge(&[&one, &two, &one], &at("none")));
    assert!(doubled.contains("shard 1/3 is there twice"), "{doubled}");
    let foreign = refused(&merge(&[&one, &at("whole")], &at("none")));
    assert!(foreign.contains("shard 1/3 with shard 1/1"), "{foreign}");
    done(eval_hard(&at("other"), &["--count", "20", "--shard", "2/3"]));
    let other = refused(&merge(&[&one, &at("other"), &three], &at("none")));
    assert!(other.contains("is 21 in the one and 20 in the other"), "{other}");
}

#[test]
fn another_run_s_folder_is_refused_by_the_field_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let base = ["--count", "8", "--steps", "4"];
    done(eval(&out, &base));
    for (change, says) in [
        (vec!["--seed", "1"], "its `data.description` is \"generated minimal 4x4 puzzles, held-out seed 0\""),
        (vec!["--augmentations", "3"], "its `policy.restarts.augmentations` is 8, this run's is 3"),
        (vec!["--clients", "4"], "its `clients` is 8, this run's is 4"),
        (vec!["--shard", "1/2"], "holds shard 1/1, this run is shard 1/2"),
    ] {
        let mut command = eval(&out, &base);
        let message = refused(&command.args(&change).output().unwrap());
        assert!(message.contains(says) && message.contains("--out"), "{change:?}: {message}");
    }
}

#[test]
fn a_torn_end_is_done_again_and_damage_before_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = ["--count", "24", "--block", "4", "--steps", "4"];
    done(eval(&out, &arguments));
    let expected = figures(&out);
    let log = out.join("log/steps.jsonl");
    let bytes = fs::read(&log).unwrap();
    // Within the header, a record, a seal, and between two lines.
    let lines: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    for cut in [10, lines[0] + 20, lines[4] + 9, lines[7] + 1, lines[10], bytes.len() - 2] {
        fs::write(&log, &bytes[..cut]).unwrap();
        fs::remove_file(out.join("report.json")).unwrap();
        done(eval(&out, &arguments));
        assert_eq!(figures(&out), expected, "cut at byte {cut}");
    }
    // A digit of the third record, after which sound blocks follow.
    let mut damaged = bytes.clone();
    let digit = (lines[2]..lines[3]).find(|&at| damaged[at].is_ascii_digit()).unwrap();
    damaged[digit] = if damaged[digit] == b'1' { b'2' } else { b'1' };
    fs::write(&log, &damaged).unwrap();
    let message = refused(&eval(&out, &arguments).output().unwrap());
    assert!(message.contains("steps.jsonl: is damaged: line 6: ") && message.contains("delete the file"), "{message}");
    fs::write(&log, b"a file of somebody else's\n").unwrap();
    let message = refused(&eval(&out, &arguments).output().unwrap());
    assert!(message.contains("its first line is not a header"), "{message}");
    assert_eq!(fs::read(&log).unwrap(), b"a file of somebody else's\n");
}

#[test]
fn a_reader_that_goes_away_ends_no_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let checkpoint = learned();
    let mut process = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"))
        .args(["sudoku", "--checkpoint", text(&checkpoint), "--count", "10", "--threads", "1", "--out", text(&out)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !stderr.contains("panicked"), "{stderr}");
    assert_eq!(figures(&out)["puzzles"], 10);
}

#[test]
fn the_chosen_policy_is_written_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("model");
    fs::create_dir(&checkpoint).unwrap();
    for file in fs::read_dir(learned()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), checkpoint.join(file.file_name())).unwrap();
    }
    let out = folder.path().join("run");
    let arguments =
        ["sudoku", "--checkpoint", text(&checkpoint), "--out", text(&out), "--count", "24", "--curve-steps", "32"];
    let mut command = command(env!("CARGO_BIN_EXE_speedrun-inference"), &arguments);
    command.arg("--write-policy");
    done(command);
    let report = figures(&out);
    let candidates = report["choice"]["candidates"].as_array().unwrap();
    let chosen = &candidates[report["choice"]["chosen"].as_u64().unwrap() as usize];
    let cost = |candidate: &Value| {
        let unsolved = 1.0 - candidate["verified"]["accuracy"].as_f64().unwrap();
        candidate["mean_steps"].as_f64().unwrap() + 1000.0 * unsolved
    };
    assert!(candidates.len() > 20 && candidates.iter().all(|candidate| cost(chosen) <= cost(candidate)));

    let inference = Manifest::read(&checkpoint.join(MANIFEST_FILE)).unwrap().inference.unwrap();
    let policy = &chosen["policy"];
    assert_eq!(inference.max_steps as u64, policy["max_steps"].as_u64().unwrap());
    assert_eq!(inference.augmentations as u64, policy["restarts"]["augmentations"].as_u64().unwrap());
    let measured = inference.measured.clone().unwrap();
    assert_eq!((measured.puzzles, measured.weights_sha256.as_str()), (24, report["model"]["sha256"].as_str().unwrap()));
    assert_eq!(measured.mean_steps.to_bits(), chosen["mean_steps"].as_f64().unwrap().to_bits());
    assert_eq!(inference.safe_max_steps.map(|steps| steps as u64), report["depth_probe"]["safe_max_steps"].as_u64());

    let session = SessionOptions { threads: 1, ..SessionOptions::default() };
    let limits = EngineLimits { overrides: PolicyOverrides::NONE, ..EngineLimits::plain(2, 4, 64) };
    let served = ServedModel::load(&checkpoint, &session, limits).unwrap().default_policy;
    assert_eq!(served.policy.max_steps, inference.max_steps);
    assert_eq!(served.sources.augmentations, PolicySource::Manifest);

    // In integers nothing is chosen: what the policy reaches on the same puzzles stands beside it, and no other puzzles do.
    let int8 = |out: &Path, count: &str| {
        let arguments = ["sudoku", "--checkpoint", text(&checkpoint), "--out", text(out), "--count", count];
        let mut command = self::command(env!("CARGO_BIN_EXE_speedrun-inference"), &arguments);
        command.args(["--quantize", "int8", "--write-policy"]);
        command
    };
    let message = refused(&int8(&folder.path().join("fewer"), "12").output().unwrap());
    assert!(message.contains("24 puzzles") && message.contains("measure both on the same"), "{message}");
    let mut other = int8(&folder.path().join("other"), "24");
    let message = refused(&other.args(["--augmentations", "1", "--depth", "0"]).output().unwrap());
    assert!(message.contains("leave the flags of the policy out"), "{message}");
    assert!(Manifest::read(&checkpoint.join(MANIFEST_FILE)).unwrap().inference.unwrap().int8.is_none());
    let out = folder.path().join("int8");
    let stdout = done(int8(&out, "24"));
    assert!(stdout.contains("--quantize auto"), "{stdout}");
    let written = Manifest::read(&checkpoint.join(MANIFEST_FILE)).unwrap().inference.unwrap();
    let found = written.int8.clone().unwrap();
    assert_eq!(Some(found.verified_accuracy), figures(&out)["engine"]["verified"]["accuracy"].as_f64());
    assert_eq!((found.puzzles, &found.data), (24, &measured.data));
    assert_eq!(written, InferenceDefaults { int8: Some(found), measured: Some(measured), ..inference });
}

#[test]
fn held_out_hard_puzzles_are_read_packed_and_reported_by_hardness() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let pool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/held-out/few-clues.txt.gz");
    let arguments =
        ["sudoku", "--puzzles", text(&pool), "--count", "24", "--steps", "2", "--augmentations", "0", "--depth", "2"];
    let mut command = command(env!("CARGO_BIN_EXE_speedrun-inference"), &arguments);
    let stdout = done({
        command.arg("--out").arg(&out);
        command
    });
    assert!(stdout.contains("hardness singles") && stdout.contains("hardness pairs"), "{stdout}");
    let report = figures(&out);
    assert_eq!((report["puzzles"].as_u64(), report["skipped_lines"].as_u64()), (Some(24), Some(0)));
    let groups = report["raw"]["by_hardness"].as_array().unwrap();
    let count = |label: &str| {
        let of_label = |group: &&Value| group["label"] == label;
        groups.iter().find(of_label).map_or(0, |group| group["puzzles"].as_u64().unwrap())
    };
    // As the comments in the file's first 24 lines of puzzles say.
    assert_eq!((count("singles"), count("pairs")), (12, 10), "{groups:?}");
}

#[test]
fn mazes_are_evaluated_from_the_generator_and_from_text() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_maze(folder.path(), "maze", MazeShape::from_side(7).unwrap());
    let out = folder.path().join("generated");
    let arguments = ["maze", "--checkpoint", text(&checkpoint), "--count", "9", "--out", text(&out)];
    let stdout = done(command(env!("CARGO_BIN_EXE_speedrun-inference"), &arguments));
    assert!(stdout.contains("generated hard 7x7 mazes") && stdout.contains("any shortest path (raw)"), "{stdout}");
    let report = figures(&out);
    let lengths = report["raw"]["by_length"].as_array().unwrap();
    assert_eq!(lengths.iter().map(|group| group["puzzles"].as_u64().unwrap()).sum::<u64>(), 9);
    assert!(
        report["raw"]["rules_accuracy"]["accuracy"].as_f64() >= report["raw"]["overall"]["raw"]["accuracy"].as_f64()
    );

    let file = folder.path().join("mazes.txt");
    let maze = format!("S{}G", ".".repeat(47));
    let walled = format!("S#{}#G", "#".repeat(45));
    fs::write(&file, format!("{maze}\n\n{walled}\nSG\n{}\n", maze.replace('.', " "))).unwrap();
    let out = folder.path().join("text");
    let arguments = ["maze", "--checkpoint", text(&checkpoint), "--puzzles", text(&file), "--out", text(&out)];
    let mut command = command(env!("CARGO_BIN_EXE_speedrun-inference"), &arguments);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && stderr.contains("line 3 is skipped") && stderr.contains("line 4 is"),
        "{stderr}"
    );
    let report = figures(&out);
    assert_eq!((report["puzzles"].as_u64(), report["skipped_lines"].as_u64()), (Some(2), Some(2)));

    let wrong = ["sudoku", "--checkpoint", text(&checkpoint)];
    let message = refused(&self::command(env!("CARGO_BIN_EXE_speedrun-inference"), &wrong).output().unwrap());
    assert!(message.contains("is for maze-7x7, not for sudoku"), "{message}");
}
