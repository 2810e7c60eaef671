//! The project's own commands: native libraries, doctor, the whole test run, and the way to `speedrun-inference`.
//! What they build and run is the other packages' business; this one knows them by name only.

#[cfg(not(unix))]
compile_error!("the project's commands run on Linux and macOS; on Windows use the Windows Subsystem for Linux");

mod cargo_run;
mod checks;
mod cli;
mod digest;
mod doctor;
mod fetch;
mod install;
mod machine;
mod native;
mod onnxruntime_web;
mod pip;
mod probe;
mod recipe;
mod recipe_cuda;
mod speedrun;
mod tiny_session;
mod toolchain;
mod unpack;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Command;
use crate::native::{Library, Project};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let project = Project::here();
    if !matches!(command, Command::Help | Command::Probe(..)) {
        // No more than advice: where it cannot be written, the command itself says so if it matters.
        let _ = install::advise_torch_sys(&project.native());
    }
    match command {
        Command::Setup(libraries) => set_up(&project, &libraries)?,
        Command::Doctor(libraries) => return Ok(doctor::examine(&project, &libraries)),
        Command::DataArc => fetch_arc(&project)?,
        Command::Test => return checks::run(&project),
        Command::TestTorchCuda => checks::run_torch_cuda(&project)?,
        Command::Screenshots => cargo_run::screenshots(&project)?,
        Command::Site(arguments) => cargo_run::site(&project, &arguments)?,
        Command::Speedrun(arguments) => speedrun::run(&project, arguments)?,
        Command::SpeedrunInference(arguments) => cargo_run::speedrun_inference(&project, &arguments)?,
        Command::Probe(library, path) => doctor::probe(library, Path::new(&path))?,
        Command::Help => print!("{}", cli::HELP),
    }
    Ok(ExitCode::SUCCESS)
}

fn set_up(project: &Project, libraries: &[Library]) -> Result<()> {
    // Before half a gigabyte is fetched for it.
    if libraries.contains(&Library::Libtorch) {
        toolchain::check_cxx_compiler()?;
    }
    for &library in libraries {
        project.set_up(library)?;
        println!("{}={}", library.variable(), project.place(library).path.display());
    }
    Ok(())
}

fn fetch_arc(project: &Project) -> Result<()> {
    let data = project.data();
    install::ensure_installed(&recipe::ARC_TASKS, &data, &fetch::Store::from_environment(&data))?;
    for file in ["arc-agi-1.json", "arc-agi-2.json"] {
        println!("{}", data.join(recipe::ARC_TASKS.folder).join(file).display());
    }
    Ok(())
}
