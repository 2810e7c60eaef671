//! Sudoku puzzles held in memory: the generator's held-out stream, a data set folder, a published puzzle list. Every
//! puzzle leaves here with its solution and difficulty. Leaves sources of any length, read one at a time, to `source`.

use std::path::{Path, PathBuf};

use datasets::DatasetError;
use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::loader::{LoaderOptions, TestBatches};
use datasets::store::Split;
use datasets::sudoku::{Board, GeneratorOptions, ListedPuzzle, SudokuError, SudokuShape, Verdict, held_out, solve};

use super::EvaluationError;

/// One puzzle with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationPuzzle {
    /// The givens.
    pub puzzle: Board,
    /// The label.
    pub solution: Board,
    /// Guesses that our solver needs.
    pub guesses: u32,
}

/// The puzzles of one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PuzzleSet {
    /// Where they come from, for people.
    pub description: String,
    /// The puzzles.
    pub puzzles: Vec<EvaluationPuzzle>,
}

/// Minimal puzzles with `extra_clues` further givens, from the generator's stream that no training seed can produce.
///
/// # Errors
/// When the options are out of range.
pub fn generated(
    shape: SudokuShape,
    seed: u64,
    extra_clues: usize,
    count: usize,
) -> Result<PuzzleSet, EvaluationError> {
    let size = shape.size();
    let options =
        GeneratorOptions { size, seed, extra_clues: (extra_clues, extra_clues), ..GeneratorOptions::default() };
    let puzzles = held_out(&options, count)?.into_iter();
    let puzzles = puzzles.map(|drawn| EvaluationPuzzle {
        puzzle: drawn.puzzle,
        solution: drawn.solution,
        guesses: drawn.guesses,
    });
    let clues = if extra_clues == 0 { String::new() } else { format!(" with {extra_clues} extra clues") };
    Ok(PuzzleSet {
        description: format!("generated minimal {size}x{size} puzzles{clues}, held-out seed {seed}"),
        puzzles: puzzles.collect(),
    })
}

/// The test split of a folder in the reference's format, at most `limit` puzzles of it.
///
/// # Errors
/// When the folder is unreadable or holds other boards than `shape`.
pub fn from_dataset(shape: SudokuShape, directory: &Path, limit: usize) -> Result<PuzzleSet, EvaluationError> {
    let batches = TestBatches::open(&[PathBuf::from(directory)], Split::Test, LoaderOptions::new(64))?;
    let mut puzzles = Vec::new();
    'batches: for batch in batches {
        let batch = batch?.batch;
        let rows = batch.inputs.chunks(batch.seq_len).zip(batch.labels.chunks(batch.seq_len));
        for (inputs, labels) in rows.take(batch.real_rows) {
            if puzzles.len() == limit {
                break 'batches;
            }
            let (puzzle, solution) = (Board::from_tokens(inputs)?, Board::from_tokens(labels)?);
            check_shape(shape, &puzzle).map_err(|problem| file_problem(directory, problem))?;
            puzzles.push(EvaluationPuzzle { guesses: solve(&puzzle).guesses, puzzle, solution });
        }
    }
    Ok(PuzzleSet { description: format!("test split of {}", directory.display()), puzzles })
}

/// The puzzles of a published list (CSV `source,question,answer,rating`), at most `limit`.
///
/// # Errors
/// When a row is malformed; the message names its line.
pub fn from_csv(shape: SudokuShape, path: &Path, origin: &str, limit: usize) -> Result<PuzzleSet, EvaluationError> {
    let list = PuzzleCsv::open(path)?;
    let mut puzzles = Vec::new();
    for row in list.take(limit) {
        let row = row?;
        let parse = |text: &str| {
            Board::parse_shape(shape, text).map_err(|error| DatasetError::CsvRow {
                path: path.to_owned(),
                line: row.line,
                expected: format!("a {0}x{0} board", shape.size()),
                found: error.to_string(),
            })
        };
        let (puzzle, solution) = (parse(&row.question)?, parse(&row.answer)?);
        puzzles.push(EvaluationPuzzle { guesses: solve(&puzzle).guesses, puzzle, solution });
    }
    Ok(PuzzleSet { description: origin.to_owned(), puzzles })
}

/// One puzzle of a text file, with the label of our own solver, or why there is none.
pub(super) fn parse_line(shape: SudokuShape, content: &str) -> Result<EvaluationPuzzle, String> {
    let listed = ListedPuzzle::parse(content, Some(shape)).map_err(|error| match error {
        SudokuError::WrongShape { expected, found } => other_size(expected, found),
        other => other.to_string(),
    })?;
    let puzzle = listed.puzzle;
    if let Some(contradiction) = puzzle.contradictions().first() {
        return Err(contradiction.to_string());
    }
    let solutions = solve(&puzzle);
    match (solutions.verdict, solutions.first) {
        (Verdict::Unique, Some(solution)) => Ok(EvaluationPuzzle { guesses: solutions.guesses, puzzle, solution }),
        (Verdict::Multiple, _) => Err("the puzzle has more than one solution; add givens".into()),
        (Verdict::BudgetExhausted, _) => Err(format!(
            "the solver gave up after {} guesses; the puzzle may have no single solution",
            solutions.guesses
        )),
        (Verdict::None | Verdict::Unique, _) => Err("the puzzle has no solution".into()),
    }
}

fn check_shape(shape: SudokuShape, puzzle: &Board) -> Result<(), String> {
    let (expected, found) = (shape.size(), puzzle.shape().size());
    if puzzle.shape() == shape { Ok(()) } else { Err(other_size(expected, found)) }
}

fn other_size(expected: usize, found: usize) -> String {
    format!("expected {expected}x{expected} boards, found {found}x{found}; choose the model with --size {found}")
}

fn file_problem(path: &Path, problem: String) -> EvaluationError {
    EvaluationError::PuzzleFile { path: path.to_owned(), problem }
}
