//! Makes synthetic ARC predictions at the scale of the real evaluation set, to measure `datasets score` with:
//!
//! ```text
//! cargo run --release -p datasets --example arc_predictions -- /tmp/arc 385815 0.3
//! /usr/bin/time -v target/release/datasets score --data /tmp/arc/data --predictions /tmp/arc/predictions.safetensors
//! ```
//!
//! The last number is the share of predictions that no other prediction equals: the votes' worst case is 1.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, VOCAB_SIZE, encode};
use datasets::numpy::LegacyGenerator;
use datasets::scoring::predictions::{PredictionRows, PredictionWriter};
use datasets::store::{DatasetMetadata, write_json};
use serde_json::{Map, Value, json};

/// Tasks and variants of the real evaluation set.
const TASKS: usize = 400;
const VARIANTS: usize = 1001;
/// Share of right predictions; wrong ones that are not unique are one of five grids.
const RIGHT: f64 = 0.3;
const COMMON_WRONG: u64 = 5;
const BATCH: usize = 1024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("arc_predictions FOLDER [ROWS] [UNIQUE]")?);
    let rows: usize = arguments.next().map_or(Ok(385_815), |rows| rows.parse())?;
    let unique: f64 = arguments.next().map_or(Ok(0.3), |unique| unique.parse())?;
    let mut rng = LegacyGenerator::new(1);
    let pairs: Vec<[Grid; 2]> = (0..TASKS).map(|_| [random_grid(&mut rng), random_grid(&mut rng)]).collect();
    let mut names = vec!["<blank>".to_owned()];
    let mut variants = Vec::new();
    for task in 0..TASKS {
        for variant in 0..VARIANTS {
            let augmentation = if variant == 0 { Augmentation::IDENTITY } else { Augmentation::draw(&mut rng) };
            names.push(if variant == 0 { task_name(task) } else { augmentation.name(&task_name(task)) });
            variants.push((task, augmentation));
        }
    }
    let data = folder.join("data");
    write_dataset(&data, &pairs, &names)?;
    let mut writer = PredictionWriter::create(&folder.join("predictions.safetensors"), rows, SEQ_LEN, 1)?;
    for start in (0..rows).step_by(BATCH) {
        let mut batch = PredictionRows {
            seq_len: SEQ_LEN,
            first_row: start,
            inputs: Vec::new(),
            preds: Vec::new(),
            puzzle_identifiers: Vec::new(),
            q_halt_logits: Vec::new(),
        };
        for row in start..rows.min(start + BATCH) {
            let index = row % variants.len();
            let (task, augmentation) = &variants[index];
            let [input, answer] = &pairs[*task];
            let draw = rng.rand();
            let prediction = if draw < RIGHT {
                answer.clone()
            } else if draw < RIGHT + unique {
                random_grid(&mut rng)
            } else {
                recoloured(answer, rng.randint(0..COMMON_WRONG) as u8 + 1)?
            };
            for (grid, tokens) in [(input, &mut batch.inputs), (&prediction, &mut batch.preds)] {
                let mut canvas = vec![0; SEQ_LEN];
                encode(grid, augmentation, Placement::CORNER, &mut canvas);
                tokens.extend(canvas);
            }
            batch.puzzle_identifiers.push(index as u32 + 1);
            batch.q_halt_logits.push(6.0 * rng.rand() - 3.0);
        }
        writer.append(&batch)?;
    }
    writer.finish()?;
    println!("{rows} rows on {TASKS} test pairs, {unique} of them unique: {}", folder.display());
    Ok(())
}

fn write_dataset(data: &std::path::Path, pairs: &[[Grid; 2]], names: &[String]) -> anyhow::Result<()> {
    fs::create_dir_all(data.join("test"))?;
    let metadata = DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: VOCAB_SIZE,
        seq_len: SEQ_LEN,
        num_puzzle_identifiers: names.len(),
        total_groups: TASKS,
        mean_puzzle_examples: 1.0,
        total_puzzles: names.len() - 1,
        sets: vec!["all".to_owned()],
    };
    write_json(&data.join("test/dataset.json"), &metadata)?;
    write_json(&data.join("identifiers.json"), &names)?;
    let task = |[input, output]: &[Grid; 2]| {
        let pairs = json!([{"input": input, "output": output}]);
        json!({"train": pairs, "test": pairs})
    };
    let tasks: Map<String, Value> =
        pairs.iter().enumerate().map(|(index, pair)| (task_name(index), task(pair))).collect();
    write_json(&data.join("test_puzzles.json"), &tasks)?;
    Ok(())
}

fn task_name(task: usize) -> String {
    format!("task{task:04}")
}

/// A grid of the sizes of real tasks, 10×10 to 20×20, about half of it black.
fn random_grid(rng: &mut LegacyGenerator) -> Grid {
    let (rows, columns) = (rng.randint(10..21) as usize, rng.randint(10..21) as usize);
    let cells = (0..rows * columns).map(|_| rng.randint(0..20).saturating_sub(10) as u8).collect();
    Grid::from_cells(rows, columns, cells).expect("colours below 10 on at most 20 rows")
}

/// The grid with all colours moved on.
fn recoloured(grid: &Grid, by: u8) -> anyhow::Result<Grid> {
    let cells = grid.cells().iter().map(|cell| (cell + by) % 10).collect();
    Ok(Grid::from_cells(grid.rows(), grid.columns(), cells)?)
}
