//! The attempts as a sheet of the whole task, the thinking of the task itself as an animation.
//! Owns what they show; leaves drawing to `datasets`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use datasets::Task;
use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, encode};
use datasets::picture::{Animation, Attempts, MAX_FRAMES, PictureError, task_sheet};
use engine::arc::ArcAnswer;
use tokio::sync::Semaphore;

use super::Answered;
use crate::http::Problem;
use crate::http::accept::Output;

/// Pictures that are drawn at a time: an animation holds all its frames.
static DRAWING: Semaphore = Semaphore::const_new(2);

/// Draws demonstrations, test inputs and attempts, or the steps of the first test input; the facts stand in headers.
pub(super) async fn respond(answered: Answered, output: Output) -> Result<Response, Problem> {
    let facts = facts(&answered.answer);
    let failed = |reason: String| Problem::Engine(format!("the picture could not be drawn: {reason}"));
    let permit = DRAWING.acquire().await.map_err(|error| failed(error.to_string()))?;
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if output == Output::Gif { animation(&answered) } else { sheet(&answered) }
    });
    let drawn = drawing.await.map_err(|error| failed(error.to_string()))?;
    let bytes = drawn.map_err(|error| Problem::InvalidOption(error.to_string()))?;
    let content_type = HeaderValue::from_static(if output == Output::Gif { "image/gif" } else { "image/png" });
    Ok((facts, [(header::CONTENT_TYPE, content_type)], bytes).into_response())
}

fn facts(answer: &ArcAnswer) -> HeaderMap {
    let solved = HeaderValue::from_static(match answer.solved() {
        Some(true) => "true",
        Some(false) => "false",
        None => "unknown",
    });
    let verified = HeaderValue::from_static(if answer.solved() == Some(true) { "true" } else { "false" });
    let q = HeaderValue::from_str(&answer.q().to_string()).unwrap_or(HeaderValue::from_static("NaN"));
    HeaderMap::from_iter([
        (HeaderName::from_static("x-trm-solved"), solved),
        (HeaderName::from_static("x-trm-verified"), verified),
        (HeaderName::from_static("x-trm-steps"), HeaderValue::from(answer.steps)),
        (HeaderName::from_static("x-trm-q"), q),
    ])
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
