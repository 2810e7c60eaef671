//! The reference's on-disk format: `{train,test}/dataset.json`, `{set}__{field}.npy`, `identifiers.json`.
//! Owns reading (memory-mapped, validated) and crash-safe writing; leaves the meaning of tokens to the tasks.

mod bulk_file;
mod json;
mod metadata;
mod npy;
mod npy_header;
mod set;
mod text;
mod writer;

pub use json::write_json;
pub(crate) use json::{read_bounded, to_python_bytes};
pub use metadata::DatasetMetadata;
pub use npy::DType;
pub(crate) use npy_header::ArrayHeader;
pub use set::{DatasetSplit, PuzzleSet, Split};
pub use text::{open_text, read_text, text_of};
pub use writer::{DatasetWriter, SplitWriter};
pub(crate) use writer::{IDENTIFIERS_FILE, TEST_PUZZLES_FILE, TRAIN_PUZZLES_FILE};
