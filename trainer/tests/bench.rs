//! `trainer bench` as a user runs it: that it runs, that its figures fit each other; not how large they are.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use process::{refuse, succeed, words};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_small_benchmark_runs_and_its_figures_fit_each_other() {
    let folder = TempDir::new().unwrap();
    let line = "bench --config sudoku-4x4 --batch-size 3 --micro-batch-size 1 --steps 2 --seconds 0 --threads 1 --json bench.json";
    let said = succeed(folder.path(), &words(line));
    assert!(
        said.contains("| sudoku-4x4 | bfloat16 |     3 |") && said.contains("forward without gradient ms"),
        "{said}"
    );

    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("bench.json")).unwrap()).unwrap();
    let row = &report["steps"][0];
    let number = |pointer: &str| row.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    assert_eq!((report["threads"].as_u64(), row["seconds"]["count"].as_u64()), (Some(1), Some(2)));
    let seconds = number("/seconds/median");
    assert!((number("/host_syncs") - 3.0).abs() < 1e-12, "one for each micro-batch of a row: {row}");
    assert!((number("/samples_per_second") * seconds - 3.0).abs() < 1e-9);
    assert!((number("/flops_per_second") * seconds / number("/flops") - 1.0).abs() < 1e-9);
    assert!(number("/utilisation") > 0.0 && number("/rooflines/1/peak_flops_per_second") > 0.0);
    let phases = row["phases"].as_array().unwrap();
    let share = |name: &str| phases.iter().find(|phase| phase["phase"] == name).unwrap()["share"].as_f64().unwrap();
    assert!((phases.iter().map(|phase| phase["share"].as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-9);
    for phase in ["data", "forward without gradient", "forward with gradient", "backward", "optimizer", "ema"] {
        assert!(share(phase) > 0.0, "{phase}: {row}");
    }
}

#[test]
fn an_unknown_configuration_is_named_with_those_that_exist() {
    let folder = TempDir::new().unwrap();
    let said = refuse(folder.path(), &words("bench --config large --seconds 0"));
    assert!(said.contains("`large`") && said.contains("sudoku-attention"), "{said}");
}
