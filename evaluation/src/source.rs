//! Where the puzzles of an evaluation come from, one at a time: the generator's held-out streams, a data set folder, a
//! published list, or a text file. Owns numbering, labels and the digest that tells one source from another; memory does
//! not grow with the number of puzzles.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::loader::{LoaderOptions, TestBatches};
use datasets::maze::{self, Maze, MazeOptions, MazeShape, parse_cells};
use datasets::store::Split;
use datasets::sudoku::{self, Board, GeneratorOptions, Hardness, SudokuShape, solve};
use engine::task::{Task, tokens_of};
use sha2::{Digest, Sha256};

use super::puzzle_lines::{PuzzleLines, PuzzleText, read_maze, read_sudoku};
use super::{Entry, EvaluationError, Skipped};

/// Examples that a data set folder is read by.
const FOLDER_BATCH: usize = 64;

/// A puzzle with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardPuzzle {
    /// Number in its source, from 0.
    pub number: u64,
    /// `[seq_len]` input tokens.
    pub tokens: Vec<i64>,
    /// `[seq_len]` tokens of the label; negative where a cell does not count.
    pub label: Vec<i64>,
    /// Sudoku: guesses that our solver needs. Mazes: cells between start and goal on a shortest path.
    pub hardness: u64,
    /// Sudoku: number of givens.
    pub givens: Option<u64>,
    /// 9×9 Sudoku with one solution: the weakest logic that solves it, and guesses on average.
    pub rating: Option<Hardness>,
}

/// The puzzles of one evaluation.
#[derive(Debug, Clone)]
pub struct PuzzleSource {
    task: Task,
    origin: Origin,
    limit: u64,
    description: String,
    digest: String,
}

#[derive(Debug, Clone)]
enum Origin {
    Sudoku(GeneratorOptions),
    Maze(MazeOptions),
    Folder(PathBuf),
    List(PathBuf),
    Lines(PathBuf),
}

/// A puzzle that has not been looked at yet: skipping it costs next to nothing.
#[derive(Debug, Clone)]
pub struct Draft {
    number: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Numbered,
    Example { inputs: Vec<i32>, labels: Vec<i32> },
    Row { line: u64, question: String, answer: String },
    Line { line: u64, text: String },
}

impl PuzzleSource {
    /// Held-out puzzles of the generator, which no training seed can produce: Sudoku minimal but for `extra_clues`
    /// givens, mazes as hard as Maze-Hard for their size.
    ///
    /// # Errors
    /// When the options are out of range, or the task is ARC, which has no generator.
    pub fn generated(task: Task, seed: u64, extra_clues: usize, count: u64) -> Result<Self, EvaluationError> {
        let (origin, description) = match task {
            Task::Sudoku(shape) => {
                let size = shape.size();
                let extra_clues_range = (extra_clues, extra_clues);
                let options =
                    GeneratorOptions { size, seed, extra_clues: extra_clues_range, ..GeneratorOptions::default() };
                sudoku::held_out(&options, 0)?;
                let clues = if extra_clues == 0 { String::new() } else { format!(" with {extra_clues} extra clues") };
                (
                    Origin::Sudoku(options),
                    format!("generated minimal {size}x{size} puzzles{clues}, held-out seed {seed}"),
                )
            }
            Task::Maze(shape) => {
                let options = MazeOptions { size: shape.side(), seed, ..MazeOptions::default() };
                options.validate()?;
                (Origin::Maze(options), format!("generated hard {shape} mazes, held-out seed {seed}"))
            }
            Task::Arc => return Err(EvaluationError::NoGenerator),
        };
        let digest = hex::encode(Sha256::digest(format!("{task}: {description}")));
        Ok(Self { task, origin, limit: count, description, digest })
    }

    /// The test split of a folder in the reference's format.
    ///
    /// # Errors
    /// When the folder is unreadable or holds puzzles of another shape.
    pub fn folder(task: Task, directory: &Path, limit: u64) -> Result<Self, EvaluationError> {
        let batches = open_folder(directory)?;
        let found = (batches.metadata().vocab_size, batches.metadata().seq_len);
        if found != task.dims() {
            let found = Task::infer(found.0, found.1)
                .map_or_else(|| format!("{} tokens of {} kinds", found.1, found.0), |task| task.to_string());
            let problem = format!("expected puzzles of task `{task}`, as the model solves, found {found}");
            return Err(EvaluationError::PuzzleFile { path: directory.to_owned(), problem });
        }
        let limit = limit.min(batches.total_examples() as u64);
        let digest = digest_of_folder(&directory.join("test"))?;
        let description = format!("test split of {}", directory.display());
        Ok(Self { task, origin: Origin::Folder(directory.to_owned()), limit, description, digest })
    }

    /// A published list (CSV `source,question,answer,rating`), described as `origin`.
    ///
    /// # Errors
    /// When the file is unreadable.
    pub fn list(task: Task, path: &Path, origin: &str, limit: u64) -> Result<Self, EvaluationError> {
        PuzzleCsv::open(path)?;
        let digest = digest_of_file(path)?;
        Ok(Self { task, origin: Origin::List(path.to_owned()), limit, description: origin.to_owned(), digest })
    }

    /// A text file of puzzles, gzipped if its name ends in `.gz`: lists with a puzzle a line and whatever stands beside it,
    /// CSV included, or drawings over several lines, in the forms of [`ListedPuzzle`](datasets::sudoku::ListedPuzzle) and
    /// [`MazeDrawing`](datasets::maze::MazeDrawing). The labels come from our own solvers; solutions beside puzzles are
    /// checked.
    ///
    /// # Errors
    /// When the file is unreadable.
    pub fn lines(task: Task, path: &Path, limit: u64) -> Result<Self, EvaluationError> {
        let digest = digest_of_file(path)?;
        let description = format!("puzzles of {}", path.display());
        Ok(Self { task, origin: Origin::Lines(path.to_owned()), limit, description, digest })
    }

    /// What the puzzles are.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Where they come from, for people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Hex sha256 of everything that decides which puzzles come, but for their number.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Most puzzles that are taken.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How many puzzles come, where that is known beforehand.
    pub fn count(&self) -> Option<u64> {
        (!matches!(self.origin, Origin::List(_) | Origin::Lines(_))).then_some(self.limit)
    }

    /// All puzzles in order.
    ///
    /// # Errors
    /// When a file cannot be opened; reading errors are among the items.
    pub fn drafts(&self) -> Result<impl Iterator<Item = Result<Draft, EvaluationError>>, EvaluationError> {
        let contents: Box<dyn Iterator<Item = Result<Content, EvaluationError>>> = match &self.origin {
            Origin::Sudoku(_) | Origin::Maze(_) => Box::new(std::iter::repeat_with(|| Ok(Content::Numbered))),
            Origin::Folder(directory) => Box::new(open_folder(directory)?.flat_map(|batch| match batch {
                Ok(batch) => examples_of(&batch.batch),
                Err(error) => vec![Err(error.into())],
            })),
            Origin::List(path) => Box::new(PuzzleCsv::open(path)?.map(|row| {
                let row = row?;
                Ok(Content::Row { line: row.line, question: row.question, answer: row.answer })
            })),
            Origin::Lines(path) => Box::new(PuzzleLines::open(path, self.task)?.map(|puzzle| {
                let PuzzleText { line, text } = puzzle?;
                Ok(Content::Line { line, text })
            })),
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let number = |(number, content): (usize, Result<_, _>)| Ok(Draft { number: number as u64, content: content? });
        Ok(contents.take(limit).enumerate().map(number))
    }

    /// Looks at a draft of this source: the puzzle, or why there is none.
    ///
    /// # Errors
    /// When the generator fails, or a data set or a published list is wrong in itself.
    pub fn read(&self, draft: Draft) -> Result<Entry<BoardPuzzle>, EvaluationError> {
        let Draft { number, content } = draft;
        match (self.task, content) {
            (Task::Sudoku(_), Content::Numbered) => match &self.origin {
                Origin::Sudoku(options) => {
                    let drawn = sudoku::held_out_at(options, number)?;
                    let guesses = u64::from(drawn.guesses);
                    Ok(Entry::Puzzle(board_puzzle(number, &drawn.puzzle, &drawn.solution, guesses)))
                }
                _ => Err(EvaluationError::NoGenerator),
            },
            (Task::Maze(_), Content::Numbered) => match &self.origin {
                Origin::Maze(options) => {
                    let drawn = maze::held_out_at(options, number)?;
                    let label = drawn.answer().iter().map(|cell| i64::from(cell.token())).collect();
                    maze_puzzle(number, &drawn.maze, label).map(Entry::Puzzle)
                }
                _ => Err(EvaluationError::NoGenerator),
            },
            (Task::Sudoku(_), Content::Example { inputs, labels }) => {
                let (puzzle, solution) = (Board::from_tokens(&inputs)?, Board::from_tokens(&labels)?);
                let guesses = u64::from(solve(&puzzle).guesses);
                Ok(Entry::Puzzle(board_puzzle(number, &puzzle, &solution, guesses)))
            }
            (Task::Maze(_), Content::Example { inputs, labels }) => {
                let label = labels.into_iter().map(i64::from).collect();
                maze_puzzle(number, &Maze::from_tokens(&inputs)?, label).map(Entry::Puzzle)
            }
            (Task::Sudoku(shape), Content::Row { line, question, answer }) => {
                let parse =
                    |text: &str| Board::parse_shape(shape, text).map_err(|error| self.row_problem(line, &error));
                let (puzzle, solution) = (parse(&question)?, parse(&answer)?);
                let guesses = u64::from(solve(&puzzle).guesses);
                Ok(Entry::Puzzle(board_puzzle(number, &puzzle, &solution, guesses)))
            }
            (Task::Maze(_), Content::Row { line, question, answer }) => {
                let maze = Maze::parse(&question).map_err(|error| self.row_problem(line, &error))?;
                let (_, cells) = parse_cells(&answer).map_err(|error| self.row_problem(line, &error))?;
                let label = cells.iter().map(|cell| i64::from(cell.token())).collect();
                self.check_cells(maze_puzzle(number, &maze, label)?).map(Entry::Puzzle)
            }
            (Task::Sudoku(shape), Content::Line { line, text }) => Ok(match sudoku_line(number, shape, &text) {
                Ok(puzzle) => Entry::Puzzle(puzzle),
                Err(problem) => Entry::Skipped(Skipped { puzzle: number, line, problem }),
            }),
            (Task::Maze(shape), Content::Line { line, text }) => {
                let read = maze_line(number, shape, &text).and_then(|puzzle| match self.check_cells(puzzle) {
                    Ok(puzzle) => Ok(puzzle),
                    Err(error) => Err(error.to_string()),
                });
                Ok(match read {
                    Ok(puzzle) => Entry::Puzzle(puzzle),
                    Err(problem) => Entry::Skipped(Skipped { puzzle: number, line, problem }),
                })
            }
            (Task::Arc, _) => Err(EvaluationError::NoGenerator),
        }
    }

    fn check_cells(&self, puzzle: BoardPuzzle) -> Result<BoardPuzzle, EvaluationError> {
        let (_, expected) = self.task.dims();
        let found = puzzle.tokens.len();
        if found == expected && puzzle.label.len() == expected {
            return Ok(puzzle);
        }
        Err(EvaluationError::Cells { expected, found: if found == expected { puzzle.label.len() } else { found } })
    }

    fn row_problem(&self, line: u64, error: &dyn std::error::Error) -> EvaluationError {
        let path = match &self.origin {
            Origin::List(path) | Origin::Lines(path) | Origin::Folder(path) => path.clone(),
            Origin::Sudoku(_) | Origin::Maze(_) => PathBuf::new(),
        };
        EvaluationError::PuzzleFile {
            path,
            problem: format!("line {line}: expected a puzzle of task `{}`: {error}", self.task),
        }
    }
}

fn board_puzzle(number: u64, puzzle: &Board, solution: &Board, guesses: u64) -> BoardPuzzle {
    BoardPuzzle {
        number,
        tokens: tokens_of(puzzle),
        label: tokens_of(solution),
        hardness: guesses,
        givens: Some(puzzle.givens() as u64),
        rating: sudoku::hardness(puzzle).ok(),
    }
}

fn maze_puzzle(number: u64, maze: &Maze, label: Vec<i64>) -> Result<BoardPuzzle, EvaluationError> {
    let tokens = maze.to_tokens().into_iter().map(i64::from).collect();
    let hardness = maze.shortest_path()?.len() as u64 - 2;
    Ok(BoardPuzzle { number, tokens, label, hardness, givens: None, rating: None })
}

fn sudoku_line(number: u64, shape: SudokuShape, text: &str) -> Result<BoardPuzzle, String> {
    let (puzzle, solution, guesses) = read_sudoku(shape, text)?;
    Ok(board_puzzle(number, &puzzle, &solution, u64::from(guesses)))
}

fn maze_line(number: u64, shape: MazeShape, text: &str) -> Result<BoardPuzzle, String> {
    let (maze, answer) = read_maze(shape, text)?;
    let path = maze.shortest_path().map_err(|error| error.to_string())?;
    let label = answer.unwrap_or_else(|| maze.marked(&path).iter().map(|cell| cell.token()).collect());
    maze_puzzle(number, &maze, label.into_iter().map(i64::from).collect()).map_err(|error| error.to_string())
}

fn open_folder(directory: &Path) -> Result<TestBatches, EvaluationError> {
    Ok(TestBatches::open(&[directory.to_owned()], Split::Test, LoaderOptions::new(FOLDER_BATCH))?)
}

fn examples_of(batch: &datasets::Batch) -> Vec<Result<Content, EvaluationError>> {
    let rows = batch.inputs.chunks(batch.seq_len).zip(batch.labels.chunks(batch.seq_len)).take(batch.real_rows);
    rows.map(|(inputs, labels)| Ok(Content::Example { inputs: inputs.to_vec(), labels: labels.to_vec() })).collect()
}

fn digest_of_file(path: &Path) -> Result<String, EvaluationError> {
    let mut hash = Sha256::new();
    hash_file(path, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

/// Hex sha256 of the names and contents of a folder's own files; folders within it do not count.
///
/// # Errors
/// When the folder or one of its files cannot be read.
pub fn digest_of_folder(directory: &Path) -> Result<String, EvaluationError> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash_file(&path, &mut hash)?;
    }
    Ok(hex::encode(hash.finalize()))
}

fn hash_file(path: &Path, hash: &mut Sha256) -> Result<(), EvaluationError> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
    loop {
        let bytes = reader.fill_buf().map_err(failed)?;
        if bytes.is_empty() {
            return Ok(());
        }
        hash.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> EvaluationError {
    EvaluationError::PuzzleFile { path: path.to_owned(), problem: format!("cannot read: {error}") }
}
