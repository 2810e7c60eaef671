//! `datasets show`: metadata, arrays and one example of a dataset folder, for people; as text, picture or animation.
//! Owns the flags; leaves terminal drawings to [`terminal`], files to [`files`] and checking to [`datasets::store`].

mod files;
mod sheet;
mod terminal;
mod trace;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use datasets::Task;
use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, encode};
use datasets::store::{DatasetSplit, PuzzleSet, Split};

/// Flags of `datasets show`.
#[derive(Args)]
pub(crate) struct Show {
    /// Dataset folder (with train/ and test/), or a PNG picture of a maze or an ARC grid.
    path: PathBuf,
    /// Example to draw.
    #[arg(long, default_value_t = 0)]
    index: usize,
    /// Split that the example is taken from.
    #[arg(long, value_enum, default_value_t = SplitName::Train)]
    split: SplitName,
    /// Draw question and answer into a PNG file.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// What --png draws.
    #[arg(long, value_enum, default_value_t = Part::Both, requires = "png")]
    part: Part,
    /// Draw an animation into a GIF file: from the question to the answer, or the steps of --trace.
    #[arg(long, value_name = "FILE")]
    gif: Option<PathBuf>,
    /// The server's answer to a request with "trace": true (JSON): its steps are animated in --gif, and --png shows the
    /// last one, wrong cells in red.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the whole ARC task of this name into --png: training pairs, test inputs, attempts and solutions.
    #[arg(long, value_name = "NAME", requires = "png", conflicts_with_all = ["trace", "gif"])]
    task: Option<String>,
    /// The attempts that --task shows: a submission as `datasets score` or Kaggle's competitors write it (JSON).
    #[arg(long, value_name = "FILE", requires = "task")]
    submission: Option<PathBuf>,
    /// Colours in the terminal; auto heeds `NO_COLOR` and leaves pipes plain.
    #[arg(long, value_enum, default_value_t = terminal::When::Auto)]
    color: terminal::When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    Train,
    Test,
}

/// What a picture shows of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Question,
    Answer,
    Both,
}

/// One example with the task it belongs to.
struct Example {
    task: Option<Task>,
    input: Vec<i32>,
    label: Vec<i32>,
}

impl Show {
    /// Prints both splits that are there and one example, and writes the pictures that are asked for.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.path.is_file() {
            return print(&files::read_picture(&self.path, self.color)?);
        }
        if let (Some(task), Some(png)) = (&self.task, &self.png) {
            return sheet::write(&self.path, task, self.submission.as_deref(), png);
        }
        let mut text = String::new();
        let mut shown = None;
        for split in Split::ALL.into_iter().filter(|split| self.path.join(split.name()).exists()) {
            let opened = DatasetSplit::open(&self.path, split)?;
            describe(&mut text, split, &opened)?;
            if (split == Split::Train) == (self.split == SplitName::Train) {
                shown = Some(self.example(&mut text, &opened)?);
            }
        }
        if text.is_empty() {
            bail!(
                "{}: expected a dataset folder with train/ and test/, or a PNG file, found neither",
                self.path.display()
            );
        }
        let Some(example) = shown else {
            return print(&text);
        };
        for tokens in [&example.input, &example.label] {
            terminal::draw(&mut text, example.task, &example.input, tokens, self.color)?;
            text.push('\n');
        }
        self.write_pictures(&example)?;
        print(&text)
    }

    fn example(&self, text: &mut String, split: &DatasetSplit) -> anyhow::Result<Example> {
        let task = Task::infer(split.metadata().vocab_size, split.metadata().seq_len);
        let mut example = self.index;
        for set in split.sets() {
            if example < set.examples() {
                let puzzle = set.puzzle_of(example);
                writeln!(
                    text,
                    "\nExample {example} of set {:?} (puzzle {puzzle}, identifier {}):",
                    set.name(),
                    set.puzzle_identifier(puzzle)
                )?;
                let (mut input, mut label) = (Vec::new(), Vec::new());
                set.append_input(example, &mut input)?;
                set.append_label(example, &mut label)?;
                return Ok(Example { task, input, label });
            }
            example -= set.examples();
        }
        let total: usize = split.sets().iter().map(PuzzleSet::examples).sum();
        bail!("--index: expected a number below {total}, the examples of this split, found {}", self.index);
    }

    fn write_pictures(&self, example: &Example) -> anyhow::Result<()> {
        if self.png.is_none() && self.gif.is_none() {
            return Ok(());
        }
        let Some(task) = example.task else {
            bail!("--png and --gif draw Sudoku, mazes and ARC; this dataset's vocabulary and length belong to no task");
        };
        let steps = match &self.trace {
            Some(path) => trace::read(path, task).with_context(|| path.display().to_string())?,
            None => Vec::new(),
        };
        if let Some(path) = &self.png {
            files::write_png(path, task, example, steps.last(), self.part)?;
        }
        if let Some(path) = &self.gif {
            files::write_gif(path, task, example, steps)?;
        }
        Ok(())
    }
}

/// `[900]` tokens of a grid in the canvas's corner.
fn canvas_of(grid: &Grid) -> Vec<i32> {
    let mut tokens = [0; SEQ_LEN];
    encode(grid, &Augmentation::IDENTITY, Placement::CORNER, &mut tokens);
    tokens.map(i32::from).to_vec()
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
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
