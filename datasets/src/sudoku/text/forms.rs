//! The forms in which cells are written: one character each around which anything may be drawn, numbers, fields of which
//! some are empty, columns of characters with blanks. Each form is read on its own; [`super`] compares what they give.

use super::super::{SudokuError, SudokuShape};
use super::lines::{Line, is_bar, is_decoration, is_ruler};

/// A cell as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Blank,
    /// A zero that is not known to be a blank.
    Zero,
    /// A digit from 1.
    Digit(u8),
}

/// Rows of cells, as many in each as its line has.
pub(super) type Rows = Vec<Vec<Cell>>;

/// Characters that stand for blanks on one board or another.
pub(super) const BLANKS: [char; 8] = ['.', '0', '_', '*', '-', 'X', 'x', '?'];

/// The digit of a character; `None` for what is none, zero included.
pub(super) fn digit(character: char) -> Option<u8> {
    match character {
        '1'..='9' => Some(character as u8 - b'0'),
        'A'..='G' => Some(character as u8 - b'A' + 10),
        'a'..='g' => Some(character as u8 - b'a' + 10),
        _ => None,
    }
}

/// One character per cell, blanks written as `blank`; `None` where there are none, and zeros are zeros.
///
/// # Errors
/// When a character is not a cell and none that is drawn around cells.
pub(super) fn characters(lines: &[Line<'_>], blank: Option<char>) -> Result<Rows, SudokuError> {
    let is_blank = |character: char| blank.is_some_and(|blank| blank.eq_ignore_ascii_case(&character));
    let mut rows = Vec::new();
    let mut count = 0;
    for line in lines.iter().filter(|line| !is_ruler(line.text, blank)) {
        let mut row = Vec::new();
        for (column, character) in line.text.chars().enumerate() {
            let cell = match (digit(character), character) {
                _ if is_blank(character) => Cell::Blank,
                (Some(value), _) => Cell::Digit(value),
                (None, '0') => Cell::Zero,
                _ if is_decoration(character) => continue,
                _ => {
                    return Err(match blank {
                        Some(blank) if BLANKS.contains(&character) => {
                            SudokuError::Blanks { one: blank, other: character }
                        }
                        _ => SudokuError::Character { character, line: line.number, column: column + 1 },
                    });
                }
            };
            count += 1;
            row.push(cell);
        }
        if !row.is_empty() {
            rows.push(row);
        }
        if count > MOST_CELLS {
            break;
        }
    }
    Ok(without_rulers_of_blanks(rows))
}

/// Cells after which counting stops: the candidates of a 9×9 board, each in a place of its own, are recognised.
pub(super) const MOST_CELLS: usize = 729;

/// Leaves out rows of blanks alone that are longer or shorter than all others: rulers drawn with the blanks' character.
fn without_rulers_of_blanks(rows: Rows) -> Rows {
    let is_ruler = |row: &Vec<Cell>, size: usize| row.len() != size && row.iter().all(|&cell| cell == Cell::Blank);
    let size = rows.iter().find(|row| row.iter().any(|&cell| cell != Cell::Blank)).map_or(0, Vec::len);
    let kept: Rows = rows.iter().filter(|row| !is_ruler(row, size)).cloned().collect();
    if size > 0 && kept.len() == size && kept.iter().all(|row| row.len() == size) { kept } else { rows }
}

/// The parts of lines between white space and whatever is drawn.
pub(super) fn tokens<'a>(lines: &[Line<'a>]) -> Vec<Vec<&'a str>> {
    let between = |character: char| {
        character.is_whitespace()
            || is_bar(character)
            || matches!(character, ',' | ';' | '[' | ']' | '"' | '\'' | '(' | ')')
    };
    let rows = lines.iter().filter(|line| !is_ruler(line.text, None));
    let rows = rows.map(|line| line.text.split(between).filter(|token| !token.is_empty()).collect::<Vec<_>>());
    rows.filter(|row| !row.is_empty()).collect()
}

/// Numbers up to 16 between separators, at least one of them above 9; blanks are zeros or a character of their own.
pub(super) fn numbers(tokens: &[Vec<&str>]) -> Option<Rows> {
    let size = SudokuShape::SIXTEEN.size();
    let count: usize = tokens.iter().map(Vec::len).sum();
    let has_two_digits = tokens.iter().flatten().any(|token| token.len() == 2);
    if count != SudokuShape::SIXTEEN.cells() || !has_two_digits {
        return None;
    }
    let cell = |token: &&str| match token.parse::<u8>() {
        Ok(0) => Some(Cell::Zero),
        Ok(value) => (usize::from(value) <= size).then_some(Cell::Digit(value)),
        Err(_) => (token.len() == 1 && token.starts_with(BLANKS)).then_some(Cell::Blank),
    };
    tokens.iter().map(|row| row.iter().map(cell).collect()).collect()
}

/// Whether cells hold several candidates each: as many tokens as cells, some of several digits.
pub(super) fn has_candidates(tokens: &[Vec<&str>]) -> bool {
    let is_size = |size: usize| tokens.len() == size && tokens.iter().all(|row| row.len() == size);
    let all = || tokens.iter().flatten();
    let has_digits = all().all(|token| token.bytes().all(|byte| byte.is_ascii_alphanumeric()) && token.len() <= 16);
    SudokuShape::ALL.iter().any(|shape| is_size(shape.size())) && has_digits && all().any(|token| token.len() > 1)
}

/// Fields between commas, semicolons or tabs, some of them empty: those are the blanks.
pub(super) fn fields(lines: &[Line<'_>]) -> Option<Rows> {
    let separator =
        [',', '\t', ';'].into_iter().find(|&separator| lines.iter().any(|line| line.text.contains(separator)))?;
    let lines = lines.iter().filter(|line| !is_ruler(line.text, None));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.text.split(separator).map(str::trim).collect()).collect();
    let is_whole = |rows: &[Vec<&str>]| {
        let cells: usize = rows.iter().map(Vec::len).sum();
        SudokuShape::from_cells(cells).is_ok_and(|shape| rows.len() == shape.size() || rows.len() == 1)
    };
    let rows = if is_whole(&rows) {
        rows
    } else {
        // Every line may end in a separator.
        rows.into_iter()
            .map(|row| row.split_last().filter(|(last, _)| last.is_empty()).map(|(_, row)| row.to_vec()))
            .collect::<Option<_>>()?
    };
    is_whole(&rows).then(|| rows.iter().map(|row| row.iter().map(|field| field_cell(field)).collect()).collect())?
}

/// Rows of a fixed number of characters in which a blank is a blank, possibly with bars between boxes or cells.
pub(super) fn columns(lines: &[Line<'_>]) -> Option<Rows> {
    let lines: Vec<Vec<char>> =
        lines.iter().filter(|line| !is_ruler(line.text, None)).map(|line| line.text.chars().collect()).collect();
    if let [line] = &lines[..] {
        SudokuShape::from_cells(line.len()).ok()?;
        return Some(vec![line.iter().map(|&character| blank_or_digit(character)).collect::<Option<_>>()?]);
    }
    let shape = SudokuShape::from_size(lines.len()).ok()?;
    if lines.iter().flatten().any(|&character| is_bar(character)) {
        return lines.iter().map(|line| barred(line, shape)).collect();
    }
    let is_indented = |line: &Vec<char>| line.first() == Some(&' ');
    let indentation = if lines.iter().all(is_indented) {
        lines.iter().map(|line| line.iter().take_while(|&&character| character == ' ').count()).min()?
    } else {
        0
    };
    let own = |line: &[char]| spread(line, shape.size());
    let whole: Option<Rows> = lines.iter().map(|line| own(line)).collect();
    whole.or_else(|| lines.iter().map(|line| own(&line[indentation..])).collect())
}

/// A row with bars around its cells or its boxes.
fn barred(line: &[char], shape: SudokuShape) -> Option<Vec<Cell>> {
    let text: String = line.iter().collect();
    let text = text.trim();
    let text = text.strip_prefix(is_bar).unwrap_or(text);
    let text = text.strip_suffix(is_bar).unwrap_or(text);
    let parts: Vec<&str> = text.split(is_bar).collect();
    if parts.len() == shape.size() {
        return parts.iter().map(|part| field_cell(part.trim())).collect();
    }
    if parts.len() != shape.size() / shape.box_cols() {
        return None;
    }
    let boxes = parts.iter().map(|part| {
        let part: Vec<char> = part.chars().collect();
        let has_margin = part.len() == 2 * shape.box_cols() + 1 && part[0] == ' ' && part[part.len() - 1] == ' ';
        spread(if has_margin { &part[1..part.len() - 1] } else { &part }, shape.box_cols())
    });
    Some(boxes.collect::<Option<Vec<_>>>()?.concat())
}

/// As many characters as cells, or with a blank between each two.
fn spread(characters: &[char], cells: usize) -> Option<Vec<Cell>> {
    if characters.len() == cells {
        return characters.iter().map(|&character| blank_or_digit(character)).collect();
    }
    let is_spread =
        characters.len() == 2 * cells - 1 && characters.iter().skip(1).step_by(2).all(|&between| between == ' ');
    if is_spread { characters.iter().step_by(2).map(|&character| blank_or_digit(character)).collect() } else { None }
}

fn blank_or_digit(character: char) -> Option<Cell> {
    if character == ' ' { Some(Cell::Blank) } else { digit(character).map(Cell::Digit) }
}

/// An empty field is a blank, any other holds a digit or a number.
fn field_cell(field: &str) -> Option<Cell> {
    let field = field.trim_matches(['"', '\'']).trim();
    let mut characters = field.chars();
    match (characters.next(), characters.next()) {
        (None, _) => Some(Cell::Blank),
        (Some(character), None) => digit(character).map(Cell::Digit),
        _ => field.parse().ok().filter(|number| (10..=16).contains(number)).map(Cell::Digit),
    }
}
