//! Answers as server-sent events: order and contents, many puzzles at once, readers who are slow or go away.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use datasets::sudoku::SudokuShape;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::oracle::Oracle;
use crate::served::{PUZZLE, Reply, SOLUTION, Served, oracles, sudoku};

/// Names and data of a stream's events.
pub(crate) fn events(reply: &Reply) -> Vec<(String, Value)> {
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "text/event-stream"));
    assert_eq!(reply.header("cache-control"), "no-cache");
    let text = str::from_utf8(&reply.body).unwrap();
    text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')).map(parse).collect()
}

fn parse(event: &str) -> (String, Value) {
    let (name, data) = event.split_once('\n').unwrap();
    let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    (name.strip_prefix("event: ").unwrap().to_owned(), data)
}

/// A stream that has begun.
async fn open(served: &Served, body: Value) -> BodyDataStream {
    let request = Request::post("/solve/sudoku").body(Body::from(body.to_string())).unwrap();
    let response = served.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().into_data_stream()
}

async fn next(stream: &mut BodyDataStream) -> String {
    String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
}

/// Returns when the engine says so; a test that waits in vain is killed by its runner.
async fn until(mut happened: impl FnMut() -> bool) {
    while !happened() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_step_is_an_event_and_the_answer_the_last() {
    let served = oracles();
    let by_header = served.post_accepting("/solve/sudoku", "text/event-stream", PUZZLE).await;
    let by_option = served.post("/solve/sudoku", json!({ "puzzle": PUZZLE, "stream": true }).to_string()).await;
    let by_query = served.post("/solve/sudoku?stream=true", PUZZLE).await;
    for reply in [by_header, by_option, by_query] {
        let events = events(&reply);
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["step", "step", "step", "answer"]);
        let step = |step: usize, answer: &str, changed: Value, q: f32| json!({ "puzzle": 0, "chain": 0, "step": step, "answer": answer, "changed": changed, "q": q });
        let blanks = (0..81).filter(|&cell| PUZZLE.as_bytes()[cell] == b'.');
        let blanks: Vec<[usize; 2]> = blanks.map(|cell| [cell / 9, cell % 9]).collect();
        assert_eq!(events[0].1, step(1, PUZZLE, json!([]), -1.5));
        assert_eq!(events[1].1, step(2, PUZZLE, json!([]), -0.5));
        assert_eq!(events[2].1, step(3, SOLUTION, json!(blanks), 0.5));
        let answer = &events[3].1;
        assert_eq!(
            (&answer["puzzle"], &answer["solution"], &answer["steps"]),
            (&json!(0), &json!(SOLUTION), &json!(3))
        );
        assert!(answer["model"]["sha256"].is_string() && answer["timings"]["total_ms"].is_number());
        assert!(answer.get("trace").is_none());
    }
}

#[tokio::test]
async fn a_maze_streams_its_own_cells_and_not_the_walls_around() {
    let reply = oracles().post_accepting("/solve/maze", "text/event-stream", "S  \n##G\n").await;
    let events = events(&reply);
    assert_eq!(events.len(), 4);
    assert_eq!((&events[1].1["answer"], &events[1].1["changed"]), (&json!("S  \n##G"), &json!([])));
    assert_eq!((&events[2].1["answer"], &events[2].1["changed"]), (&json!("Soo\n##G"), &json!([[0, 1], [0, 2]])));
    assert_eq!((&events[3].1["solution"], &events[3].1["path_length"]), (&json!("Soo\n##G"), &json!(2)));
}

#[tokio::test]
async fn each_puzzle_of_a_batch_has_its_steps_and_one_answer() {
    let unsolvable = format!("{}{}", &PUZZLE[..2], &PUZZLE[2..].replacen('.', "1", 1));
    let body = json!({ "puzzles": [PUZZLE, unsolvable, PUZZLE], "max_steps": 5, "stream": true, "trace": true });
    let reply = oracles().post("/solve/sudoku", body.to_string()).await;
    let events = events(&reply);
    for (puzzle, steps) in [(0, 3), (1, 5), (2, 3)] {
        let mine: Vec<_> = events.iter().filter(|(_, data)| data["puzzle"] == puzzle).collect();
        let numbers: Vec<&Value> =
            mine.iter().filter(|(name, _)| name == "step").map(|(_, data)| &data["step"]).collect();
        assert_eq!(json!(numbers), json!((1..=steps).collect::<Vec<_>>()));
        let (name, answer) = mine.last().unwrap();
        assert_eq!((name.as_str(), &answer["solved"]), ("answer", &json!(puzzle != 1)));
        assert_eq!(answer["trace"].as_array().unwrap().len(), steps);
        assert_eq!(mine.len(), steps + 1);
    }
    assert_eq!(events.len(), 3 + 5 + 3 + 3);
}

#[tokio::test]
async fn what_fails_before_the_stream_has_its_status_and_what_fails_later_is_an_event() {
    let served = oracles();
    let refused = |body: &'static str| served.post_accepting("/solve/sudoku", "text/event-stream", body);
    assert_eq!(refused("12").await.problem(), (422, "wrong-size".into()));
    assert_eq!(refused("{").await.problem(), (400, "malformed-request".into()));
    let reply = served.post("/solve/sudoku?deadline_ms=0&stream=true", PUZZLE).await;
    let events = events(&reply);
    assert_eq!((events.len(), events[0].0.as_str()), (1, "problem"));
    assert_eq!(events[0].1["type"], "urn:trm:problem:deadline-passed");
    assert_eq!((&events[0].1["status"], &events[0].1["puzzle"]), (&json!(429), &json!(0)));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_rows_at_the_next_step() {
    let (oracle, gate) = Oracle::gated(SudokuShape::NINE);
    let served = Served::new(vec![sudoku(oracle)]);
    let forever = json!({ "puzzles": [PUZZLE, PUZZLE], "halting": "fixed", "max_steps": 512, "stream": true });
    let mut stream = open(&served, forever).await;
    gate.send(()).unwrap();
    assert!(next(&mut stream).await.starts_with("event: step\n"));
    drop(stream);
    gate.send(()).unwrap();
    // Both slots are taken until the client's absence is noticed.
    let kept = open(&served, json!({ "puzzle": PUZZLE, "stream": true })).await;
    drop(gate);
    let rest: Vec<_> = kept.collect().await;
    let last = String::from_utf8(rest.last().unwrap().as_ref().unwrap().to_vec()).unwrap();
    assert!(last.starts_with("event: answer\n") && last.contains(SOLUTION), "{last}");
    let counters = served.counters();
    assert_eq!((counters.cancelled, counters.answered), (2, 1));
    assert!(counters.rows <= 2 * 3 + 3, "rows went on without a client: {counters:?}");
}

#[tokio::test]
async fn a_slow_reader_misses_steps_but_neither_holds_up_the_engine_nor_misses_the_answer() {
    let served = oracles();
    let long = json!({ "puzzle": PUZZLE, "halting": "fixed", "max_steps": 200, "stream": true });
    let stream = open(&served, long).await;
    // No one reads until the engine is done.
    until(|| served.counters().answered == 1).await;
    let chunks: Vec<_> = stream.collect().await;
    let text: String = chunks.into_iter().map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).collect();
    let events: Vec<_> = text.split("\n\n").filter(|event| !event.is_empty()).map(parse).collect();
    let steps: Vec<u64> = events.iter().filter_map(|(_, data)| data["step"].as_u64()).collect();
    assert_eq!(steps, (1..=64).collect::<Vec<_>>());
    let (name, answer) = events.last().unwrap();
    assert_eq!((name.as_str(), &answer["steps"], events.len()), ("answer", &json!(200), 65));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_shows_that_it_is_alive_and_ends_in_time() {
    let (oracle, gate) = Oracle::gated(SudokuShape::NINE);
    let served = Served::new(vec![sudoku(oracle)]);
    // The model stands still; the clock jumps whenever everybody waits.
    let mut stream = open(&served, json!({ "puzzle": PUZZLE, "stream": true })).await;
    assert_eq!(next(&mut stream).await, ": keep-alive\n\n");
    assert_eq!(next(&mut stream).await, ": keep-alive\n\n");
    let last = loop {
        let chunk = next(&mut stream).await;
        if !chunk.starts_with(':') {
            break chunk;
        }
    };
    assert!(last.starts_with("event: problem\n") && last.contains("urn:trm:problem:timeout"), "{last}");
    assert!(stream.next().await.is_none());
    drop(gate);
}
