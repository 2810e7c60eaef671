//! The program `trainer` as a user runs it, and the folders that it leaves. Owns starting, ending and comparing;
//! leaves what must hold to the tests.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its part of the helpers")]

pub mod kills;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use datasets::builder::generated::{GeneratedBuild, GeneratedPuzzles, build};
use datasets::sudoku::{PuzzleRequest, SudokuShape};
use rustix::process::{Pid, Signal, kill_process};

/// Settings that make a run of `steps` steps on generated 4×4 puzzles a matter of seconds.
pub fn tiny(steps: u64) -> Vec<String> {
    let mut settings = tiny_model();
    settings.extend(words(
        "generator.size=4 generator.extra_clues=[0,5] arch.mlp_t=True arch.pos_encodings=none arch.puzzle_emb_ndim=0 \
         arch.q_head_input=mean optimizer=adamw lr=1e-3 lr_warmup_steps=5 lr_min_ratio=0.1 ema=True eval_count=24",
    ));
    settings.push(format!("max_steps={steps}"));
    settings
}

/// A model of one layer, 32 wide, without a data source. In float32: without vector instructions for bfloat16 that takes
/// eight times as long, and what tests of processes are about does not depend on it.
pub fn tiny_model() -> Vec<String> {
    words(
        "arch.hidden_size=32 arch.num_heads=2 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.halt_max_steps=4 \
         arch.forward_dtype=float32 global_batch_size=16 threads=1",
    )
}

/// The words of a line, as a shell would split it without quotes.
pub fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Writes a data set of 4×4 puzzles.
pub fn write_data(folder: &Path, train_count: u64, test_count: u64, shape: SudokuShape) {
    let puzzles = GeneratedPuzzles { request: PuzzleRequest::minimal(shape), extra_clues: 2, seed: 3 };
    let output_dir = folder.to_owned();
    build(&GeneratedBuild { puzzles, train_count, test_count, output_dir, overwrite: false }, |_, _| {}).unwrap();
}

/// The program, one thread wide.
pub fn trainer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
    command
}

/// Runs the program in `folder` to its end.
pub fn run(folder: &Path, arguments: &[impl AsRef<str>]) -> Output {
    trainer().current_dir(folder).args(arguments.iter().map(AsRef::as_ref)).output().unwrap()
}

/// Runs it and gives what it printed; it must succeed.
pub fn succeed(folder: &Path, arguments: &[impl AsRef<str>]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it and gives its message; it must refuse with status 1 or 2, not crash.
pub fn refuse(folder: &Path, arguments: &[impl AsRef<str>]) -> String {
    message_of(&run(folder, arguments))
}

/// As [`refuse`], in 4 GB of address space and ended after two minutes.
pub fn refuse_within_bounds(folder: &Path, arguments: &[&str]) -> String {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 4000000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_trainer")]);
    limited.args(arguments).current_dir(folder).env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
    let mut child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_mins(2);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    }
    message_of(&child.wait_with_output().unwrap())
}

/// The message of a program that has refused.
pub fn message_of(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}: {message}", output.status);
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// A program that is still running; killed when the test ends.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(folder: &Path, arguments: &[impl AsRef<str>]) -> Self {
        let mut command = trainer();
        command.current_dir(folder).args(arguments.iter().map(AsRef::as_ref));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for `count` lines of output, or the end.
    pub fn read_lines(&mut self, count: usize) {
        let mut line = String::new();
        for _ in 0..count {
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return;
            }
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it as a power cut would; tells whether it was still running.
    pub fn kill(mut self) -> bool {
        self.child.kill().unwrap();
        self.child.wait().unwrap().code().is_none()
    }

    /// Sends a signal and gives the exit status and the rest of the output.
    pub fn signal(mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = Pid::from_child(&self.child);
        if self.is_running() {
            kill_process(pid, signal).unwrap();
        }
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every file of a run that must not depend on interruptions, by its path: checkpoints, settings, links.
pub fn content(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_symlink() {
            files.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            for file in fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                files.insert(name.join(file.file_name().unwrap()), fs::read(&file).unwrap());
            }
        }
    }
    files
}

/// Rows of `metrics.csv` in order: step, phase, metric, value.
pub fn metrics(run: &Path) -> Vec<(u64, String, String, f64)> {
    let mut reader = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

/// Fails with the names of the files that differ.
pub fn assert_same_content(expected: &Path, found: &Path) {
    let (expected, found) = (content(expected), content(found));
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    let different: Vec<&PathBuf> = expected.keys().filter(|name| expected[*name] != found[*name]).collect();
    assert!(different.is_empty(), "these files differ: {different:?}");
}
