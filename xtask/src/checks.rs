//! `cargo xtask test`: what must hold before a change is shared, one stage after the other, stopping at the first that
//! fails. The stages' commands are printed, so that each can be run alone; what a test could not check on this machine is
//! said at the end. `cargo xtask test --torch-cuda` is apart, because of what it fetches and builds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::native::{Library, Project};
use crate::onnxruntime_web;
use crate::toolchain;

/// A stage that is a call of cargo.
struct CargoStage {
    name: &'static str,
    arguments: &'static [&'static str],
    /// An environment variable and its value.
    environment: Option<(&'static str, &'static str)>,
}

/// In the order in which they tell most for the least time. All share the artefacts of one profile.
const CARGO_STAGES: &[CargoStage] = &[
    CargoStage { name: "format", arguments: &["fmt", "--all", "--check"], environment: None },
    CargoStage {
        name: "lints",
        arguments: &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
        environment: None,
    },
    CargoStage {
        name: "documentation",
        arguments: &["doc", "--workspace", "--no-deps"],
        environment: Some(("RUSTDOCFLAGS", "--deny warnings")),
    },
    CargoStage { name: "tests", arguments: &["test", "--workspace"], environment: None },
];

/// Names the file to which tests append a line for each promise that they could not check on this machine.
const NOT_RUN_REPORT: &str = "TRM_NOT_RUN_REPORT";

/// Runs all stages.
pub(crate) fn run(project: &Project) -> Result<ExitCode> {
    let started = Instant::now();
    let count = CARGO_STAGES.len() + 1;
    let mut times = Vec::new();
    let not_run = NotRun::new();

    announce(1, count, "set-up", "cargo xtask setup");
    set_up(project).context("stage `set-up` failed")?;
    times.push(("set-up", started.elapsed()));

    for (index, stage) in CARGO_STAGES.iter().enumerate() {
        let begun = Instant::now();
        announce(index + 2, count, stage.name, &stage.line());
        let mut cargo = project.cargo();
        cargo.args(stage.arguments).envs(stage.environment).env(NOT_RUN_REPORT, &not_run.0).current_dir(&project.root);
        let status = cargo.status().with_context(|| format!("cannot run `{}`", stage.line()))?;
        if !status.success() {
            eprintln!(
                "\nFAILED at stage `{}` after {} ({status}); to run it alone: {}",
                stage.name,
                spoken(begun.elapsed()),
                stage.line()
            );
            return Ok(ExitCode::FAILURE);
        }
        times.push((stage.name, begun.elapsed()));
    }
    let each: Vec<_> = times.iter().map(|(name, time)| format!("{name} {}", spoken(*time))).collect();
    println!("\nAll {count} stages passed in {}: {}", spoken(started.elapsed()), each.join(", "));
    for line in not_run.lines() {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the trainer against libtorch with CUDA and tests what needs no GPU: golden data, training, collectives between
/// processes. The build has a folder of its own, or each would compile the other's `torch-sys` again.
pub(crate) fn run_torch_cuda(project: &Project) -> Result<()> {
    const TESTS: [&str; 4] = ["cuda_build", "forward_parity", "training_parity", "distributed"];
    toolchain::check_cxx_compiler()?;
    project.set_up(Library::LibtorchCuda)?;
    let place = project.place(Library::LibtorchCuda);
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "trainer", "--features", "cuda"]);
    cargo.args(TESTS.iter().flat_map(|test| ["--test", test]));
    cargo.arg("--target-dir").arg(project.root.join("target").join("torch-cuda"));
    cargo.env(Library::LibtorchCuda.variable(), &place.path).current_dir(&project.root);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the trainer's build against {} failed its tests ({status})", place.path.display());
    Ok(())
}

/// The report of what was not run; the file goes with it.
struct NotRun(PathBuf);

impl NotRun {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("not-run-{}", std::process::id())))
    }

    /// Each line once, in the order in which they came.
    fn lines(&self) -> Vec<String> {
        // No file: no test had anything to say.
        let report = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut lines: Vec<String> = Vec::new();
        for line in report.lines() {
            if !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
        lines
    }
}

impl Drop for NotRun {
    fn drop(&mut self) {
        // Usually there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl CargoStage {
    fn line(&self) -> String {
        let environment = self.environment.map_or_else(String::new, |(name, value)| format!("{name}='{value}' "));
        format!("{environment}cargo {}", self.arguments.join(" "))
    }
}

fn set_up(project: &Project) -> Result<()> {
    toolchain::check_component(project, "fmt", "rustfmt")?;
    toolchain::check_component(project, "clippy", "clippy")?;
    toolchain::check_cxx_compiler()?;
    project.set_up(Library::OnnxRuntime)?;
    project.set_up(Library::Libtorch)?;
    // The test of the site needs it, and says at the end that it was not run without.
    if let Err(error) = onnxruntime_web::ensure_installed(&project.native()) {
        println!("the page without a server will not be tested: {error:#}");
    }
    Ok(())
}

fn announce(number: usize, count: usize, name: &str, line: &str) {
    println!("\n[{number}/{count}] {name}: {line}");
}

/// A duration as one would say it: `850 ms`, `12 s`, `3 min 5 s`.
fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken() {
        assert_eq!(spoken(Duration::from_millis(850)), "850 ms");
        assert_eq!(spoken(Duration::from_millis(59_900)), "59 s");
        assert_eq!(spoken(Duration::from_secs(185)), "3 min 5 s");
    }

    #[test]
    fn a_stage_s_line_can_be_typed() {
        let line = CARGO_STAGES[2].line();
        assert_eq!(line, "RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps");
    }
}
