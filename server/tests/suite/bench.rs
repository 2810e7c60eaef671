//! `server bench` as a user runs it: that it runs, that its figures fit each other; not how large they are.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_small_benchmark_runs_and_its_figures_fit_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("bench.json");
    let words = "bench --config sudoku-4x4 --batch 1,3 --steps 2 --seconds 0 --threads 1 --json";
    let output = Command::new(env!("CARGO_BIN_EXE_server")).args(words.split(' ')).arg(&json).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in ["| sudoku-4x4 | float32 |     1 |", "| sudoku-4x4 | int8    |     3 |", "1 thread"] {
        assert!(said.contains(part), "`{part}` is missing in {said}");
    }

    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let rows = report["steps"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
        let seconds = row["seconds"]["median"].as_f64().unwrap();
        assert!((number("puzzle_steps_per_second") * seconds / number("batch_size") - 1.0).abs() < 1e-9);
        assert!((number("flops_per_second") * seconds / number("flops") - 1.0).abs() < 1e-9);
        assert!(number("utilisation") > 0.0 && number("product_seconds") > 0.0, "{row}");
    }
    assert_eq!(rows[1]["flops"].as_u64(), rows[0]["flops"].as_u64().map(|flops| 3 * flops));
    assert!(rows[2]["bytes"].as_u64() < rows[0]["bytes"].as_u64(), "int8 weights are smaller");
}

#[test]
fn unknown_names_are_reported_with_those_that_exist() {
    for (words, says) in
        [("--config large", "sudoku-attention"), ("--precision int4", "int8"), ("--batch 0", "1..=128")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        let output = command.arg("bench").args(words.split(' ')).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{words}: {said}");
    }
}
