//! How fast mazes are drawn: `cargo run --release -p datasets --example maze_rate -- [MAZES] [STYLE] [SIDE]`.
//! Prints mazes per second of one thread, and what they are like; leaves judging the figures to the reader.

use std::time::{Duration, Instant};

use datasets::PuzzleRng;
use datasets::maze::{Cell, MazeRequest, MazeShape, MazeStyle, ShortestPaths, draw_maze};

const SIDES: [usize; 8] = [5, 6, 10, 15, 20, 30, 40, 64];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(1_000), |text| text.parse::<u32>())?;
    let styles = arguments.next().map_or(Ok(MazeStyle::ALL.to_vec()), |text| text.parse().map(|style| vec![style]))?;
    let sides = arguments.next().map_or(Ok(SIDES.to_vec()), |text| text.parse().map(|side| vec![side]))?;
    for side in sides {
        let shape = MazeShape::from_side(side)?;
        for &style in &styles {
            for shortest_paths in [ShortestPaths::Any, ShortestPaths::Unique, ShortestPaths::Several] {
                let request = MazeRequest { shortest_paths, ..MazeRequest::of_style(shape, Some(style)) };
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
