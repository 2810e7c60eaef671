//! The raw run as the reference does it: all steps of every puzzle, in big batches, without an engine. Tests compare the
//! figures of the engine with it.

use datasets::sudoku::{GeneratorOptions, HeldOutPuzzle, SudokuShape, hardness};
use engine::task::tokens_of;
use engine::{Rules, StepBatch, StepModel};
use evaluation::records::{Entry, Facts, StepsRecord};
use evaluation::score::RawScore;
use evaluation::tally::StepsTally;

/// Minimal puzzles with `extra_clues` further givens, from the generator's held-out stream of `seed`.
pub fn held_out(shape: SudokuShape, seed: u64, extra_clues: usize, count: usize) -> Vec<HeldOutPuzzle> {
    let extra_clues = (extra_clues, extra_clues);
    let options = GeneratorOptions { size: shape.size(), seed, extra_clues, ..GeneratorOptions::default() };
    datasets::sudoku::held_out(&options, count).unwrap()
}

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
pub fn run_raw(
    model: &mut impl StepModel,
    rules: &dyn Rules,
    puzzles: &[Vec<i64>],
    steps: usize,
    batch_size: usize,
) -> Vec<RawOutcome> {
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
            });
            let outcome = outcome.unwrap();
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
    }
    outcomes
}

/// Scores of a raw run, in which every puzzle took `steps` steps.
pub fn score_raw(puzzles: &[HeldOutPuzzle], outcomes: &[RawOutcome], steps: usize) -> RawScore {
    let mut tally = StepsTally::new(&[steps], steps);
    for (number, (puzzle, outcome)) in puzzles.iter().zip(outcomes).enumerate() {
        let label = tokens_of(&puzzle.solution);
        let correct = label.iter().zip(&outcome.answer).filter(|(label, answer)| label == answer).count();
        let at = |holds: bool| if holds { vec![steps] } else { Vec::new() };
        tally.add(Entry::Puzzle(StepsRecord {
            facts: Facts {
                puzzle: number as u64,
                hardness: u64::from(puzzle.guesses),
                givens: Some(puzzle.puzzle.givens() as u64),
                rating: hardness(&puzzle.puzzle).ok(),
            },
            exact_at: at(correct == label.len()),
            obeys_at: at(outcome.obeys),
            q_at: at(outcome.q > 0.0),
            first_verified: outcome.first_verified,
            correct_cells: correct,
            labelled_cells: label.len(),
        }));
    }
    tally.score(None)
}
