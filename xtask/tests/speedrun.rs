//! `cargo speedrun`: with stand-ins for the programs, that it goes on where it was; with the real ones, that they work
//! together.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "../../tests/src/not_run.rs"]
#[allow(unreachable_pub, reason = "a file of a crate whose tests are its library")]
mod not_run;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use not_run::not_run;

const PROGRAMS: [&str; 4] = ["datasets", "trainer", "exporter", "speedrun-inference"];

fn xtask(arguments: &[&str], path: &str) -> Output {
    // Without NVIDIA's tool in PATH there is no GPU.
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("speedrun").args(arguments).env("PATH", path).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Programs that write down how they were called; `exporter` fails while a file `broken` lies beside it, and `trainer`
/// leaves a checkpoint and fails while `interrupted` does.
fn stand_ins(folder: &Path) {
    let script = "#!/bin/sh\nhere=$(dirname \"$0\")\nname=$(basename \"$0\")\necho \"$name $*\" >> \"$here/calls\"\n\
        case \"$name $1\" in\n\
        'trainer pretrain') for a in \"$@\"; do case \"$a\" in checkpoint_path=*) run=$(echo \"$a\" | cut -d\"'\" -f2); mkdir -p \"$run/last\";; esac; done\n\
            [ ! -e \"$here/interrupted\" ] || { rm \"$here/interrupted\"; exit 130; } ;;\n\
        'exporter export') [ ! -e \"$here/broken\" ] || { rm \"$here/broken\"; exit 1; } ;;\n\
        'speedrun-inference sudoku') while [ \"$1\" != --out ]; do shift; done; mkdir -p \"$2\"\n\
            echo '{\"puzzles\": 9, \"raw\": {\"overall\": {\"raw\": {\"accuracy\": 0.5, \"interval\": [0.25, 0.75]}}}}' > \"$2/report.json\" ;;\n\
        esac\n";
    for name in PROGRAMS {
        fs::write(folder.join(name), script).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn an_interrupted_speedrun_goes_on_at_its_stage() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, out) = (folder.path().join("programs"), folder.path().join("out"));
    fs::create_dir(&programs).unwrap();
    stand_ins(&programs);
    fs::write(programs.join("interrupted"), "").unwrap();
    fs::write(programs.join("broken"), "").unwrap();
    let arguments = ["sudoku", "--out", out.to_str().unwrap(), "--programs", programs.to_str().unwrap()];
    let calls = || -> Vec<String> {
        let text = fs::read_to_string(programs.join("calls")).unwrap_or_default();
        let _ = fs::remove_file(programs.join("calls"));
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let run = || xtask(&arguments, "/usr/bin:/bin");

    let first = run();
    assert!(!first.status.success() && said(&first).contains("stage `train` was not finished"), "{}", said(&first));
    assert_eq!(calls(), ["trainer pretrain"]);
    let second = run();
    assert!(
        said(&second).contains("pretrain resume=") && said(&second).contains("stage `export`"),
        "{}",
        said(&second)
    );
    assert_eq!(calls(), ["trainer pretrain", "trainer publish", "speedrun-inference sudoku", "exporter export"]);
    let third = run();
    assert!(third.status.success() && said(&third).contains("sudoku: evaluate was done before"), "{}", said(&third));
    assert_eq!(calls(), ["exporter export"]);
    let report = fs::read_to_string(out.join("REPORT.md")).unwrap();
    for says in ["| 87.4 % |", "raw, 9 puzzles | 50.0 % [25.0, 75.0] |", "not comparable", "trainer pretrain --config"]
    {
        assert!(report.contains(says), "{says}: {report}");
    }
    // Done is done, and the folder is that of one speedrun.
    assert!(run().status.success());
    assert_eq!(calls(), Vec::<String>::new());
    let other = xtask(&[&["maze"], &arguments[1..]].concat(), "/usr/bin:/bin");
    assert!(
        said(&other).contains("is the folder of the speedrun `sudoku laptop`, not of `maze laptop`"),
        "{}",
        said(&other)
    );
}

#[test]
fn arc_without_a_gpu_says_what_it_would_cost() {
    for (arguments, says) in [
        (&["arc2"][..], "years on a processor"),
        (&["arc2", "--recipe", "gpu"], "--recipe gpu needs an NVIDIA GPU"),
        (&[], "name a task"),
        (&["chess"], "unknown task `chess`"),
    ] {
        let output = xtask(arguments, "/nowhere");
        assert!(!output.status.success() && said(&output).contains(says), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn every_stage_of_every_task_works_with_the_real_programs() {
    let programs: PathBuf = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap().to_owned();
    if let Some(missing) = PROGRAMS.iter().find(|name| !programs.join(name).exists()) {
        let promise = format!("smoke tests of `cargo speedrun`, for want of {missing}");
        not_run(&promise, "run `cargo test --workspace`, which builds the programs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["all", "--smoke-test", "--out", out.to_str().unwrap(), "--programs", programs.to_str().unwrap()];
    let output = xtask(&arguments, "/usr/bin:/bin");
    assert!(output.status.success(), "{}", said(&output));
    for task in ["sudoku", "maze", "arc1", "arc2"] {
        let report = fs::read_to_string(out.join(task).join("REPORT.md")).unwrap();
        assert!(report.contains("| **this run**, ") && report.contains(" % ["), "{task}: {report}");
        assert!(out.join(task).join("model.onnx").metadata().unwrap().len() > 1000, "{task}");
    }
}
