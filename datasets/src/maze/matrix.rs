//! Matrices of characters as programs print them, with commas, quotes, brackets or blanks between cells.
//! Owns where a cell begins and ends; leaves what it stands for to [`super::marks`].

use super::marks::has_marks;
use super::{MazeError, MazeShape};

/// Whether the text is written as a matrix, in which blanks are not cells.
pub(super) fn is_matrix(text: &str) -> bool {
    text.contains([',', ';', '[']) || (text.contains(['0', '1']) && !has_marks(text.chars()))
}

/// The rows of a matrix with their lines, from 1; they end at line breaks and closing brackets.
pub(super) fn matrix_rows(text: &str) -> Result<Vec<(usize, Vec<char>)>, MazeError> {
    let mut rows = Vec::new();
    for (index, text) in text.split('\n').enumerate() {
        let has_brackets = text.contains(']');
        for (part_index, part) in text.split(']').enumerate() {
            // The comma behind a row's bracket stands between rows.
            let part = if part_index == 0 { part } else { part.trim_start_matches([',', ' ']) };
            let cells = matrix_cells(part, rows.len())?;
            // An empty line within the matrix fails the length check below.
            if !cells.is_empty() || (!has_brackets && !rows.is_empty()) {
                rows.push((index + 1, cells));
            }
            if rows.len() > 2 * MazeShape::MAX_SIDE {
                return Err(MazeError::Size { rows: rows.len(), columns: 0 });
            }
        }
    }
    let last = rows.iter().rposition(|(_, cells)| !cells.is_empty()).map_or(0, |last| last + 1);
    rows.truncate(last);
    Ok(rows)
}

/// The characters of a row between separators; quoted ones may be blanks.
pub(super) fn matrix_cells(text: &str, row: usize) -> Result<Vec<char>, MazeError> {
    let mut cells = Vec::new();
    let (mut has_separators, mut is_quoted) = (false, false);
    let (mut is_field_empty, mut longest, mut field_start) = (true, 0, 0);
    let empty_field = || MazeError::Ambiguous {
        found: format!("a field of row {} is empty", row + 1),
        readings: "it may be a free cell or none: write free cells as '.'",
    };
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ',' | ';' if is_field_empty => return Err(empty_field()),
            ',' | ';' => {
                longest = longest.max(cells.len() - field_start);
                (has_separators, is_field_empty, field_start) = (true, true, cells.len());
            }
            '\'' | '"' => {
                let quoted: Vec<char> = characters.by_ref().take_while(|&inner| inner != character).collect();
                is_field_empty &= quoted.is_empty();
                is_quoted |= !quoted.is_empty();
                cells.extend(quoted);
            }
            '[' | ']' | '(' | ')' | '{' | '}' => {}
            _ if character.is_whitespace() => {}
            _ => {
                is_field_empty = false;
                cells.push(character);
            }
        }
    }
    if has_separators && !is_quoted && longest.max(cells.len() - field_start) > 1 {
        return Err(MazeError::Ambiguous {
            found: format!("a field of row {} has several characters", row + 1),
            readings: "it may be a row of its own or several cells: write a line per row without commas",
        });
    }
    // Lists of quoted rows end in a comma.
    if has_separators && is_field_empty && !is_quoted { Err(empty_field()) } else { Ok(cells) }
}
