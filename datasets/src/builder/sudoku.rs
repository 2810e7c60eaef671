//! The Sudoku-Extreme dataset: the reference's `build_sudoku_dataset.py` with its NumPy stream.
//! Owns selection, subsampling and augmentation in the reference's order; leaves the list to
//! `puzzle_list`.

use std::path::PathBuf;

use super::puzzle_csv::{PuzzleCsv, PuzzleRow, shorten};
use super::puzzle_list::{BuildProgress, PuzzleListSource, check_subsample_size, subsample};
use crate::DatasetError;
use crate::numpy::LegacyGenerator;
use crate::store::{DType, DatasetMetadata, DatasetWriter, Split, SplitWriter};
use crate::sudoku::{Board, SudokuShape};

/// Where the reference finds Sudoku-Extreme.
pub const DEFAULT_REPOSITORY: &str = "sapientinc/sudoku-extreme";
/// Seed when none is given; the reference leaves NumPy unseeded.
pub const DEFAULT_SEED: u32 = 42;

/// Token of cell value 0; a digit `d` is `d + 1`.
const BLANK_TOKEN: u8 = 1;

/// Arguments of a build, named as the reference's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudokuBuild {
    /// The puzzle lists.
    pub source: PuzzleListSource,
    /// Boards of the lists; the reference knows 9×9 only.
    pub shape: SudokuShape,
    /// Folder that the dataset appears in.
    pub output_dir: PathBuf,
    /// Number of training puzzles to draw at random; all where `None` or more than there are.
    pub subsample_size: Option<usize>,
    /// Augmented copies of each training puzzle.
    pub num_aug: usize,
    /// Lowest rating of a puzzle, in both splits.
    pub min_difficulty: Option<i64>,
    /// As `np.random.seed(seed)` before the reference's builder runs.
    pub seed: u32,
    /// Whether an existing dataset may be replaced.
    pub overwrite: bool,
}

/// Builds both splits and publishes the dataset; `progress` is called after every puzzle.
pub fn build(config: &SudokuBuild, mut progress: impl FnMut(BuildProgress)) -> Result<(), DatasetError> {
    check_subsample_size(config.subsample_size)?;
    // Before anything is fetched or read, so that a build that must fail does so at once.
    let dataset = DatasetWriter::create(&config.output_dir, config.overwrite)?;
    let mut rng = LegacyGenerator::new(config.seed);
    for split in Split::ALL {
        let path = config.source.locate(split, &mut progress)?;
        let list = PuzzleCsv::open(&path)?;
        let mut puzzles = read_puzzles(list, config, |rows| progress(BuildProgress::Reading(split, rows)))?;
        if puzzles.is_empty() {
            let expected = match config.min_difficulty {
                Some(rating) => format!("at least one puzzle of rating {rating} or more (--min-difficulty)"),
                None => "at least one puzzle".to_owned(),
            };
            return Err(DatasetError::format(&path, expected, "none"));
        }
        let num_aug = if split == Split::Train { config.num_aug } else { 0 };
        if split == Split::Train {
            puzzles = subsample(puzzles, config.subsample_size, &mut rng);
        }
        // NumPy's augmentation yields int64, which then covers the originals as well.
        let dtype = if num_aug > 0 { DType::Int64 } else { DType::UInt8 };
        let mut writer = dataset.split(split, config.shape.cells(), dtype)?;
        for (index, puzzle) in puzzles.iter().enumerate() {
            write_group(&mut writer, config.shape, puzzle, num_aug, &mut rng)?;
            progress(BuildProgress::Writing(split, index + 1, puzzles.len()));
        }
        let metadata = metadata(config.shape, writer.groups());
        writer.finish(&metadata)?;
    }
    dataset.identifiers(["<blank>"])?;
    dataset.publish()
}

/// The reference's metadata for Sudoku: one example per puzzle, and groups counted as puzzles.
pub(super) fn metadata(shape: SudokuShape, groups: usize) -> DatasetMetadata {
    DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: shape.vocab_size(),
        seq_len: shape.cells(),
        num_puzzle_identifiers: 1,
        total_groups: groups,
        mean_puzzle_examples: 1.0,
        total_puzzles: groups,
        sets: vec!["all".to_owned()],
    }
}

/// Cell values of a puzzle, then those of its solution: one allocation, because lists have millions of them.
#[derive(Debug, Clone)]
struct Puzzle(Box<[u8]>);

impl Puzzle {
    fn question(&self) -> &[u8] {
        &self.0[..self.0.len() / 2]
    }

    fn answer(&self) -> &[u8] {
        &self.0[self.0.len() / 2..]
    }
}

fn read_puzzles(
    mut list: PuzzleCsv,
    config: &SudokuBuild,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Puzzle>, DatasetError> {
    let mut puzzles = Vec::new();
    let mut rows = 0;
    while let Some(row) = list.next() {
        let row = row?;
        if config.min_difficulty.is_none_or(|rating| row.rating >= rating) {
            puzzles.push(parse_puzzle(&list, &row, config.shape)?);
        }
        rows += 1;
        progress(rows);
    }
    Ok(puzzles)
}

/// Parses one row and checks that the answer solves the question.
fn parse_puzzle(list: &PuzzleCsv, row: &PuzzleRow, shape: SudokuShape) -> Result<Puzzle, DatasetError> {
    let board = |column: &str, text: &str| {
        Board::parse_shape(shape, text).map_err(|error| {
            let expected = format!("{column} of {} cells", shape.cells());
            list.row_error(row.line, expected, format!("{:?} ({error})", shorten(text)))
        })
    };
    let (question, answer) = (board("a question", &row.question)?, board("an answer", &row.answer)?);
    if !answer.is_solution_of(&question) {
        let found = format!("{answer}, which breaks the rules or a given of {question}");
        return Err(list.row_error(row.line, "an answer that solves its question", found));
    }
    Ok(Puzzle([question.cells(), answer.cells()].concat().into()))
}

/// Writes a puzzle and its augmentations, each a puzzle of one example.
fn write_group(
    writer: &mut SplitWriter,
    shape: SudokuShape,
    puzzle: &Puzzle,
    num_aug: usize,
    rng: &mut LegacyGenerator,
) -> Result<(), DatasetError> {
    let tokens = |cells: &[u8]| -> Vec<u8> { cells.iter().map(|value| value + BLANK_TOKEN).collect() };
    writer.example(&tokens(puzzle.question()), &tokens(puzzle.answer()))?;
    writer.end_puzzle(0);
    for _ in 0..num_aug {
        let shuffle = Shuffle::draw(shape, rng);
        writer.example(&tokens(&shuffle.apply(puzzle.question())), &tokens(&shuffle.apply(puzzle.answer())))?;
        writer.end_puzzle(0);
    }
    writer.end_group();
    Ok(())
}

/// A random symmetry as the reference's `shuffle_sudoku` draws it, for boards of any shape. (Not
/// [`crate::sudoku::Symmetry`], whose draws are this project's own.)
struct Shuffle {
    /// `[size + 1]` new digit of each digit; blank stays blank.
    digits: Vec<u8>,
    /// For every new cell the old one.
    cells: Vec<usize>,
}

impl Shuffle {
    fn draw(shape: SudokuShape, rng: &mut LegacyGenerator) -> Self {
        let size = shape.size();
        let mut digits: Vec<u8> = (0..=size as u8).collect();
        rng.shuffle(&mut digits[1..]);
        // Boxes that are not square become boxes of another shape when rows and columns are exchanged.
        let transposed = shape.box_rows() == shape.box_cols() && rng.rand() < 0.5;
        let rows = lines(size, shape.box_rows(), rng);
        let columns = lines(size, shape.box_cols(), rng);
        let old_cell = |cell: usize| {
            let (row, column) = (rows[cell / size], columns[cell % size]);
            if transposed { column * size + row } else { row * size + column }
        };
        Self { digits, cells: (0..shape.cells()).map(old_cell).collect() }
    }

    fn apply(&self, board: &[u8]) -> Vec<u8> {
        self.cells.iter().map(|&cell| self.digits[usize::from(board[cell])]).collect()
    }
}

/// The `size` lines of a board after shuffling its bands of `height` lines, and the lines within each band.
fn lines(size: usize, height: usize, rng: &mut LegacyGenerator) -> Vec<usize> {
    let bands = rng.permutation(size / height);
    bands
        .into_iter()
        .flat_map(|band| rng.permutation(height).into_iter().map(move |line| band * height + line))
        .collect()
}
