//! The rules of a maze: what parses, what is a path, and the three scores that are never mixed up.

use datasets::IGNORE_LABEL_ID;
use datasets::maze::{Cell, Maze, MazeError, MazeScore, MazeShape, PathFlaw, parse_cells, score};

/// Lines without their common margin.
fn tokens(lines: &[&str]) -> Vec<i32> {
    parse_cells(&lines.join("\n")).expect("cells").1.into_iter().map(Cell::token).collect()
}

fn check(maze: &[&str], answer: &[&str]) -> Result<usize, PathFlaw> {
    Maze::parse(&maze.join("\n")).expect("a maze").check_path(&tokens(answer))
}

const MAZE: [&str; 5] = [
    "S  # ", //
    " #   ", "   # ", "## # ", "    G",
];

#[test]
fn tokens_are_those_of_the_reference() {
    let text: String = Cell::ALL.iter().map(|cell| cell.character()).collect();
    assert_eq!(text, "# SGo", "CHARSET of the reference's builder");
    assert_eq!(Cell::ALL.map(Cell::token), [1, 2, 3, 4, 5], "token 0 is padding");
    let maze = Maze::parse("S #G").unwrap();
    assert_eq!(maze.to_tokens(), [3, 2, 1, 4]);
    assert_eq!(Maze::from_tokens(&[3, 2, 1, 4]), Ok(maze.clone()));
    assert_eq!(maze.to_string(), "S #G");
    assert_eq!((maze.start(), maze.goal(), maze.shape().side()), (0, 3, 2));
}

#[test]
fn a_drawing_is_the_maze_of_its_line() {
    assert_eq!(Maze::parse(&MAZE.join("\n")), Maze::parse(&MAZE.concat()));
    assert_eq!(Maze::parse(&MAZE.join("\n").replace(' ', ".")), Maze::parse(&MAZE.concat()));
    assert_eq!(Maze::parse(&MAZE.join("\r\n")), Maze::parse(&MAZE.concat()));
}

#[test]
fn what_is_no_maze_is_said_with_its_place() {
    let long = " ".repeat(1 << 20);
    let cases = [
        ("", "found 0 cells"),
        ("S", "found 1 cells"),
        ("S G", "found 3 cells"),
        (&long[..], "found 1048576 cells"),
        ("  #G", "no start ('S')"),
        ("S ##", "no goal ('G')"),
        ("SG\nSG", "two cells marked start ('S'): row 1, column 1 and row 2, column 1"),
        ("SG\n G", "two cells marked goal ('G'): row 1, column 2 and row 2, column 2"),
        ("SoG ", "row 1, column 2 is marked as path"),
        ("SxG ", "character 'x' at row 1, column 2"),
        ("S\n \u{fffd}G", "line 1 has 1 cells, the longest line 3"),
        ("S.\n\u{1F600}G", "character '\u{1F600}' at row 2, column 1"),
        ("S.\n..\nG.", "expected as many rows as columns, found 3 rows and 2 columns"),
        ("S \n  \nG ", "every line ends in blanks"),
    ];
    for (text, message) in cases {
        let error = Maze::parse(text).expect_err(message).to_string();
        assert!(error.contains(message) && error.len() < 400, "{error}\nshould contain: {message}");
    }
    let error = Maze::from_tokens(&[3, 4, 0, 2]).unwrap_err();
    assert_eq!(error, MazeError::Token { found: 0, row: 2, column: 1 });
    assert!(Maze::from_tokens(&[]).is_err() && Maze::from_tokens(&[3, 4, 2]).is_err());
    let error = Maze::from_cells(MazeShape::HARD, vec![Cell::Start, Cell::Goal]).unwrap_err();
    assert_eq!(error, MazeError::CellCount { found: 2 });
}

#[test]
fn shortest_paths_are_found_and_counted() {
    let maze = Maze::parse(&MAZE.concat()).unwrap();
    // Left around the wall at row 2, column 2; or right around it and down on either side of the walls in column 4.
    assert_eq!((maze.path_length(), maze.shortest_path_count()), (Some(7), 3));
    let path = maze.shortest_path().unwrap();
    assert_eq!((path.len(), path[0], path[8]), (9, maze.start(), maze.goal()));
    let marked: Vec<i32> = maze.marked(&path).into_iter().map(Cell::token).collect();
    assert_eq!(maze.check_path(&marked), Ok(7));

    let walled = Maze::parse("S##G").unwrap();
    assert_eq!((walled.path_length(), walled.shortest_path_count()), (None, 0));
    let error = walled.shortest_path().unwrap_err().to_string();
    assert_eq!(error, "no path leads from the start (row 1, column 1) to the goal (row 2, column 2)");
    let neighbours = Maze::parse("SG  ").unwrap();
    assert_eq!((neighbours.path_length(), neighbours.shortest_path_count()), (Some(0), 1));
    // An empty square of side n has binomial(2n - 2, n - 1) shortest paths between opposite corners.
    let open = |side: usize| Maze::parse(&format!("S{}G", " ".repeat(side * side - 2))).unwrap();
    assert_eq!(open(10).shortest_path_count(), 48_620);
    assert_eq!(open(200).shortest_path_count(), u64::MAX);
}

#[test]
fn flaws_of_paths_are_named() {
    let cases: [([&str; 5], Result<usize, PathFlaw>); 9] = [
        (["So # ", " #o  ", " oo# ", "##o# ", "  ooG"], Err(PathFlaw::Gap { reached: (0, 1) })),
        (["Soo# ", " #o  ", "  o# ", "##o# ", "  ooG"], Ok(7)),
        (["Soo# ", "o#o  ", "ooo# ", "##o# ", "  ooG"], Err(PathFlaw::Fork { place: (0, 0) })),
        (["Soo# ", " #oo ", "  o# ", "##o# ", "  ooG"], Err(PathFlaw::DeadEnd { place: (1, 3) })),
        (["Soo# ", " #ooo", "  o#o", "##o#o", "  ooG"], Err(PathFlaw::Fork { place: (1, 2) })),
        (["Soo# ", " #o o", "  o# ", "##o# ", "  ooG"], Err(PathFlaw::Stray { place: (1, 4) })),
        (["S  # ", " #   ", "   # ", "## # ", "    G"], Err(PathFlaw::Gap { reached: (0, 0) })),
        (
            ["Soo# ", " oo  ", "  o# ", "##o# ", "  ooG"],
            Err(PathFlaw::Changed { place: (1, 1), expected: Cell::Wall, found: 5 }),
        ),
        (
            ["ooo# ", " #o  ", "  o# ", "##o# ", "  ooG"],
            Err(PathFlaw::Changed { place: (0, 0), expected: Cell::Start, found: 5 }),
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(check(&MAZE, &answer), expected, "{answer:?}");
    }
    let maze = Maze::parse(&MAZE.concat()).unwrap();
    assert_eq!(maze.check_path(&[2; 24]), Err(PathFlaw::CellCount { expected: 25, found: 24 }));
    assert!(matches!(maze.check_path(&[-100; 25]), Err(PathFlaw::Changed { place: (0, 0), found: -100, .. })));
    let error = maze.check_path(&[0; 25]).unwrap_err().to_string();
    assert_eq!(error, "row 1, column 1 is start in the maze, but token 0 (no maze cell) in the answer");
}

/// Detours are valid paths also where they run beside themselves; rings and crossings are not.
#[test]
fn a_path_may_touch_itself_but_not_cross_itself() {
    let open = ["S   ", "    ", "    ", "   G"];
    assert_eq!(check(&open, &["Sooo", "oooo", "oooo", "oooG"]), Err(PathFlaw::Fork { place: (0, 0) }));
    assert_eq!(check(&open, &["S oo", "ooo ", "  oo", "   G"]), Err(PathFlaw::DeadEnd { place: (0, 3) }));
    assert_eq!(check(&open, &["S oo", "oooo", "   o", "   G"]), Ok(7));
    assert_eq!(check(&open, &["Soo ", "ooo ", "ooo ", "  oG"]), Ok(9));
    assert_eq!(check(&open, &["Soo ", "o o ", "ooo ", "  oG"]), Err(PathFlaw::Fork { place: (0, 0) }));

    // A snake through every cell of a wide square, and the same with the goal where no walk can end.
    let square = |goal: usize, side: usize| {
        let mut cells = vec![Cell::Free; side * side];
        (cells[0], cells[goal]) = (Cell::Start, Cell::Goal);
        let maze = Maze::from_cells(MazeShape::from_side(side).unwrap(), cells).unwrap();
        let all: Vec<usize> = (0..side * side).collect();
        let answer: Vec<i32> = maze.marked(&all).into_iter().map(Cell::token).collect();
        maze.check_path(&answer)
    };
    for side in [4, 7, 12, 20] {
        assert_eq!(square((side - 1) * side, side), Ok(side * side - 2), "{side}");
    }
    assert_eq!(square(19 * 20 + 1, 20), Err(PathFlaw::Fork { place: (0, 0) }), "colours cannot alternate");
}

/// Every simple path of small random mazes is valid and every set of marks that no path visits is not: compared with
/// listing all simple paths.
#[test]
fn the_check_agrees_with_listing_all_paths() {
    fn extend(maze: &Maze, path: &mut Vec<usize>, found: &mut std::collections::BTreeSet<u32>) {
        let last = path[path.len() - 1];
        if last == maze.goal() {
            found.insert(path.iter().fold(0, |set, cell| set | 1 << cell));
            return;
        }
        for next in maze.shape().neighbours(last) {
            if maze.is_open(next) && !path.contains(&next) {
                path.push(next);
                extend(maze, path, found);
                path.pop();
            }
        }
    }
    for text in
        ["S        #  #  G", "    S  #   G    ", " G # S          ", "S               G".trim_end_matches("  G")]
    {
        let Ok(maze) = Maze::parse(text) else { continue };
        let mut paths = std::collections::BTreeSet::new();
        extend(&maze, &mut vec![maze.start()], &mut paths);
        let ends = 1_u32 << maze.start() | 1 << maze.goal();
        let walls = (0..16).filter(|&cell| !maze.is_open(cell)).fold(0_u32, |set, cell| set | 1 << cell);
        for marks in 0..1_u32 << 16 {
            if marks & ends != ends || marks & walls != 0 {
                continue;
            }
            let cells: Vec<usize> = (0..16).filter(|cell| marks >> cell & 1 == 1).collect();
            let answer: Vec<i32> = maze.marked(&cells).into_iter().map(Cell::token).collect();
            assert_eq!(maze.check_path(&answer).is_ok(), paths.contains(&marks), "{text:?} {marks:016b}");
        }
    }
}

#[test]
fn exact_valid_and_shortest_are_three_things() {
    let maze = tokens(&MAZE);
    let label = tokens(&["Soo# ", " #o  ", "  o# ", "##o# ", "  ooG"]);
    let other = tokens(&["S  # ", "o#   ", "ooo# ", "##o# ", "  ooG"]);
    let roundabout = tokens(&["Soo# ", " #ooo", "   #o", "## #o", "    G"]);
    let of = |prediction: &[i32]| score(&maze, &label, prediction).unwrap();
    assert_eq!(of(&label), MazeScore { exact: true, valid: true, shortest: true });
    assert_eq!(of(&other), MazeScore { exact: false, valid: true, shortest: true });
    assert_eq!(of(&roundabout), MazeScore { exact: false, valid: true, shortest: true });
    let detour = tokens(&["S  # ", "o#   ", "ooo# ", "##o# ", " oooG"]);
    assert_eq!(of(&detour), MazeScore::default(), "a stub beside the path");
    assert_eq!(of(&[0; 25]), MazeScore::default());
    assert_eq!(of(&[]), MazeScore::default());

    let wide = ["S  ", "   ", "G  "].concat();
    let (wide, long) = (Maze::parse(&wide).unwrap().to_tokens(), tokens(&["Soo", "  o", "Goo"]));
    assert_eq!(score(&wide, &long, &long), Ok(MazeScore { exact: true, valid: true, shortest: false }));
    let ignored: Vec<i32> = label.iter().map(|&token| if token == 5 { IGNORE_LABEL_ID } else { token }).collect();
    assert!(score(&maze, &ignored, &label).unwrap().exact);
    assert!(score(&[0; 25], &label, &label).is_err(), "a padding row is not a maze");
}
