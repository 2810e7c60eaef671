//! `datasets show`: metadata, arrays and one example of a dataset folder, for people.
//! Owns the drawing of tokens; leaves reading and checking to [`datasets::store`].

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use datasets::store::{DatasetMetadata, DatasetSplit, PuzzleSet, Split};
use datasets::sudoku::Board;
use datasets::{IGNORE_LABEL_ID, Task};

/// Token 0 is padding; the maze's four cells follow in the reference's order.
const MAZE_CELLS: &[u8; 6] = b"_# SGo";
/// ARC tokens: padding, end of grid, then the ten colours.
const ARC_CELLS: &[u8; 12] = b"_|0123456789";

/// Flags of `datasets show`.
#[derive(Args)]
pub(crate) struct Show {
    /// Dataset folder (with train/ and test/).
    path: PathBuf,
    /// Example to draw.
    #[arg(long, default_value_t = 0)]
    index: usize,
    /// Split that the example is taken from.
    #[arg(long, value_enum, default_value_t = SplitName::Train)]
    split: SplitName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    Train,
    Test,
}

impl Show {
    /// Prints both splits that are there and one example.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (mut text, mut example) = (String::new(), String::new());
        let mut found = false;
        for split in Split::ALL.into_iter().filter(|split| self.path.join(split.name()).exists()) {
            let opened = DatasetSplit::open(&self.path, split)?;
            found = true;
            describe(&mut text, split, &opened)?;
            if (split == Split::Train) == (self.split == SplitName::Train) {
                self.draw(&mut example, &opened)?;
            }
        }
        if !found {
            bail!("{}: expected a dataset folder with train/ and test/, found neither", self.path.display());
        }
        text.push_str(&example);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
    }

    fn draw(&self, text: &mut String, split: &DatasetSplit) -> anyhow::Result<()> {
        let mut example = self.index;
        for set in split.sets() {
            if example < set.examples() {
                return draw_example(text, split.metadata(), set, example);
            }
            example -= set.examples();
        }
        let total: usize = split.sets().iter().map(PuzzleSet::examples).sum();
        bail!("--index: expected a number below {total}, the examples of this split, found {}", self.index);
    }
}

fn describe(text: &mut String, split: Split, opened: &DatasetSplit) -> anyhow::Result<()> {
    let metadata = opened.metadata();
    let task = Task::infer(metadata.vocab_size, metadata.seq_len).map_or("unknown".to_owned(), |task| task.to_string());
    writeln!(text, "{}: task {task}", split.name())?;
    writeln!(text, "  {}", String::from_utf8_lossy(&metadata.to_json_bytes()))?;
    for set in opened.sets() {
        writeln!(
            text,
            "  set {:?}: inputs and labels [{}, {}] {}, {} puzzles in {} groups",
            set.name(),
            set.examples(),
            metadata.seq_len,
            set.dtype().name(),
            set.puzzles(),
            set.groups()
        )?;
    }
    Ok(())
}

fn draw_example(text: &mut String, metadata: &DatasetMetadata, set: &PuzzleSet, example: usize) -> anyhow::Result<()> {
    let puzzle = set.puzzle_of(example);
    writeln!(
        text,
        "\nExample {example} of set {:?} (puzzle {puzzle}, identifier {}):",
        set.name(),
        set.puzzle_identifier(puzzle)
    )?;
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    set.append_input(example, &mut inputs)?;
    set.append_label(example, &mut labels)?;
    let task = Task::infer(metadata.vocab_size, metadata.seq_len);
    for tokens in [&inputs, &labels] {
        let drawing = match task {
            Some(Task::Sudoku(_)) => Board::from_tokens(tokens).map(|board| board.to_grid()).ok(),
            Some(Task::Maze(_)) => Some(draw_cells(tokens, MAZE_CELLS)),
            Some(Task::Arc) => Some(draw_cells(tokens, ARC_CELLS)),
            None => None,
        };
        // Tokens that are no board of the task (padding, ignored labels) are shown as numbers.
        writeln!(text, "{}", drawing.unwrap_or_else(|| draw_numbers(tokens)))?;
    }
    Ok(())
}

/// A square of characters, rows and columns of padding at its end left out.
fn draw_cells(tokens: &[i32], cells: &[u8]) -> String {
    let side = tokens.len().isqrt();
    let is_padding = |&token: &i32| token == 0 || token == IGNORE_LABEL_ID;
    let mut drawing = String::new();
    for row in tokens.chunks(side) {
        let width = row.iter().rposition(|token| !is_padding(token)).map_or(0, |last| last + 1);
        if width > 0 {
            let character = |&token: &i32| usize::try_from(token).ok().and_then(|token| cells.get(token));
            drawing.extend(row[..width].iter().map(|token| char::from(*character(token).unwrap_or(&b'_'))));
            drawing.push('\n');
        }
    }
    drawing
}

fn draw_numbers(tokens: &[i32]) -> String {
    let side = tokens.len().isqrt().max(1);
    let line = |row: &[i32]| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    tokens.chunks(side).map(line).collect::<Vec<_>>().join("\n") + "\n"
}
