//! Puzzles as pictures: boards, mazes and ARC grids as PNG, a model's reasoning as an animated GIF, ARC task sheets, and
//! pictures read back; line charts. Owns what they look like; takes tokens and grids, and leaves where they come from to its callers.

mod animation;
mod arc;
mod canvas;
mod chart;
mod colours;
mod error;
mod font;
mod marks;
mod maze;
mod paths;
mod read;
mod scene;
mod sheet;
mod sudoku;

pub use animation::{Animation, MAX_FRAMES};
pub use canvas::Picture;
pub use chart::{ChartBand, ChartLine, LineChart, Scale};
pub use colours::{ARC_COLOURS, MAZE_COLOURS, Rgb};
pub use error::PictureError;
pub use marks::{Mark, MarkChart, MarkStyle};
pub use paths::{PathChart, PlanePath};
pub use read::{MAX_PICTURE_BYTES, MAX_PICTURE_SIDE, read_arc_grid, read_maze};
pub use scene::Scene;
pub use sheet::{Attempts, task_sheet};
