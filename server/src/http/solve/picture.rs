//! The answer as a picture, the steps as an animation.
//! Owns what they show; leaves drawing to `datasets`.

use datasets::picture::{Animation, PictureError, Scene};
use engine::Answer;

use super::submit::Asked;
use crate::http::Problem;
use crate::http::accept::Output;
use crate::http::body::Puzzle;

/// Most steps of an animation, and most cells of all its steps, which memory is proportional to.
const MAX_STEPS: usize = 128;
const MAX_CELLS: usize = 64_000;

/// Most steps that an animation of the puzzle may show.
pub(super) fn most_steps<P: Puzzle>(puzzle: &P) -> usize {
    MAX_STEPS.min(MAX_CELLS / puzzle.scene(&puzzle.givens()).1.len())
}

/// Draws the answer, or the steps of the chain that gave it.
pub(super) fn draw<P: Puzzle>(asked: &Asked<P>, answer: &Answer, output: Output) -> Result<Vec<u8>, Problem> {
    let drawn = if output == Output::Gif { animation(asked, answer) } else { picture(asked, answer) };
    drawn.map_err(|error| Problem::Engine(format!("the picture could not be drawn: {error}")))
}

fn picture<P: Puzzle>(asked: &Asked<P>, answer: &Answer) -> Result<Vec<u8>, PictureError> {
    let (task, input) = asked.puzzle.scene(&asked.puzzle.givens());
    let shown = scene_tokens(asked, &answer.tokens);
    Scene::answer(task, &input, &shown).draw()?.to_png()
}

fn animation<P: Puzzle>(asked: &Asked<P>, answer: &Answer) -> Result<Vec<u8>, PictureError> {
    let (task, input) = asked.puzzle.scene(&asked.puzzle.givens());
    let steps = answer.trace.iter().filter(|step| step.chain == answer.chain);
    let steps: Vec<Vec<i32>> = steps.map(|step| scene_tokens(asked, &step.tokens)).collect();
    Animation::of_steps(task, &input, &steps, None)?.to_gif()
}

fn scene_tokens<P: Puzzle>(asked: &Asked<P>, predicted: &[i64]) -> Vec<i32> {
    let cells = asked.puzzle.cells(asked.model.task, predicted);
    asked.puzzle.scene(&cells).1
}
