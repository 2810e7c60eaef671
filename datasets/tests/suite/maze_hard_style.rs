//! Style `hard`: Maze-Hard's walls, paths and ends on 30×30, and what becomes of them on other sides.

use datasets::TrainingSource;
use datasets::maze::{
    Cell, MazeOptions, MazeRequest, MazeShape, MazeSource, MazeStyle, MinLength, SolvedMaze, generate, held_out,
};

fn request(side: usize) -> MazeRequest {
    MazeRequest::of_style(MazeShape::from_side(side).expect("a side"), Some(MazeStyle::Hard))
}

fn wall_percent(solved: &SolvedMaze) -> f64 {
    let cells = solved.maze.cells();
    100.0 * cells.iter().filter(|&&cell| cell == Cell::Wall).count() as f64 / cells.len() as f64
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Maze-Hard's training list: 37.1 % walls on average, half of the paths of 111 cells or fewer, the mean at 113.1, the
/// start 3.8 cells from the border, 88 % of the open cells within reach. (`examples/maze_distribution.rs` compares all of it.)
#[test]
fn mazes_are_distributed_as_maze_hard() {
    let mazes: Vec<SolvedMaze> = (0..300).map(|index| generate(&request(30), 2, index).unwrap()).collect();
    let walls = mean(mazes.iter().map(wall_percent));
    assert!((36.5..37.6).contains(&walls), "{walls} % walls");
    assert!(mazes.iter().all(|solved| (26.0..48.0).contains(&wall_percent(solved))));

    let mut lengths: Vec<usize> = mazes.iter().map(SolvedMaze::length).collect();
    lengths.sort_unstable();
    assert_eq!((lengths[0], lengths[150]), (108, 111));
    let length = mean(lengths.iter().map(|&length| length as f64));
    assert!((111.5..114.0).contains(&length), "{length} cells");

    let to_border = |solved: &SolvedMaze| {
        let (row, column) = solved.maze.shape().place_of(solved.maze.start());
        row.min(column).min(29 - row).min(29 - column) as f64
    };
    let border = mean(mazes.iter().map(to_border));
    assert!((3.0..4.5).contains(&border), "{border} cells to the border");
    let reached = |solved: &SolvedMaze| {
        let moves = solved.maze.distances(solved.maze.start());
        let open = (0..900).filter(|&cell| solved.maze.is_open(cell)).count();
        100.0 * moves.iter().filter(|&&moves| moves != u32::MAX).count() as f64 / open as f64
    };
    let reached = mean(mazes.iter().map(reached));
    assert!((87.0..90.0).contains(&reached), "{reached} % within reach");
}

#[test]
fn least_lengths_follow_area_then_side() {
    let lengths = [4, 6, 10, 15, 20, 30, 40, 64].map(|side| request(side).min_length);
    assert_eq!(lengths, [2, 4, 12, 27, 48, 108, 144, 230]);
}

#[test]
fn all_sides_from_4_to_64_are_drawn() {
    for side in 4..=64 {
        let solved = generate(&request(side), 7, 0).unwrap_or_else(|error| panic!("{side}: {error}"));
        assert!(solved.length() >= request(side).min_length, "{side}: {}", solved.length());
        assert_eq!(solved.maze.shape().side(), side);
    }
    for side in [3, 65] {
        let error = generate(&request(side), 7, 0).expect_err("no such maze").to_string();
        assert_eq!(error, format!("size: expected 4 to 64 cells per side with style hard, found {side}"));
    }
    let error = generate(&MazeRequest { min_length: 250, max_attempts: 20, ..request(30) }, 7, 0).unwrap_err();
    assert!(error.to_string().contains("a shortest path of 250 cells or more"), "{error}");
}

/// Options of one kind for several sides, as a run on mazes of mixed sizes holds them.
#[test]
fn one_set_of_options_serves_all_sides() {
    for size in [4, 8, 17, 30, 64] {
        let options = MazeOptions { size, seed: 1, style: Some(MazeStyle::Hard), ..MazeOptions::default() };
        let mut source = MazeSource::new(&options, 0, 1).unwrap();
        let batch = source.next_batch(&[true; 2]).unwrap();
        assert_eq!((batch.seq_len, batch.inputs.len()), (size * size, 2 * size * size));
        assert_ne!(batch.inputs[..size * size], batch.inputs[size * size..]);
    }
}

#[test]
fn options_choose_the_style_and_longer_paths() {
    let options: MazeOptions =
        serde_json::from_str(r#"{"size": 12, "style": "hard", "min_length": [10, 30], "shortest_paths": "unique"}"#)
            .unwrap();
    assert_eq!((options.style, options.min_length), (Some(MazeStyle::Hard), Some(MinLength::Between(10, 30))));
    let mazes = held_out(&options, 40).unwrap();
    assert!(mazes.iter().all(|solved| solved.length() >= 10 && solved.maze.shortest_path_count() == 1));
    let long = mazes.iter().filter(|solved| solved.length() >= 20).count();
    assert!((12..36).contains(&long), "{long} of 40");
}

#[test]
fn the_stream_never_changes() {
    let solved = generate(&request(8), 42, 7).unwrap();
    let answer: String = solved.answer().into_iter().map(Cell::character).collect();
    assert_eq!(answer, PINNED);
}

const PINNED: &str = "#   ###  #   # ## #### ##    ## # #  #  oooo# # o##ooS #ooG##   ";
