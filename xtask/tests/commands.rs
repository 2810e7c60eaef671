//! Promises of the commands that hand over to cargo, with a stand-in for cargo that writes down how it was called.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A project folder whose cargo appends its arguments to a file, fails with code 7 for arguments that match
/// `fails_on`, whose npm always fails, and whose native libraries are the user's own.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(fails_on: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("project/xtask")).unwrap();
        fs::create_dir(root.join("libtorch")).unwrap();
        fs::write(root.join("libonnxruntime.so"), "").unwrap();
        let script = format!(
            "#!/bin/sh\nprintf '<%s>' \"$@\" >> '{0}/calls'\necho \" LIBTORCH=$LIBTORCH PKG=$CARGO_PKG_NAME\" >> '{0}/calls'\n\
             case \"$*\" in *\"{fails_on}\"*) exit 7 ;; esac\n",
            root.display()
        );
        for (name, script) in [("cargo", script), ("npm", "#!/bin/sh\nexit 3\n".to_owned())] {
            fs::write(root.join(name), script).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str], libtorch: &Path) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env_remove("TRM_NATIVE_CACHE")
            .args(arguments)
            .env("CARGO", self.path("cargo"))
            .env("CARGO_MANIFEST_DIR", self.path("project/xtask"))
            .env("ORT_DYLIB_PATH", self.path("libonnxruntime.so"))
            .env("LIBTORCH", libtorch)
            .output()
            .unwrap()
    }

    /// One line a call of cargo.
    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn speedrun_inference_hands_over_arguments_and_exit_code() {
    let stage = Stage::new("fail please");
    let own = stage.path("project/.native/libtorch");
    let output = stage.run(&["speedrun-inference", "sudoku", "--out", "a b", "--", "-x"], &own);
    assert!(output.status.success());
    // The project's own libtorch is cargo's to name, not ours to hand on, and it was not asked for.
    assert_eq!(
        stage.calls(),
        [
            "<run><--release><--package><evaluation><--bin><speedrun-inference><--><sudoku><--out><a b><--><-x> LIBTORCH= PKG="
        ]
    );
    assert!(!own.join("lib").exists());

    let output = stage.run(&["speedrun-inference", "fail please"], &own);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_library_of_the_user_s_is_handed_on() {
    let stage = Stage::new("nothing");
    stage.run(&["speedrun-inference"], &stage.path("libtorch"));
    let expected = format!(" LIBTORCH={} PKG=", stage.path("libtorch").display());
    assert!(stage.calls()[0].ends_with(&expected), "{:?}", stage.calls());
}

#[test]
fn all_stages_run_in_order_and_are_summed_up() {
    let stage = Stage::new("nothing");
    let output = stage.run(&["test"], &stage.path("libtorch"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = stage.calls();
    let names: Vec<_> = calls.iter().map(|call| call.split('>').next().unwrap()).collect();
    assert_eq!(names, ["<fmt", "<clippy", "<fmt", "<clippy", "<doc", "<test"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let summary = said.lines().last().unwrap();
    assert!(summary.starts_with("All 5 stages passed in ") && summary.contains("documentation"), "{summary}");
}

#[test]
fn what_could_not_be_checked_is_said_once_at_the_end() {
    let stage = Stage::new("nothing");
    let script = fs::read_to_string(stage.path("cargo")).unwrap();
    let says = "[ \"$1\" != test ] || for each in 1 2; do echo 'NOT RUN: a promise' >> \"$TRM_NOT_RUN_REPORT\"; done\n";
    fs::write(stage.path("cargo"), script + says).unwrap();
    let output = stage.run(&["test"], &stage.path("libtorch"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let last: Vec<_> = said.lines().rev().take(2).collect();
    assert_eq!(last[0], "NOT RUN: a promise");
    assert!(last[1].starts_with("All 5 stages passed in "), "{said}");
}

#[test]
fn tests_run_without_npm_and_say_what_they_lack() {
    let stage = Stage::new("nothing");
    let output = stage.run(&["test"], &stage.path("libtorch"));
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("the page without a server will not be tested: `npm pack onnxruntime-web@"), "{said}");
}

#[test]
fn a_site_needs_the_runtime_for_browsers() {
    let stage = Stage::new("nothing");
    let output = stage.run(&["site"], &stage.path("libtorch"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`npm pack onnxruntime-web@") && said.contains("set TRM_NATIVE_CACHE"), "{said}");
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[test]
fn screenshots_are_taken_by_an_example() {
    let stage = Stage::new("nothing");
    assert!(stage.run(&["screenshots"], &stage.path("libtorch")).status.success());
    let call = stage.calls().pop().unwrap();
    assert!(call.starts_with("<run><--package><integration-tests><--example><page_screenshots> "), "{call}");
}

#[test]
fn the_first_failing_stage_ends_the_run() {
    let stage = Stage::new("--deny warnings");
    let output = stage.run(&["test"], &stage.path("libtorch"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stage.calls().last().unwrap().starts_with("<clippy><--workspace>"), "{:?}", stage.calls());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("FAILED at stage `lints`") && said.contains("cargo clippy --workspace"), "{said}");
}

#[test]
fn missing_components_are_one_sentence() {
    let stage = Stage::new("clippy --version");
    let output = stage.run(&["test"], &stage.path("libtorch"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim(),
        "error: stage `set-up` failed: `cargo clippy` is not installed: run `rustup component add clippy`"
    );
}
