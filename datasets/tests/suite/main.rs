//! The promises of `datasets`: rules, generators, builders, files, scoring, pictures, and the commands of the program.

#![allow(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod arc_builder;
mod arc_forms;
mod arc_program;
mod arc_scoring;
mod arc_vectors;
mod board_scoring;
#[path = "../common/mod.rs"]
mod common;
mod hostile_dataset;
mod loader;
mod maze_builder;
mod maze_generator;
mod maze_hard_style;
mod maze_labels;
mod maze_rules;
mod maze_text;
#[allow(dead_code, unreachable_pub, reason = "shared with a package of helpers")]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
mod numpy_rng;
mod picture;
mod prediction_files;
mod program;
mod score_program;
mod sudoku_builder;
mod sudoku_generator;
mod sudoku_givens;
mod sudoku_hardness;
mod sudoku_pool;
mod sudoku_rules;
mod sudoku_solver;
mod sudoku_source;
mod sudoku_text;
