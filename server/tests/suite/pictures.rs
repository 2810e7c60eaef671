//! Answers as pictures, and the choice between the forms of an answer.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use datasets::maze::{Cell, parse_cells};
use datasets::picture::read_maze;
use serde_json::json;

use crate::served::{PUZZLE, SOLUTION, oracles};

const MAZE: &str = "S..\n##.\nG..\n";
const PATH: &str = "Soo\n##o\nGoo\n";

fn frames(gif: &[u8]) -> usize {
    let mut decoder = gif::DecodeOptions::new().read_info(gif).unwrap();
    let mut frames = 0;
    while decoder.read_next_frame().unwrap().is_some() {
        frames += 1;
    }
    frames
}

#[tokio::test]
async fn a_solved_maze_can_be_read_from_its_picture() {
    let reply = oracles().post_accepting("/solve/maze", "image/png", MAZE).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "image/png"));
    let facts = ["x-trm-solved", "x-trm-verified", "x-trm-steps", "x-trm-q"].map(|name| reply.header(name));
    assert_eq!(facts, ["true", "true", "3", "0.5"]);
    assert_eq!(read_maze(&reply.body).unwrap().cells(), parse_cells(PATH).unwrap().1);
}

#[tokio::test]
async fn a_picture_of_what_is_unsolved_says_so_in_its_headers() {
    let reply = oracles().post_accepting("/solve/maze?max_steps=1", "image/png", MAZE).await;
    assert_eq!((reply.header("x-trm-solved"), reply.header("x-trm-q")), ("false", "-1.5"));
    assert!(!read_maze(&reply.body).unwrap().cells().contains(&Cell::Path));
}

#[tokio::test]
async fn the_animation_has_a_frame_per_step_behind_the_question() {
    for (path, body) in [("/solve/maze", MAZE), ("/solve/sudoku", PUZZLE)] {
        let reply = oracles().post_accepting(path, "image/gif", body).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "image/gif"));
        assert_eq!((frames(&reply.body), reply.header("x-trm-steps")), (4, "3"));
    }
    let reply = oracles().post_accepting("/solve/sudoku?halting=fixed&max_steps=128", "image/gif", PUZZLE).await;
    assert_eq!(frames(&reply.body), 129);
    let reply = oracles().post_accepting("/solve/sudoku?max_steps=129", "image/gif", PUZZLE).await;
    assert_eq!(reply.problem(), (400, "invalid-option".into()));
}

#[tokio::test]
async fn the_client_gets_what_it_likes_best() {
    let served = oracles();
    for (accept, chosen) in [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("image/*", "image/png"),
        ("image/gif;q=0.5, image/*;q=0.4", "image/gif"),
        ("image/png;q=0.5, application/json;q=0.4", "image/png"),
        ("image/png;q=0, image/*", "image/gif"),
        ("application/json;q=0, */*", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("", "application/json"),
        ("broken", "application/json"),
    ] {
        let reply = served.post_accepting("/solve/sudoku", accept, PUZZLE).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, chosen), "{accept}");
    }
    let two_lines = Request::post("/solve/sudoku").header("accept", "application/pdf").header("accept", "image/png");
    let reply = served.send(two_lines.body(Body::from(PUZZLE)).unwrap()).await;
    assert_eq!(reply.header("content-type"), "image/png");
}

#[tokio::test]
async fn what_cannot_be_made_is_406_before_any_inference() {
    let served = oracles();
    let reply = served.post_accepting("/solve/sudoku", "application/pdf, text/html", PUZZLE).await;
    assert_eq!(reply.problem(), (406, "not-acceptable".into()));
    let expected = "none of \"application/pdf, text/html\" can be answered; this route answers with application/json, \
                    text/event-stream, image/png, image/gif";
    assert_eq!(reply.json()["detail"], expected);
    // A batch has no picture.
    let batch = json!({ "puzzles": [PUZZLE] }).to_string();
    assert_eq!(served.post_accepting("/solve/sudoku", "image/png", batch.clone()).await.problem().0, 406);
    assert_eq!(served.counters().accepted, 0);
    let either = served.post_accepting("/solve/sudoku", "image/png, application/json;q=0.1", batch).await.ok();
    assert_eq!(either["results"][0]["solution"], SOLUTION);
}
