//! The program `server` from outside: what it answers, and how it ends.

use datasets::sudoku::SudokuShape;

use crate::random_checkpoint::write_random;
use crate::running::Running;

#[test]
fn server_loads_every_model_of_a_folder_answers_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), "sudoku-4x4", SudokuShape::FOUR);
    write_random(folder.path(), "sudoku-6x6", SudokuShape::SIX);
    let mut server = Running::start(folder.path(), &[]);

    let reply = server.get("/info");
    let (status, info) = (reply.status, reply.json());
    let sizes: Vec<u64> = info["models"].as_array().unwrap().iter().filter_map(|m| m["board_size"].as_u64()).collect();
    assert_eq!((status, sizes), (200, vec![4, 6]));
    assert_eq!(info["runtime"]["execution_provider"], "CPUExecutionProvider");
    assert!(!info["runtime"]["library"].as_str().unwrap().is_empty());

    // All but one cell given: the oracle's answer is irrelevant, the response must be consistent.
    let reply = server.request("POST /solve/sudoku", "123434122143432.");
    let (status, answer) = (reply.status, reply.json());
    assert_eq!((status, answer["model"]["name"].as_str()), (200, Some("sudoku-4x4")));
    assert_eq!(answer["solution"].is_string(), answer["verified"].as_bool().unwrap());
    assert_eq!(server.request("POST /solve/sudoku", &".".repeat(81)).status, 422);
    let health = server.get("/health").json();
    assert_eq!((&health["status"], &health["phase"]), (&"ok".into(), &"ready".into()));
    let names: Vec<&str> = health["models"].as_array().unwrap().iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["sudoku-4x4", "sudoku-6x6"]);

    server.signal("TERM");
    let (status, log) = server.wait();
    assert!(status.success() && log.contains("terminated"), "{status}: {log}");
}

#[test]
fn a_server_says_what_it_computes_in() {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), "sudoku-4x4", SudokuShape::FOUR);
    let precision = |arguments: &[&str]| {
        let server = Running::start(folder.path(), arguments);
        server.get("/info").json()["models"][0]["precision"].clone()
    };
    assert_eq!((precision(&[]), precision(&["--quantize", "int8"])), ("float32".into(), "int8".into()));
}
