//! What a server answers and what an evaluation counts are one vote, on one set of copies: also on ties.

use std::sync::Arc;
use std::time::Duration;

use datasets::maze::MazeShape;
use datasets::scoring::{SymmetricCopies, puzzle_seed};
use datasets::sudoku::SudokuShape;
use datasets::{Batch, Task};
use engine::task::rules;
use engine::{
    Batching, Engine, EngineOptions, Halting, Policy, PolicyLimits, Request, Restarts, Rules, StepBatch, StepError,
    StepModel, StepOutcome,
};
use evaluation::BoardPuzzle;
use evaluation::records::ChainsRecord;
use models::{ArchitectureConfig, TrmConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CHAINS: usize = 6;
/// Every chain's second step is its last: the noise before it names the chain.
const STEPS: usize = 2;

/// Answers chain `c` with the token and the Q value at `c`.
struct Scripted([(i64, f32); CHAINS]);

impl StepModel for Scripted {
    fn seq_len(&self) -> usize {
        1
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        let mut outcome = StepOutcome::default();
        for row in 0..batch.tokens.len() {
            let noise = batch.noise.get(row).copied().flatten();
            let (token, q) = self.0[noise.map_or(0, |noise| (noise.stream >> 32) as usize)];
            outcome.answers.push(token);
            outcome.q_halt.push(q);
        }
        Ok(outcome)
    }
}

/// No answer that the model gives is right.
struct Never;

impl Rules for Never {
    fn obeyed(&self, _inputs: &[i64], _answer: &[i64]) -> bool {
        false
    }
}

#[test]
fn the_answer_of_a_vote_is_the_one_that_evaluations_count() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let policy = Policy {
        halting: Halting::Fixed,
        restarts: Restarts { rollouts: CHAINS - 1, sigma: 1.0, ..Restarts::NONE },
        ..Policy::plain(STEPS)
    };
    let mut draws = 0;
    for _ in 0..300 {
        // Few answers and few values of Q, so that votes and even means are often equal.
        let script =
            [(); CHAINS].map(|()| (rng.random_range(1..=3), [-6.0, -2.0, 0.0, 0.5, 3.0][rng.random_range(0..5)]));
        let options = EngineOptions {
            slots: CHAINS,
            queue_capacity: 1,
            max_wait: Duration::MAX,
            batching: Batching::Continuous,
            chains_at_once: 1,
            default_policy: policy,
            limits: PolicyLimits { max_steps: 16, chains: CHAINS },
        };
        let engine = Engine::start(Scripted(script), Arc::new(Never), options).unwrap();
        let request = Request { trace: true, ..Request::new(vec![0]) };
        let answer = engine.submit(request).unwrap().wait().unwrap();
        assert_eq!((answer.chains, answer.total_steps), (CHAINS, CHAINS * STEPS));
        let votes = |token: i64| script.iter().filter(|(given, _)| *given == token).count();
        draws += usize::from((1..=3).filter(|&token| votes(token) == answer.votes).count() > 1);
        for label in 1..=3 {
            let puzzle =
                BoardPuzzle { number: 0, tokens: vec![0], label: vec![label], hardness: 0, givens: None, rating: None };
            let counted = ChainsRecord::of(&puzzle, &answer, &[CHAINS], &Never).vote_at == [CHAINS];
            assert_eq!(counted, answer.tokens == [label], "{script:?}");
        }
    }
    assert!(draws > 50, "{draws} draws");
}

/// Copy `k` of puzzle `n` is the same whether the trainer evaluates it or the engine searches with it.
#[test]
fn trainer_and_engine_see_the_same_copies() {
    let arch = ArchitectureConfig::Trm(TrmConfig::default());
    for (task, count) in [
        (Task::Sudoku(SudokuShape::SIX), 12),
        (Task::Sudoku(SudokuShape::NINE), 12),
        (Task::Maze(MazeShape::from_side(5).unwrap()), 8),
    ] {
        let seq_len = task.dims().1;
        let inputs: Vec<i32> = (0..seq_len as i32).map(|cell| 1 + cell % 5).collect();
        let batch = Batch {
            seq_len,
            inputs: inputs.clone(),
            labels: inputs.clone(),
            puzzle_identifiers: vec![0],
            real_rows: 1,
        };
        let (seed, number) = (40, 7);
        let copies = SymmetricCopies::new(task, count, seed).unwrap();
        let tokens: Vec<i64> = inputs.iter().copied().map(i64::from).collect();
        for index in 1..count {
            let evaluated = copies.apply(&batch, index, number).inputs;
            let served = rules(task, &arch).copy(&tokens, puzzle_seed(seed, number), index as u64).unwrap();
            assert_eq!(served.tokens, evaluated.iter().copied().map(i64::from).collect::<Vec<_>>(), "{task} {index}");
            assert_eq!((served.undo)(&served.tokens), tokens, "{task} {index}");
        }
    }
}
