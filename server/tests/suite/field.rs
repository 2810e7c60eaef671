//! What people really send: boards as other programs write them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::served::{PUZZLE, SOLUTION, Served, oracles};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

async fn read(served: &Served, task: &str, body: impl Into<Vec<u8>>) -> Value {
    served.post(&format!("/read/{task}"), body.into()).await.ok()["puzzle"].clone()
}

fn rows() -> Vec<String> {
    PUZZLE.as_bytes().chunks(9).map(|row| String::from_utf8(row.to_vec()).unwrap()).collect()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let units = "\u{feff}".encode_utf16().chain(text.encode_utf16()).collect::<Vec<_>>();
    units.into_iter().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[tokio::test]
async fn sudokus_of_other_programs_are_read_and_solved() {
    let served = oracles();
    let expected = ".234..8..6....7......53.62...5......84.....36......1...52.96......1....7..8..521.";
    for name in ["commas.txt", "star81.txt", "unicode_box.txt", "x81.txt"] {
        assert_eq!(read(&served, "sudoku", bytes(&format!("sudoku/{name}"))).await, expected, "{name}");
    }
    let simple = ".3.4.....9.28.63.1.......2.8...6.7...6.2.5.9...3.4...8.7.......4.89.25.6.....8.3.";
    assert_eq!(read(&served, "sudoku", bytes("sudoku/simple_sudoku.txt")).await, simple);
    for body in [
        format!("\u{feff}{PUZZLE}").into_bytes(),
        utf16(&rows().join("\r\n"), true),
        utf16(PUZZLE, false),
        json!(rows()).to_string().into_bytes(),
        json!({ "puzzle": rows() }).to_string().into_bytes(),
        json!([rows().join("\n")]).as_array().unwrap()[0].to_string().into_bytes(),
        format!(":0000:x:{PUZZLE}:::").into_bytes(),
        format!("{PUZZLE};1;elev;0;11.90").into_bytes(),
        format!("[Puzzle]\n{}\n[State]\n{}\n", rows().join("\n"), rows().join("\n")).into_bytes(),
        format!(
            "[{}]",
            rows()
                .iter()
                .map(|row| format!(
                    "[{}]",
                    row.replace('.', "0").chars().map(|cell| cell.to_string() + " ").collect::<String>()
                ))
                .collect::<Vec<_>>()
                .join("\n ")
        )
        .into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(read(&served, "sudoku", body).await, PUZZLE, "{shown}");
    }
    let answer = served.post("/solve/sudoku", json!(rows()).to_string()).await.ok();
    let solved: Vec<&str> = answer["solution"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!(solved.concat(), SOLUTION);
}

#[tokio::test]
async fn a_list_as_text_is_a_batch() {
    let served = oracles();
    let list = String::from_utf8(bytes("sudoku/champagne.txt")).unwrap();
    let three = list.lines().take(3).collect::<Vec<_>>().join("\n");
    let answer = served.post("/solve/sudoku", format!("\u{feff}{three}")).await.ok();
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    let reply = served.post("/solve/sudoku", list).await;
    assert_eq!(reply.problem(), (413, "too-many-puzzles".into()));
}

#[tokio::test]
async fn an_answer_says_whether_it_is_the_only_one() {
    let served = oracles();
    let answer = served.post("/solve/sudoku", PUZZLE).await.ok();
    assert_eq!((&answer["verified"], &answer["unique"]), (&json!(true), &json!(true)));
    let few = format!("{}{}", &PUZZLE[..20], ".".repeat(61));
    let answer = served.post("/solve/sudoku", few).await.ok();
    assert_eq!((&answer["verified"], &answer["unique"]), (&json!(true), &json!(false)));
    let maze = served.post("/solve/maze", json!(["S.G"]).to_string()).await.ok();
    assert_eq!(maze["unique"], Value::Null);
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_by_name() {
    let served = oracles();
    for (task, body, kind) in [
        ("sudoku", format!("0{}", &PUZZLE[1..]), "ambiguous-puzzle"),
        ("sudoku", " | 1 24 3 | 5 6 7 | 89 4 2 |\n".repeat(9), "candidate-grid"),
        ("sudoku", "1...............\n".repeat(16), "ambiguous-puzzle"),
        ("maze", "S01\n010\n10G".to_owned(), "ambiguous-puzzle"),
        ("maze", "S#G\n # \n # \n   ".to_owned(), "ambiguous-puzzle"),
        ("maze", "S #\n#G".to_owned(), "wrong-size"),
    ] {
        let reply = served.post(&format!("/solve/{task}"), body.clone()).await;
        assert_eq!(reply.problem(), (422, kind.into()), "{body}");
    }
    let reply = served.post("/solve/sudoku", utf16(PUZZLE, true)[2..].to_vec()).await;
    assert_eq!(reply.problem(), (400, "malformed-request".into()));
    assert!(reply.json()["detail"].as_str().unwrap().contains("UTF-16 without a byte-order mark"), "{}", reply.json());
    let two = json!({ "puzzles": [PUZZLE, PUZZLE] }).to_string();
    assert_eq!(served.post("/read/sudoku", two).await.problem(), (400, "malformed-request".into()));
}

/// No answer is verified through a row or column that the text does not show.
#[tokio::test]
async fn a_stray_line_opens_no_way_through_a_maze() {
    let served = oracles();
    for name in ["sep_trailing_blank.txt", "sep_leading_blank.txt", "sep_trailing_crlf.txt"] {
        let text = String::from_utf8(bytes(&format!("maze/{name}"))).unwrap();
        for body in [text.clone(), json!(text).to_string(), json!({ "puzzle": text }).to_string()] {
            let reply = served.post("/solve/maze", body.clone()).await;
            assert_eq!(reply.problem(), (422, "maze-separated".into()), "{name}: {body:?}");
        }
    }
    for name in ["trailing_blank.txt", "indented.txt"] {
        let answer = served.post("/solve/maze", bytes(&format!("maze/{name}"))).await.ok();
        assert_eq!(answer["solution"], "#####\n#SoG#\n#####", "{name}");
    }
    let answer = served.post("/solve/maze", bytes("maze/rect_7x9.png")).await.ok();
    assert_eq!((answer["solved"].as_bool(), answer["read_as"].as_array().map(Vec::len)), (Some(true), Some(7)));
}

#[tokio::test]
async fn mazes_in_other_letters_come_back_in_them() {
    let served = oracles();
    for (sent, expected) in [
        (json!("XXXXX\nXS EX\nXXXXX"), json!("XXXXX\nXSoEX\nXXXXX")),
        (json!(["11111", "1s0e1", "11111"]), json!(["11111", "1soe1", "11111"])),
        (
            json!([[1, 1, 1], [1, "S", 1], [1, "G", 1], [1, 1, 1]]),
            json!([["1", "1", "1"], ["1", "S", "1"], ["1", "G", "1"], ["1", "1", "1"]]),
        ),
        (json!([["S", " ", "G"]]), json!([["S", "o", "G"]])),
    ] {
        let answer = served.post("/solve/maze", json!({ "puzzle": sent }).to_string()).await.ok();
        assert_eq!(answer["solution"], expected, "{sent}");
    }
    assert_eq!(read(&served, "maze", "A B\n###").await, json!(["S.G", "###"]));
}
