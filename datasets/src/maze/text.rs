//! Mazes as people write them: a line per row, all cells in one line, matrices of characters or of 0 and 1.
//! Owns which characters are cells and which are margins; what could be read in two ways is refused, and no cell is read
//! that the text does not show. Leaves the ends and paths to [`super::Maze`].

use super::drawing::SPACED_COLUMNS;
use super::marks::{drawing_of, is_free_mark, is_wall_mark};
use super::matrix::{is_matrix, matrix_cells, matrix_rows};
use super::{MazeDrawing, MazeError, MazeShape};

/// Longest text: a matrix may have a quoted character, a comma and a blank per cell.
const MAX_BYTES: usize = 8 * MazeShape::MAX_SIDE * MazeShape::MAX_SIDE;
impl MazeDrawing {
    /// Reads a maze or an answer of any number of rows and columns.
    ///
    /// Walls are `#` (or a full block such as `█`), free cells blanks or dots, start and goal `S` and `G`, `s` and `e`, `E`
    /// and `X` or `A` and `B`, path cells of an answer `o`. A matrix may have `1` for walls and `0` for free cells, with `2`
    /// and `3` for the ends, and separators between its cells. Every line has the same number of cells. Empty lines before
    /// and behind the maze are not rows, common indentation is not a column. One line alone holds all cells of a
    /// square, as in the reference's lists.
    ///
    /// # Errors
    /// When a character is not a cell, the lines differ in length, or the text can be read in two ways.
    pub fn parse(text: &str) -> Result<Self, MazeError> {
        if text.len() > MAX_BYTES {
            return Err(MazeError::CellCount { found: text.chars().count() });
        }
        let text = plain(text);
        if is_matrix(&text) {
            return parse_matrix(&text);
        }
        let lines: Vec<Line> = text.split('\n').enumerate().map(Line::new).collect();
        let Some((first, last)) = Line::visible_range(&lines) else {
            return Err(MazeError::CellCount { found: lines.iter().map(|line| line.cells.len()).max().unwrap_or(0) });
        };
        let (before, rest) = lines.split_at(first);
        let (rows, behind) = rest.split_at(last + 1 - first);
        let margins = before.iter().chain(behind).filter(|line| !line.cells.is_empty());
        let (rows, margins) = if let [row] = rows {
            (vec![row.clone()], margins.cloned().collect())
        } else {
            let indentation = Line::common_indentation(rows);
            let unindent = |line: &Line| line.unindented(indentation);
            (rows.iter().map(unindent).collect(), margins.map(unindent).collect::<Vec<_>>())
        };
        let rows = without_right_margin(rows)?;
        // Where free cells are dots, blanks are none.
        if !rows.iter().any(Line::has_free_mark) {
            check_margins(&margins, first, &rows)?;
        }
        if let [row] = &rows[..] {
            let side = MazeShape::from_cells(row.cells.len())?.side();
            return drawing_of(side, &row.cells);
        }
        Self::of_rows(&rows)
    }

    /// Reads a maze from its rows, each of which has all of its cells; forms and errors are those of
    /// [`parse`](Self::parse).
    ///
    /// # Errors
    /// As `parse`.
    pub fn from_lines<L: AsRef<str>>(lines: &[L]) -> Result<Self, MazeError> {
        check_rows(lines.len())?;
        let mut rows = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let text = line.as_ref();
            if text.len() > MAX_BYTES / MazeShape::MAX_SIDE {
                return Err(MazeError::Size { rows: lines.len(), columns: text.chars().count() });
            }
            let text = plain(text);
            let cells = if is_matrix(&text) { matrix_cells(&text, index)? } else { text.chars().collect() };
            rows.push(Line { number: index + 1, cells });
        }
        Self::of_rows(&rows)
    }

    /// Reads a matrix of characters.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_matrix(rows: Vec<Vec<char>>) -> Result<Self, MazeError> {
        check_rows(rows.len())?;
        let lines = (1..).zip(rows).map(|(number, cells)| Line { number, cells });
        let rows: Vec<Line> = lines.collect();
        let columns = equal_length(&rows)?;
        drawing_of(columns, &rows.into_iter().flat_map(|row| row.cells).collect::<Vec<_>>())
    }

    fn of_rows(rows: &[Line]) -> Result<Self, MazeError> {
        check_rows(rows.len())?;
        let columns = equal_length(rows)?;
        if columns == 0 {
            return Err(MazeError::Size { rows: rows.len(), columns });
        }
        let cells: Vec<char> = rows.iter().flat_map(|row| row.cells.iter().copied()).collect();
        match spacing(&cells, columns) {
            Spacing::None => drawing_of(columns, &cells),
            Spacing::Separators => {
                let kept = cells.chunks(columns).flat_map(|row| row.iter().copied().step_by(2));
                drawing_of(columns.div_ceil(2), &kept.collect::<Vec<_>>())
            }
            Spacing::Unclear => Err(MazeError::Ambiguous {
                found: "every second column holds blanks only".to_owned(),
                readings: "the blanks may be free cells or stand between cells: write free cells as '.', and cells without \
                           blanks between them",
            }),
        }
    }
}

/// A line of text as characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// From 1.
    number: usize,
    cells: Vec<char>,
}

impl Line {
    fn new((index, text): (usize, &str)) -> Self {
        Self { number: index + 1, cells: text.chars().collect() }
    }

    fn is_visible(&self) -> bool {
        self.cells.iter().any(|character| !character.is_whitespace())
    }

    /// First and last line with a visible character.
    fn visible_range(lines: &[Self]) -> Option<(usize, usize)> {
        Some((lines.iter().position(Self::is_visible)?, lines.iter().rposition(Self::is_visible)?))
    }

    /// Characters of white space that all visible lines begin with.
    fn common_indentation(lines: &[Self]) -> usize {
        let mut visible = lines.iter().filter(|line| line.is_visible());
        let Some(first) = visible.next() else { return 0 };
        let own = first.cells.iter().take_while(|character| character.is_whitespace()).count();
        visible.fold(own, |common, line| {
            first.cells[..common].iter().zip(&line.cells).take_while(|(one, other)| one == other).count()
        })
    }

    fn unindented(&self, indentation: usize) -> Self {
        Self { number: self.number, cells: self.cells.iter().skip(indentation).copied().collect() }
    }

    /// Characters up to the last visible one.
    fn visible_length(&self) -> usize {
        self.cells.iter().rposition(|character| !character.is_whitespace()).map_or(0, |last| last + 1)
    }

    /// Whether a free cell is written as a visible character.
    fn has_free_mark(&self) -> bool {
        self.cells.iter().copied().any(is_free_mark)
    }

    fn is_wall(&self) -> bool {
        self.cells.iter().all(|character| is_wall_mark(*character))
    }
}

/// How the blanks within lines are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// As free cells, or there are none.
    None,
    /// As separators of cells.
    Separators,
    /// Both is possible.
    Unclear,
}

/// The text without a byte-order mark, with `\n` at the ends of lines and plain blanks.
fn plain(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\u{a0}', " ")
}

fn check_rows(rows: usize) -> Result<(), MazeError> {
    if (1..=MazeShape::MAX_SIDE).contains(&rows) { Ok(()) } else { Err(MazeError::Size { rows, columns: 0 }) }
}

/// The number of cells that all rows have.
fn equal_length(rows: &[Line]) -> Result<usize, MazeError> {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    match rows.iter().find(|row| row.cells.len() != columns) {
        None => Ok(columns),
        Some(row) => Err(MazeError::Ragged { line: row.number, found: row.cells.len(), columns }),
    }
}

/// Rows without the blanks behind the last column that shows anything, where leaving them out changes no path.
fn without_right_margin(mut rows: Vec<Line>) -> Result<Vec<Line>, MazeError> {
    if rows.len() < 2 {
        return Ok(rows);
    }
    let visible = rows.iter().map(Line::visible_length).max().unwrap_or(0);
    let is_even = rows.iter().all(|row| row.cells.len() == rows[0].cells.len());
    let has_margin = rows.iter().all(|row| row.cells.len() > visible);
    let is_closed = rows.iter().all(|row| row.cells.get(visible - 1).is_some_and(|&last| is_wall_mark(last)));
    if is_even && has_margin && !is_closed && !rows.iter().any(Line::has_free_mark) {
        return Err(MazeError::Ambiguous {
            found: "every line ends in blanks".to_owned(),
            readings: "they may be columns of free cells or no part of the maze: write free cells as '.', or leave the \
                       blanks out",
        });
    }
    for row in &mut rows {
        row.cells.truncate(visible);
    }
    Ok(rows)
}

/// Lines of blanks before and behind the maze are not rows; where they could be, and would open a way, that is said.
fn check_margins(margins: &[Line], before: usize, rows: &[Line]) -> Result<(), MazeError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    let could_be_row = |line: &&Line| {
        let beside = if line.number <= before { first } else { last };
        line.cells.len() == beside.cells.len() && !beside.is_wall()
    };
    match margins.iter().find(could_be_row) {
        None => Ok(()),
        Some(line) => Err(MazeError::Ambiguous {
            found: format!("line {} holds {} blanks and nothing else", line.number, line.cells.len()),
            readings: "it may be a row of free cells or no part of the maze: write free cells as '.', or leave the line out",
        }),
    }
}

/// Dots are free cells wherever they stand, so that blanks beside them can only be separators.
fn spacing(cells: &[char], columns: usize) -> Spacing {
    let is_blank = |place: usize| cells[place] == ' ';
    let is_between = |place: usize| place % columns % 2 == 1;
    if columns.is_multiple_of(2) || columns < 3 || !(0..cells.len()).filter(|&place| is_between(place)).all(is_blank) {
        return Spacing::None;
    }
    let has_other_blanks = (0..cells.len()).any(|place| !is_between(place) && is_blank(place));
    let has_marks = cells.iter().copied().any(is_free_mark);
    match (has_marks, has_other_blanks) {
        (true, false) => Spacing::Separators,
        (false, _) if columns >= SPACED_COLUMNS => Spacing::Unclear,
        _ => Spacing::None,
    }
}

/// A matrix whose rows end at line breaks and closing brackets.
fn parse_matrix(text: &str) -> Result<MazeDrawing, MazeError> {
    let rows: Vec<Line> = matrix_rows(text)?.into_iter().map(|(number, cells)| Line { number, cells }).collect();
    check_rows(rows.len())?;
    let columns = equal_length(&rows)?;
    let cells: Vec<char> = rows.into_iter().flat_map(|row| row.cells).collect();
    let columns = if cells.len() == columns { MazeShape::from_cells(columns)?.side() } else { columns };
    drawing_of(columns, &cells)
}
