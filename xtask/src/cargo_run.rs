//! Commands that make sure of what a program needs, then become `cargo run` of it: Ctrl-C, standard streams and the exit code
//! are its own. None of them returns if it succeeds.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Result;

use crate::native::{Library, Project};
use crate::{onnxruntime_web, toolchain};

/// `cargo xtask screenshots`: the example that visits the server's page.
pub(crate) fn screenshots(project: &Project) -> Result<()> {
    toolchain::check_cxx_compiler()?;
    project.set_up(Library::OnnxRuntime)?;
    project.set_up(Library::Libtorch)?;
    let example = ["run", "--package", "integration-tests", "--example", "page_screenshots"];
    become_cargo(project.cargo().args(example).current_dir(&project.root))
}

/// `cargo xtask site`: `server site`, which writes the page as a folder of files, with ONNX Runtime for browsers.
pub(crate) fn site(project: &Project, arguments: &[OsString]) -> Result<()> {
    let runtime = onnxruntime_web::ensure_installed(&project.native())?;
    let server = ["run", "--release", "--package", "server", "--bin", "server", "--", "site", "--onnxruntime-web"];
    become_cargo(project.cargo().args(server).arg(runtime).args(arguments))
}

/// `cargo speedrun-inference`. libtorch is neither fetched nor built.
pub(crate) fn speedrun_inference(project: &Project, arguments: &[OsString]) -> Result<()> {
    project.set_up(Library::OnnxRuntime)?;
    let program = ["run", "--release", "--package", "evaluation", "--bin", "speedrun-inference", "--"];
    become_cargo(project.cargo().args(program).args(arguments))
}

fn become_cargo(cargo: &mut Command) -> Result<()> {
    Err(anyhow::Error::new(cargo.exec()).context("cannot run cargo"))
}
