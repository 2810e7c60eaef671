//! Bodies of requests: read within the limits, recognised by their bytes, parsed into puzzles and options.
//! Everything here but `read` is a pure function of untrusted bytes. Leaves solving to the routes, and the forms of
//! each puzzle to the modules below.

mod arrival;
mod maze;
mod sudoku;

use std::borrow::Cow;

use datasets::store::text_of;
use infer::MatcherType;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use self::arrival::PICTURES_READ;
pub(super) use self::arrival::read;
pub use self::maze::MazePuzzle;
pub use self::sudoku::SudokuPuzzle;
use super::{Problem, SolveOptions};
use engine::task::Task;

/// A body by its first bytes. JSON begins with `{`, `[` or `"`, a PNG with its signature, no puzzle in plain text does
/// either, so the content type, which `curl -d` gets wrong, need not be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// A JSON object: puzzles and options.
    Fields(Map<String, Value>),
    /// Another JSON value: a puzzle alone.
    Json(Value),
    /// Plain text: a puzzle, or one a line.
    Text(Cow<'a, str>),
    /// A PNG: a puzzle alone.
    Picture(&'a [u8]),
}

/// A board as it is sent and written back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BoardForm {
    /// One character per cell; of mazes with line breaks.
    Text(String),
    /// A string per row.
    Lines(Vec<String>),
    /// Mazes: an array of characters per row.
    Matrix(Vec<Vec<String>>),
    /// Sudoku: an array per row, 0 for blanks.
    Rows(Vec<Vec<u8>>),
    /// Sudoku: one array of all cells, 0 for blanks.
    Flat(Vec<u8>),
}

/// A board of some task as it was sent: what the one solving path needs to know of it.
///
/// `cells` are `[rows * columns]` tokens of the board as sent, which may be smaller than the model's.
pub trait Puzzle: Sized + Clone + Send + Sync + 'static {
    /// The form that error messages recommend.
    const EXPECTED: &'static str;

    /// Reads plain text or a JSON string.
    ///
    /// # Errors
    /// When it is not a board.
    fn from_text(text: &str) -> Result<Self, Problem>;

    /// Reads plain text that holds a puzzle a line; `None` where it is one puzzle.
    ///
    /// # Errors
    /// When a line of the list is not a board, or there are more than `max_puzzles`.
    fn list_from_text(_text: &str, _max_puzzles: usize) -> Result<Option<Vec<Self>>, Problem> {
        Ok(None)
    }

    /// Reads any JSON value.
    ///
    /// # Errors
    /// When it is not a board.
    fn from_json(value: &Value) -> Result<Self, Problem>;

    /// Reads `[rows * columns]` tokens of a square board, as a model's graph takes them.
    ///
    /// # Errors
    /// When they are not such a board.
    fn from_tokens(tokens: &[i64]) -> Result<Self, Problem>;

    /// Reads the bytes of a PNG.
    ///
    /// # Errors
    /// When the picture shows no board, or this task's boards are not read from pictures.
    fn from_picture(png: &[u8]) -> Result<Self, Problem>;

    /// Whether it was read from a picture, so that the sender may not know what was read.
    fn was_picture(&self) -> bool {
        false
    }

    /// Whether it can be solved as far as its rules say, before any inference.
    ///
    /// # Errors
    /// The contradiction.
    fn check(&self) -> Result<(), Problem>;

    /// What was sent, in words, such as `a 6x6 Sudoku`.
    fn describe(&self) -> String;

    /// Whether a model for `task` takes it.
    fn fits(&self, task: Task) -> bool;

    /// Columns of the board.
    fn columns(&self) -> usize;

    /// The givens as `cells`.
    fn givens(&self) -> Vec<i32>;

    /// `[seq_len]` tokens for a model whose `task` fits.
    fn model_tokens(&self, task: Task) -> Vec<i64>;

    /// The `cells` of the board that such a model has predicted; one value for whatever is not an answer.
    fn cells(&self, task: Task, predicted: &[i64]) -> Vec<i32>;

    /// `cells` in the form in which the puzzle was sent.
    fn write(&self, cells: &[i32]) -> BoardForm;

    /// `cells` as a drawing in text.
    fn drawing(&self, cells: &[i32]) -> String;

    /// The task whose pictures show the board, and `cells` as its tokens.
    fn scene(&self, cells: &[i32]) -> (Task, Vec<i32>);

    /// The board in the form that every reader takes: the page's.
    fn plain(&self) -> BoardForm;

    /// Cells between start and goal on a shortest path, where there is such a thing.
    fn path_length(&self) -> Option<usize>;

    /// Whether there is no second solution; `None` where that is not asked, or a bounded search leaves it open.
    fn is_unique(&self) -> Option<bool> {
        None
    }
}

/// A whole request for boards.
#[derive(Debug, Clone)]
pub struct SolveRequest<P> {
    /// The boards, at least one.
    pub puzzles: Vec<P>,
    /// Whether the answer is one object or a list.
    pub is_batch: bool,
    /// Everything else that was said.
    pub options: SolveOptions,
}

impl<P: Puzzle> SolveRequest<P> {
    /// Reads a body; the options of the query string hold where the body says nothing.
    ///
    /// # Errors
    /// When the body is in no form that is read, or holds more than `max_puzzles` puzzles.
    pub fn parse(body: &[u8], query: SolveOptions, max_puzzles: usize) -> Result<Self, Problem> {
        let (puzzles, is_batch, options) = match Content::of(body, P::EXPECTED)? {
            Content::Fields(mut fields) => {
                let (puzzles, is_batch) = puzzles_of(&mut fields, max_puzzles)?;
                (puzzles, is_batch, SolveOptions::from_fields(fields)?.or(query))
            }
            Content::Json(value) => (vec![P::from_json(&value)?], false, query),
            Content::Text(text) => match P::list_from_text(&text, max_puzzles)? {
                Some(puzzles) => (puzzles, true, query),
                None => (vec![P::from_text(&text)?], false, query),
            },
            Content::Picture(png) => (vec![P::from_picture(png)?], false, query),
        };
        Ok(Self { puzzles, is_batch, options })
    }
}

/// Whether a body is a PNG file, or claims to be one.
pub fn is_picture(body: &[u8]) -> bool {
    body.starts_with(PNG_SIGNATURE)
}

impl<'a> Content<'a> {
    /// Recognises a body; `expected` is the form that messages recommend.
    ///
    /// # Errors
    /// [`Problem::Malformed`] when it is empty, broken JSON or not UTF-8, [`Problem::UnsupportedMedia`] when it is a
    /// picture in another format.
    pub fn of(body: &'a [u8], expected: &str) -> Result<Self, Problem> {
        if is_picture(body) {
            return Ok(Self::Picture(body));
        }
        let text = match text_of(body) {
            Ok(text) if !text.contains('\0') => text,
            read => match (other_picture(body), read) {
                (Some(problem), _) => return Err(problem),
                (None, Ok(_)) if body.len().is_multiple_of(2) => {
                    let found = "the body holds zero bytes, as UTF-16 without a byte-order mark does; send UTF-8";
                    return Err(Problem::Malformed(found.to_owned()));
                }
                (None, read) => read.map_err(|error| Problem::Malformed(format!("the body is not UTF-8: {error}")))?,
            },
        };
        let from_json = |text: &str| {
            serde_json::from_str(text)
                .map_err(|error| Problem::Malformed(format!("the body is not a request: {error}; {expected}")))
        };
        match text.trim_start().chars().next() {
            None => Err(Problem::Malformed(format!("the body is empty; {expected}"))),
            Some('[') if !is_json_array(&text) => Ok(Self::Text(text)),
            Some('{' | '[' | '"') => Ok(match from_json(&text)? {
                Value::Object(fields) => Self::Fields(fields),
                other => Self::Json(other),
            }),
            // Blanks may be cells.
            Some(_) => Ok(Self::Text(text)),
        }
    }
}

/// Whether a text that begins with a bracket may be JSON: other programs write matrices with blanks between cells and with
/// single quotes, and files of puzzles have sections such as `[Puzzle]`.
fn is_json_array(text: &str) -> bool {
    let inner = text.trim_start().trim_start_matches(|character: char| character == '[' || character.is_whitespace());
    let name = inner.split(']').next().unwrap_or_default();
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_section = is_word && !["null", "true", "false"].contains(&name);
    let first_row = inner.split([']', '\n']).next().unwrap_or_default();
    let has_blanks_between = first_row.split_ascii_whitespace().count() > 1 && !first_row.contains([',', '"']);
    !is_section && !has_blanks_between && !inner.starts_with('\'')
}

/// The eight bytes at the beginning of every PNG file.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Refuses a picture in another format than PNG by its name. Asked only about bytes that are not text or hold a zero, so
/// that no puzzle whose letters begin like a picture is taken for one.
fn other_picture(body: &[u8]) -> Option<Problem> {
    let found = infer::get(body).filter(|found| found.matcher_type() == MatcherType::Image)?;
    Some(Problem::UnsupportedMedia(format!("the body is a picture ({}); {PICTURES_READ}", found.mime_type())))
}

/// Takes the puzzles out of a JSON object; the second value says whether they came as a list.
fn puzzles_of<P: Puzzle>(fields: &mut Map<String, Value>, max_puzzles: usize) -> Result<(Vec<P>, bool), Problem> {
    match (fields.remove("puzzle"), fields.remove("puzzles")) {
        (Some(puzzle), None) => Ok((vec![P::from_json(&puzzle)?], false)),
        (None, Some(Value::Array(puzzles))) if puzzles.is_empty() => {
            Err(Problem::Malformed("\"puzzles\" is empty; send at least one".into()))
        }
        (None, Some(Value::Array(puzzles))) if puzzles.len() > max_puzzles => {
            Err(Problem::TooManyPuzzles { found: puzzles.len(), limit: max_puzzles })
        }
        (None, Some(Value::Array(puzzles))) => {
            let numbered = puzzles.iter().enumerate();
            let puzzles = numbered.map(|(index, value)| P::from_json(value).map_err(|error| error.in_puzzle(index)));
            Ok((puzzles.collect::<Result<_, _>>()?, true))
        }
        (None, Some(_)) => Err(Problem::Malformed(format!("\"puzzles\" is not a list; {}", P::EXPECTED))),
        (Some(_), Some(_)) => Err(Problem::Malformed("send either \"puzzle\" or \"puzzles\", not both".into())),
        (None, None) => Err(Problem::Malformed(format!("\"puzzle\" is missing; {}", P::EXPECTED))),
    }
}
