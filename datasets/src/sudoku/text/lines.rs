//! The lines of a Sudoku's text: which of them are comments, headers or rulers, and what is drawn around cells.
//! Leaves the cells to [`super::forms`].

use super::super::SudokuError;

/// A line with something on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// The text without a byte-order mark, with `\n` at the ends of lines and plain blanks.
pub(super) fn plain(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\u{a0}', " ")
}

/// The lines of a board, without comments, headers and other sections than the puzzle's.
///
/// # Errors
/// When there are sections, and none of them is the puzzle's.
pub(super) fn content(text: &str) -> Result<Vec<Line<'_>>, SudokuError> {
    let lines = || (1..).zip(text.split('\n')).map(|(number, text)| Line { number, text });
    let sections: Vec<&str> = lines().filter_map(|line| section(line.text)).collect();
    let is_puzzle = |name: &str| name.eq_ignore_ascii_case("puzzle");
    if !sections.is_empty() && !sections.iter().any(|name| is_puzzle(name)) {
        return Err(SudokuError::Ambiguous {
            found: format!("the text has the section [{}] and no section [Puzzle]", sections[0]),
            readings:
                "it may hold givens or an unfinished solution: name the givens' section [Puzzle], or leave its name out"
                    .to_owned(),
        });
    }
    let mut is_inside = sections.is_empty();
    let mut found = Vec::new();
    for line in lines() {
        if let Some(name) = section(line.text) {
            is_inside = is_puzzle(name);
        } else if is_inside && !line.text.is_empty() && !is_comment(line.text) && !is_header(line.text) {
            found.push(line);
        }
    }
    Ok(found)
}

/// The name of a section, as in `[Puzzle]`.
fn section(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    (name.len() > 1 && name.chars().all(|character| character.is_ascii_alphabetic())).then_some(name)
}

/// Whether a line says something about a puzzle and is none.
pub(super) fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    // Semicolons also stand between cells, of which the first may be empty.
    let is_note = |rest: &str| rest.trim_start().starts_with(|character: char| character.is_ascii_alphabetic());
    line.starts_with('#') || line.starts_with("//") || line.strip_prefix(';').is_some_and(is_note)
}

/// Whether a line begins with a word that is not a row of cells, such as `Grid 01` or `quizzes,solutions`.
pub(super) fn is_header(line: &str) -> bool {
    let word = line.trim().split([' ', '\t', ',', ';', ':']).next().unwrap_or_default();
    let is_cell = |character: char| matches!(character, 'a'..='g' | 'A'..='G' | 'x' | 'X');
    word.len() > 1 && word.chars().all(|character| character.is_ascii_alphabetic()) && !word.chars().all(is_cell)
}

/// Whether a line is drawn between rows, on a board whose blanks are written as `blank`.
pub(super) fn is_ruler(line: &str, blank: Option<char>) -> bool {
    let is_drawn = |character: char| {
        is_stroke(character) || is_bar(character) || character.is_whitespace() || matches!(character, '.' | '\'' | '`')
    };
    let is_other_stroke = |character: char| is_stroke(character) && Some(character) != blank;
    if !line.chars().all(is_drawn) || !line.chars().any(is_other_stroke) {
        return false;
    }
    let has_blanks = blank.is_some_and(|blank| line.contains(blank));
    let characters: Vec<char> = line.chars().collect();
    let has_run = characters.windows(2).any(|pair| pair[0] == pair[1] && is_other_stroke(pair[0]));
    !has_blanks || has_run || line.contains('+')
}

/// Whether a character is drawn in horizontal lines and at corners.
fn is_stroke(character: char) -> bool {
    matches!(character, '-' | '=' | '+' | '*' | '_' | '~' | '–' | '—')
        || (('\u{2500}'..='\u{257f}').contains(&character) && !is_bar(character))
}

/// Whether a character is drawn between columns.
pub(super) fn is_bar(character: char) -> bool {
    matches!(character, '|' | '!' | ':' | '¦' | '│' | '┃' | '║' | '┆' | '┊')
}

/// Whether a character stands around cells and is none, on a board whose blanks are written otherwise.
pub(super) fn is_decoration(character: char) -> bool {
    is_stroke(character)
        || is_bar(character)
        || character.is_whitespace()
        || matches!(character, ',' | ';' | '[' | ']' | '(' | ')' | '{' | '}' | '"' | '\'')
}
