//! `datasets build arc` as its user meets it: what it says, a sudden death, a disk that refuses to take more.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::{assert_same_folder, errors, fixture, names, program};

fn build(target: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    let sources = fixture("sources/arc").join("mini");
    command.args(["build", "arc", "--input-file-prefix"]).arg(sources).arg("--output-dir").arg(target).args(arguments);
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

#[test]
fn the_reference_s_flags_build_the_reference_s_dataset() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let flags = ["--subsets", "training", "evaluation", "--test-set-name", "evaluation", "--num-aug", "8"];
    let output = run(build(&target, &flags));
    assert!(output.status.success(), "{}", errors(&output));
    assert_same_folder(&target, &fixture("arc_aug8"));
    let said = errors(&output);
    assert!(said.contains("syn00a07: only 2 different puzzles, itself included"), "{said}");
    assert!(said.contains("13 tasks, 111 puzzle identifiers, 366 training and 54 test examples"), "{said}");

    let flags = ["--subsets", "evaluation", "--num-aug", "2", "--seed", "7", "--puzzle-identifiers-start", "5"];
    let output = run(build(&target, &[&flags[..], &["--overwrite"]].concat()));
    assert_same_folder(&target, &fixture("arc_aug2_start5"));
    assert!(errors(&output).contains("evaluation is held out and comes first"), "{}", errors(&output));

    let flags = ["--subsets", "training", "nosol", "--test-set-name", "nosol", "--num-aug", "0", "--overwrite"];
    let output = run(build(&target, &flags));
    assert_same_folder(&target, &fixture("arc_aug0_nosol"));
    assert!(errors(&output).contains("nosol: 3 test outputs are in no file"), "{}", errors(&output));

    let output = run(build(&target, &["--source-dir", "elsewhere"]));
    assert!(!output.status.success() && errors(&output).contains("cannot be used with"), "{}", errors(&output));
}

/// The system kills a program at the first byte beyond the limit, here in the middle of the examples.
#[test]
fn a_killed_build_leaves_no_dataset_and_the_next_one_cleans_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let killed = run(limited("", &build(&target, &["--num-aug", "500"])));
    assert_eq!(killed.status.code(), None, "ended by a signal: {}", errors(&killed));
    assert!(!target.exists(), "half a dataset must not be visible");
    let [staged] = &names(folder.path())[..] else { panic!("a killed process cannot clean up") };
    assert!(staged.starts_with(".set.building-"), "{staged}");
    assert!(folder.path().join(staged).join("train/all__inputs.npy").exists());

    let output = run(build(&target, &["--num-aug", "8"]));
    assert!(output.status.success(), "{}", errors(&output));
    assert_same_folder(&target, &fixture("arc_aug8"));
    assert_eq!(names(folder.path()), ["set"]);
}

/// A limit on the size of files stands in for a full disk.
#[test]
fn a_full_disk_is_reported_and_nothing_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("set");
    let stopped = run(limited("trap '' XFSZ; ", &build(&target, &["--num-aug", "500"])));
    assert_eq!(stopped.status.code(), Some(1));
    let said = errors(&stopped);
    assert!(said.contains("cannot write") && said.contains("train/all__"), "{said}");
    assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
}

/// The same command with files of at most half a megabyte (a whole one in some shells).
fn limited(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("{before}ulimit -c 0; ulimit -f 1000; exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell
}
