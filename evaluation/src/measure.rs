//! The raw run as the reference does it: all steps of every puzzle, in big batches, without an engine. The engine's own
//! figures are held against it.

use engine::{Rules, StepBatch, StepError, StepModel};

/// What all steps of one puzzle gave.
#[derive(Debug, Clone, PartialEq)]
pub struct RawOutcome {
    /// `[seq_len]` prediction after the last step.
    pub answer: Vec<i64>,
    /// `q_halt` after the last step.
    pub q: f32,
    /// Whether that prediction obeys the rules.
    pub obeys: bool,
    /// The first step (from 1) whose prediction obeys the rules.
    pub first_verified: Option<usize>,
}

/// Runs `steps` steps on every puzzle (`[seq_len]` tokens each), `batch_size` at a time. The last batch is filled up
/// with empty rows, so that a puzzle's result does not depend on how many there are.
///
/// # Errors
/// When the model fails.
pub fn run_raw(
    model: &mut impl StepModel,
    rules: &dyn Rules,
    puzzles: &[Vec<i64>],
    steps: usize,
    batch_size: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<RawOutcome>, StepError> {
    let seq_len = model.seq_len();
    let mut outcomes: Vec<RawOutcome> = Vec::with_capacity(puzzles.len());
    for batch in puzzles.chunks(batch_size) {
        let mut tokens = batch.concat();
        tokens.resize(batch_size * seq_len, 0);
        let mut carried = vec![None; batch_size];
        let puzzle_identifiers = vec![0; batch_size];
        let mut first_verified = vec![None; batch.len()];
        for step in 1..=steps {
            let outcome = model.step(&StepBatch {
                tokens: &tokens,
                carried: &carried,
                puzzle_identifiers: &puzzle_identifiers,
                noise: &[],
            })?;
            carried = (0..batch_size).map(Some).collect();
            let answers = outcome.answers.chunks_exact(seq_len);
            for ((puzzle, answer), first) in batch.iter().zip(answers.clone()).zip(&mut first_verified) {
                if first.is_none() && rules.obeyed(puzzle, answer) {
                    *first = Some(step);
                }
            }
            if step == steps {
                let rows = batch.iter().zip(answers).zip(&outcome.q_halt).zip(&first_verified);
                outcomes.extend(rows.map(|(((puzzle, answer), &q), &first_verified)| RawOutcome {
                    obeys: rules.obeyed(puzzle, answer),
                    answer: answer.to_vec(),
                    q,
                    first_verified,
                }));
            }
        }
        progress(batch.len());
    }
    Ok(outcomes)
}
