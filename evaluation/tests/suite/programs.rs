//! The program `speedrun-inference` from outside: what it prints and writes, and what it refuses.

use std::path::Path;
use std::process::{Command, Output};

use datasets::sudoku::SudokuShape;
use serde_json::Value;

use crate::random_checkpoint::{architectures, write_architecture, write_random};

fn speedrun(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
    command.arg("sudoku").args(arguments).env_remove("TRM_MODELS_DIR").output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn speedrun_measures_reports_and_shows_a_puzzle() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_random(folder.path(), "random", SudokuShape::FOUR);
    let out = folder.path().join("report");
    let output = speedrun(&["--checkpoint", text(&checkpoint), "--count", "21", "--clients", "8", "--out", text(&out)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    for says in
        ["model    random: ", "puzzles  21 (generated minimal 4x4 puzzles, held-out seed 0)", "exact accuracy (raw)"]
    {
        assert!(stdout.contains(says), "{stdout}");
    }
    // An untrained model uses all its steps: a frame for each, without colours where there is no terminal.
    assert!(
        stdout.contains("the puzzle\n") && stdout.contains("step 16: q ") && !stdout.contains('\u{1b}'),
        "{stdout}"
    );

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    assert_eq!((report["puzzles"].as_u64(), report["steps"].as_u64()), (Some(21), Some(16)));
    let (exact, verified) = (number("/exact_accuracy"), number("/verified_accuracy"));
    assert!(exact <= verified && verified < 0.5, "an untrained model solved {exact} and {verified}");
    assert!(number("/exact_accuracy_interval/0") <= exact && exact <= number("/exact_accuracy_interval/1"));
    assert!(number("/engine/mean_steps") > 1.0 && number("/engine/latency_p50_ms") <= number("/engine/latency_p99_ms"));
    for groups in ["by_guesses", "by_givens"] {
        let groups = report["raw"][groups].as_array().unwrap();
        assert_eq!(groups.iter().map(|group| group["puzzles"].as_u64().unwrap()).sum::<u64>(), 21);
    }
    assert_eq!(report["model"]["sha256"].as_str().unwrap().len(), 64);
    assert!(report["command"].as_str().unwrap().starts_with("speedrun-inference sudoku --checkpoint"));
    let page = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(page.starts_with("# Sudoku 4x4: model `random`") && page.contains("| exact accuracy (raw)"), "{page}");
}

#[test]
fn speedrun_runs_every_architecture() {
    let folder = tempfile::tempdir().unwrap();
    for (index, arch) in architectures().into_iter().enumerate() {
        let name = format!("{}-{index}", arch.name());
        let checkpoint = write_architecture(folder.path(), &name, SudokuShape::FOUR, &[], arch);
        let out = folder.path().join(format!("{name}-report"));
        let arguments = ["--checkpoint", text(&checkpoint), "--count", "5", "--no-show", "--out", text(&out)];
        let output = speedrun(&arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(stdout.contains(&format!("model    {name}: ")) && stdout.contains("exact accuracy (raw)"), "{stdout}");
    }
}

#[test]
fn speedrun_gives_the_same_accuracies_again_and_reads_puzzle_files() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_random(folder.path(), "random", SudokuShape::FOUR);
    let puzzles = folder.path().join("puzzles.txt");
    std::fs::write(&puzzles, "# three puzzles\n123434122143....\n1234341221434.2.\n12..\n\n1.34.41221434321\n")
        .unwrap();
    let run = |name: &str| -> Value {
        let out = folder.path().join(name);
        let output = speedrun(&[
            "--checkpoint",
            text(&checkpoint),
            "--puzzles",
            text(&puzzles),
            "--out",
            text(&out),
            "--no-show",
        ]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("warning: line 4 is skipped: a Sudoku board has 16, 36, 81 or 256 cells"), "{stderr}");
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap()
    };
    let (first, second) = (run("first"), run("second"));
    assert_eq!((first["puzzles"].as_u64(), first["skipped_lines"].as_u64()), (Some(3), Some(1)));
    assert_eq!(first["raw"], second["raw"]);
}

#[test]
fn speedrun_refuses_what_it_cannot_do_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_random(folder.path(), "random", SudokuShape::FOUR);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (arguments, says) in [
        (vec!["--checkpoint", text(&checkpoint), "--size", "9"], "solves 4x4 boards"),
        (vec!["--checkpoint", "/nowhere"], "/nowhere/manifest.json"),
        (vec!["--models-dir", text(&empty)], "holds no checkpoint"),
        (vec!["--models-dir", text(folder.path()), "--size", "9"], "holds no model for 9x9 Sudoku"),
        (vec!["--checkpoint", text(&checkpoint), "--data", "/nowhere"], "/nowhere"),
    ] {
        let output = speedrun(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && stderr.starts_with("error: ") && stderr.contains(says),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn a_report_says_what_was_computed_in() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_random(folder.path(), "sudoku-4x4", SudokuShape::FOUR);
    let out = folder.path().join("report");
    let speedrun = |quantize: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
        command.args(["sudoku", "--count", "9", "--no-show", "--checkpoint"]).arg(&checkpoint);
        command.arg("--out").arg(&out).args(quantize).output().unwrap()
    };
    let output = speedrun(&["--quantize", "int8"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["model"]["precision"], "int8");
    assert!(std::fs::read_to_string(out.join("report.md")).unwrap().contains("CPUExecutionProvider, int8"));
    let other = speedrun(&[]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && said.contains("another run"), "float32 goes on in the folder of int8: {said}");
}
