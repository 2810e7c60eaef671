//! The names under which a supervision step's inputs and outputs are stored, in exported graphs and in the files that
//! `trainer forward` writes and `exporter verify` reads.

/// Tokens of the puzzle.
pub const INPUTS: &str = "inputs";
/// Rows of the puzzle-embedding table that the puzzles have.
pub const PUZZLE_IDENTIFIERS: &str = "puzzle_identifiers";
/// Predicted tokens.
pub const PREDS: &str = "preds";
/// Logit of "the answer is right": halt where positive.
pub const Q_HALT_LOGITS: &str = "q_halt_logits";
/// Logit of the value of one more step, only for architectures that use it.
pub const Q_CONTINUE_LOGITS: &str = "q_continue_logits";
/// Logits of the predicted tokens.
pub const LOGITS: &str = "logits";

/// Output `name` of supervision step `step`, counted from 1, in a file of several: `step1.logits`.
pub fn of_step(step: usize, name: &str) -> String {
    format!("step{step}.{name}")
}
