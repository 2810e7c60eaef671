//! Writes twelve small tasks in ARC's format, easy enough for a model that was trained in minutes:
//!
//! ```text
//! cargo run --release -p datasets --example arc_easy_tasks -- data/easy-tasks
//! cargo run --release -p datasets -- build arc --source-dir data/easy-tasks --subsets evaluation \
//!     --num-aug 3 --output-dir data/arc-easy
//! ```
//!
//! In nine tasks all coloured cells get one and the same colour, in three a frame is drawn. The rule is to be found in
//! forty demonstrations on grids of 3 to 6 rows and columns.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use datasets::PuzzleRng;
use datasets::arc::{ArcPair, ArcTask, Grid};
use datasets::store::write_json;

const DEMONSTRATIONS: usize = 40;
const TESTS: usize = 2;
const SEED: u64 = 20;

/// What a task does to a grid.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// All cells that are not black get a colour.
    Paint(u8),
    /// The outermost cells get a colour.
    Frame(u8),
}

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).context("arc_easy_tasks FOLDER")?).join("evaluation");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (number, rule) in rules().into_iter().enumerate() {
        let task = task(number, rule);
        write_json(&folder.join(format!("{}.json", task.id)), &task)?;
    }
    Ok(())
}

fn rules() -> Vec<Rule> {
    (1..10).map(Rule::Paint).chain([2, 5, 8].map(Rule::Frame)).collect()
}

fn task(number: usize, rule: Rule) -> ArcTask {
    let mut rng = PuzzleRng::from_seed(SEED + number as u64);
    let mut pairs: Vec<ArcPair> = (0..DEMONSTRATIONS + TESTS)
        .map(|_| {
            let input = draw(&mut rng);
            let output = rule.apply(&input);
            ArcPair::new(input, output)
        })
        .collect();
    let tests = pairs.split_off(DEMONSTRATIONS);
    let name = match rule {
        Rule::Paint(_) => "paint",
        Rule::Frame(_) => "frame",
    };
    ArcTask::new(format!("{name}-{number:02}"), pairs, tests)
}

/// A grid of 3 to 6 rows and columns, half of it black.
fn draw(rng: &mut PuzzleRng) -> Grid {
    let (rows, columns) = (3 + rng.below(4) as usize, 3 + rng.below(4) as usize);
    let cells = (0..rows * columns).map(|_| if rng.coin() { 0 } else { 1 + rng.below(9) as u8 }).collect();
    Grid::from_cells(rows, columns, cells).expect("a small grid of colours")
}

impl Rule {
    fn apply(self, grid: &Grid) -> Grid {
        let (rows, columns) = (grid.rows(), grid.columns());
        let map = |change: &dyn Fn(usize, u8) -> u8| {
            let cells = grid.cells().iter().enumerate().map(|(index, &cell)| change(index, cell)).collect();
            Grid::from_cells(rows, columns, cells).expect("as large as before")
        };
        match self {
            Self::Paint(colour) => map(&|_, cell| if cell == 0 { 0 } else { colour }),
            Self::Frame(colour) => map(&|index, cell| {
                let (row, column) = (index / columns, index % columns);
                let is_edge = row == 0 || column == 0 || row + 1 == rows || column + 1 == columns;
                if is_edge { colour } else { cell }
            }),
        }
    }
}
