//! What the repository ships: small, complete, and as good as it says.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use datasets::maze::{self, MazeOptions, MinLength};
use datasets::sudoku::SudokuShape;
use engine::registry::ServedModel;
use engine::task::Task;
use integration_tests::raw::held_out;
use integration_tests::{engine_limits, exact_share, one_thread, post_puzzles, routes, routes_with_restarts};
use models::Checkpoint;
use models::checkpoint::{Dtype, WEIGHTS_FILE, WeightFile};

/// Largest weight file that a clone carries.
const MAX_BYTES: u64 = 4 << 20;
const HELD_OUT: usize = 64;

/// Of that many minimal puzzles on which boards how many each model solves, raw.
const SOLVED: [(&str, SudokuShape, usize); 3] =
    [("sudoku", SudokuShape::NINE, 64), ("sudoku-4x4", SudokuShape::FOUR, 64), ("sudoku-9x9", SudokuShape::NINE, 63)];
/// Side length, a puzzle and its solution.
const EXAMPLES: [(usize, &str, &str); 2] = [
    // The puzzle of the English Wikipedia's article on Sudoku.
    (
        9,
        "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
        "534678912672195348198342567859761423426853791713924856961537284287419635345286179",
    ),
    (4, "3.4..1.2.4....1.", "3241413214232314"),
];

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped")
}

fn checkpoints() -> Vec<PathBuf> {
    let folders = fs::read_dir(shipped()).unwrap_or_else(|error| panic!("{}: {error}", shipped().display()));
    folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn both_board_sizes_and_mazes_are_shipped() {
    for name in ["sudoku", "sudoku-9x9", "sudoku-4x4", "maze-10x10"] {
        Checkpoint::open(shipped().join(name)).unwrap();
    }
}

#[test]
fn weights_are_small_and_manifests_complete() {
    for directory in checkpoints() {
        let name = directory.display();
        let manifest = Checkpoint::open(&directory).unwrap().manifest;
        let path = directory.join(WEIGHTS_FILE);
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes <= MAX_BYTES, "{name}: {bytes} bytes");
        let weights = WeightFile::open(&path).unwrap();
        for (tensor, _) in weights.tensors() {
            assert_eq!(weights.raw(tensor).unwrap().0, Dtype::BF16, "{name}: {tensor}");
        }
        assert!(!manifest.dataset.is_empty(), "{name}: it does not say what it was trained on");
        assert!(manifest.step > 0 && manifest.git_commit.is_some(), "{name}: step {}", manifest.step);
        for metric in ["exact_accuracy", "accuracy", "q_halt_accuracy", "steps"] {
            assert!(manifest.metrics.get(metric).is_some_and(|value| value.is_finite()), "{name}: no {metric}");
        }
        let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(files.iter().all(|file| !file.to_string_lossy().contains("training_state")), "{name}: {files:?}");
    }
}

#[test]
fn models_solve_as_many_held_out_puzzles_as_the_docs_say() {
    for (name, shape, expected) in SOLVED {
        let loaded = engine::model::load(&shipped().join(name), &one_thread()).unwrap();
        let loaded = loaded.for_task(Task::Sudoku(shape));
        let model = ServedModel::start(loaded.card, loaded.task, loaded.step_model, engine_limits()).unwrap();
        let solved = (exact_share(&model, &held_out(shape, 0, 0, HELD_OUT)) * HELD_OUT as f64).round() as usize;
        println!("{name}: {solved} of {HELD_OUT}");
        // Sums are rounded otherwise on other processors, which may change a puzzle's answer.
        assert!(solved.abs_diff(expected) <= 1, "{name} solves {solved}, expected {expected}");
    }
}

#[test]
fn a_puzzle_from_the_paper_is_solved_and_verified() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (size, puzzle, solution) in EXAMPLES {
        let routes = routes(&shipped().join(format!("sudoku-{size}x{size}")));
        let results = runtime.block_on(post_puzzles(&routes, "/solve/sudoku", &[puzzle.to_owned()]));
        assert_eq!((&results[0]["verified"], &results[0]["solved"]), (&true.into(), &true.into()), "{}", results[0]);
        assert_eq!(results[0]["solution"], solution);
    }
}

/// The weights were trained on 9×9 boards alone.
#[test]
fn one_set_of_weights_answers_boards_of_every_size() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let routes = routes_with_restarts(&shipped().join("sudoku"));
    for shape in [SudokuShape::FOUR, SudokuShape::SIX, SudokuShape::NINE] {
        let set = held_out(shape, 0, 0, 8);
        let puzzles: Vec<String> = set.iter().map(|puzzle| puzzle.puzzle.to_string()).collect();
        let results = runtime.block_on(post_puzzles(&routes, "/solve/sudoku", &puzzles));
        for (result, puzzle) in results.iter().zip(&set) {
            assert_eq!(result["verified"], true, "{result}");
            assert_eq!(result["solution"], puzzle.solution.to_string());
        }
    }
}

/// Published in newspapers of 2012 as the hardest Sudoku in the world (A. Inkala).
#[test]
fn the_hardest_newspaper_puzzle_is_verified() {
    const HARD: &str = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let routes = routes_with_restarts(&shipped().join("sudoku"));
    let results = runtime.block_on(post_puzzles(&routes, "/solve/sudoku", &[HARD.to_owned()]));
    assert_eq!(results[0]["verified"], true, "{}", results[0]);
    assert_eq!(
        results[0]["solution"],
        "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
    );
}

/// Mazes with starts and goals at any distance, as a server answers them that was told nothing.
#[test]
fn the_maze_model_finds_shortest_paths() {
    const LEAST_VERIFIED: usize = 60;
    let options = MazeOptions { size: 10, min_length: Some(MinLength::Same(3)), ..MazeOptions::default() };
    let mazes = maze::held_out(&options, HELD_OUT).unwrap();
    let grids: Vec<String> = mazes.iter().map(|solved| solved.maze.to_grid()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let routes = routes_with_restarts(&shipped().join("maze-10x10"));
    let results = runtime.block_on(post_puzzles(&routes, "/solve/maze", &grids));
    let verified = results.iter().filter(|result| result["verified"] == true).count();
    println!("maze-10x10: {verified} of {HELD_OUT} mazes");
    assert!(verified >= LEAST_VERIFIED, "{verified} of {HELD_OUT}, promised are {LEAST_VERIFIED}");
}
