//! `GET /samples/...`: sound puzzles of the size that was asked, the same for the same seed.

use datasets::maze::Maze;
use datasets::sudoku::{Board, Verdict, solve};
use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::served::{Served, oracles, sudoku};

#[tokio::test]
async fn a_sudoku_sample_has_one_solution_and_as_many_clues_as_asked() {
    let served = oracles();
    let first = served.get("/samples/sudoku").await.ok();
    let board = |sample: &Value| Board::parse(sample["puzzle"].as_str().unwrap()).unwrap();
    assert_eq!(first["size"], 9);
    assert_eq!(solve(&board(&first)).verdict, Verdict::Unique);
    let seed = first["seed"].as_u64().unwrap();
    assert!(seed < 1 << 53, "JavaScript rounds {seed}");
    let again = served.get(&format!("/samples/sudoku?size=9&extra_clues=0&seed={seed}")).await.ok();
    assert_eq!(again, first);

    let eased = served.get(&format!("/samples/sudoku?extra_clues=7&seed={seed}")).await.ok();
    assert_eq!(board(&eased).givens(), board(&first).givens() + 7);
    let small = served.get("/samples/sudoku?size=4&seed=1").await.ok();
    assert_eq!(board(&small).shape().size(), 4);
    assert_eq!(served.get("/samples/sudoku?size=4&seed=2").await.ok()["seed"], 2);
}

#[tokio::test]
async fn a_maze_sample_has_the_size_of_the_loaded_model_and_is_solved_by_it() {
    let served = oracles();
    let sample = served.get("/samples/maze?seed=7").await.ok();
    assert_eq!((&sample["size"], &sample["seed"]), (&json!(12), &json!(7)));
    let lines: Vec<&str> = sample["puzzle"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let length = Maze::parse(&lines.join("\n")).unwrap().path_length().unwrap();
    assert!(length >= 28, "a hard 12x12 maze has a way of 28 cells or more, found {length}");
    let answer = served.post("/solve/maze", json!({ "puzzle": sample["puzzle"] }).to_string()).await.ok();
    assert_eq!((&answer["solved"], &answer["path_length"]), (&json!(true), &json!(length)));
    assert_eq!(served.get("/samples/maze?seed=7&size=12").await.ok(), sample);
    assert_ne!(served.get("/samples/maze").await.ok()["puzzle"], served.get("/samples/maze").await.ok()["puzzle"]);
}

#[tokio::test]
async fn impossible_samples_are_refused() {
    let served = oracles();
    for (path, kind) in [
        ("/samples/sudoku?size=5", "invalid-option"),
        ("/samples/sudoku?extra_clues=82", "invalid-option"),
        ("/samples/sudoku?seed=-1", "malformed-request"),
        ("/samples/sudoku?colour=red", "malformed-request"),
        ("/samples/maze?size=41", "invalid-option"),
        ("/samples/maze?size=0", "invalid-option"),
        ("/samples/maze?size=99999999999999999999", "malformed-request"),
    ] {
        assert_eq!(served.get(path).await.problem(), (400, kind.into()), "{path}");
    }
    assert_eq!(served.post("/samples/maze", "").await.problem(), (405, "method-not-allowed".into()));
    let without_mazes = Served::new(vec![sudoku(Oracle::new(datasets::sudoku::SudokuShape::NINE))]);
    assert_eq!(without_mazes.get("/samples/maze").await.problem(), (422, "no-model-for-size".into()));
    assert_eq!(without_mazes.get("/samples/maze?size=5&seed=3").await.ok()["size"], 5);
}
