//! The stable names of a graph's inputs and outputs.
//!
//! | graph | inputs | outputs |
//! |---|---|---|
//! | both | `inputs` `[batch, seq_len]` int64, `puzzle_embeddings` `[batch, puzzle_emb_len, hidden_size]` (only for models that have them) | |
//! | unrolled | | `preds` `[batch, steps, seq_len]` int64, `q_halt_logits` and, where the architecture uses it, `q_continue_logits` `[batch, steps]`, on request `logits` `[batch, steps, seq_len, vocab_size]` |
//! | step | `reset` `[batch]` bool, `state.<name>` `[batch, tokens, hidden_size]` | `preds`, `q_halt_logits`, `q_continue_logits`, `logits` without the steps axis, `next_state.<name>` |
//!
//! ONNX forbids an input and an output of the same name, hence `next_state.`; floats are float32, and
//! `tokens = puzzle_emb_len + seq_len`.

pub use models::names::{INPUTS, LOGITS, PREDS, Q_CONTINUE_LOGITS, Q_HALT_LOGITS};

/// Rows of the puzzle-embedding table, zero-padded to whole positions.
pub const PUZZLE_EMBEDDINGS: &str = "puzzle_embeddings";
/// Rows whose state starts anew.
pub const RESET: &str = "reset";

/// Input that takes recursion state `name` (`z_H`): `state.z_H`.
pub fn state_input(name: &str) -> String {
    format!("state.{name}")
}

/// Output that gives recursion state `name` after the step: `next_state.z_H`.
pub fn state_output(name: &str) -> String {
    format!("next_state.{name}")
}
