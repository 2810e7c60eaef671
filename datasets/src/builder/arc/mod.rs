//! The ARC datasets: the reference's `build_arc_dataset.py` with its NumPy stream, streamed to disk.
//! Owns arguments, subsets and the order of stages; leaves augmentation to `plan` and tokens to `rows`.

mod plan;
mod rows;

use std::collections::HashMap;
use std::path::PathBuf;

use self::plan::{Plan, Subset};
use crate::DatasetError;
use crate::arc::{ArcTask, Grid, SEQ_LEN, TaskSource, VOCAB_SIZE};
use crate::numpy::LegacyGenerator;
use crate::store::{DType, DatasetMetadata, DatasetWriter, Split};

/// Augmented copies per task when none are asked for.
pub const DEFAULT_NUM_AUG: usize = 1000;
/// Seed when none is given.
pub const DEFAULT_SEED: u32 = 42;
/// A second subset that is tested, if it is listed.
pub const DEFAULT_TEST_SET_NAME2: &str = "evaluation2";

/// Arguments of a build, named as the reference's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcBuild {
    /// The tasks.
    pub source: TaskSource,
    /// Folder that the dataset appears in.
    pub output_dir: PathBuf,
    /// Subsets in the order in which they are drawn.
    pub subsets: Vec<String>,
    /// The subset whose test pairs are held out: they become the test split, its train pairs are trained on.
    pub test_set_name: String,
    /// Another such subset.
    pub test_set_name2: String,
    /// As `np.random.seed(seed)`.
    pub seed: u32,
    /// Augmented copies per task; fewer where a task has fewer different ones.
    pub num_aug: usize,
    /// First puzzle identifier, at least 1; more to keep the identifiers of several datasets apart.
    pub puzzle_identifiers_start: usize,
    /// Leave the examples out: names, tasks and sizes are what serving and evaluating a trained model takes.
    pub names_only: bool,
    /// Which tasks of the subsets to take.
    pub tasks: TaskFilter,
    /// Whether an existing dataset may be replaced.
    pub overwrite: bool,
}

/// Conditions on the grids of a task. The answers of held-out test pairs are ignored, because a solver does not see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// Most rows and columns of a grid.
    pub max_side: Option<usize>,
    /// Whether outputs must have the size of their inputs.
    pub same_size: bool,
}

impl TaskFilter {
    /// Whether a task fulfils them; `held_out`: its test pairs are to be solved, not learned.
    pub fn takes(self, task: &ArcTask, held_out: bool) -> bool {
        let max_side = self.max_side.unwrap_or(usize::MAX);
        let fits = |grid: &Grid| grid.rows() <= max_side && grid.columns() <= max_side;
        let size = |grid: &Grid| (grid.rows(), grid.columns());
        let mut answered = task.train.iter().chain(if held_out { &[] } else { task.test.as_slice() });
        task.pairs().all(|pair| fits(&pair.input))
            && answered.all(|pair| fits(&pair.output) && (!self.same_size || size(&pair.input) == size(&pair.output)))
    }
}

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArcProgress {
    /// Tasks augmented so far, of how many.
    Augmenting(usize, usize),
    /// Examples of a split written so far, of how many.
    Writing(Split, usize, usize),
    /// The examples of a split are written; the disk has not confirmed them yet.
    Syncing(Split),
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArcReport {
    /// Tasks read, of all subsets.
    pub tasks: usize,
    /// Tasks that [`ArcBuild::tasks`] leaves out.
    pub left_out: usize,
    /// Puzzle identifiers, the blank one included: rows of a puzzle-embedding table.
    pub identifiers: usize,
    /// Examples of the training split.
    pub train_examples: usize,
    /// Examples of the test split.
    pub test_examples: usize,
    /// Whether the test split came first, because the first subset is held out.
    pub test_first: bool,
    /// Tasks with fewer different augmentations than asked for, and how many puzzles each gave, itself included.
    pub not_full: Vec<(String, usize)>,
    /// Test outputs that no file held, by subset; they are a single black cell.
    pub missing_outputs: Vec<(String, usize)>,
}

/// Builds a dataset and publishes it; `progress` is called now and then from the calling thread.
///
/// The train split is drawn, numbered and written first, unless the subset listed first is held out: then the test
/// split is. (There the reference's order depends on Python's hash seed; this is its order for `PYTHONHASHSEED=0`.)
pub fn build(config: &ArcBuild, mut progress: impl FnMut(ArcProgress)) -> Result<ArcReport, DatasetError> {
    check(config)?;
    // Before anything is read or computed, so that a build that must fail does so at once.
    let dataset = DatasetWriter::create(&config.output_dir, config.overwrite)?;
    let (mut subsets, missing_outputs) = read_subsets(config)?;
    let read: usize = subsets.iter().map(|subset| subset.tasks.len()).sum();
    for subset in &mut subsets {
        subset.tasks.retain(|task| config.tasks.takes(task, subset.held_out));
    }
    let taken: usize = subsets.iter().map(|subset| subset.tasks.len()).sum();
    if taken == 0 && read > 0 {
        let expected = format!("at least one of the {read} tasks to have such grids");
        return Err(DatasetError::argument("--max-side and --same-size", expected, "none"));
    }
    let mut rng = LegacyGenerator::new(config.seed);
    let plan = Plan::draw(&subsets, config.num_aug, config.puzzle_identifiers_start, &mut rng, |done, total| {
        progress(ArcProgress::Augmenting(done, total));
    })?;
    let mut report = ArcReport {
        tasks: plan.groups().len(),
        left_out: read - taken,
        identifiers: plan.num_identifiers(),
        test_first: plan.split_order()[0] == Split::Test,
        not_full: plan.not_full(config.num_aug),
        missing_outputs,
        ..ArcReport::default()
    };
    for split in plan.split_order() {
        let total = plan.examples(split);
        if total == 0 {
            continue;
        }
        let metadata = metadata(&plan, split, total);
        if config.names_only {
            dataset.metadata(split, &metadata)?;
            continue;
        }
        let mut writer = dataset.split(split, SEQ_LEN, DType::UInt8)?;
        rows::write(&plan, split, &mut rng, &mut writer, |done| progress(ArcProgress::Writing(split, done, total)))?;
        progress(ArcProgress::Syncing(split));
        writer.finish(&metadata)?;
        *if split == Split::Train { &mut report.train_examples } else { &mut report.test_examples } = total;
    }
    dataset.identifiers(plan.names())?;
    dataset.test_puzzles(puzzles(&plan, true))?;
    if config.names_only {
        dataset.train_puzzles(puzzles(&plan, false))?;
    }
    dataset.publish()?;
    Ok(report)
}

fn check(config: &ArcBuild) -> Result<(), DatasetError> {
    if config.subsets.is_empty() {
        return Err(DatasetError::argument("--subsets", "at least one subset", "none"));
    }
    if !(1..=i32::MAX as usize).contains(&config.puzzle_identifiers_start) {
        let expected = "a first identifier from 1 (0 is the blank puzzle's) to 2^31 - 1";
        return Err(DatasetError::argument("--puzzle-identifiers-start", expected, config.puzzle_identifiers_start));
    }
    // The builder keeps all augmentations of a task together, and draws up to five times as many.
    if config.num_aug > MAX_NUM_AUG {
        let expected = format!("at most {MAX_NUM_AUG} augmentations per task");
        return Err(DatasetError::argument("--num-aug", expected, config.num_aug));
    }
    Ok(())
}

/// There are 8 · 9! different ones.
const MAX_NUM_AUG: usize = 8 * 362_880;

type MissingOutputs = Vec<(String, usize)>;

fn read_subsets(config: &ArcBuild) -> Result<(Vec<Subset>, MissingOutputs), DatasetError> {
    let (mut subsets, mut missing_outputs) = (Vec::new(), Vec::new());
    for name in &config.subsets {
        let read = config.source.read(name)?;
        if read.missing_outputs > 0 {
            missing_outputs.push((name.clone(), read.missing_outputs));
        }
        let held_out = *name == config.test_set_name || *name == config.test_set_name2;
        subsets.push(Subset { tasks: read.tasks, held_out });
    }
    Ok((subsets, missing_outputs))
}

fn metadata(plan: &Plan, split: Split, examples: usize) -> DatasetMetadata {
    let (groups, puzzles) = plan.groups_and_puzzles(split);
    DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: VOCAB_SIZE,
        seq_len: SEQ_LEN,
        num_puzzle_identifiers: plan.num_identifiers(),
        total_groups: groups,
        mean_puzzle_examples: examples as f64 / puzzles as f64,
        total_puzzles: puzzles,
        sets: vec!["all".to_owned()],
    }
}

/// Held-out tasks, or the others, by name in the order of drawing; of several with one name the last, in the place of
/// the first, as in a dictionary.
fn puzzles<'a>(plan: &'a Plan<'a>, held_out: bool) -> Vec<(&'a str, &'a ArcTask)> {
    let mut puzzles: Vec<(&str, &ArcTask)> = Vec::new();
    let mut places = HashMap::new();
    for group in plan.groups().iter().filter(|group| group.held_out == held_out) {
        let puzzle = (group.task.id.as_str(), group.task);
        let place = *places.entry(puzzle.0).or_insert(puzzles.len());
        if let Some(known) = puzzles.get_mut(place) {
            *known = puzzle;
        } else {
            puzzles.push(puzzle);
        }
    }
    puzzles
}
