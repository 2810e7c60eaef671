//! A small world of ARC for tests: three tasks, their data set, and a model that answers as a test says.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use datasets::arc::{ArcPair, ArcTask, Grid, SEQ_LEN, TaskSource, VOCAB_SIZE};
use datasets::builder::arc::{ArcBuild, TaskFilter, build};
use engine::arc::TaskIndex;
use engine::model::ModelCard;
use engine::registry::{EngineLimits, ServedModel};
use engine::task::Task;
use engine::{StepBatch, StepError, StepModel, StepOutcome};
use models::ModelDims;

use crate::oracle;

/// Augmentations of each task besides itself.
pub(crate) const NUM_AUG: usize = 6;
pub(crate) const IDENTIFIERS: usize = 1 + 3 * (1 + NUM_AUG);
/// Steps of an augmentation under the default policy.
pub(crate) const STEPS: usize = 4;

/// A grid of the rows between slashes.
pub(crate) fn grid(text: &str) -> Grid {
    let rows: Vec<Vec<u8>> = text.split('/').map(|row| row.bytes().map(|digit| digit - b'0').collect()).collect();
    Grid::from_rows(&rows).unwrap()
}

fn pairs(texts: &[(&str, &str)]) -> Vec<ArcPair> {
    texts.iter().map(|(input, output)| ArcPair::new(grid(input), grid(output))).collect()
}

/// "turn" is trained on with all its pairs; "swap" and "fill" are held out, "swap" with two test pairs.
pub(crate) fn tasks() -> [ArcTask; 3] {
    [
        ArcTask::new(
            "turn".into(),
            pairs(&[("12/34", "31/42"), ("567", "5/6/7"), ("8/9", "89")]),
            pairs(&[("102/030", "01/30/02")]),
        ),
        ArcTask::new(
            "swap".into(),
            pairs(&[("112/201", "221/102"), ("12", "21"), ("1/0/2", "2/0/1")]),
            pairs(&[("1203/3021", "2103/3012"), ("21/12", "12/21")]),
        ),
        ArcTask::new("fill".into(), pairs(&[("010/000", "313/333"), ("5", "5")]), pairs(&[("06/60", "36/63")])),
    ]
}

pub(crate) fn task(name: &str) -> ArcTask {
    tasks().into_iter().find(|task| task.id == name).unwrap()
}

/// Writes `{parent}/data`: the data set of the three tasks with [`NUM_AUG`] augmentations each.
pub(crate) fn dataset(parent: &Path, names_only: bool) -> PathBuf {
    dataset_of(parent, names_only, NUM_AUG)
}

/// Writes `{parent}/data`: the data set of the three tasks with `num_aug` augmentations each.
pub(crate) fn dataset_of(parent: &Path, names_only: bool, num_aug: usize) -> PathBuf {
    let source = parent.join("tasks");
    for task in tasks() {
        let folder = source.join(if task.id == "turn" { "training" } else { "evaluation" });
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.json", task.id)), serde_json::to_vec(&task).unwrap()).unwrap();
    }
    let output_dir = parent.join("data");
    let config = ArcBuild {
        source: TaskSource::Folder(source),
        output_dir: output_dir.clone(),
        subsets: vec!["training".into(), "evaluation".into()],
        test_set_name: "evaluation".into(),
        test_set_name2: "evaluation2".into(),
        seed: 42,
        num_aug,
        puzzle_identifiers_start: 1,
        names_only,
        tasks: TaskFilter::default(),
        overwrite: false,
    };
    assert_eq!(build(&config, |_| ()).unwrap().identifiers, 1 + 3 * (1 + num_aug));
    output_dir
}

pub(crate) fn index() -> TaskIndex {
    let folder = tempfile::tempdir().unwrap();
    TaskIndex::open(&dataset(folder.path(), false)).unwrap()
}

/// What a row of the table says to a canvas at a step: the tokens and q.
pub(crate) type Says = Box<dyn FnMut(usize, &[i64], usize) -> (Vec<i64>, f32) + Send>;

/// A model that says at each step what a test made up.
pub(crate) struct Scripted {
    says: Says,
    rows: usize,
    steps: Vec<usize>,
    gate: Option<Receiver<()>>,
}

impl Scripted {
    pub(crate) fn new(says: impl FnMut(usize, &[i64], usize) -> (Vec<i64>, f32) + Send + 'static) -> Self {
        Self { says: Box::new(says), rows: IDENTIFIERS, steps: Vec::new(), gate: None }
    }

    /// With another number of rows in its table.
    pub(crate) fn with_rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// Takes one step for each message; goes on freely when the sender is dropped.
    pub(crate) fn gated(self) -> (Self, Sender<()>) {
        let (sender, gate) = channel();
        (Self { gate: Some(gate), ..self }, sender)
    }

    /// Behind an engine of four slots.
    pub(crate) fn served(self) -> ServedModel {
        let rows = self.rows;
        let dims = ModelDims { vocab_size: VOCAB_SIZE, seq_len: SEQ_LEN, num_puzzle_identifiers: rows, sizes: None };
        let card = ModelCard { task: "arc".into(), dims, ..oracle::card("arc", datasets::sudoku::SudokuShape::NINE) };
        ServedModel::start(card, Task::Arc, self, EngineLimits::plain(4, 64, 64)).unwrap()
    }
}

impl StepModel for Scripted {
    fn seq_len(&self) -> usize {
        SEQ_LEN
    }

    fn num_puzzle_identifiers(&self) -> usize {
        self.rows
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        if let Some(gate) = &self.gate {
            // A dropped sender means: go on.
            let _ = gate.recv();
        }
        self.steps = batch.carried.iter().map(|from| from.map_or(0, |row| self.steps[row]) + 1).collect();
        let mut outcome = StepOutcome::default();
        let rows = batch.tokens.chunks(SEQ_LEN).zip(batch.puzzle_identifiers).zip(&self.steps);
        for ((tokens, &identifier), &step) in rows {
            // Rows that only fill up a batch are the blank puzzle's.
            let (answer, q) =
                if identifier == 0 { (vec![0; SEQ_LEN], 0.0) } else { (self.says)(identifier, tokens, step) };
            outcome.answers.extend(answer);
            outcome.q_halt.push(q);
        }
        Ok(outcome)
    }
}

/// A model of many opinions that depend on the row, the canvas and the step: some rows agree, some draw no grid.
pub(crate) fn opinionated(identifier: usize, tokens: &[i64], step: usize) -> (Vec<i64>, f32) {
    let opinion = (identifier * 7 + step) % 4;
    let answer = tokens.iter().enumerate().map(|(cell, &token)| match (opinion, token) {
        (0, 2..) if cell == 0 => 0,
        (1, 2) => 5,
        (2, 3..) => 2 + (token - 1) % 10,
        _ => token,
    });
    (answer.collect(), (identifier * 5 % 11) as f32 * 0.3 - 1.5)
}
