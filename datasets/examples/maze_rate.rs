//! How fast mazes are drawn: `cargo run --release -p datasets --example maze_rate -- [MAZES]`.
//! Prints mazes per second of one thread, and what they are like; leaves judging the figures to the reader.

use std::time::{Duration, Instant};

use datasets::PuzzleRng;
use datasets::maze::{Cell, MazeRequest, MazeShape, MazeStyle, ShortestPaths, draw_maze};

fn main() -> anyhow::Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse::<u32>())?;
    for side in [5, 6, 10, 15, 20, 30, 40] {
        let shape = MazeShape::from_side(side)?;
        for style in MazeStyle::ALL {
            for shortest_paths in [ShortestPaths::Any, ShortestPaths::Unique, ShortestPaths::Several] {
                let request = MazeRequest { style: Some(style), shortest_paths, ..MazeRequest::hard(shape) };
                if request.validate().is_ok() {
                    report(&request, count)?;
                }
            }
        }
    }
    Ok(())
}

fn report(request: &MazeRequest, count: u32) -> anyhow::Result<()> {
    let mut rng = PuzzleRng::from_seed(1);
    let (mut lengths, mut walls, mut unique, mut slowest) = (Vec::new(), 0, 0, Duration::ZERO);
    let begin = Instant::now();
    for _ in 0..count {
        let start = Instant::now();
        let solved = draw_maze(request, &mut rng)?;
        slowest = slowest.max(start.elapsed());
        lengths.push(solved.length());
        walls += solved.maze.cells().iter().filter(|&&cell| cell == Cell::Wall).count();
        unique += u32::from(solved.maze.shortest_path_count() == 1);
    }
    let elapsed = begin.elapsed();
    lengths.sort_unstable();
    println!(
        "{} {:12} {:?}: {:.0}/s, slowest {slowest:.1?}; length {} median {} most {}, {:.0} % walls, {:.0} % unique",
        request.shape,
        request.style.map_or("mixed".to_owned(), |style| style.to_string()),
        request.shortest_paths,
        f64::from(count) / elapsed.as_secs_f64(),
        lengths[0],
        lengths[lengths.len() / 2],
        lengths[lengths.len() - 1],
        walls as f64 * 100.0 / (f64::from(count) * request.shape.cells() as f64),
        f64::from(unique) * 100.0 / f64::from(count),
    );
    Ok(())
}
