//! A small world of ARC: tasks, their data set, and a model that was trained on it just long enough to be one.

use std::path::{Path, PathBuf};

use datasets::arc::TaskSource;
use datasets::builder::arc::{ArcBuild, TaskFilter, build};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::train;

/// Settings of the model and its training.
const SETTINGS: &str = "max_steps=2 arch.hidden_size=32 arch.num_heads=2 arch.L_layers=1 arch.H_cycles=1 arch.L_cycles=1 \
                        arch.halt_max_steps=2 arch.puzzle_emb_ndim=32 arch.puzzle_emb_len=1 arch.mlp_t=True arch.expansion=1 \
                        arch.pos_encodings=none optimizer=adamw lr_warmup_steps=1 eval_count=2 global_batch_size=4 threads=1";

/// A model and the data set that numbers the rows of its table.
#[derive(Debug)]
pub struct ArcWorld {
    /// Where both lie, and whatever else a test makes.
    pub folder: TempDir,
    /// The model.
    pub checkpoint: PathBuf,
    /// Its data set: tasks `mirror`, with two test inputs, and `paint`.
    pub data: PathBuf,
}

impl ArcWorld {
    /// Builds and trains it: token mixing by an MLP.
    pub fn new() -> Self {
        Self::trained(SETTINGS)
    }

    /// The same tasks for a model of these settings.
    pub fn trained(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("tasks");
        write_task(&source, "mirror", &arc_task("mirror"));
        write_task(&source, "paint", &arc_task("paint"));
        let data = build_arc(source, folder.path().join("data"), 3);
        let checkpoint = train(folder.path(), &format!("data_paths=[{}] {settings}", data.display()));
        Self { folder, checkpoint, data }
    }
}

impl Default for ArcWorld {
    fn default() -> Self {
        Self::new()
    }
}

/// A task in ARC's own form: `mirror` and `paint`, which the model of an [`ArcWorld`] knows; `shift`, which it does not.
pub fn arc_task(name: &str) -> Value {
    let pair = |input: Value, output: Value| json!({ "input": input, "output": output });
    match name {
        "mirror" => json!({
            "train": [
                pair(json!([[1, 2], [3, 4]]), json!([[2, 1], [4, 3]])),
                pair(json!([[5, 0, 0]]), json!([[0, 0, 5]])),
                pair(json!([[0, 7], [0, 8], [9, 0]]), json!([[7, 0], [8, 0], [0, 9]])),
            ],
            "test": [pair(json!([[6, 1, 0]]), json!([[0, 1, 6]])), pair(json!([[2, 0]]), json!([[0, 2]]))],
        }),
        "paint" => json!({
            "train": [
                pair(json!([[1, 0], [0, 2]]), json!([[4, 0], [0, 4]])),
                pair(json!([[3, 3, 0]]), json!([[4, 4, 0]])),
            ],
            "test": [pair(json!([[0, 5], [6, 6]]), json!([[0, 4], [4, 4]]))],
        }),
        "shift" => json!({
            "train": [
                pair(json!([[1, 0, 0]]), json!([[0, 1, 0]])),
                pair(json!([[0, 2, 0], [3, 0, 0]]), json!([[0, 0, 2], [0, 3, 0]])),
            ],
            "test": [{ "input": [[4, 0, 0], [0, 5, 0]] }],
        }),
        _ => panic!("there is no task {name}"),
    }
}

/// Writes a task where `datasets build arc --subsets evaluation` finds it.
pub fn write_task(source: &Path, name: &str, task: &Value) {
    let folder = source.join("evaluation");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), task.to_string()).unwrap();
}

/// What `datasets build arc --source-dir … --subsets evaluation --num-aug … --output-dir …` does.
pub fn build_arc(source: PathBuf, output_dir: PathBuf, num_aug: usize) -> PathBuf {
    let config = ArcBuild {
        source: TaskSource::Folder(source),
        output_dir: output_dir.clone(),
        subsets: vec!["evaluation".into()],
        test_set_name: "evaluation".into(),
        test_set_name2: "evaluation2".into(),
        seed: 42,
        num_aug,
        puzzle_identifiers_start: 1,
        names_only: false,
        tasks: TaskFilter::default(),
        overwrite: false,
    };
    build(&config, |_| ()).unwrap();
    output_dir
}
