//! `POST /solve/maze` on oracles: every form of a maze, every size, every maze without a solution.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use datasets::maze::MazeShape;
use datasets::picture::Scene;
use datasets::{Task, maze::Maze};
use serde_json::{Value, json};

use crate::served::{Served, maze, oracles};

const LINES: [&str; 6] = ["######", "#S  G#", "# ## #", "#    #", "## ###", "######"];
const SOLVED: [&str; 6] = ["######", "#SooG#", "# ## #", "#    #", "## ###", "######"];

async fn solve(puzzle: Value) -> Value {
    oracles().post("/solve/maze", json!({ "puzzle": puzzle }).to_string()).await.ok()
}

fn png() -> Vec<u8> {
    let maze = Maze::parse(&LINES.join("\n")).unwrap();
    Scene::question(Task::Maze(maze.shape()), &maze.to_tokens()).draw().unwrap().to_png().unwrap()
}

#[tokio::test]
async fn a_maze_comes_back_with_its_path_in_the_form_it_was_sent() {
    let dotted = |lines: &[&str]| lines.iter().map(|line| line.replace(' ', ".")).collect::<Vec<_>>();
    for (sent, expected) in [
        (json!(LINES), json!(SOLVED)),
        (json!(dotted(&LINES)), json!(dotted(&SOLVED))),
        (json!(LINES.join("\n")), json!(SOLVED.join("\n"))),
        (json!(LINES.join("\r\n") + "\r\n"), json!(SOLVED.join("\n"))),
        (json!(LINES.concat()), json!(SOLVED.concat())),
        // A former answer.
        (json!(["######", "#SooG#", "#o##o#", "#oooo#", "##o###", "######"]), json!(SOLVED)),
    ] {
        let answer = solve(sent.clone()).await;
        assert_eq!(answer["solution"], expected, "{sent}");
        assert_eq!((&answer["path_length"], &answer["verified"]), (&json!(2), &json!(true)));
        assert_eq!((&answer["stopped"], &answer["model"]["name"]), (&json!("verified"), &json!("maze-6")));
    }
    let served = oracles();
    for (body, expected) in [
        (LINES.join("\n"), json!(SOLVED.join("\n"))),
        (LINES.concat(), json!(SOLVED.concat())),
        (json!(LINES).to_string(), json!(SOLVED)),
    ] {
        assert_eq!(served.post("/solve/maze", body).await.ok()["solution"], expected);
    }
}

#[tokio::test]
async fn a_picture_is_a_maze_too_with_options_in_the_query() {
    let served = oracles();
    let answer = served.post("/solve/maze", png()).await.ok();
    assert_eq!((&answer["solution"], &answer["steps"]), (&json!(SOLVED), &json!(3)));
    let answer = served.post("/solve/maze?max_steps=2&trace=true&grid=true", png()).await.ok();
    assert_eq!(
        (&answer["solution"], &answer["attempt"], &answer["path_length"]),
        (&Value::Null, &json!(LINES), &Value::Null)
    );
    assert_eq!(answer["trace"].as_array().unwrap().len(), 2);
    assert_eq!(answer["grid"], LINES.map(|line| format!("{line}\n")).concat());
    // The body wins over the query.
    let answer =
        served.post("/solve/maze?max_steps=2", json!({ "puzzle": LINES, "max_steps": 4 }).to_string()).await.ok();
    assert_eq!(answer["solved"], true);

    let cut = &png()[..60];
    assert_eq!(served.post("/solve/maze", cut.to_vec()).await.problem(), (422, "unreadable-picture".into()));
    assert_eq!(served.post("/solve/sudoku", png()).await.problem(), (415, "unsupported-media-type".into()));
    assert_eq!(served.post("/solve/maze?steps=2", png()).await.problem(), (400, "malformed-request".into()));
    assert_eq!(served.post("/solve/maze?max_steps=few", png()).await.problem(), (400, "malformed-request".into()));
    assert_eq!(served.post("/solve/maze?max_steps=0", png()).await.problem(), (400, "invalid-option".into()));
}

#[tokio::test]
async fn pictures_of_other_kinds_are_refused_as_such() {
    let served = oracles();
    let post = async |path: &str, content_type: &str, body: Vec<u8>| {
        let request = Request::post(path).header("content-type", content_type).body(Body::from(body)).unwrap();
        served.send(request).await
    };
    let jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;".to_vec();
    let webp = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
        .to_vec();
    let bmp = [b"BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00".as_slice(), &[0; 42]].concat();
    for path in ["/solve/maze", "/solve/sudoku", "/solve/arc"] {
        for (body, name) in [(&jpeg, "image/jpeg"), (&gif, "image/gif"), (&webp, "image/webp"), (&bmp, "image/bmp")] {
            // The body decides, whatever it is called.
            for content_type in [name, "application/x-www-form-urlencoded", "application/json"] {
                let reply = post(path, content_type, body.clone()).await;
                assert_eq!(reply.problem(), (415, "unsupported-media-type".into()), "{path}, {name} as {content_type}");
                let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(name) && detail.contains("PNG"), "{detail}");
            }
        }
        // What is called a picture, and is none.
        for content_type in ["image/png", "IMAGE/PNG", "image/svg+xml; charset=utf-8"] {
            let reply = post(path, content_type, b"<svg/>".to_vec()).await;
            assert_eq!(reply.problem(), (415, "unsupported-media-type".into()), "{path}, {content_type}");
        }
    }
    // A PNG is one whatever it is called; no puzzle is taken for a picture because of its letters.
    for content_type in ["image/png", "image/jpeg", "application/octet-stream"] {
        assert_eq!(post("/solve/maze", content_type, png()).await.ok()["solution"], json!(SOLVED));
    }
    for text in ["GIF89a", "BM", "no\0thing"] {
        assert_eq!(post("/solve/sudoku", "text/plain", text.into()).await.status.as_u16() / 100, 4);
        assert_ne!(post("/solve/sudoku", "text/plain", text.into()).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert_eq!(post("/solve/maze", "image/png", Vec::new()).await.problem(), (400, "malformed-request".into()));
    assert_eq!(post("/solve/maze", "text/plain", vec![0xff; 40]).await.problem(), (400, "malformed-request".into()));
}

#[tokio::test]
async fn mazes_of_any_size_are_walled_in_and_cut_out_again() {
    let answer = solve(json!(["S  ", "##G"])).await;
    assert_eq!((&answer["solution"], &answer["path_length"]), (&json!(["Soo", "##G"]), &json!(2)));
    assert_eq!(answer["model"]["name"], "maze-6");
    assert_eq!(solve(json!("S...\n##..\n#G.#\n")).await["solution"], json!("Soo.\n##o.\n#Go#"));
    // One row, and one column.
    assert_eq!(solve(json!(["S  G"])).await["solution"], json!(["SooG"]));
    assert_eq!(solve(json!(["S", ".", "G"])).await["solution"], json!(["S", "o", "G"]));
    // Start and goal side by side: nothing is marked.
    let answer = solve(json!(["SG"])).await;
    assert_eq!((&answer["solution"], &answer["path_length"]), (&json!(["SG"]), &json!(0)));
}

#[tokio::test]
async fn the_smallest_model_that_fits_solves_unless_another_is_named() {
    let seven = json!(["S......", "......G"]);
    let answer = solve(seven.clone()).await;
    assert_eq!((&answer["model"]["name"], &answer["path_length"]), (&json!("maze-12"), &json!(6)));
    let served = oracles();
    let named = |name: &str, puzzle: &Value| json!({ "puzzle": puzzle, "model": name }).to_string();
    let answer = served.post("/solve/maze", named("maze-12", &json!(LINES))).await.ok();
    assert_eq!((&answer["model"]["name"], &answer["solution"]), (&json!("maze-12"), &json!(SOLVED)));
    for (name, says) in [
        ("maze-6", "it solves mazes up to 6x6, not a 2x7 maze; models that do: maze-12"),
        ("sudoku-9x9", "it solves 9x9 Sudoku"),
        ("maze-30", "no such model is loaded; there are sudoku-9x9, maze-12, maze-6"),
    ] {
        let reply = served.post("/solve/maze", named(name, &seven)).await;
        assert_eq!(reply.problem(), (422, "unknown-model".into()));
        assert!(reply.json()["detail"].as_str().unwrap().contains(says), "{}", reply.json());
    }
    let reply = served.post("/solve/maze", json!({ "puzzle": ["S...........G"] }).to_string()).await;
    assert_eq!(reply.problem(), (422, "no-model-for-size".into()));
    let expected = "a 1x13 maze needs a model that is not loaded; this server solves 9x9 Sudoku, mazes up to 12x12, mazes \
                    up to 6x6";
    assert_eq!(reply.json()["detail"], expected);
    let only_mazes = Served::new(vec![maze("maze-6", 6)]);
    assert_eq!(only_mazes.post("/solve/sudoku", ".".repeat(81)).await.problem().1, "no-model-for-size");
}

#[tokio::test]
async fn mazes_without_a_solution_have_types_of_their_own() {
    let served = oracles();
    let place = |row: usize, column: usize| json!({ "row": row, "column": column });
    for (lines, kind, conflict) in [
        (["S  ", "   "], "maze-end-missing", Value::Null),
        (["G  ", "   "], "maze-end-missing", Value::Null),
        (["S S", "  G"], "maze-end-twice", json!({ "cells": [place(1, 1), place(1, 3)] })),
        (["S G", "  G"], "maze-end-twice", json!({ "cells": [place(1, 3), place(2, 3)] })),
        (["S##", " #G"], "maze-separated", json!({ "cells": [place(1, 1), place(2, 3)] })),
    ] {
        let reply = served.post("/solve/maze", json!(lines).to_string()).await;
        assert_eq!(reply.problem(), (422, kind.into()), "{lines:?}");
        assert_eq!(reply.json()["conflict"], conflict, "{lines:?}");
    }
    let batch = json!({ "puzzles": [LINES, ["S##", " #G"]] }).to_string();
    let reply = served.post("/solve/maze", batch).await;
    assert_eq!((reply.problem().1.as_str(), &reply.json()["puzzle"]), ("maze-separated", &json!(1)));
    assert!(reply.json()["detail"].as_str().unwrap().starts_with("puzzles[1]: no path leads"));
}

#[tokio::test]
async fn what_is_no_maze_says_so() {
    let served = oracles();
    let wide = "#".repeat(MazeShape::MAX_SIDE + 1);
    for (body, status, kind, says) in [
        (json!([]).to_string(), 422, "wrong-size", "found 0 rows"),
        (json!([""]).to_string(), 422, "wrong-size", "found 1 rows and 0 columns"),
        (json!(["S"]).to_string(), 422, "wrong-size", "two cells or more"),
        (json!([wide]).to_string(), 422, "wrong-size", "found 1 rows and 256 columns"),
        ("SG ".into(), 422, "wrong-size", "found 3 cells"),
        (json!(["S?G"]).to_string(), 400, "malformed-request", "character '?' at row 1, column 2"),
        // Lines whose blanks at the end an editor has stripped.
        (json!("S\n##\n#G #\n").to_string(), 422, "wrong-size", "line 1 has 1 cells, the longest line 4"),
        (json!([["S", 7]]).to_string(), 400, "malformed-request", "character '7' at row 1, column 2"),
        (json!([["S", "GG"]]).to_string(), 400, "malformed-request", "row 1, column 2 holds \"GG\""),
        (json!(["S", 5]).to_string(), 400, "malformed-request", "the lines of a maze are strings"),
        (json!({ "puzzle": 5 }).to_string(), 400, "malformed-request", "a maze is a string or an array of strings"),
        (json!({ "puzzles": "S G" }).to_string(), 400, "malformed-request", "\"puzzles\" is not a list"),
    ] {
        let reply = served.post("/solve/maze", Body::from(body)).await;
        assert_eq!(reply.problem(), (status, kind.into()), "{}", reply.json());
        assert!(reply.json()["detail"].as_str().unwrap().contains(says), "{}", reply.json());
    }
}
