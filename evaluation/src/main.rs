//! The program `speedrun-inference`: from a checkpoint to a measured, reported model, shown step by step.
//! Leaves its arguments and the order of things to `evaluation::cli`, which `server eval` shares.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evaluation::cli::{ArcArgs, BoardArgs, BoardTask, MergeArgs, evaluate_all, evaluate_arc, evaluate_boards, merge};

/// Measures a tiny recursive model on held-out puzzles and shows its steps.
#[derive(Debug, Parser)]
#[command(name = "speedrun-inference", version)]
struct Cli {
    #[command(subcommand)]
    task: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Sudoku: exact accuracy raw and verified, speed, a report under results/, and one puzzle step by step.
    ///
    /// Example: speedrun-inference sudoku --count 200
    Sudoku(Box<BoardArgs>),
    /// Mazes: exact accuracy against the label and any shortest path apart, and the rest as for Sudoku.
    ///
    /// Example: speedrun-inference maze --checkpoint DIR --count 200
    Maze(Box<BoardArgs>),
    /// ARC-AGI-1: the held-out tasks of the model's data set, votes over augmentations, submission.json.
    ///
    /// Examples: speedrun-inference arc1, speedrun-inference arc1 --checkpoint DIR --data data/arc1concept-aug-1000,
    /// speedrun-inference arc1 --published --tasks kaggle/combined/arc-agi
    Arc1(Box<ArcArgs>),
    /// ARC-AGI-2, in the same way.
    ///
    /// Example: speedrun-inference arc2 --checkpoint DIR --data data/arc2concept-aug-1000
    Arc2(Box<ArcArgs>),
    /// Every shipped model, one after the other.
    ///
    /// Example: speedrun-inference all --count 200 --no-show
    All(Box<BoardArgs>),
    /// One report of the shards of a run, which --shard made.
    ///
    /// Example: speedrun-inference merge results/one results/two --out results/whole
    Merge(MergeArgs),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Program::Sudoku(args) => evaluate_boards(BoardTask::Sudoku, &args),
        Program::Maze(args) => evaluate_boards(BoardTask::Maze, &args),
        Program::Arc1(args) => evaluate_arc("arc1", &args),
        Program::Arc2(args) => evaluate_arc("arc2", &args),
        Program::All(args) => evaluate_all(&args),
        Program::Merge(args) => merge(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
