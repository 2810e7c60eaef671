//! `cargo xtask screenshots`: the native libraries are made sure of, then this process becomes `cargo run` of the example
//! that visits the server's page. What is on the pictures is the example's business.

use std::os::unix::process::CommandExt as _;

use crate::native::{Library, Project};
use crate::toolchain;

/// Does not return if it succeeds.
pub(crate) fn run(project: &Project) -> anyhow::Error {
    let set_up = || {
        toolchain::check_cxx_compiler()?;
        project.set_up(Library::OnnxRuntime)?;
        project.set_up(Library::Libtorch)
    };
    if let Err(error) = set_up() {
        return error;
    }
    let mut cargo = project.cargo();
    cargo.args(["run", "--package", "integration-tests", "--example", "page_screenshots"]).current_dir(&project.root);
    anyhow::Error::new(cargo.exec()).context("cannot run cargo")
}
