//! Mazes as people write them: what is read, what is refused because it can be read in two ways, and that no cell is read
//! which the text does not show.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use datasets::maze::{Cell, MazeDrawing, MazeError};
use datasets::picture::read_maze;
use proptest::prelude::*;

/// The rows of a drawing with the reference's characters, free cells as dots.
fn rows(drawing: &MazeDrawing) -> Vec<String> {
    let character = |cell: &Cell| if *cell == Cell::Free { '.' } else { cell.character() };
    drawing.cells().chunks(drawing.columns()).map(|row| row.iter().map(character).collect()).collect()
}

fn read(text: &str) -> Vec<String> {
    rows(&MazeDrawing::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")))
}

fn refusal(text: &str) -> String {
    match MazeDrawing::parse(text) {
        Ok(drawing) => panic!("{text:?} was read as {:?}", rows(&drawing)),
        Err(error) => error.to_string(),
    }
}

fn field(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field/maze").join(name)).unwrap()
}

fn field_text(name: &str) -> String {
    String::from_utf8(field(name)).unwrap()
}

#[test]
fn lines_without_a_character_are_no_rows() {
    let separated = ["S#G", ".#.", ".#."];
    for name in ["sep_trailing_blank.txt", "sep_leading_blank.txt", "sep_trailing_crlf.txt"] {
        let drawing = MazeDrawing::parse(&field_text(name)).unwrap();
        assert_eq!(rows(&drawing), separated, "{name}");
        assert!(matches!(drawing.to_maze().unwrap().shortest_path(), Err(MazeError::Separated { .. })), "{name}");
    }
    let closed = ["#####", "#S.G#", "#####"];
    assert_eq!(read(&field_text("trailing_blank.txt")), closed);
    for (before, behind) in
        [("", "\n\n\n"), ("\r\n\r\n", ""), ("\u{feff}", "\r"), ("   \n", "\n  \n"), ("\t\n", "\n\t\t")]
    {
        assert_eq!(read(&format!("{before}S#G\n.#.\n.#.{behind}")), separated, "{before:?} {behind:?}");
    }
    assert_eq!(read("#####\r#S G#\r#####\r\r"), closed, "old line ends");
}

#[test]
fn a_line_of_blanks_that_could_be_a_row_is_refused_unless_it_changes_no_path() {
    for text in ["S#G\n # \n # \n   ", "S#G\n # \n # \n   \n\n", "   \nS#G\n # ", "  S#G\n   # \n     \n"] {
        let message = refusal(text);
        assert!(message.contains("a row of free cells or no part of the maze"), "{text:?}: {message}");
    }
    assert_eq!(read("#####\n#S G#\n#####\n     \n"), ["#####", "#S.G#", "#####"], "beyond a wall");
    assert_eq!(read("S#G\n\u{a0}#\u{a0}"), ["S#G", ".#."], "blanks of web pages");
}

#[test]
fn an_indentation_is_no_column_and_lines_are_equally_long() {
    let closed = ["#####", "#S.G#", "#####"];
    assert_eq!(read(&field_text("indented.txt")), closed);
    assert_eq!(read("\t#####\n\t#S G#\n\t#####\n\t"), closed);
    assert_eq!(read("\n    #####\n    #S G#\n    #####\n    "), closed, "a text block of a program");
    assert_eq!(read("  #####\n  #S G#\n  #####  \n"), closed, "blanks behind one line");
    assert_eq!(read("##### \n#S G# \n##### \n"), closed, "blanks behind a wall");
    for (text, says) in [
        ("S  #\n #\n   #\n## #\n", "line 2 has 2 cells, the longest line 4"),
        ("#####\n#S G\n#####", "line 2 has 4 cells, the longest line 5"),
        ("#####\n\n#S G#\n#####", "line 2 has 0 cells, the longest line 5"),
        ("S  \n## \nG  ", "every line ends in blanks"),
        ("S#\n#G\n\nS#\n#G", "line 3 has 0 cells"),
    ] {
        let message = refusal(text);
        assert!(message.contains(says), "{text:?}: {message}");
    }
    let explicit = MazeDrawing::from_lines(&["S  ", "## ", "G  "]).unwrap();
    assert_eq!(rows(&explicit), ["S..", "##.", "G.."], "an array shows where its strings end");
    assert!(matches!(MazeDrawing::from_lines(&["S#G", ""]), Err(MazeError::Ragged { line: 2, found: 0, columns: 3 })));
}

#[test]
fn other_characters_and_matrices_are_read() {
    let closed = ["#####", "#S.G#", "#####"];
    for text in [
        "#####\n#S.E#\n#####",
        "#####\n#s.e#\n#####",
        "#####\n#E.X#\n#####",
        "#####\n#S X#\n#####",
        "#####\n#A B#\n#####",
        "XXXXX\nXS GX\nXXXXX",
        "█████\n█S G█\n█████",
        "⬛⬛⬛⬛⬛\n⬛S⬜G⬛\n⬛⬛⬛⬛⬛",
        "11111\n1S0G1\n11111",
        "11111\n12031\n11111",
        "1 1 1 1 1\n1 S 0 G 1\n1 1 1 1 1\n",
        "1,1,1,1,1\n1,S,0,G,1\n1,1,1,1,1",
        "[[1 1 1 1 1]\n [1 S 0 G 1]\n [1 1 1 1 1]]",
        "[['#', '#', '#', '#', '#'], ['#', 'S', ' ', 'G', '#'], ['#', '#', '#', '#', '#']]",
        "['#####',\n '#S G#',\n '#####',]",
        "# # # # #\n# S . G #\n# # # # #",
        "#,#,#,#,#\n#,S,.,G,#\n#,#,#,#,#",
    ] {
        assert_eq!(read(text), closed, "{text}");
    }
    let matrix = vec![vec!['1'; 5], vec!['1', 'S', '0', 'G', '1'], vec!['1'; 5]];
    assert_eq!(rows(&MazeDrawing::from_matrix(matrix).unwrap()), closed);
    assert_eq!(read("S..G"), ["S.", ".G"], "one line holds a square");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_by_its_readings() {
    for (text, says) in [
        ("S01\n010\n10G", "'1' may be a wall or a free cell"),
        ("000\n0S1\n00G", "'1' may be a wall or a free cell"),
        ("S .\n.#G\n...", "both ' ' and '.'"),
        ("#S█\n..G\n...", "both '#' and '█'"),
        ("X#S\nX.G\nXXX", "'X' may be a wall or the exit"),
        ("# # #\n# S G\n# # #", "every second column holds blanks only"),
        ("#,,S\n#,,G\n#,,#", "a field of row 1 is empty"),
        ("##,SG", "a field of row 1 has several characters"),
        (",#,S\n,#,G", "a field of row 1 is empty"),
        ("#,S,\n#,G,", "a field of row 1 is empty"),
    ] {
        let message = refusal(text);
        assert!(message.contains(says), "{text:?}: {message}");
    }
    for (text, character) in
        [("S*G\n...", '*'), ("+-+\n|S|\n+-+", '+'), ("#?#\nS.G", '?'), ("SxG\n#.#", 'x'), ("S0G\n###", '0')]
    {
        let message = refusal(text);
        assert!(message.contains(&format!("character {character:?} at row")), "{text:?}: {message}");
    }
}

#[test]
fn pictures_of_rectangles_are_read() {
    let drawing = read_maze(&field("rect_7x9.png")).unwrap();
    assert_eq!((drawing.rows(), drawing.columns()), (7, 9));
    assert!(drawing.to_maze().unwrap().shortest_path().is_ok());
}

/// Texts between a maze and noise.
fn texts() -> impl Strategy<Value = String> {
    let alphabet = prop_oneof![
        "[# SGo]{1,9}",
        "[#.SGo]{1,9}",
        "[# .SGo]{1,9}",
        "[01SG]{1,7}",
        "[01SG,]{1,9}",
        "[XE #.sex]{1,7}",
        "( [# SG]){1,5}",
        "[ ]{0,5}",
    ];
    let line_end = prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r")];
    prop::collection::vec((alphabet, line_end), 1..8)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

/// Rectangles of cells with blanks or dots, some of them in the margins.
fn drawings() -> impl Strategy<Value = MazeDrawing> {
    (1..8_usize, 1..8_usize, prop::sample::select(vec![' ', '.']))
        .prop_filter_map("two cells", |(rows, columns, free)| (rows * columns >= 2).then_some((rows, columns, free)))
        .prop_flat_map(|(rows, columns, free)| {
            let cell = prop::sample::select(vec!['#', free, free, 'o']);
            (prop::collection::vec(cell, rows * columns), 0..rows * columns, 0..rows * columns).prop_map(
                move |(mut cells, start, goal)| {
                    (cells[start], cells[goal]) = ('S', 'G');
                    MazeDrawing::from_matrix(cells.chunks(columns).map(<[char]>::to_vec).collect())
                },
            )
        })
        .prop_filter_map("a drawing", Result::ok)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_accepted_text_is_drawn_and_read_as_the_same_maze_and_shows_each_of_its_cells(text in texts()) {
        if let Ok(drawing) = MazeDrawing::parse(&text) {
            let shown = text.chars().filter(|character| !matches!(character, '\n' | '\r' | ',')).count();
            prop_assert!(drawing.cells().len() <= shown);
            let lines: Vec<&str> = text.split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
            let widths: BTreeSet<usize> = lines.iter().map(|line| line.chars().count()).collect();
            // Of one line, its cells make a square.
            let is_line = lines.iter().filter(|line| !line.trim().is_empty()).count() == 1;
            prop_assert!(is_line || (drawing.rows() <= lines.len() && drawing.columns() <= *widths.last().unwrap()));
            if drawing.rows() > 1 {
                prop_assert_eq!(rows(&MazeDrawing::parse(&drawing.to_text()).unwrap()), rows(&drawing));
            }
        }
    }

    #[test]
    fn every_drawing_is_read_as_itself(drawing in drawings()) {
        let text = drawing.to_text();
        if drawing.rows() > 1 {
            prop_assert_eq!(rows(&MazeDrawing::parse(&text).unwrap()), rows(&drawing), "{}", text);
        }
        let lines: Vec<&str> = text.lines().collect();
        prop_assert_eq!(rows(&MazeDrawing::from_lines(&lines).unwrap()), rows(&drawing), "{}", text);
    }
}
