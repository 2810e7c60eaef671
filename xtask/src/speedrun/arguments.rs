//! The arguments of `cargo speedrun`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use lexopt::prelude::*;

/// What `cargo speedrun --help` prints.
pub(crate) const HELP: &str = "\
Train, evaluate, export and report, from nothing: cargo speedrun sudoku|maze|arc1|arc2|all [OPTION]...

With NVIDIA GPUs the reference's run is made (studies/*-1gpu.toml, arc1.toml, arc2.toml), a process on each. Without one, small
models with a structured mixer learn generated Sudoku and mazes, and the small tasks of ARC-AGI-1 (studies/speedrun-*.toml),
within an hour each on two cores; ARC-AGI-2 has no such recipe. REPORT.md in the run's folder sets what was achieved beside what is published. The same command
goes on where an interrupted one was.

  --smoke-test        every stage in seconds, with a model that learns nothing: shows that all programs work together
  --recipe RECIPE     auto, laptop or gpu [default: auto]
  --anyway            make the reference's run of ARC without a GPU all the same
  --out DIR           folder of the run [default: runs/speedrun-TASK-RECIPE]; of `all`, with a folder for each task
  --programs DIR      take the programs in this folder in place of building them
";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speedrun {
    pub(super) tasks: Vec<Task>,
    pub(super) smoke_test: bool,
    pub(super) recipe: RecipeChoice,
    pub(super) anyway: bool,
    pub(super) out: Option<PathBuf>,
    pub(super) programs: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Sudoku,
    Maze,
    Arc1,
    Arc2,
}

impl Task {
    const ALL: [Self; 4] = [Self::Sudoku, Self::Maze, Self::Arc1, Self::Arc2];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sudoku => "sudoku",
            Self::Maze => "maze",
            Self::Arc1 => "arc1",
            Self::Arc2 => "arc2",
        }
    }

    pub(super) fn is_arc(self) -> bool {
        matches!(self, Self::Arc1 | Self::Arc2)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecipeChoice {
    Auto,
    Laptop,
    Gpu,
}

/// Reads the arguments; `None` asks for the help.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Option<Speedrun>> {
    let mut asked = Speedrun {
        tasks: Vec::new(),
        smoke_test: false,
        recipe: RecipeChoice::Auto,
        anyway: false,
        out: None,
        programs: None,
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("smoke-test") => asked.smoke_test = true,
            Long("anyway") => asked.anyway = true,
            Long("out") => asked.out = Some(absolute(&parser.value()?)?),
            Long("programs") => asked.programs = Some(absolute(&parser.value()?)?),
            Long("recipe") => asked.recipe = recipe(&parser.value()?.string()?)?,
            Value(name) if asked.tasks.is_empty() => asked.tasks = tasks(&name.string()?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    if asked.tasks.is_empty() {
        bail!("name a task: sudoku, maze, arc1, arc2 or all; see `cargo speedrun --help`");
    }
    Ok(Some(asked))
}

/// Paths are the user's, and the programs run in the project's folder.
fn absolute(path: &OsString) -> Result<PathBuf> {
    Ok(std::path::absolute(Path::new(path))?)
}

fn tasks(name: &str) -> Result<Vec<Task>> {
    if name == "all" {
        return Ok(Task::ALL.to_vec());
    }
    match Task::ALL.into_iter().find(|task| task.name() == name) {
        Some(task) => Ok(vec![task]),
        None => bail!("unknown task `{name}`: expected sudoku, maze, arc1, arc2 or all"),
    }
}

fn recipe(name: &str) -> Result<RecipeChoice> {
    match name {
        "auto" => Ok(RecipeChoice::Auto),
        "laptop" => Ok(RecipeChoice::Laptop),
        "gpu" => Ok(RecipeChoice::Gpu),
        _ => bail!("unknown recipe `{name}`: expected auto, laptop or gpu"),
    }
}
