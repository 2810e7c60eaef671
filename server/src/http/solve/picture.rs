//! The answer as a picture, the thinking as an animation.
//! Owns what they show and how many are drawn at a time; leaves drawing to `datasets`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use datasets::picture::{Animation, PictureError, Scene};
use engine::Answer;
use tokio::sync::Semaphore;

use super::submit::Asked;
use crate::http::Problem;
use crate::http::accept::Output;
use crate::http::body::Puzzle;

/// Pictures that are drawn at a time: an animation holds all its frames, up to some 100 MB.
static DRAWING: Semaphore = Semaphore::const_new(2);

/// Most steps of an animation, and most cells of all its steps, which memory is proportional to.
const MAX_STEPS: usize = 128;
const MAX_CELLS: usize = 64_000;

/// Most steps that an animation of the puzzle may show.
pub(super) fn most_steps<P: Puzzle>(puzzle: &P) -> usize {
    MAX_STEPS.min(MAX_CELLS / puzzle.scene(&puzzle.givens()).1.len())
}

/// Draws the answer or the steps of the chain that gave it; the facts stand in headers.
pub(super) async fn respond<P: Puzzle>(asked: Asked<P>, answer: Answer, output: Output) -> Result<Response, Problem> {
    let facts = facts(&answer);
    let failed = |reason: String| Problem::Engine(format!("the picture could not be drawn: {reason}"));
    let permit = DRAWING.acquire().await.map_err(|error| failed(error.to_string()))?;
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if output == Output::Gif { animation(&asked, &answer) } else { picture(&asked, &answer) }
    });
    let bytes = drawing.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    let content_type = HeaderValue::from_static(if output == Output::Gif { "image/gif" } else { "image/png" });
    Ok((facts, [(header::CONTENT_TYPE, content_type)], bytes).into_response())
}

fn facts(answer: &Answer) -> HeaderMap {
    let flag = |value: bool| HeaderValue::from_static(if value { "true" } else { "false" });
    let q = HeaderValue::from_str(&answer.q.to_string()).unwrap_or(HeaderValue::from_static("NaN"));
    HeaderMap::from_iter([
        (HeaderName::from_static("x-trm-solved"), flag(answer.verified)),
        (HeaderName::from_static("x-trm-verified"), flag(answer.verified)),
        (HeaderName::from_static("x-trm-steps"), HeaderValue::from(answer.steps)),
        (HeaderName::from_static("x-trm-q"), q),
    ])
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
