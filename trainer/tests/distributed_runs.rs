//! `trainer launch` as a user runs it: ranks that are killed, hang, stop or meet a full disk, and what is left to resume.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use process::{assert_same_content, refuse, succeed, tiny, trainer, words};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Arguments that train `settings` on `ranks` ranks into the folder `run`.
fn launch(ranks: usize, options: &str, command: &[String]) -> Vec<String> {
    [words(&format!("launch --nproc {ranks} {options} --")), command.to_vec()].concat()
}

fn fresh(steps: u64) -> Vec<String> {
    let settings =
        words("eval_interval_steps=1000 checkpoint_interval=2 log_interval=1 checkpoint_path=run eval_count=8");
    [words("pretrain"), tiny(steps), settings].concat()
}

fn resume(more: &str) -> Vec<String> {
    words(&format!("pretrain resume=run {more}"))
}

fn start(folder: &Path, arguments: &[String]) -> Child {
    let mut command = trainer();
    command.current_dir(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Process of `rank` among the children of a launcher, once the run has a checkpoint past its first.
fn rank_of(launcher: &Child, rank: usize, folder: &Path) -> Pid {
    while !folder.join("run/last").exists()
        || fs::read_link(folder.join("run/last")).is_ok_and(|last| last == Path::new("step_0"))
    {
        thread::sleep(Duration::from_millis(5));
    }
    let id = launcher.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let wanted = format!("RANK={rank}");
    let of_rank = |child: &&str| {
        let environment = fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let child = children.split_whitespace().find(of_rank).unwrap();
    Pid::from_raw(child.parse().unwrap()).unwrap()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Files of a run, named as its first start named them.
fn undisturbed(steps: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    succeed(folder.path(), &launch(2, "", &fresh(steps)));
    folder
}

/// The run goes on by itself from the last checkpoint, and by hand from a later one, to the bytes of an undisturbed run.
#[test]
fn a_killed_rank_is_named_and_the_run_goes_on_to_the_same_bytes() {
    let expected = undisturbed(30);
    let folder = TempDir::new().unwrap();
    let launcher = start(folder.path(), &launch(2, "--max-restarts 1", &fresh(30)));
    kill_process(rank_of(&launcher, 1, folder.path()), Signal::KILL).unwrap();
    let output = launcher.wait_with_output().unwrap();
    let said = message(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("on rank 0: rank 1 failed: was killed by signal 9"), "{said}");
    assert!(said.contains("rank 1 was killed by signal 9; starting all ranks anew"), "{said}");
    assert_same_content(&expected.path().join("run"), &folder.path().join("run"));

    let folder = TempDir::new().unwrap();
    let launcher = start(folder.path(), &launch(2, "", &fresh(30)));
    kill_process(rank_of(&launcher, 0, folder.path()), Signal::KILL).unwrap();
    let output = launcher.wait_with_output().unwrap();
    let said = message(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("on rank 1: rank 0 failed: was killed by signal 9"), "{said}");
    assert!(said.contains("error: rank 0 was killed by signal 9; all ranks have ended"), "{said}");
    succeed(folder.path(), &launch(2, "", &resume("")));
    assert_same_content(&expected.path().join("run"), &folder.path().join("run"));
}

/// Ctrl-C reaches the launcher alone; every rank stops at the same step.
#[test]
fn a_signal_to_the_launcher_stops_all_ranks_with_a_checkpoint() {
    let folder = TempDir::new().unwrap();
    let launcher = start(folder.path(), &launch(2, "", &fresh(100_000)));
    rank_of(&launcher, 0, folder.path());
    kill_process(Pid::from_child(&launcher), Signal::INT).unwrap();
    let output = launcher.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", message(&output));
    let step: u64 = {
        let last = fs::read_link(folder.path().join("run/last")).unwrap();
        last.to_str().unwrap().trim_start_matches("step_").parse().unwrap()
    };
    assert!(folder.path().join("run/last/training_state.rank1.safetensors").is_file());

    // Other numbers of ranks are refused, or share the rows out anew and say so.
    let said = refuse(folder.path(), &resume(""));
    assert!(said.contains("was written by 2 ranks, this run has 1; resume with as many, or share its rows"), "{said}");
    let output = process::run(folder.path(), &resume(&format!("resume_world_size=any max_steps={}", step + 2)));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", message(&output));
    assert!(said.contains(&format!("rows of 2 ranks are shared out to 1 at step {step}")), "{said}");
    let said =
        succeed(folder.path(), &launch(4, "", &resume(&format!("resume_world_size=any max_steps={}", step + 4))));
    assert!(said.contains("rows of 1 ranks are shared out to 4"), "{said}");
    assert!(folder.path().join("run/last/training_state.rank3.safetensors").is_file());
}

#[test]
fn a_rank_that_hangs_is_named_when_the_time_is_over() {
    let folder = TempDir::new().unwrap();
    let settings = [fresh(100_000), words("collective_timeout=4")].concat();
    let launcher = start(folder.path(), &launch(2, "", &settings));
    kill_process(rank_of(&launcher, 1, folder.path()), Signal::STOP).unwrap();
    let output = launcher.wait_with_output().unwrap();
    let said = message(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("on rank 0: rank 1 ended, hangs or cannot be reached: no answer"), "{said}");
    assert!(said.contains("error: rank 0 ended with status 1"), "{said}");
}

/// A limit on the size of files stands in for a full disk.
#[test]
fn a_full_disk_of_rank_0_ends_all_ranks() {
    let folder = TempDir::new().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_trainer")]);
    limited.args(launch(2, "", &fresh(10))).current_dir(folder.path()).env("OMP_NUM_THREADS", "1");
    let output = limited.output().unwrap();
    let said = message(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("on rank 0: ") && said.contains("on rank 1: rank 0 failed: "), "{said}");
    assert!(!folder.path().join("run/last").exists(), "{said}");
}

#[test]
fn a_launcher_runs_nothing_but_training_on_two_or_more_ranks() {
    let folder = TempDir::new().unwrap();
    let said = refuse(folder.path(), &words("launch --nproc 2 -- eval --checkpoint nowhere"));
    assert!(said.contains("`eval` does not run on several ranks"), "{said}");
    let said = refuse(folder.path(), &words("launch --nproc 1 -- pretrain"));
    assert!(said.contains("--nproc"), "{said}");
    let said = refuse(folder.path(), &words("pretrain resume_world_size=any generator.size=4 max_steps=1"));
    assert!(said.contains("resume_world_size is set without resume"), "{said}");
}
