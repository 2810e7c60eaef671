//! The Maze-Hard dataset: the reference's `build_maze_dataset.py` with its NumPy stream, for mazes of any one size.
//! Owns subsampling and the eight symmetric copies in the reference's order; leaves the list to `puzzle_list`.

use std::path::PathBuf;

use super::puzzle_csv::{PuzzleCsv, PuzzleRow, shorten};
use super::puzzle_list::{BuildProgress, PuzzleListSource, check_subsample_size, subsample};
use crate::maze::{Cell, Maze, MazeError, MazeShape, parse_cells};
use crate::numpy::LegacyGenerator;
use crate::store::{DType, DatasetMetadata, DatasetWriter, Split, SplitWriter};
use crate::{DatasetError, Dihedral};

/// Where the reference finds Maze-Hard.
pub const DEFAULT_REPOSITORY: &str = "sapientinc/maze-30x30-hard-1k";
/// Seed when none is given; the reference leaves NumPy unseeded.
pub const DEFAULT_SEED: u32 = 42;

/// Arguments of a build, named as the reference's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MazeBuild {
    /// The maze lists.
    pub source: PuzzleListSource,
    /// Folder that the dataset appears in.
    pub output_dir: PathBuf,
    /// Number of training mazes to draw at random; all where `None` or more than there are.
    pub subsample_size: Option<usize>,
    /// Whether each training maze is joined by its seven turned and reflected copies.
    pub aug: bool,
    /// As `np.random.seed(seed)` before the reference's builder runs.
    pub seed: u32,
    /// Whether an existing dataset may be replaced.
    pub overwrite: bool,
}

/// Builds both splits and publishes the dataset; `progress` is called after every maze.
pub fn build(config: &MazeBuild, mut progress: impl FnMut(BuildProgress)) -> Result<(), DatasetError> {
    check_subsample_size(config.subsample_size)?;
    // Before anything is fetched or read, so that a build that must fail does so at once.
    let dataset = DatasetWriter::create(&config.output_dir, config.overwrite)?;
    let mut rng = LegacyGenerator::new(config.seed);
    let mut known_shape = None;
    for split in Split::ALL {
        let path = config.source.locate(split, &mut progress)?;
        let list = PuzzleCsv::open(&path)?;
        let (shape, mut mazes) = read_mazes(list, known_shape, |rows| progress(BuildProgress::Reading(split, rows)))?
            .ok_or_else(|| DatasetError::format(&path, "at least one maze", "none"))?;
        known_shape = Some(shape);
        if split == Split::Train {
            mazes = subsample(mazes, config.subsample_size, &mut rng);
        }
        let copies = if split == Split::Train && config.aug { &Dihedral::ALL[..] } else { &Dihedral::ALL[..1] };
        let mut writer = dataset.split(split, shape.cells(), DType::UInt8)?;
        for (index, maze) in mazes.iter().enumerate() {
            write_group(&mut writer, shape, maze, copies)?;
            progress(BuildProgress::Writing(split, index + 1, mazes.len()));
        }
        let metadata = metadata(shape, writer.groups());
        writer.finish(&metadata)?;
    }
    dataset.identifiers(["<blank>"])?;
    dataset.publish()
}

/// The reference's metadata for mazes: one example per puzzle, and groups counted as puzzles.
pub(super) fn metadata(shape: MazeShape, groups: usize) -> DatasetMetadata {
    DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: MazeShape::VOCAB_SIZE,
        seq_len: shape.cells(),
        num_puzzle_identifiers: 1,
        total_groups: groups,
        mean_puzzle_examples: 1.0,
        total_puzzles: groups,
        sets: vec!["all".to_owned()],
    }
}

/// Tokens of a maze and its answer.
#[derive(Debug, Clone)]
struct Example {
    input: Vec<u8>,
    label: Vec<u8>,
}

/// The mazes of a list, all of one shape: the given one, or else that of the first maze. `None` when the list is empty.
fn read_mazes(
    mut list: PuzzleCsv,
    mut shape: Option<MazeShape>,
    mut progress: impl FnMut(usize),
) -> Result<Option<(MazeShape, Vec<Example>)>, DatasetError> {
    let mut mazes = Vec::new();
    while let Some(row) = list.next() {
        let row = row?;
        let shape = match shape {
            Some(shape) => shape,
            None => *shape.insert(shape_of(&list, &row)?),
        };
        mazes.push(parse_maze(&list, &row, shape)?);
        progress(mazes.len());
    }
    Ok(shape.filter(|_| !mazes.is_empty()).map(|shape| (shape, mazes)))
}

fn shape_of(list: &PuzzleCsv, row: &PuzzleRow) -> Result<MazeShape, DatasetError> {
    MazeShape::from_cells(row.question.chars().count())
        .map_err(|error| list.row_error(row.line, "a square maze as question", error.to_string()))
}

/// Parses one row and checks that its answer is a path through its question.
fn parse_maze(list: &PuzzleCsv, row: &PuzzleRow, shape: MazeShape) -> Result<Example, DatasetError> {
    let quoted = |column: &str, text: &str, error: &MazeError| {
        let expected = format!("{column} of {} cells ({shape})", shape.cells());
        list.row_error(row.line, expected, format!("{:?} ({error})", shorten(text)))
    };
    let cells = |column: &str, text: &str| {
        let found = text.chars().count();
        if found != shape.cells() {
            let expected = format!("{column} of {} cells ({shape}, as all before)", shape.cells());
            return Err(list.row_error(row.line, expected, format!("{found} cells")));
        }
        parse_cells(text).map(|(_, cells)| cells).map_err(|error| quoted(column, text, &error))
    };
    let (question, answer) = (cells("a question", &row.question)?, cells("an answer", &row.answer)?);
    let maze = Maze::from_cells(shape, question).map_err(|error| quoted("a question", &row.question, &error))?;
    let label: Vec<i32> = answer.iter().map(|cell| cell.token()).collect();
    maze.check_path(&label).map_err(|flaw| {
        list.row_error(row.line, "an answer that marks a path through its question", flaw.to_string())
    })?;
    let tokens = |cells: &[Cell]| cells.iter().map(|&cell| cell as u8).collect();
    Ok(Example { input: tokens(maze.cells()), label: tokens(&answer) })
}

/// Writes a maze in each of its `copies`, each a puzzle of one example.
fn write_group(
    writer: &mut SplitWriter,
    shape: MazeShape,
    maze: &Example,
    copies: &[Dihedral],
) -> Result<(), DatasetError> {
    let side = shape.side();
    for transform in copies {
        writer.example(&transform.apply(&maze.input, side, side), &transform.apply(&maze.label, side, side))?;
        writer.end_puzzle(0);
    }
    writer.end_group();
    Ok(())
}
