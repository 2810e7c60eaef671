//! The first run of every batch size, before anybody waits for it: backends allocate and choose kernels then.

use super::policy::in_range;
use super::scheduler::{MAX_SLOTS, batch_sizes};
use super::{EngineError, StepBatch, StepModel};

/// Runs one step of every batch size that an engine of `slots` slots uses, on blank puzzles.
///
/// # Errors
/// When there cannot be so many slots, when the model cannot compute one of the batches, or gives an output of another
/// size.
pub fn warm_up(model: &mut impl StepModel, slots: usize) -> Result<(), EngineError> {
    in_range("slots", slots, 1, MAX_SLOTS)?;
    let seq_len = model.seq_len();
    // The largest first: the backend's memory is then laid out for all.
    for rows in batch_sizes(slots).rev() {
        let batch = StepBatch {
            tokens: &vec![0; rows * seq_len],
            carried: &vec![None; rows],
            puzzle_identifiers: &vec![0; rows],
            noise: &vec![None; rows],
        };
        let outcome = model.step(&batch).map_err(|error| EngineError::Step(error.to_string()))?;
        let found = (outcome.answers.len(), outcome.q_halt.len());
        if found != (rows * seq_len, rows) {
            return Err(EngineError::Step(format!(
                "a batch of {rows} rows gave {} predictions and {} q values, expected {} and {rows}",
                found.0,
                found.1,
                rows * seq_len
            )));
        }
    }
    Ok(())
}
