//! Prediction files: what a model answered, row by row, under the reference's names.
//! Owns formats, bounded reading and streaming writing; leaves what the answers are worth to the scorers.
//!
//! A file holds four arrays: `inputs` and `preds` `[rows, seq_len]`, `puzzle_identifiers` `[rows]`, and
//! `q_halt_logits` `[rows]`, as safetensors, as an `.npz` archive, or as a folder of `.npy` files.

mod column;
mod files;
mod npy;
mod read;
mod safetensors_file;
mod writer;

pub use files::{PredictionPass, prediction_passes};
pub use read::{PredictionFile, PredictionRows, PredictionSource};
pub use writer::{PredictionArray, PredictionWriter};

/// Input tokens, `[rows, seq_len]`.
const INPUTS: &str = "inputs";
/// Rows of the puzzle-embedding table, `[rows]`.
const PUZZLE_IDENTIFIERS: &str = "puzzle_identifiers";
/// Halting logits of the last supervision step, `[rows]`.
const Q_HALT_LOGITS: &str = "q_halt_logits";
/// Predicted tokens, `[rows, seq_len]`.
const PREDS: &str = "preds";
/// Labels, `[rows, seq_len]`, which a file may hold for other readers.
const LABELS: &str = "labels";
/// All arrays of a prediction file.
const ARRAYS: [&str; 4] = [INPUTS, PUZZLE_IDENTIFIERS, Q_HALT_LOGITS, PREDS];
/// Key of a safetensors file's text metadata: symmetric copies that were predicted of every puzzle and undone again.
const AUGMENTATIONS: &str = "augmentations";
