//! The attempts as a sheet of the whole task, the steps of the task itself as an animation.
//! Owns what they show; leaves drawing to `datasets`.

use datasets::Task;
use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, encode};
use datasets::picture::{Animation, Attempts, MAX_FRAMES, PictureError, task_sheet};

use super::Answered;
use crate::http::Problem;
use crate::http::accept::Output;

/// Draws demonstrations, test inputs and attempts, or the steps of the first test input.
pub(super) fn draw(answered: &Answered, output: Output) -> Result<Vec<u8>, Problem> {
    let drawn = if output == Output::Gif { animation(answered) } else { sheet(answered) };
    drawn.map_err(|error| Problem::InvalidOption(error.to_string()))
}

fn sheet(answered: &Answered) -> Result<Vec<u8>, PictureError> {
    let Answered { question, model, answer, .. } = answered;
    let puzzle = &answer.puzzle;
    let train: Vec<(Grid, Grid)> = if let Some(sent) = &question.task {
        sent.task.train.iter().map(|pair| (pair.input.clone(), pair.output.clone())).collect()
    } else {
        let known = model.arc_tasks.as_ref().and_then(|tasks| tasks.tasks()[puzzle.task].task.as_ref());
        let pairs = known.map_or(&[][..], |task| &task.train).iter();
        pairs.map(|pair| (puzzle.frame.apply(&pair.input), puzzle.frame.apply(&pair.output))).collect()
    };
    let tests = puzzle.tests.iter().zip(&answer.tests).map(|(asked, answered)| Attempts {
        input: asked.input.clone(),
        solution: asked.output.clone(),
        attempts: answered.attempts.iter().map(|attempt| attempt.grid.clone()).collect(),
    });
    task_sheet(&puzzle.name, &train, &tests.collect::<Vec<_>>())?.to_png()
}

fn animation(answered: &Answered) -> Result<Vec<u8>, PictureError> {
    let mut steps: Vec<_> = answered.steps.iter().filter(|step| (step.test, step.augmentation) == (0, 0)).collect();
    steps.sort_by_key(|step| step.step);
    let steps: Vec<Vec<i32>> = steps.into_iter().take(MAX_FRAMES).map(|step| canvas(&step.answer)).collect();
    let test = &answered.answer.puzzle.tests[0];
    let label = test.output.as_ref().map(canvas);
    Animation::of_steps(Task::Arc, &canvas(&test.input), &steps, label.as_deref())?.to_gif()
}

fn canvas(grid: &Grid) -> Vec<i32> {
    let mut tokens = [0; SEQ_LEN];
    encode(grid, &Augmentation::IDENTITY, Placement::CORNER, &mut tokens);
    tokens.into_iter().map(i32::from).collect()
}
