//! Where evaluation puzzles come from: the generator's held-out stream, a data set folder, a published puzzle list,
//! or a text file with a puzzle a line. Every puzzle leaves here with its solution and difficulty.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use datasets::DatasetError;
use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::loader::{LoaderOptions, TestBatches};
use datasets::store::Split;
use datasets::sudoku::{Board, GeneratorOptions, SudokuShape, Verdict, held_out, solve};

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
    /// Lines of a puzzle file that hold no usable puzzle.
    pub bad_lines: Vec<BadLine>,
}

/// A line that holds no usable puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Line in the file, from 1.
    pub line: usize,
    /// Why.
    pub problem: String,
}

/// Puzzle files beyond this are not read: about 800,000 puzzles of 81 cells.
const MAX_FILE_BYTES: u64 = 64 << 20;

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
        bad_lines: Vec::new(),
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
    Ok(PuzzleSet { description: format!("test split of {}", directory.display()), puzzles, bad_lines: Vec::new() })
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
    Ok(PuzzleSet { description: origin.to_owned(), puzzles, bad_lines: Vec::new() })
}

/// The puzzles of a text file, at most `limit`: one a line, `.` or `0` for blanks; blank lines and whatever follows a
/// `#` are skipped. The labels come from our own solver.
///
/// # Errors
/// When the file is unreadable, too large or holds no usable puzzle; single bad lines are listed in the set.
pub fn from_file(shape: SudokuShape, path: &Path, limit: usize) -> Result<PuzzleSet, EvaluationError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| file_problem(path, format!("cannot read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(file_problem(path, format!("is larger than {MAX_FILE_BYTES} bytes; split it")));
    }
    let (puzzles, bad_lines) = parse_lines(shape, &String::from_utf8_lossy(&bytes), limit);
    if puzzles.is_empty() {
        let problem = match bad_lines.first() {
            Some(BadLine { line, problem }) => format!("holds no usable puzzle; line {line}: {problem}"),
            None => "is empty; expected a puzzle a line".into(),
        };
        return Err(file_problem(path, problem));
    }
    Ok(PuzzleSet { description: format!("puzzles of {}", path.display()), puzzles, bad_lines })
}

/// Usable puzzles and bad lines of a text; stops after `limit` puzzles.
pub fn parse_lines(shape: SudokuShape, text: &str, limit: usize) -> (Vec<EvaluationPuzzle>, Vec<BadLine>) {
    let (mut puzzles, mut bad_lines) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        if puzzles.len() == limit {
            break;
        }
        match parse_line(shape, content) {
            Ok(puzzle) => puzzles.push(puzzle),
            Err(problem) => bad_lines.push(BadLine { line: index + 1, problem }),
        }
    }
    (puzzles, bad_lines)
}

pub(super) fn parse_line(shape: SudokuShape, content: &str) -> Result<EvaluationPuzzle, String> {
    let puzzle = Board::parse(content).map_err(|error| error.to_string())?;
    check_shape(shape, &puzzle)?;
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
    if puzzle.shape() == shape {
        return Ok(());
    }
    Err(format!("expected {expected}x{expected} boards, found {found}x{found}; choose the model with --size {found}"))
}

fn file_problem(path: &Path, problem: String) -> EvaluationError {
    EvaluationError::PuzzleFile { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_puzzles_comments_or_errors_with_their_number() {
        let text = "# 4x4 puzzles\n\n123434122143....  # easy\n1234341221430000\n1.x.............\n11..............\n\
                    ................\n1....\n123....4........\n";
        let (puzzles, bad) = parse_lines(SudokuShape::FOUR, text, usize::MAX);
        let solved: Vec<String> = puzzles.iter().map(|puzzle| puzzle.solution.to_string()).collect();
        assert_eq!(solved, ["1234341221434321"; 2]);
        assert_eq!(puzzles[0].guesses, 0);
        let says = ["'x' at line 1, column 3", "1 stands twice in row 1", "more than one", "found 5", "no solution"];
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        for (bad, says) in bad.iter().zip(says) {
            assert!(bad.problem.contains(says), "{bad:?} does not say {says:?}");
        }
        let (limited, _) = parse_lines(SudokuShape::FOUR, text, 1);
        assert_eq!(limited.len(), 1);
    }

    #[test]
    fn a_file_without_puzzles_names_its_first_bad_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("puzzles.txt");
        std::fs::write(&path, "# nothing\n12\n").unwrap();
        let error = from_file(SudokuShape::NINE, &path, 10).unwrap_err().to_string();
        assert!(
            error.contains("puzzles.txt: holds no usable puzzle; line 2: ") && error.contains("found 2"),
            "{error}"
        );
        std::fs::write(&path, ".".repeat(16)).unwrap();
        let error = from_file(SudokuShape::NINE, &path, 10).unwrap_err().to_string();
        assert!(error.contains("expected 9x9 boards, found 4x4; choose the model with --size 4"), "{error}");
        assert!(from_file(SudokuShape::NINE, &folder.path().join("gone"), 10).is_err());
    }
}
