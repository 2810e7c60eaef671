//! One moment of a puzzle: what was asked, what stands there now, what stood there before, what should.
//! Owns the judgement of each cell (given, changed, wrong); leaves its look to the drawing of the task.

use super::{Picture, PictureError, arc, maze, sudoku};
use crate::{IGNORE_LABEL_ID, Task};

/// What a picture shows, all rows as `[seq_len]` tokens of the task.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What the tokens mean.
    pub task: Task,
    /// The question.
    pub input: &'a [i32],
    /// What is drawn: the question itself, a label, or any prediction. Tokens that the task does not have are drawn as
    /// question marks or empty cells.
    pub shown: &'a [i32],
    /// The step before; cells that differ from it are framed.
    pub before: Option<&'a [i32]>,
    /// The label; cells that differ from it are drawn in red. [`IGNORE_LABEL_ID`] agrees with everything.
    pub label: Option<&'a [i32]>,
}

impl<'a> Scene<'a> {
    /// The question alone.
    pub fn question(task: Task, input: &'a [i32]) -> Self {
        Self { task, input, shown: input, before: None, label: None }
    }

    /// An answer to a question.
    pub fn answer(task: Task, input: &'a [i32], shown: &'a [i32]) -> Self {
        Self { task, input, shown, before: None, label: None }
    }

    /// The picture with its rings.
    ///
    /// # Errors
    /// When a row of tokens has another length than the task.
    pub fn draw(&self) -> Result<Picture, PictureError> {
        self.check()?;
        Ok(self.bare().framed())
    }

    /// Several scenes side by side in one picture, such as question and answer.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn draw_beside(scenes: &[Self]) -> Result<Picture, PictureError> {
        let pictures = scenes
            .iter()
            .map(|scene| {
                scene.check()?;
                Ok(scene.on_background())
            })
            .collect::<Result<Vec<_>, PictureError>>()?;
        Ok(Picture::beside(&pictures).with_margin(12).framed())
    }

    /// Cells that differ from the label; 0 without one.
    pub fn wrong_cells(&self) -> usize {
        (0..self.shown.len()).filter(|&cell| self.is_wrong(cell)).count()
    }

    pub(super) fn check(&self) -> Result<(), PictureError> {
        let expected = match self.task {
            Task::Sudoku(shape) => shape.cells(),
            Task::Maze(shape) => shape.cells(),
            Task::Arc => crate::arc::SEQ_LEN,
        };
        let rows = [
            ("the question", Some(self.input)),
            ("the answer", Some(self.shown)),
            ("the step before", self.before),
            ("the label", self.label),
        ];
        for (what, row) in rows {
            match row {
                Some(row) if row.len() != expected => {
                    return Err(PictureError::Length { what, expected, found: row.len() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The drawing as it stands beside others: boards get an outline, ARC's canvases have lines and arrows of their own.
    pub(super) fn on_background(&self) -> Picture {
        if self.task == Task::Arc { self.bare() } else { self.bare().outlined() }
    }

    /// The drawing without rings.
    pub(super) fn bare(&self) -> Picture {
        match self.task {
            Task::Sudoku(shape) => sudoku::draw(shape, self),
            Task::Maze(shape) => maze::draw(shape, self),
            Task::Arc => arc::draw_canvas(self),
        }
    }

    pub(super) fn is_wrong(&self, cell: usize) -> bool {
        let should = self.label.map(|label| label[cell]);
        should.is_some_and(|should| should != IGNORE_LABEL_ID && should != self.shown[cell])
    }

    pub(super) fn is_changed(&self, cell: usize) -> bool {
        self.before.is_some_and(|before| before[cell] != self.shown[cell])
    }
}
