//! `cargo speedrun`: data, training, evaluation, export and report of one task, one program after the other. A run that
//! was interrupted goes on at the stage where it was. Owns the order and what has been done; leaves the work to the
//! programs `datasets`, `trainer`, `exporter` and `speedrun-inference`.

mod arguments;
mod journal;
mod recipe;
mod report;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::arguments::{HELP, parse};
use self::arguments::{RecipeChoice, Speedrun, Task};
use self::journal::Journal;
use self::recipe::{Call, Kind, Recipe, Stage};
use crate::machine;
use crate::native::{Library, Project};

/// With it in its environment, `trainer` saves and ends when its standard input does, as when this process is killed.
const FOLLOWS_PARENT: &str = "TRAINER_FOLLOWS_STUDY";

/// Runs the speedruns that `arguments` ask for.
pub(crate) fn run(project: &Project, arguments: Vec<OsString>) -> Result<()> {
    let Some(asked) = parse(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    let gpus = machine::gpus();
    let kind = match asked.recipe {
        _ if asked.smoke_test => Kind::Smoke,
        RecipeChoice::Gpu if gpus.is_empty() => {
            bail!("--recipe gpu needs an NVIDIA GPU, and nvidia-smi reports none; leave it out for the laptop recipe")
        }
        RecipeChoice::Gpu => Kind::Gpu,
        RecipeChoice::Auto if !gpus.is_empty() => Kind::Gpu,
        RecipeChoice::Laptop | RecipeChoice::Auto => Kind::Laptop,
    };
    for &task in &asked.tasks {
        let kind = match kind {
            Kind::Laptop if task.is_arc() && asked.anyway => Kind::Processor,
            kind => kind,
        };
        // Of ARC-AGI-2, hardly a task is small enough for the laptop recipe.
        if kind == Kind::Laptop && task == Task::Arc2 {
            let why = recipe::cost_without_gpu(task);
            if asked.tasks.len() > 1 {
                println!("{}: left out. {why}", task.name());
                continue;
            }
            bail!("{why}");
        }
        run_task(project, &asked, task, kind, gpus.len())?;
    }
    Ok(())
}

fn run_task(project: &Project, asked: &Speedrun, task: Task, kind: Kind, gpus: usize) -> Result<()> {
    let folder = asked.out.as_ref().map_or_else(
        || project.root.join("runs").join(format!("speedrun-{}-{}", task.name(), kind.name())),
        |out| if asked.tasks.len() > 1 { out.join(task.name()) } else { out.clone() },
    );
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let folder = fs::canonicalize(&folder)?;
    let mut journal = Journal::open(&folder, &format!("{} {}", task.name(), kind.name()))?;
    let recipe = Recipe::of(task, kind, gpus, &folder);
    for stage in Stage::ALL {
        if journal.seconds(stage.name()).is_some() {
            println!("{}: {} was done before", task.name(), stage.name());
            continue;
        }
        println!("{}: {}", task.name(), stage.name());
        let begun = Instant::now();
        if stage == Stage::Data {
            prepare(project, asked, task, kind, &folder)?;
        }
        for call in recipe.calls(stage) {
            run_call(project, asked, call).with_context(|| {
                format!(
                    "{}: stage `{}` was not finished; the same command goes on with it ({} holds what is done)",
                    task.name(),
                    stage.name(),
                    folder.display()
                )
            })?;
        }
        journal.done(stage.name(), begun.elapsed())?;
    }
    let path = report::write(&folder, &recipe, &journal)?;
    println!("{}: {}", task.name(), path.display());
    Ok(())
}

/// Libraries and files that no program of ours fetches.
fn prepare(project: &Project, asked: &Speedrun, task: Task, kind: Kind, folder: &Path) -> Result<()> {
    if asked.programs.is_none() {
        project.set_up(Library::OnnxRuntime)?;
        project.set_up(Library::Libtorch)?;
        if kind == Kind::Gpu {
            project.set_up(Library::LibtorchCuda)?;
        }
    }
    match (task.is_arc(), kind) {
        (true, Kind::Smoke) => recipe::write_tiny_arc(folder),
        (true, _) => crate::fetch_arc(project),
        (false, _) => Ok(()),
    }
}

fn run_call(project: &Project, asked: &Speedrun, call: &Call) -> Result<()> {
    if call.makes.as_ref().is_some_and(|made| made.exists()) {
        return Ok(());
    }
    if let Some(folder) = call.replaces.as_ref().filter(|folder| folder.exists()) {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let arguments = call.arguments();
    println!("  {}", call.line());
    let mut command = program(project, asked.programs.as_deref(), call);
    command.args(&arguments).current_dir(&project.root).env(FOLLOWS_PARENT, "1").stdin(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", call.program))?;
    // Held until the program has ended; `wait` would close it first.
    let _input = child.stdin.take();
    let status = child.wait()?;
    if status.success() { Ok(()) } else { bail!("`{}` ended with {status}", call.program) }
}

/// The program of `call`: built by cargo, or one that lies in the folder `programs`.
fn program(project: &Project, programs: Option<&Path>, call: &Call) -> Command {
    let Some(folder) = programs else {
        let mut cargo = project.cargo();
        cargo.args(["run", "--release", "--quiet", "--package", call.package, "--bin", call.program]);
        if call.on_gpu {
            cargo
                .args(["--features", "cuda"])
                .env(Library::LibtorchCuda.variable(), project.place(Library::LibtorchCuda).path);
        }
        cargo.arg("--");
        return cargo;
    };
    let mut command = Command::new(PathBuf::from(folder).join(call.program));
    command.env(Library::OnnxRuntime.variable(), project.place(Library::OnnxRuntime).path);
    command
}
