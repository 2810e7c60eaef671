//! Tables over runs: numbers by hand, groups with intervals, and runs that are not finished.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use process::{message_of, run, succeed, words};
use serde_json::json;
use tempfile::TempDir;

/// A run whose evaluations found these exact accuracies, a hundred steps apart.
fn write_run(folder: &Path, model: &str, seed: u64, exact: &[f64]) {
    fs::create_dir_all(folder).unwrap();
    let config =
        json!({"arch": {"name": model, "L_layers": if model == "trm" { 2 } else { 4 }}, "seed": seed, "lr": 1e-4});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut rows = "step,phase,metric,value\n".to_owned();
    for (number, exact) in exact.iter().enumerate() {
        let step = 100 * (number + 1);
        let _ = write!(rows, "{step},train,lm_loss,{}\n{step},train,seconds,1.5\n", 2.0 / step as f64);
        let _ = write!(rows, "{step},eval,accuracy,{}\n{step},eval,exact_accuracy,{exact}\n", 0.5 + exact / 2.0);
    }
    fs::write(folder.join("metrics.csv"), rows).unwrap();
}

fn records(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn groups_have_means_intervals_and_differences() {
    let folder = TempDir::new().unwrap();
    for (seed, last) in [(0, 0.25), (1, 0.5), (2, 0.75)] {
        write_run(&folder.path().join(format!("runs/trm-{seed}")), "trm", seed, &[0.125, last]);
        write_run(&folder.path().join(format!("runs/deep/lstm-{seed}")), "lstm", seed, &[last - 0.25, 0.0]);
    }
    let line = "aggregate runs --group-by arch.name,arch.L_layers --out out";
    let said = succeed(folder.path(), &words(line));
    let out = folder.path().join("out");

    let runs = records(&out.join("runs.csv"));
    assert_eq!(runs.len(), 6);
    let run = runs.iter().find(|run| run["run"] == "runs/deep/lstm-2").unwrap();
    let expected =
        [("best_val_exact_accuracy", "0.5"), ("final_val_exact_accuracy", "0"), ("best_val_accuracy", "0.75")];
    for (name, value) in expected.into_iter().chain([("final_train_loss", "0.01"), ("seconds", "3"), ("seed", "2")]) {
        assert_eq!(run[name], value, "{name}");
    }

    let groups = records(&out.join("groups.csv"));
    let names: Vec<_> =
        groups.iter().map(|group| (group["arch.name"].as_str(), group["arch.L_layers"].as_str())).collect();
    assert_eq!(names, [("lstm", "4"), ("trm", "2")]);
    let best = |what: &str| groups[1][&format!("best_val_exact_accuracy_{what}")].parse::<f64>().unwrap();
    assert_eq!((best("mean"), best("std"), best("count")), (0.5, 0.25, 3.0));
    // 4.302653 is Student's 0.975 quantile with two degrees of freedom.
    assert!((best("high") - 0.5 - 4.302_652_7 * 0.25 / 3.0_f64.sqrt()).abs() < 1e-6, "{}", best("high"));

    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(said.starts_with(&report) && report.contains("| trm | 2 | 3 |"), "{report}");
    // Means 0.25 and 0.5 with equal deviations of 0.25: t = 0.25 / (0.25 √(2/3)), 4 degrees, p = 0.2879.
    assert!(
        report.contains("| best_val_exact_accuracy | lstm, 4 | trm, 2 | 0.2500 [")
            && report.contains("| 1.22 | 4.0 | 0.2879 |"),
        "{report}"
    );
    let svg = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(svg.contains("trm, 2") && svg.matches("<polygon").count() == 2, "a band for each group");
    assert!(fs::read(out.join("curves.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn unfinished_runs_count_with_what_they_have_and_mistakes_are_named() {
    let folder = TempDir::new().unwrap();
    write_run(&folder.path().join("runs/a"), "trm", 0, &[0.5]);
    write_run(&folder.path().join("runs/begun"), "trm", 1, &[]);
    // A checkpoint in a run is not a run.
    fs::create_dir(folder.path().join("runs/a/step_100")).unwrap();
    succeed(folder.path(), &words("aggregate runs/a runs --out out"));
    let runs = records(&folder.path().join("out/runs.csv"));
    let found: Vec<_> = runs.iter().map(|run| (run["run"].as_str(), run["best_val_exact_accuracy"].as_str())).collect();
    assert_eq!(found, [("runs/a", "0.5"), ("runs/begun", "")], "a run that is named twice is one");

    let refused = |line: &str| message_of(&run(folder.path(), &words(line)));
    let message = refused("aggregate runs --group-by arch.L_layer");
    assert!(
        message.contains("`arch.L_layer` is not a setting of these runs; did you mean `arch.L_layers`?"),
        "{message}"
    );
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(refused("aggregate empty").contains("empty: holds no run"));
    assert!(refused("aggregate gone").contains("gone"));
}
