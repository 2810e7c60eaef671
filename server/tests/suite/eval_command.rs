//! `server eval` as a user runs it: its subcommands reach the evaluation. What it measures is tested there.

use std::path::Path;
use std::process::{Command, Output};

use datasets::sudoku::SudokuShape;
use serde_json::Value;

use crate::arc_checkpoint::checkpoint;
use crate::arc_world::dataset_of;
use crate::random_checkpoint::write_random;

fn eval(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.arg("eval").args(arguments).env_remove("TRM_MODELS_DIR").output().unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = eval(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap()
}

#[test]
fn shards_of_boards_are_evaluated_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_random(folder.path(), "random", SudokuShape::FOUR);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for shard in ["1/2", "2/2"] {
        let out = path(&shard[..1]);
        let model = ["--task", "sudoku", "--checkpoint", model.to_str().unwrap(), "--threads", "1", "--no-show"];
        done(&[&model[..], &["--count", "6", "--block", "3", "--shard", shard, "--out", &out]].concat());
    }
    done(&["merge", &path("1"), &path("2"), "--out", &path("whole")]);
    let report = report(Path::new(&path("whole")));
    assert_eq!(report["puzzles"], 6);
    assert!(report["command"].as_str().unwrap().starts_with("server eval"), "{report}");
}

#[test]
fn arc_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset_of(folder.path(), true, 1);
    let model = checkpoint(folder.path(), 1 + 3 * 2);
    let out = folder.path().join("run");
    let arguments = ["arc", "--threads", "1", "--checkpoint", model.to_str().unwrap(), "--data"];
    let said = done(&[&arguments[..], &[data.to_str().unwrap(), "--out", out.to_str().unwrap()]].concat());
    assert!(said.contains("rows     6 ("), "{said}");
    assert_eq!(report(&out)["task"], "arc");
}
