//! `cargo xtask site`: ONNX Runtime for browsers is made sure of, then this process becomes `server site`, which
//! writes the page as a folder of files.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use crate::native::Project;
use crate::onnxruntime_web;

/// Does not return if it succeeds.
pub(crate) fn run(project: &Project, arguments: &[OsString]) -> anyhow::Error {
    let runtime = match onnxruntime_web::ensure_installed(&project.native()) {
        Ok(folder) => folder,
        Err(error) => return error,
    };
    let error = project
        .cargo()
        .args(["run", "--release", "--package", "server", "--bin", "server", "--", "site", "--onnxruntime-web"])
        .arg(runtime)
        .args(arguments)
        .exec();
    anyhow::Error::new(error).context("cannot run cargo")
}
