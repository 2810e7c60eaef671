//! Pictures of `datasets show` as files: written whole or not at all, and read back.
//! Owns which scenes a file holds; leaves drawing and reading to [`datasets::picture`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use datasets::Task;
use datasets::maze::Cell;
use datasets::picture::{Animation, MAX_PICTURE_BYTES, PictureError, Scene, read_arc_grid, read_maze};

use super::terminal::{self, When};
use super::{Example, Part, canvas_of};

/// Writes the parts of an example side by side; `attempt` stands in the answer's place, judged by the label.
pub(super) fn write_png(
    path: &Path,
    task: Task,
    example: &Example,
    attempt: Option<&Vec<i32>>,
    part: Part,
) -> anyhow::Result<()> {
    let question = Scene::question(task, &example.input);
    let answer = match attempt {
        Some(attempt) => Scene { label: Some(&example.label), ..Scene::answer(task, &example.input, attempt) },
        None => Scene::answer(task, &example.input, &example.label),
    };
    let picture = match part {
        Part::Question => question.draw(),
        // On ARC's canvas the answer stands beside its question anyway.
        Part::Both if task != Task::Arc => Scene::draw_beside(&[question, answer]),
        Part::Answer | Part::Both => answer.draw(),
    }?;
    write(path, &picture.to_png()?)
}

/// Writes the animation of `steps`, or of the answer where there are none.
pub(super) fn write_gif(path: &Path, task: Task, example: &Example, steps: Vec<Vec<i32>>) -> anyhow::Result<()> {
    let has_label = !steps.is_empty();
    let steps = if has_label { steps } else { vec![example.label.clone()] };
    let label = has_label.then_some(&example.label[..]);
    write(path, &Animation::of_steps(task, &example.input, &steps, label)?.to_gif()?)
}

/// A PNG of a maze or an ARC grid as it would be shown from a dataset.
pub(super) fn read_picture(path: &Path, color: When) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {name}"))?;
    let mut text = String::new();
    // A maze has a start and a goal, which no ARC grid has to have: where both readings are possible, they decide.
    let maze = read_maze(&bytes);
    let is_maze = |cells: &[Cell]| cells.contains(&Cell::Start) && cells.contains(&Cell::Goal);
    match (&maze, read_arc_grid(&bytes)) {
        (Ok(maze), _) if is_maze(maze.cells()) => {
            // Walls make the square that is drawn.
            let shape = maze.square_shape();
            let tokens: Vec<i32> = maze.walled_in(shape).into_iter().map(Cell::token).collect();
            terminal::draw(&mut text, Some(Task::Maze(shape)), &tokens, &tokens, color)?;
        }
        (_, Ok(grid)) => {
            let tokens = canvas_of(&grid);
            terminal::draw(&mut text, Some(Task::Arc), &tokens, &tokens, color)?;
        }
        (_, Err(error)) => {
            let error = match maze {
                Ok(_) => anyhow::anyhow!("no cell is the start (green or S) or the goal (red, purple or G)"),
                Err(PictureError::NoGrid { .. }) => anyhow::Error::from(error),
                Err(maze) => anyhow::Error::from(maze),
            };
            return Err(error.context(name));
        }
    }
    Ok(text)
}

/// Writes a file whole or not at all and says so.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ::files::write(path, bytes)?;
    eprintln!("wrote {} ({} bytes)", path.display(), bytes.len());
    Ok(())
}
