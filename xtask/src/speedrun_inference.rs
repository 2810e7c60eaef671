//! `cargo speedrun-inference`: ONNX Runtime is made sure of, then this process becomes `cargo run` of that
//! program, so that Ctrl-C, standard streams and the exit code are its own. libtorch is neither fetched nor built.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use crate::native::{Library, Project};

/// Does not return if it succeeds.
pub(crate) fn run(project: &Project, arguments: &[OsString]) -> anyhow::Error {
    if let Err(error) = project.set_up(Library::OnnxRuntime) {
        return error;
    }
    let error = project
        .cargo()
        .args(["run", "--release", "--package", "evaluation", "--bin", "speedrun-inference", "--"])
        .args(arguments)
        .exec();
    anyhow::Error::new(error).context("cannot run cargo")
}
