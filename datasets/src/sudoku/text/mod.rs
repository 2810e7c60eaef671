//! Sudoku boards as people write and exchange them, read in one place for the server, the evaluation, the builders and the
//! command line. Owns which readings of a text there are and refuses what has two; leaves lists of puzzles to [`listing`].

mod forms;
mod lines;
mod listing;

use self::forms::{BLANKS, Cell, MOST_CELLS, Rows, characters, columns, fields, has_candidates, numbers, tokens};
use self::lines::{Line, content, is_ruler, plain};
pub use self::listing::{ListedPuzzle, is_list_header, read_list};
use super::{Board, SudokuError, SudokuShape};

/// Longest text of one board: a drawing of a 16×16 board has a tenth of it.
const MAX_BYTES: usize = 1 << 16;

/// How the digits of a board are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Notation {
    /// `1` to `9`, then `A` to `G`.
    #[default]
    FromOne,
    /// `0` to `9`, then `A` to `F`, as on 16×16 boards.
    FromZero,
}

/// A board and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBoard {
    /// The board.
    pub board: Board,
    /// Its digits' notation.
    pub notation: Notation,
}

impl WrittenBoard {
    /// Reads a board: one character per cell, row by row, in one line or one per row.
    ///
    /// Digits are `1` to `9`, then `A` to `G` (on 16×16 boards also `0` to `9` and `A` to `F`, or numbers up to 16 between
    /// separators). Blanks are `.`, `0`, `_`, `*`, `-`, `X` or `?`, the same one all over the board; or empty fields between
    /// commas or tabs; or spaces in rows of equal length. Borders, rulers, separators, comments (`#`), headers and a
    /// byte-order mark are passed over; of sections such as `[State]`, `[Puzzle]` is read.
    ///
    /// # Errors
    /// When a character is not a cell, the number of cells fits no board, or the text can be read in two ways.
    pub fn parse(text: &str) -> Result<Self, SudokuError> {
        read(text, None)
    }
}

impl Board {
    /// Reads a board of any supported size; [`WrittenBoard::parse`] says in which forms.
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str) -> Result<Self, SudokuError> {
        Ok(read(text, None)?.board)
    }

    /// [`parse`](Self::parse) that insists on one size.
    ///
    /// # Errors
    /// As `parse`, and when the board has another shape.
    pub fn parse_shape(shape: SudokuShape, text: &str) -> Result<Self, SudokuError> {
        let board = read(text, Some(shape))?.board;
        if board.shape() == shape {
            Ok(board)
        } else {
            Err(SudokuError::WrongShape { expected: shape.size(), found: board.shape().size() })
        }
    }

    /// The board in one line, in `notation`; of a board that has more digits than it, as [`Notation::FromOne`].
    pub fn to_text(&self, notation: Notation) -> String {
        let is_sixteen = self.shape() == SudokuShape::SIXTEEN;
        match notation {
            Notation::FromZero if is_sixteen => {
                let character = |&value: &u8| match value {
                    0 => '.',
                    1..=10 => char::from(b'0' + value - 1),
                    _ => char::from(b'A' + value - 11),
                };
                self.cells().iter().map(character).collect()
            }
            _ => self.to_string(),
        }
    }
}

/// Reads a board of the expected shape, where one is expected: it decides where the text leaves open what the shape is.
fn read(text: &str, expected: Option<SudokuShape>) -> Result<WrittenBoard, SudokuError> {
    if let Some(board) = compact(text) {
        return Ok(WrittenBoard { board, notation: Notation::FromOne });
    }
    if text.len() > MAX_BYTES {
        return Err(SudokuError::CellCount { found: SudokuShape::SIXTEEN.cells() + 1 });
    }
    let text = plain(text);
    let lines = content(&text)?;
    let visible: Vec<Line<'_>> = lines.iter().copied().filter(|line| !line.text.trim().is_empty()).collect();
    let tokens = tokens(&visible);
    let numbers = numbers(&tokens);
    if numbers.is_none() && has_candidates(&tokens) {
        return Err(SudokuError::Candidates);
    }
    let mut readings = Readings { expected, ..Readings::default() };
    if let Some(rows) = numbers {
        readings.add_zeros_both_ways("numbers", &rows);
        return readings.only();
    }
    let blanks: Vec<char> = BLANKS.into_iter().filter(|&blank| blank != 'x' && has_blank(&visible, blank)).collect();
    for &blank in &blanks {
        readings.add(&format!("{blank:?} as a blank"), characters(&visible, Some(blank)));
    }
    readings.add("no blanks", characters(&visible, None));
    // Blanks that show nothing count where nothing else stands for a blank.
    if !blanks.iter().any(|blank| !matches!(blank, '-' | '*' | '_')) && !readings.is_found() {
        for rows in [fields(&visible), columns(&lines)].into_iter().flatten() {
            readings.add("empty places as blanks", Ok(rows));
        }
    }
    check_list_of_fours(&visible, &readings)?;
    readings.only()
}

/// One line of a character per cell, as lists have by the million.
fn compact(text: &str) -> Option<Board> {
    let shape = SudokuShape::ALL[..3].iter().copied().find(|shape| shape.cells() == text.len())?;
    let (mut has_dots, mut has_zeros) = (false, false);
    let mut cells = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        has_dots |= byte == b'.';
        has_zeros |= byte == b'0';
        cells.push(match byte {
            b'.' => 0,
            b'0'..=b'9' => byte - b'0',
            _ => return None,
        });
    }
    if has_dots && has_zeros { None } else { Board::from_cells(shape, cells).ok() }
}

/// Whether a character stands anywhere but in rulers.
fn has_blank(lines: &[Line<'_>], blank: char) -> bool {
    let has = |line: &&Line<'_>| line.text.contains(blank) || (blank == 'X' && line.text.contains('x'));
    lines.iter().filter(has).any(|line| !is_ruler(line.text, Some(blank)))
}

/// Sixteen lines of sixteen cells may be a board each.
fn check_list_of_fours(lines: &[Line<'_>], readings: &Readings) -> Result<(), SudokuError> {
    let size = SudokuShape::SIXTEEN.size();
    let is_list =
        || lines.len() == size && lines.iter().all(|line| Board::parse_shape(SudokuShape::FOUR, line.text).is_ok());
    let is_open =
        readings.expected.is_none() && readings.found.iter().any(|found| found.0.board.shape().size() == size);
    if !is_open || !is_list() {
        return Ok(());
    }
    Err(SudokuError::Ambiguous {
        found: "there are 16 lines of 16 cells, and no digit above 4".to_owned(),
        readings:
            "they may be one 16x16 board or sixteen 4x4 boards: write the 16x16 board in one line, or send the boards \
                   one by one"
                .to_owned(),
    })
}

/// The boards that a text may show.
#[derive(Debug, Default)]
struct Readings {
    expected: Option<SudokuShape>,
    /// Different boards, each with what it was taken for.
    found: Vec<(WrittenBoard, String)>,
    /// Why the first other reading gives no board.
    error: Option<SudokuError>,
}

impl Readings {
    fn is_found(&self) -> bool {
        !self.found.is_empty()
    }

    fn add(&mut self, what: &str, rows: Result<Rows, SudokuError>) {
        match rows.and_then(|rows| board_of(&rows)) {
            Ok(written) if self.found.iter().any(|(known, _)| *known == written) => {}
            Ok(written) => self.found.push((written, what.to_owned())),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Zeros as blanks, and as digits.
    fn add_zeros_both_ways(&mut self, what: &str, rows: &Rows) {
        let as_blanks = |row: &Vec<Cell>| {
            row.iter().map(|&cell| if cell == Cell::Zero { Cell::Blank } else { cell }).collect::<Vec<_>>()
        };
        let has = |wanted: Cell| rows.iter().flatten().any(|&cell| cell == wanted);
        if has(Cell::Zero) && !has(Cell::Blank) {
            self.add(&format!("{what}, 0 as a blank"), Ok(rows.iter().map(as_blanks).collect()));
        }
        self.add(&format!("{what}, 0 as a digit"), Ok(rows.clone()));
    }

    fn only(mut self) -> Result<WrittenBoard, SudokuError> {
        match (self.found.len(), self.found.pop()) {
            (1, Some((written, _))) => Ok(written),
            (_, Some((_, last))) => {
                let others: Vec<String> = self.found.into_iter().map(|(_, what)| what).chain([last]).collect();
                Err(SudokuError::Ambiguous {
                    found: "the text shows different boards".to_owned(),
                    readings: format!(
                        "it was read with {}: write one character per cell in one line, blanks as '.'",
                        others.join(" and with ")
                    ),
                })
            }
            (_, None) => Err(self.error.unwrap_or(SudokuError::CellCount { found: 0 })),
        }
    }
}

/// The board of rows that are as long as its side, or lines of equal length that are put together.
fn board_of(rows: &Rows) -> Result<WrittenBoard, SudokuError> {
    let count: usize = rows.iter().map(Vec::len).sum();
    if count == MOST_CELLS {
        return Err(SudokuError::Candidates);
    }
    let rows_of_board = SudokuShape::from_size(rows.len()).ok();
    if let (Some(shape), Some(row)) = (rows_of_board, rows.iter().position(|row| row.len() != rows[0].len())) {
        let size = shape.size();
        let row = rows.iter().position(|row| row.len() != size).unwrap_or(row);
        return Err(SudokuError::RowLength { row: row + 1, found: rows[row].len(), size });
    }
    let shape = SudokuShape::from_cells(count.min(SudokuShape::SIXTEEN.cells() + 1))?;
    if let Some(row) = rows.iter().position(|row| row.len() != rows[0].len()) {
        return Err(SudokuError::Lines { line: row + 1, found: rows[row].len(), first: rows[0].len() });
    }
    let cells: Vec<Cell> = rows.concat();
    let has = |wanted: &dyn Fn(Cell) -> bool| cells.iter().any(|&cell| wanted(cell));
    let highest = shape.size() as u8;
    let has_zeros = has(&|cell| cell == Cell::Zero);
    let is_from_zero = has_zeros && shape == SudokuShape::SIXTEEN && !has(&|cell| cell == Cell::Digit(highest));
    if has_zeros && !is_from_zero {
        return Err(SudokuError::Zero { size: shape.size() });
    }
    let value = |&cell: &Cell| match cell {
        Cell::Blank => 0,
        Cell::Zero => 1,
        Cell::Digit(value) => value + u8::from(is_from_zero),
    };
    let board = Board::from_cells(shape, cells.iter().map(value).collect())?;
    if is_from_zero && board.is_complete() && !board.is_valid() {
        // Zeros that stand twice in a row are blanks.
        return Err(SudokuError::Zero { size: shape.size() });
    }
    Ok(WrittenBoard { board, notation: if is_from_zero { Notation::FromZero } else { Notation::FromOne } })
}
