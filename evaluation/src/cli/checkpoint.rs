//! Which checkpoint and which puzzles an evaluation is about: folders, shipped models, the hub.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use datasets::sudoku::SudokuShape;
use engine::model::{self, LoadedModel};
use engine::task::{self, Task, task_of};
use hub::{FileReference, Hub, RepositoryKind, registry};
use models::Manifest;
use models::checkpoint::{MANIFEST_FILE, WEIGHTS_FILE};
use models::import::published::{self, ImportOptions};

use super::output::{download_bar, say};
use super::{BoardArgs, BoardTask, SourceArgs};
use crate::PuzzleSource;

/// Puzzles that are generated where no number is given: a minute of work, and an interval of a few points.
const GENERATED: u64 = 200;

/// The folder of the checkpoint that the arguments mean.
pub(super) fn folder(family: BoardTask, args: &BoardArgs) -> Result<PathBuf> {
    if let Some(weights) = &args.weights {
        return imported(family, weights).context(
            "the published weights cannot be used; the shipped model needs no network: leave --weights out to use it",
        );
    }
    if let Some(named) = &args.checkpoint {
        let id = named.to_string_lossy();
        // A folder of that name comes first; `owner/name` without one is a repository of the hub.
        let is_path = named.exists() || id.starts_with(['/', '.']) || id.split('/').count() != 2;
        return if is_path { Ok(named.clone()) } else { from_hub(&id) };
    }
    let models_dir = args.models_dir.as_deref();
    Ok(match family {
        BoardTask::Sudoku => {
            let shape = SudokuShape::from_size(args.size.unwrap_or(9))?;
            let wanted = format!("{0}x{0} Sudoku", shape.size());
            model::shipped_for(&wanted, |task| task == Task::Sudoku(shape), models_dir)?
        }
        BoardTask::Maze => {
            let fits = |task| matches!(task, Task::Maze(shape) if args.size.is_none_or(|size| size == shape.side()));
            let wanted = args.size.map_or_else(|| "mazes".to_owned(), |size| format!("{size}x{size} mazes"));
            model::shipped_for(&wanted, fits, models_dir)?
        }
    })
}

/// What a checkpoint's manifest says that it solves, if it is a task with rules.
pub(super) fn board_task_of(checkpoint: &Path) -> Result<Option<BoardTask>> {
    Ok(match task_of(&Manifest::read(&checkpoint.join(MANIFEST_FILE))?) {
        Some(Task::Sudoku(_)) => Some(BoardTask::Sudoku),
        Some(Task::Maze(_)) => Some(BoardTask::Maze),
        Some(Task::Arc) | None => None,
    })
}

/// A model of boards of any size on those that the arguments name: 9×9 for Sudoku where they name none, and for mazes the
/// largest that it was trained on.
pub(super) fn on_boards(family: BoardTask, args: &BoardArgs, loaded: LoadedModel) -> LoadedModel {
    let size = args.size.or((family == BoardTask::Sudoku).then_some(9));
    let wanted = size.and_then(|size| loaded.tasks.iter().copied().find(|&task| task::side(task) == size));
    match wanted.filter(|&task| task != loaded.task) {
        Some(task) => loaded.for_task(task),
        None => loaded,
    }
}

/// Refuses a model for something else than was asked for.
pub(super) fn check_task(family: BoardTask, args: &BoardArgs, name: &str, task: Task) -> Result<()> {
    let fits = match family {
        BoardTask::Sudoku => matches!(task, Task::Sudoku(_)),
        BoardTask::Maze => matches!(task, Task::Maze(_)),
    };
    if !fits {
        bail!("model `{name}` is for {task}, not for {}; name another with --checkpoint", family.name());
    }
    let found = task::side(task);
    match args.size {
        Some(size) if size != found => {
            bail!("--size is {size}, but model `{name}` solves {found}x{found} boards; leave --size out")
        }
        _ => Ok(()),
    }
}

/// The puzzles that the arguments mean.
pub(super) fn puzzles(args: &BoardArgs, task: Task) -> Result<PuzzleSource> {
    let limit = args.count.map_or(u64::MAX, u64::from);
    Ok(match &args.source {
        SourceArgs { data: Some(directory), .. } => PuzzleSource::folder(task, directory, limit)?,
        SourceArgs { puzzles: Some(path), .. } => PuzzleSource::lines(task, path, limit)?,
        SourceArgs { source_repo: Some(repository), .. } => {
            let (bar, on_bytes) = download_bar(&format!("test.csv of {repository}"))?;
            let published = registry::dataset(repository).map(|set| (set.repository, set.revision));
            let (repository, revision) = published.unwrap_or((repository, "main"));
            let reference = FileReference::new(RepositoryKind::Dataset, repository, "test.csv", revision)?;
            let path = Hub::from_env()?.file(&reference, on_bytes)?;
            bar.finish_and_clear();
            PuzzleSource::list(task, &path, &format!("test.csv of {repository}"), limit)?
        }
        _ => PuzzleSource::generated(task, args.seed, args.extra_clues, args.count.map_or(GENERATED, u64::from))?,
    })
}

/// The checkpoint folder, in the hub's cache, of weights in the reference's form.
fn imported(family: BoardTask, weights: &str) -> Result<PathBuf> {
    let name = match weights {
        "hub" => {
            let published = registry::model_for_task(family.name());
            published.with_context(|| format!("no model for {} is published", family.name()))?.name
        }
        name => name,
    };
    let hub = Hub::from_env()?;
    let (bar, on_bytes) = download_bar(name)?;
    let found = published::find(name, &ImportOptions::default(), &hub, on_bytes)?;
    bar.finish_and_clear();
    say(format_args!("weights  {}", found.source))?;
    Ok(published::in_cache(&found, &hub)?)
}

/// The folder, in the hub's cache, of a model repository that holds a checkpoint in our form.
fn from_hub(repository: &str) -> Result<PathBuf> {
    let hub = Hub::from_env()?;
    let (bar, mut on_bytes) = download_bar(repository)?;
    let mut fetch = |file| {
        let reference = FileReference::new(RepositoryKind::Model, repository, file, "main")?;
        hub.file(&reference, &mut on_bytes)
            .with_context(|| format!("{repository}: no such folder here, and {file} cannot be had from the hub"))
    };
    let manifest = fetch(MANIFEST_FILE)?;
    fetch(WEIGHTS_FILE)?;
    bar.finish_and_clear();
    Ok(manifest.parent().unwrap_or(&manifest).to_owned())
}
