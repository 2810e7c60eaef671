//! The maze generator and the endless source: what is asked for is what comes, and always the same.

use datasets::builder::generated::{GeneratedMazes, NumberedPuzzles};
use datasets::maze::{
    Cell, Maze, MazeOptions, MazeRequest, MazeScore, MazeShape, MazeSource, MazeStyle, MinLength, ShortestPaths,
    SolvedMaze, generate, held_out, score,
};
use datasets::{IGNORE_LABEL_ID, PuzzleRng, SourcePosition, TrainingSource};

fn request(side: usize, style: MazeStyle, shortest_paths: ShortestPaths) -> MazeRequest {
    let shape = MazeShape::from_side(side).expect("a side");
    MazeRequest { shortest_paths, ..MazeRequest::of_style(shape, Some(style)) }
}

/// Every combination that is not impossible, with how many mazes of it a test can afford.
fn requests() -> Vec<(MazeRequest, u64)> {
    let mut requests = Vec::new();
    for (side, count) in [(5, 40), (6, 40), (11, 20), (30, 4), (40, 1)] {
        for style in MazeStyle::ALL {
            for paths in [ShortestPaths::Any, ShortestPaths::Unique, ShortestPaths::Several] {
                if (style, paths) != (MazeStyle::Perfect, ShortestPaths::Several) {
                    requests.push((request(side, style, paths), count));
                }
            }
        }
    }
    requests
}

#[test]
fn mazes_are_as_asked_for() {
    for (request, count) in requests() {
        for index in 0..count {
            let solved = generate(&request, 9, index).unwrap_or_else(|error| panic!("{request:?}: {error}"));
            assert_eq!(solved.maze.shape(), request.shape);
            assert!(solved.length() >= request.min_length, "{request:?}: {}", solved.length());
            let ways = solved.maze.shortest_path_count();
            match request.shortest_paths {
                ShortestPaths::Any => assert!(ways >= 1),
                ShortestPaths::Unique => assert_eq!(ways, 1, "{request:?}"),
                ShortestPaths::Several => assert!(ways >= 2, "{request:?}"),
            }
            let tokens = |cells: &[Cell]| cells.iter().map(|cell| cell.token()).collect::<Vec<_>>();
            let (input, label) = (tokens(solved.maze.cells()), tokens(&solved.answer()));
            let found = score(&input, &label, &label).unwrap();
            assert_eq!(found, MazeScore { exact: true, valid: true, shortest: true });
        }
    }
}

#[test]
fn hard_means_more_than_110_cells_on_30x30() {
    assert_eq!(MazeRequest::hard_length(MazeShape::HARD), 111);
    let lengths = [5, 10, 20, 40].map(|side| MazeRequest::hard_length(MazeShape::from_side(side).unwrap()));
    assert_eq!(lengths, [8, 21, 60, 171]);
}

/// Perfect mazes are trees: one cell more than passages between them, and everything is reached.
#[test]
fn perfect_mazes_are_trees_and_loops_are_not() {
    let edges = |maze: &Maze| {
        let open: Vec<usize> = (0..maze.cells().len()).filter(|&cell| maze.is_open(cell)).collect();
        let ends: usize =
            open.iter().map(|&cell| maze.shape().neighbours(cell).filter(|&n| maze.is_open(n)).count()).sum();
        let reached = maze.distances(maze.start()).iter().filter(|&&moves| moves != u32::MAX).count();
        assert_eq!(reached, open.len(), "all open cells are connected");
        (open.len(), ends / 2)
    };
    let mut loops = 0;
    for index in 0..20 {
        let perfect = generate(&request(20, MazeStyle::Perfect, ShortestPaths::Any), 4, index).unwrap();
        let (cells, passages) = edges(&perfect.maze);
        assert_eq!(cells, passages + 1);
        let looped = generate(&request(20, MazeStyle::Loops, ShortestPaths::Any), 4, index).unwrap();
        let (cells, passages) = edges(&looped.maze);
        loops += passages + 1 - cells;
    }
    assert!((20..400).contains(&loops), "{loops} loops in 20 mazes");
}

/// Start and goal stand anywhere, not just where the longest ways end: neither is always the farthest from the other.
#[test]
fn ends_are_varied() {
    let (mut farthest, mut start_above, mut wall_share) = (0, 0, [0_usize; 3]);
    for index in 0..60 {
        let style = MazeStyle::MIXED[index as usize % 3];
        let SolvedMaze { maze, path } = generate(&request(15, style, ShortestPaths::Any), 8, index).unwrap();
        let distances = maze.distances(maze.start());
        let most = distances.iter().filter(|&&moves| moves != u32::MAX).max().copied().unwrap();
        farthest += u32::from(most as usize == path.len() - 1);
        start_above += u32::from(maze.start() < maze.goal());
        wall_share[index as usize % 3] += maze.cells().iter().filter(|&&cell| cell == Cell::Wall).count();
    }
    assert!(farthest < 40, "the goal is the farthest cell in {farthest} of 60 mazes");
    assert!((15..45).contains(&start_above), "{start_above}");
    for walls in wall_share {
        assert!((20 * 225 * 30..20 * 225 * 60).contains(&(walls * 100)), "30 to 60 % walls: {wall_share:?}");
    }
}

#[test]
fn impossible_requests_are_refused_with_reasons() {
    let open = request(10, MazeStyle::Perfect, ShortestPaths::Any);
    let cases = [
        (MazeRequest { shape: MazeShape::from_side(4).unwrap(), ..open.clone() }, "size: expected 5 to 40"),
        (MazeRequest { shape: MazeShape::from_side(41).unwrap(), ..open.clone() }, "found 41"),
        (MazeRequest { min_length: 61, ..open.clone() }, "min_length: expected at most 60 on a 10x10 maze, found 61"),
        (
            MazeRequest { shortest_paths: ShortestPaths::Several, ..open.clone() },
            "shortest_paths: expected any or unique",
        ),
        (MazeRequest { min_length: 59, max_attempts: 50, ..open.clone() }, "of 59 cells or more"),
        (MazeRequest { max_attempts: 0, ..open }, "in 0 attempts"),
    ];
    for (request, message) in cases {
        let error = generate(&request, 0, 0).expect_err(message).to_string();
        assert!(error.contains(message), "{error}\nshould contain {message}");
    }
    assert!("spiral".parse::<MazeStyle>().unwrap_err().to_string().contains("perfect, loops, random-walls or hard"));
    for style in MazeStyle::ALL {
        assert_eq!(style.to_string().parse(), Ok(style));
        assert_eq!(serde_json::to_value(style).unwrap(), style.to_string());
    }
}

#[test]
fn the_streams_never_change() {
    let options = MazeOptions { size: 6, seed: 42, ..MazeOptions::default() };
    let drawn = examples(&mut MazeSource::new(&options, 0, 1).unwrap(), 2);
    let requested = generate(&MazeRequest::hard(MazeShape::from_side(6).unwrap()), 42, 7).unwrap().maze.to_string();
    let held = held_out(&options, 1).unwrap()[0].maze.to_string();
    let found = [&drawn[0].0, &drawn[0].1, &drawn[1].0, &requested, &held].map(String::as_str);
    assert_eq!(found, PINNED);
    let any =
        datasets::maze::draw_maze(&MazeRequest::hard(MazeShape::from_side(6).unwrap()), &mut PuzzleRng::from_seed(1));
    assert!(any.is_ok());
}

/// Two training mazes (the first with its answer), a requested one, a held-out one.
const PINNED: [&str; 5] = [
    "#    G# ##### #S  # ### #     ######",
    "#ooooG#o#####o#Soo#o###o#ooooo######",
    "### # G      #  ### #  #S## #     # ",
    "#######     # # ### # S # ### #  G# ",
    "      #  # ##       #      #  ##S# G",
];

/// `count` examples as `(maze, answer)` text.
fn examples(source: &mut MazeSource, count: usize) -> Vec<(String, String)> {
    let batch = source.next_batch(&vec![true; count]).expect("a generated source has no end");
    let text = |tokens: &[i32]| {
        tokens.iter().map(|&token| Cell::from_token(token).expect("a cell").character()).collect::<String>()
    };
    batch
        .inputs
        .chunks(batch.seq_len)
        .zip(batch.labels.chunks(batch.seq_len))
        .map(|(input, label)| (text(input), text(label)))
        .collect()
}

#[test]
fn sources_resume_and_ranks_interleave() {
    let options = MazeOptions { size: 8, seed: 3, shortest_paths: ShortestPaths::Unique, ..MazeOptions::default() };
    let mut source = MazeSource::new(&options, 0, 1).unwrap();
    assert_eq!((source.metadata().seq_len, source.metadata().vocab_size), (64, 6));
    let all = examples(&mut source, 60);
    assert!(all.iter().all(|(maze, answer)| {
        let (maze, answer) = (Maze::parse(maze).unwrap(), answer.replace('o', " "));
        maze.to_string() == answer && maze.shortest_path_count() == 1
    }));
    source.seek(&SourcePosition { iteration: 0, consumed: 41 }).unwrap();
    assert_eq!(examples(&mut source, 10), all[41..51]);
    for rank in 0..2 {
        let own: Vec<_> = all.iter().skip(rank).step_by(2).cloned().collect();
        assert_eq!(examples(&mut MazeSource::new(&options, rank, 2).unwrap(), 30), own);
    }
    let batch = source.next_batch(&[false, true]).unwrap();
    assert_eq!(batch.labels[..64], [IGNORE_LABEL_ID; 64]);
    assert_eq!(source.position().consumed, 52);
    assert!(MazeSource::new(&options, 2, 2).is_err());
    assert!(MazeSource::new(&MazeOptions { size: 3, ..options }, 0, 1).is_err());
}

#[test]
fn training_held_out_and_requested_mazes_are_different_ones() {
    let options = MazeOptions { size: 12, seed: 5, ..MazeOptions::default() };
    let trained = examples(&mut MazeSource::new(&options, 0, 1).unwrap(), 100);
    let held: Vec<String> = held_out(&options, 100).unwrap().iter().map(|solved| solved.maze.to_string()).collect();
    let request = MazeRequest::hard(MazeShape::from_side(12).unwrap());
    let requested = GeneratedMazes { request, seed: 5 };
    let requested: Vec<String> = (0..100).map(|index| requested.puzzle(index).unwrap().maze.to_string()).collect();
    let mut all: Vec<&String> = trained.iter().map(|(maze, _)| maze).chain(&held).chain(&requested).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 300);
    assert_eq!(held_out(&options, 3).unwrap()[2].maze.to_string(), held[2], "independent of the count");
}

#[test]
fn options_are_read_from_config_files() {
    let parsed: MazeOptions =
        serde_json::from_str(r#"{"size": 10, "style": "random-walls", "shortest_paths": "unique"}"#).unwrap();
    let expected = MazeOptions {
        size: 10,
        style: Some(MazeStyle::RandomWalls),
        shortest_paths: ShortestPaths::Unique,
        ..MazeOptions::default()
    };
    assert_eq!(parsed, expected);
    MazeOptions::default().validate().unwrap();
    for (text, min_length) in [("3", MinLength::Same(3)), ("[3, 21]", MinLength::Between(3, 21))] {
        let parsed: MazeOptions = serde_json::from_str(&format!(r#"{{"min_length": {text}}}"#)).unwrap();
        assert_eq!(parsed.min_length, Some(min_length));
    }
    assert!(serde_json::from_str::<MazeOptions>(r#"{"sise": 6}"#).is_err());
}

#[test]
fn least_lengths_are_drawn_for_each_maze() {
    let of = |min_length| MazeOptions { size: 10, min_length: Some(min_length), ..MazeOptions::default() };
    let shortest = |min_length| held_out(&of(min_length), 200).unwrap().iter().map(SolvedMaze::length).min().unwrap();
    assert_eq!(held_out(&of(MinLength::Between(7, 7)), 20), held_out(&of(MinLength::Same(7)), 20));
    assert!(shortest(MinLength::Between(3, 21)) < 6);
    let long = |min_length| {
        let mazes = held_out(&of(min_length), 200).unwrap();
        mazes.iter().filter(|solved| solved.length() >= 21).count()
    };
    let (mixed, all) = (long(MinLength::Between(3, 21)), long(MinLength::Same(3)));
    assert!(mixed > 2 * all, "{mixed} of 200 hard ones, {all} without a range");
    let expected = |min_length| of(min_length).validate().unwrap_err().to_string();
    assert!(
        expected(MinLength::Between(21, 3)).contains("min_length: expected the lesser number first, found [21, 3]")
    );
    assert!(expected(MinLength::Between(3, 61)).contains("min_length: expected at most 60 on a 10x10 maze, found 61"));
}
