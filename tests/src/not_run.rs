//! Saying loudly that a promise was not checked, because the machine lacks something that no project can bring along.
//! A harness hides what passing tests print; this goes past it, and into the report of `cargo xtask test`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Write as _, stderr};
use std::sync::Mutex;

/// The file to which `cargo xtask test` wants such lines appended.
const REPORT: &str = "TRM_NOT_RUN_REPORT";

/// Says once that `promise` was not checked and how it would be.
pub fn not_run(promise: &str, how: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("NOT RUN: {promise}: {how}");
    if !SAID.lock().unwrap().insert(line.clone()) {
        return;
    }
    // One write each: tests of other binaries may speak at the same time.
    let line = format!("{line}\n");
    stderr().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    if let Some(report) = std::env::var_os(REPORT) {
        let mut report = OpenOptions::new().create(true).append(true).open(report).unwrap();
        report.write_all(line.as_bytes()).unwrap();
    }
}
