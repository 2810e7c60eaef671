//! Lists of puzzles, a line each, with whatever else their authors note beside a puzzle: ids, ratings, solutions.
//! Owns which field of a line is the puzzle and which its solution; leaves cells to [`super`].

use super::super::{Board, SudokuError, SudokuShape};
use super::lines::{is_comment, is_header, plain};
use super::{Notation, WrittenBoard, read};

/// Longest line that is looked at.
const MAX_LINE_BYTES: usize = 1 << 13;

/// A puzzle of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPuzzle {
    /// The puzzle.
    pub puzzle: Board,
    /// The solution that stands beside it, which was checked.
    pub solution: Option<Board>,
    /// How the puzzle's digits are written.
    pub notation: Notation,
}

impl ListedPuzzle {
    /// Reads a line of a list, or a board in any other form. Whatever follows a `#` is a comment; fields end at commas,
    /// semicolons, colons, bars, tabs and blanks. The field that is a board (of the expected shape, where one is expected)
    /// is the puzzle; where two are, one of them has to be the solution of the other.
    ///
    /// # Errors
    /// When no field is a board, or two are and neither solves the other.
    pub fn parse(text: &str, expected: Option<SudokuShape>) -> Result<Self, SudokuError> {
        let is_line = |text: &str| !text.trim_end_matches(['\n', '\r']).contains(['\n', '\r']);
        let own = if is_line(text) && !is_comment(text) { text.split('#').next().unwrap_or_default() } else { text };
        let whole = read(own, expected);
        match whole {
            Ok(WrittenBoard { board, notation }) => {
                check_shape(&board, expected)?;
                Ok(Self { puzzle: board, solution: None, notation })
            }
            Err(error) if is_line(own) && own.len() <= MAX_LINE_BYTES => from_fields(own, expected, error),
            Err(error) => Err(error),
        }
    }
}

/// Reads a text of several lines with a puzzle each, up to one more than `limit`; `None` where it is not such a list.
///
/// # Errors
/// When the first lines are puzzles and another is none.
pub fn read_list(text: &str, limit: usize) -> Option<Result<Vec<ListedPuzzle>, SudokuError>> {
    let text = plain(text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !is_comment(line)).collect();
    let lines = if lines.first().is_some_and(|line| is_header(line)) { &lines[1..] } else { &lines[..] };
    let [first, second, ..] = lines else { return None };
    let shape = ListedPuzzle::parse(first, None).ok()?.puzzle.shape();
    ListedPuzzle::parse(second, Some(shape)).ok()?;
    if let Err(error @ SudokuError::Ambiguous { .. }) = read(&text, None)
        && shape == SudokuShape::FOUR
    {
        // Sixteen lines may also be the rows of one board.
        return Some(Err(error));
    }
    Some(lines.iter().take(limit.saturating_add(1)).map(|line| ListedPuzzle::parse(line, Some(shape))).collect())
}

/// Whether a line names the fields of a list or the puzzle that follows, as `quizzes,solutions` and `Grid 01` do.
pub fn is_list_header(line: &str) -> bool {
    is_header(line.strip_prefix('\u{feff}').unwrap_or(line))
}

fn from_fields(line: &str, expected: Option<SudokuShape>, error: SudokuError) -> Result<ListedPuzzle, SudokuError> {
    let line = plain(line);
    let fields = || line.split([',', ';', ':', '|', '\t', ' ', '\n', '"']).filter(|field| !field.is_empty());
    let is_board = |field: &&str| SudokuShape::ALL.iter().any(|shape| shape.cells() == field.chars().count());
    let boards = fields().filter(is_board).filter_map(|field| read(field, expected).ok());
    let mut boards: Vec<WrittenBoard> = boards.collect();
    // An id of sixteen digits stands beside a puzzle of more cells.
    let shape =
        expected.or_else(|| boards.iter().map(|written| written.board.shape()).max_by_key(|shape| shape.cells()));
    boards.retain(|written| Some(written.board.shape()) == shape);
    let mut boards = boards.into_iter();
    match (boards.next(), boards.next(), boards.next()) {
        (Some(only), None, _) => Ok(ListedPuzzle { puzzle: only.board, solution: None, notation: only.notation }),
        (Some(one), Some(other), None) => pair(one, other),
        (Some(_), Some(_), Some(_)) => Err(SudokuError::Ambiguous {
            found: "the line holds three boards or more".to_owned(),
            readings: "each may be the puzzle: write one puzzle a line, with its solution behind it where there is one"
                .to_owned(),
        }),
        // What is wrong with the longest field says more than that the line is not a board.
        _ => {
            let longest = fields().max_by_key(|field| field.len()).filter(|_| fields().count() > 1);
            let why = longest.and_then(|field| read(field, expected).err());
            Err(why.unwrap_or(error))
        }
    }
}

/// A puzzle and its solution, in whichever order.
fn pair(one: WrittenBoard, other: WrittenBoard) -> Result<ListedPuzzle, SudokuError> {
    let (puzzle, solution) =
        if one.board.is_complete() && !other.board.is_complete() { (other, one) } else { (one, other) };
    if !solution.board.is_complete() {
        return Err(SudokuError::Ambiguous {
            found: "the line holds two boards with blanks".to_owned(),
            readings: "each may be the puzzle: write one puzzle a line".to_owned(),
        });
    }
    if !solution.board.is_solution_of(&puzzle.board) {
        return Err(SudokuError::WrongSolution);
    }
    Ok(ListedPuzzle { puzzle: puzzle.board, solution: Some(solution.board), notation: puzzle.notation })
}

fn check_shape(board: &Board, expected: Option<SudokuShape>) -> Result<(), SudokuError> {
    match expected {
        Some(shape) if shape != board.shape() => {
            Err(SudokuError::WrongShape { expected: shape.size(), found: board.shape().size() })
        }
        _ => Ok(()),
    }
}
