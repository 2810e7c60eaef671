//! Puzzle files as other programs write them.

use std::fs;
use std::path::{Path, PathBuf};

use datasets::maze::MazeShape;
use datasets::sudoku::SudokuShape;
use engine::task::Task;
use evaluation::{Entry, PuzzleSource};

const PUZZLE: &str = "530070000600195000098000060800060003400803001700020006060000280000419005000080079";
const SOLUTION: &str = "534678912672195348198342567859761423426853791713924856961537284287419635345286179";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field").join(name)
}

fn rows() -> Vec<String> {
    PUZZLE.as_bytes().chunks(9).map(|row| String::from_utf8(row.to_vec()).unwrap()).collect()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let units = "\u{feff}".encode_utf16().chain(text.encode_utf16()).collect::<Vec<_>>();
    units.into_iter().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn lists_and_drawings_are_files_of_puzzles() {
    let nine = Task::Sudoku(SudokuShape::NINE);
    let folder = tempfile::tempdir().unwrap();
    let entries = |task: Task, file: &Path| {
        let source = PuzzleSource::lines(task, file, u64::MAX).unwrap();
        let read = |draft: Result<_, _>| source.read(draft.unwrap()).unwrap();
        source.drafts().unwrap().map(read).collect::<Vec<_>>()
    };
    let counts = |task: Task, file: &Path| {
        let entries = entries(task, file);
        let puzzles = entries.iter().filter(|entry| matches!(entry, Entry::Puzzle(_))).count();
        (puzzles, entries.len() - puzzles)
    };
    for (name, expected) in [
        ("bom.txt", (17, 0)),
        ("champagne.txt", (17, 0)),
        ("hodoku_lib.txt", (17, 0)),
        ("quizzes_solutions.csv", (5, 0)),
        ("commas.txt", (1, 0)),
        ("unicode_box.txt", (1, 0)),
        ("simple_sudoku.txt", (1, 0)),
        ("star81.txt", (1, 0)),
        ("x81.txt", (1, 0)),
    ] {
        assert_eq!(counts(nine, &path("sudoku").join(name)), expected, "{name}");
    }
    let file = folder.path().join("puzzles");
    let rows = rows().join("\n");
    let wrong = SOLUTION.replacen("53", "35", 1);
    for (content, expected) in [
        (format!("source,question,answer,rating\nx,{PUZZLE},{SOLUTION},3\n").into_bytes(), (1, 0)),
        (format!("quizzes,solutions\n{PUZZLE},{wrong}\n").into_bytes(), (0, 1)),
        (format!("Grid 01\n{rows}\nGrid 02\n{rows}\n").into_bytes(), (2, 0)),
        (format!("{rows}\n{rows}\n\n{rows}").into_bytes(), (3, 0)),
        (format!("#A me\n{rows}\n").into_bytes(), (1, 0)),
        (format!("[Puzzle]\n{rows}\n[State]\n{rows}\n").into_bytes(), (1, 0)),
        (utf16(&format!("{PUZZLE}\r\n{PUZZLE}\r\n"), true), (2, 0)),
        (format!("{PUZZLE}\n{}\n{}\n", &PUZZLE[1..], &PUZZLE[2..]).into_bytes(), (1, 2)),
    ] {
        fs::write(&file, &content).unwrap();
        assert_eq!(counts(nine, &file), expected, "{}", String::from_utf8_lossy(&content));
    }
    let maze = Task::Maze(MazeShape::from_side(6).unwrap());
    let line = format!("S{}G", " ".repeat(34));
    // Along the upper edge, then along the right one.
    let solved = ["Sooooo", "     o", "     o", "     o", "     o", "     G"].concat();
    let gap = solved.replacen("oo", "o ", 1);
    for (content, expected) in [
        (format!("{line}\n{}\n", line.replace(' ', ".")), (2, 0)),
        ("#####\n#S G#\n#####\n\n######\n#S..G#\n######\n".to_owned(), (2, 0)),
        (format!("source,question,answer,rating\n,{line},{solved},3\n"), (1, 0)),
        (format!("source,question,answer,rating\n,{line},{gap},3\n"), (0, 1)),
        ("S#G\n # \n # \n\n".to_owned(), (0, 1)),
    ] {
        fs::write(&file, &content).unwrap();
        assert_eq!(counts(maze, &file), expected, "{content}");
    }
}
