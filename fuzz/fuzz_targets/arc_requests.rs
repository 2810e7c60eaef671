//! What must hold of every body of `POST /solve/arc`; as `requests` for the other tasks.

use datasets::arc::{ArcPair, Grid, MAX_SIDE};
use serde_json::{Value, json};
use server::http::SolveOptions;
use server::http::arc::body::{ArcQuestion, ArcRequest};

use crate::texts;

/// Any bytes as the body of `POST /solve/arc`: ARC's own JSON, names, both, objects with options, batches.
pub(crate) fn check_arc(body: &[u8]) {
    match ArcRequest::parse(body, SolveOptions::default(), texts::MAX_PUZZLES) {
        Ok(request) => {
            assert!((1..=texts::MAX_PUZZLES).contains(&request.questions.len()));
            assert!(request.is_batch || request.questions.len() == 1);
            request.questions.iter().for_each(check_question);
        }
        Err(problem) => texts::check_problem(&problem.to_string(), body.len()),
    }
}

/// What was understood is a task of ARC's, and reads the same again when it is written in ARC's form.
fn check_question(question: &ArcQuestion) {
    assert!(question.task.is_some() || question.task_id.is_some());
    let Some(sent) = &question.task else { return };
    let task = &sent.task;
    assert_eq!(sent.has_output.len(), task.test.len());
    assert!(task.train.len() <= 64 && task.test.len() <= 64, "{} and {} pairs", task.train.len(), task.test.len());
    for grid in task.pairs().flat_map(|pair| [&pair.input, &pair.output]) {
        assert!(grid.rows() <= MAX_SIDE && grid.columns() <= MAX_SIDE && grid.cells().iter().all(|&cell| cell < 10));
    }
    let pair = |pair: &ArcPair, has_output: bool| {
        let mut written = json!({ "input": rows(&pair.input) });
        if has_output {
            written["output"] = rows(&pair.output);
        }
        written
    };
    let train: Vec<Value> = task.train.iter().map(|demonstration| pair(demonstration, true)).collect();
    let test: Vec<Value> = task.test.iter().zip(&sent.has_output).map(|(test, &there)| pair(test, there)).collect();
    let body = json!({ "puzzle": { "train": train, "test": test } }).to_string();
    let again = ArcRequest::parse(body.as_bytes(), SolveOptions::default(), 1)
        .unwrap_or_else(|problem| panic!("{body}: {problem}"));
    let again = again.questions[0].task.as_ref().expect("a task was sent");
    assert_eq!(again.has_output, sent.has_output);
    assert!(again.task.train.iter().map(grids).eq(task.train.iter().map(grids)), "{body}");
    assert!(again.task.test.iter().map(grids).eq(task.test.iter().map(grids)), "{body}");
}

fn grids(pair: &ArcPair) -> (&Grid, &Grid) {
    (&pair.input, &pair.output)
}

fn rows(grid: &Grid) -> Value {
    json!(grid.lines().collect::<Vec<_>>())
}
