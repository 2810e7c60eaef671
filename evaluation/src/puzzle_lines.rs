//! Text files of puzzles: a puzzle a line, with whatever lists note beside it, or drawings over several lines. Owns where a
//! puzzle begins and ends, in bounded memory; leaves what it is to the readers of `datasets`.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use datasets::maze::{Cell, Maze, MazeDrawing, MazeError, MazeShape};
use datasets::store::open_text;
use datasets::sudoku::{Board, ListedPuzzle, SudokuError, SudokuShape, Verdict, is_list_header, solve};
use engine::task::Task;

use super::EvaluationError;

/// Longest line of a puzzle file: mazes have up to 255 cells per side.
const MAX_LINE_BYTES: u64 = 1 << 18;
/// Puzzle files are read up to here: fifty million Sudokus. A small packed file may unpack to much more.
const MAX_FILE_BYTES: u64 = 4 << 30;
/// Lines of a drawing at most: a 16×16 board with a ruler and an empty line between all rows has 49.
const MAX_DRAWING_LINES: usize = 512;

/// A puzzle of a file as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PuzzleText {
    /// Its first line, from 1.
    pub(super) line: u64,
    /// One line, or those of a drawing.
    pub(super) text: String,
}

/// The puzzles of a file, one at a time.
pub(super) struct PuzzleLines {
    path: PathBuf,
    reader: std::io::Take<Box<dyn BufRead>>,
    task: Task,
    line: u64,
    /// Lines of a drawing that may go on.
    drawing: Vec<String>,
    drawing_line: u64,
    /// Puzzles that come before the next line is read.
    ready: VecDeque<PuzzleText>,
    /// Whether a section of a file is passed over, as `[State]` behind `[Puzzle]`.
    is_outside: bool,
    is_ended: bool,
}

impl PuzzleLines {
    /// Opens a file, gzipped if its name ends in `.gz`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: &Path, task: Task) -> Result<Self, EvaluationError> {
        Ok(Self {
            path: path.to_owned(),
            reader: open_text(path)?.take(MAX_FILE_BYTES),
            task,
            line: 0,
            drawing: Vec::new(),
            drawing_line: 0,
            ready: VecDeque::new(),
            is_outside: false,
            is_ended: false,
        })
    }

    /// The next line without its end; `None` at the end of the file.
    fn read_line(&mut self) -> Result<Option<String>, EvaluationError> {
        let mut bytes = Vec::new();
        self.line += 1;
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        let failed = |problem: String| EvaluationError::PuzzleFile { path: self.path.clone(), problem };
        read.map_err(|error| failed(format!("cannot read: {error}")))?;
        let line = self.line;
        if bytes.len() as u64 == MAX_LINE_BYTES {
            return Err(failed(format!("line {line} has more than {MAX_LINE_BYTES} bytes; expected a puzzle a line")));
        }
        if self.reader.limit() == 0 {
            return Err(failed(format!("line {line} is beyond {MAX_FILE_BYTES} bytes; split the file")));
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok((!bytes.is_empty()).then(|| text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// Takes a line; what is complete with it is put aside.
    fn take(&mut self, line: String) {
        let kind = match self.task {
            Task::Sudoku(shape) => self.sudoku_line(shape, &line),
            Task::Maze(shape) => maze_line(shape, &line),
            Task::Arc => LineKind::Nothing,
        };
        match kind {
            LineKind::Nothing => self.end_drawing(),
            LineKind::Empty if self.is_drawn() => self.end_drawing(),
            // Between the bands of a board that is not complete.
            LineKind::Empty => {}
            LineKind::Whole(text) => {
                self.end_drawing();
                self.ready.push_back(PuzzleText { line: self.line, text });
            }
            LineKind::Part => {
                let is_new = self.drawing.is_empty();
                if !is_new && (self.drawing.len() == MAX_DRAWING_LINES || (has_cells(&line) && self.is_drawn())) {
                    self.end_drawing();
                }
                if self.drawing.is_empty() {
                    self.drawing_line = self.line;
                }
                self.drawing.push(line);
            }
        }
    }

    fn sudoku_line(&mut self, shape: SudokuShape, line: &str) -> LineKind {
        let trimmed = line.trim();
        if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            self.is_outside = !section.eq_ignore_ascii_case("puzzle");
            return LineKind::Nothing;
        }
        let is_comment = trimmed.starts_with(['#', ';']) || trimmed.starts_with("//");
        if self.is_outside || is_comment || is_list_header(line) {
            return LineKind::Nothing;
        }
        let content = line.split('#').next().unwrap_or_default().trim_end();
        let characters = content.chars().filter(|character| !character.is_whitespace()).count();
        if characters == 0 {
            LineKind::Empty
        } else if characters * 4 >= shape.cells() * 3 {
            LineKind::Whole(content.trim().to_owned())
        } else {
            LineKind::Part
        }
    }

    /// Whether the lines of the drawing are a puzzle already.
    fn is_drawn(&self) -> bool {
        match self.task {
            Task::Sudoku(shape) => {
                self.drawing.len() >= shape.size() && ListedPuzzle::parse(&self.drawing.join("\n"), Some(shape)).is_ok()
            }
            // The lines of a maze follow each other up to an empty one.
            Task::Maze(_) | Task::Arc => false,
        }
    }

    fn end_drawing(&mut self) {
        if !self.drawing.is_empty() {
            let text = std::mem::take(&mut self.drawing).join("\n");
            self.ready.push_back(PuzzleText { line: self.drawing_line, text });
        }
    }
}

impl Iterator for PuzzleLines {
    type Item = Result<PuzzleText, EvaluationError>;

    /// The first error ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            if self.is_ended {
                return None;
            }
            match self.read_line() {
                Ok(Some(line)) => self.take(line),
                Ok(None) => {
                    self.is_ended = true;
                    self.end_drawing();
                }
                Err(error) => {
                    self.is_ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// What a line of a file is.
enum LineKind {
    /// A header or a comment, which ends a drawing.
    Nothing,
    /// Without a character.
    Empty,
    /// A puzzle of its own.
    Whole(String),
    /// Part of a drawing.
    Part,
}

fn maze_line(shape: MazeShape, line: &str) -> LineKind {
    let is_header =
        line.contains(',') && ["question", "puzzle", "maze"].iter().any(|name| line.to_lowercase().contains(name));
    let is_empty = line.trim().is_empty() && line.chars().count() != shape.cells();
    if is_header || is_empty {
        LineKind::Nothing
    } else if line.chars().count() > shape.side() {
        LineKind::Whole(line.to_owned())
    } else {
        LineKind::Part
    }
}

fn has_cells(line: &str) -> bool {
    line.chars().any(|character| character.is_ascii_alphanumeric() || character == '.')
}

/// A Sudoku of a file, its solution by our own solver, and the guesses that the solver needed.
///
/// # Errors
/// A sentence about what is wrong with the line.
pub(super) fn read_sudoku(shape: SudokuShape, text: &str) -> Result<(Board, Board, u32), String> {
    let listed = ListedPuzzle::parse(text, Some(shape)).map_err(|error| match error {
        SudokuError::WrongShape { expected, found } => format!(
            "expected {expected}x{expected} boards, found {found}x{found}; choose the model with --size {found}"
        ),
        other => other.to_string(),
    })?;
    let puzzle = listed.puzzle;
    if let Some(contradiction) = puzzle.contradictions().first() {
        return Err(contradiction.to_string());
    }
    let solutions = solve(&puzzle);
    match (solutions.verdict, solutions.first) {
        (Verdict::Unique, Some(solution)) => Ok((puzzle, solution, solutions.guesses)),
        (Verdict::Multiple, _) => Err("the puzzle has more than one solution; add givens".into()),
        (Verdict::BudgetExhausted, _) => Err(format!(
            "the solver gave up after {} guesses; the puzzle may have no single solution",
            solutions.guesses
        )),
        (Verdict::None | Verdict::Unique, _) => Err("the puzzle has no solution".into()),
    }
}

/// A maze of a file and, where the file has it, the answer beside it.
///
/// # Errors
/// A sentence about what is wrong with the line.
pub(super) fn read_maze(shape: MazeShape, text: &str) -> Result<(Maze, Option<Vec<i32>>), String> {
    let fields: Vec<&str> = text.split(',').map(|field| field.trim_matches('"')).collect();
    let is_whole = |field: &&&str| field.chars().count() == shape.cells();
    let whole: Vec<&str> = fields.iter().filter(is_whole).copied().collect();
    let (question, answer) = match whole[..] {
        [question] => (question, None),
        [one, other] if one.contains('o') && !other.contains('o') => (other, Some(one)),
        [question, answer] => (question, Some(answer)),
        _ => (text, None),
    };
    let drawing = MazeDrawing::parse(question).map_err(|error| error.to_string())?;
    if drawing.square_shape() > shape {
        let (rows, columns) = (drawing.rows(), drawing.columns());
        return Err(format!(
            "expected a maze of up to {shape}, as the model solves, found {rows} rows and {columns} columns"
        ));
    }
    // A line alone is a maze of the model's size; of a drawing, walls make the square.
    if !text.contains('\n') && drawing.square_shape() != shape {
        let (expected, found) = (shape.cells(), drawing.cells().len());
        return Err(EvaluationError::Cells { expected, found }.to_string());
    }
    let maze = Maze::from_cells(shape, drawing.walled_in(shape)).map_err(|error| error.to_string())?;
    let Some(answer) = answer else { return Ok((maze, None)) };
    let label = MazeDrawing::parse(answer).map_err(|error: MazeError| format!("the answer is none: {error}"))?;
    let label: Vec<i32> = label.cells().iter().copied().map(Cell::token).collect();
    maze.check_path(&label).map_err(|flaw| format!("the answer is none: {flaw}"))?;
    Ok((maze, Some(label)))
}
