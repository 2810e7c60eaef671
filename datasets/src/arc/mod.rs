//! The Abstraction and Reasoning Corpus: grids of ten colours, their symmetries, and their tokens on a 30×30 canvas.
//! Owns what the reference's ARC code computes on single grids and names, and the files that tasks come in; leaves
//! whole datasets to the builder.

mod any_form;
mod augmentation;
mod canvas;
mod error;
mod grid;
mod hash;
mod json;
mod names;
mod reader;
mod task;

pub use any_form::find_tasks;
pub use augmentation::{Augmentation, COLOURS, ColourMap, PUZZLE_ID_SEPARATOR, inverse_aug};
pub use canvas::{
    CANVAS_SIDE, COLOUR_OFFSET, EOS_TOKEN, PAD_TOKEN, Placement, SEQ_LEN, VOCAB_SIZE, crop, encode, find_grid,
};
pub use error::ArcError;
pub use grid::{Grid, MAX_SIDE};
pub use hash::{Digest, grid_hash, puzzle_hash};
pub use names::{ARC_DATA_FOLDER, BLANK_NAME, for_each_name, names_only_files};
pub use reader::{SentTask, TaskSource, TaskSubset, read_tasks, read_test_tasks, read_train_tasks};
pub use task::{ArcPair, ArcTask};
