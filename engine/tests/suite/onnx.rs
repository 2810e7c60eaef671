//! The engine on a real step graph: the same answers whatever happens in the other rows.

use std::path::{Path, PathBuf};

use datasets::sudoku::{GeneratorOptions, SudokuShape, held_out};
use engine::model::{self, LoadedModel};
use engine::onnx::OnnxStepModel;
use engine::registry::{EngineLimits, Registry, ServedModel};
use engine::session_options;
use engine::task::{Task, tokens_of};
use engine::{Answer, Batching, Halting, Policy, Request, Restarts, StepBatch, StepModel};

use crate::random_checkpoint::{architectures, write_architecture, write_random, write_with_table};

const LIMITS: EngineLimits = EngineLimits::plain(8, 64, 64);

fn puzzles(size: usize, count: usize) -> Vec<Vec<i64>> {
    let options = GeneratorOptions { size, ..GeneratorOptions::default() };
    held_out(&options, count).unwrap().iter().map(|held_out| tokens_of(&held_out.puzzle)).collect()
}

/// A batch of puzzles that all have identifier 0.
fn batch<'a>(tokens: &'a [i64], carried: &'a [Option<usize>]) -> StepBatch<'a> {
    const ZEROS: [usize; 8] = [0; 8];
    StepBatch { tokens, carried, puzzle_identifiers: &ZEROS[..carried.len()], noise: &[] }
}

fn fixed(tokens: &[i64], max_steps: usize) -> Request {
    let policy = Policy { halting: Halting::Fixed, ..Policy::plain(max_steps) };
    Request { trace: true, ..Request::new(tokens.to_vec()).with_policy(policy) }
}

/// Kernels for other batch sizes add in another order: float32 rounding, which an untrained model amplifies about
/// eightfold in a step, so that a close race between two tokens may end differently here and there.
fn assert_close(left: &Answer, right: &Answer) {
    assert_eq!((left.steps, left.trace.len()), (right.steps, right.trace.len()));
    for (left, right) in left.trace.iter().zip(&right.trace) {
        assert!((left.q - right.q).abs() < 1e-2 * (1.0 + left.q.abs()), "{} and {}", left.q, right.q);
        let differing = left.tokens.iter().zip(&right.tokens).filter(|(left, right)| left != right).count();
        assert!(differing <= 1, "{:?} and {:?}", left.tokens, right.tokens);
    }
}

#[test]
fn answers_do_not_depend_on_refilled_slots_or_batch_mates() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "random", SudokuShape::FOUR);
    check_company(&directory, 20);
}

#[test]
fn every_architecture_gives_the_same_answers_in_any_company() {
    let folder = tempfile::tempdir().unwrap();
    for (index, arch) in architectures().into_iter().enumerate() {
        println!("{arch:?}");
        check_company(&write_architecture(folder.path(), &index.to_string(), SudokuShape::FOUR, &[], arch), 10);
    }
}

#[test]
fn padded_batches_give_the_same_bits_in_any_company_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "random", SudokuShape::FOUR);
    let limits = EngineLimits { batching: Batching::Padded, ..LIMITS };
    let model = ServedModel::load(&directory, &session_options(1, None), limits).unwrap();
    // An untrained model solves nothing, so that every request runs through its restarts, with noise of its own.
    let requests: Vec<Request> = puzzles(4, 12)
        .iter()
        .enumerate()
        .map(|(index, tokens)| {
            let restarts = Restarts { augmentations: index % 3, rollouts: 1, sigma: 0.25, depth: 5, ..Restarts::NONE };
            let policy = Policy { restarts, seed: index as u64, ..Policy::plain(1 + index % 4) };
            Request { trace: true, ..Request::new(tokens.clone()).with_policy(policy) }
        })
        .collect();
    let bits = |answer: &Answer| {
        let mut steps: Vec<_> =
            answer.trace.iter().map(|step| (step.chain, step.step, step.tokens.clone(), step.q.to_bits())).collect();
        // Which chains share a turn depends on the company; what each of them computes does not.
        steps.sort_unstable();
        (answer.tokens.clone(), answer.q.to_bits(), answer.steps, answer.total_steps, steps)
    };
    let alone: Vec<_> =
        requests.iter().map(|request| bits(&model.engine.submit(request.clone()).unwrap().wait().unwrap())).collect();
    assert!(alone.iter().all(|(.., total_steps, _)| *total_steps > 1));
    for stride in [1, 5, 7, 11] {
        let order: Vec<usize> = (0..requests.len()).map(|index| index * stride % requests.len()).collect();
        let arriving = order.iter().map(|&index| requests[index].clone()).collect();
        for (index, pending) in order.into_iter().zip(model.engine.submit_all(arriving).unwrap()) {
            assert_eq!(bits(&pending.wait().unwrap()), alone[index], "puzzle {index} with stride {stride}");
        }
    }
}

fn check_company(directory: &Path, count: usize) {
    let puzzles = puzzles(4, count);
    let options = session_options(1, None);

    let alone = ServedModel::load(directory, &options, EngineLimits { slots: 1, ..LIMITS }).unwrap();
    let together = ServedModel::load(directory, &options, LIMITS).unwrap();
    // Different budgets free slots at different times, so that states move between rows and batch sizes.
    let requests: Vec<Request> =
        puzzles.iter().enumerate().map(|(index, tokens)| fixed(tokens, 1 + index * 3 % 4)).collect();
    let pending = together.engine.submit_all(requests.clone()).unwrap();
    for (request, pending) in requests.into_iter().zip(pending) {
        let expected = alone.engine.submit(request).unwrap().wait().unwrap();
        assert_close(&pending.wait().unwrap(), &expected);
    }
    assert!(together.engine.metrics().turns < alone.engine.metrics().turns);
}

#[test]
fn at_one_batch_size_rows_are_bit_identical_wherever_their_state_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "random", SudokuShape::FOUR);
    let LoadedModel { mut step_model, .. } = model::load(&directory, &session_options(1, None)).unwrap();
    let puzzles = puzzles(4, 2);
    let both = [&puzzles[0][..], &puzzles[1]].concat();
    let swapped = [&puzzles[1][..], &puzzles[0]].concat();

    let mut run = |tokens: &[i64], carried: &[Option<usize>]| step_model.step(&batch(tokens, carried)).unwrap();
    run(&both, &[None, None]);
    let straight = run(&both, &[Some(0), Some(1)]);
    run(&both, &[None, None]);
    let moved = run(&swapped, &[Some(1), Some(0)]);
    assert_eq!(straight.q_halt, [moved.q_halt[1], moved.q_halt[0]]);
    assert_eq!(straight.answers, [&moved.answers[16..], &moved.answers[..16]].concat());
    // A row that starts afresh beside one that goes on.
    let first = run(&both, &[None, None]);
    let mixed = run(&both, &[Some(0), None]);
    assert_eq!(mixed.q_halt, [straight.q_halt[0], first.q_halt[1]]);
    assert!((straight.q_halt[1] - first.q_halt[1]).abs() > 1e-6, "a step changes q, else this test says nothing");
}

#[test]
fn a_carried_row_without_a_state_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "random", SudokuShape::FOUR);
    let LoadedModel { mut step_model, .. } = model::load(&directory, &session_options(1, None)).unwrap();
    let tokens = &puzzles(4, 1)[0];
    assert!(step_model.step(&batch(tokens, &[Some(0)])).is_err());
    step_model.step(&batch(tokens, &[None])).unwrap();
    let error = step_model.step(&batch(tokens, &[Some(3)])).unwrap_err();
    assert_eq!(error.to_string(), "a row continues row 3 of a batch of 1");
}

/// The random model with a puzzle embedding that fills one position and a quarter of another: rows of 40.
fn with_table(folder: &Path, name: &str, table: &[f32]) -> PathBuf {
    write_with_table(folder, name, SudokuShape::FOUR, table, |config| {
        config.puzzle_emb_ndim = 40;
        config.puzzle_emb_len = 2;
    })
}

#[test]
fn every_row_of_a_batch_sees_its_own_row_of_the_puzzle_table() {
    let folder = tempfile::tempdir().unwrap();
    let table: Vec<f32> = (0..3 * 40).map(|index| ((index * 37 % 41) as f32 - 20.0) / 10.0).collect();
    let load = |name: &str, table: &[f32]| {
        let directory = with_table(folder.path(), name, table);
        model::load(&directory, &session_options(1, None)).unwrap().step_model
    };
    let mut whole = load("whole", &table);
    assert_eq!(whole.num_puzzle_identifiers(), 3);
    let tokens = [&puzzles(4, 1)[0][..], &puzzles(4, 1)[0], &puzzles(4, 1)[0]].concat();
    let identifiers = [2, 0, 1];
    let run = |model: &mut OnnxStepModel, identifiers: &[usize]| {
        let first = StepBatch { tokens: &tokens, carried: &[None; 3], puzzle_identifiers: identifiers, noise: &[] };
        model.step(&first).unwrap();
        model.step(&StepBatch { carried: &[Some(0), Some(1), Some(2)], ..first }).unwrap()
    };
    let mixed = run(&mut whole, &identifiers);
    for (row, identifier) in identifiers.into_iter().enumerate() {
        // What a model says whose table is this row alone, at the same batch size.
        let mut single = load(&format!("single-{identifier}"), &table[identifier * 40..][..40]);
        assert_eq!(single.num_puzzle_identifiers(), 1);
        let expected = run(&mut single, &[0; 3]);
        assert_eq!(mixed.q_halt[row].to_bits(), expected.q_halt[row].to_bits());
        assert_eq!(mixed.answers[row * 16..][..16], expected.answers[row * 16..][..16]);
    }
    let different = |left: usize, right: usize| (mixed.q_halt[left] - mixed.q_halt[right]).abs() > 1e-3;
    assert!(different(0, 1) && different(1, 2) && different(0, 2), "{:?}", mixed.q_halt);

    let outside = StepBatch { tokens: &tokens, carried: &[None; 3], puzzle_identifiers: &[0, 3, 0], noise: &[] };
    let message = whole.step(&outside).unwrap_err().to_string();
    assert!(message.contains("rows 0 to 2, row 3 was asked for"), "{message}");
}

#[test]
fn requests_carry_their_puzzle_identifier_through_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let table: Vec<f32> = (0..3 * 40).map(|index| ((index * 37 % 41) as f32 - 20.0) / 10.0).collect();
    let directory = with_table(folder.path(), "whole", &table);
    let model = ServedModel::load(&directory, &session_options(1, None), LIMITS).unwrap();
    let tokens = &puzzles(4, 1)[0];
    let ask = |puzzle_identifier| Request { puzzle_identifier, ..fixed(tokens, 2) };
    let pending = model.engine.submit_all(vec![ask(0), ask(2), ask(0), ask(1)]).unwrap();
    let answers: Vec<Answer> = pending.into_iter().map(|pending| pending.wait().unwrap()).collect();
    assert_close(&answers[0], &answers[2]);
    for (puzzle_identifier, answer) in [(2, &answers[1]), (1, &answers[3])] {
        assert!((answer.q - answers[0].q).abs() > 1e-3, "{} and {}", answer.q, answers[0].q);
        assert_close(answer, &model.engine.submit(ask(puzzle_identifier)).unwrap().wait().unwrap());
    }
    let message = model.engine.submit(ask(3)).unwrap_err().to_string();
    assert_eq!(message, "puzzle identifier: expected 0 to 2, found 3");
}

#[test]
fn of_two_models_for_one_task_the_first_is_asked_and_each_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name| {
        let directory = write_random(folder.path(), name, SudokuShape::FOUR);
        ServedModel::load(&directory, &session_options(1, None), LIMITS).unwrap()
    };
    let registry = Registry::new(vec![load("one"), load("two")]).unwrap();
    let for_sudoku = |shape| registry.find(|model| model.task == Task::Sudoku(shape));
    assert_eq!(for_sudoku(SudokuShape::FOUR).unwrap().card.name, "one");
    assert_eq!(registry.named("two").unwrap().card.name, "two");
    assert!(for_sudoku(SudokuShape::NINE).is_none() && registry.named("three").is_none());
    let error = Registry::new(vec![load("one"), load("one")]).unwrap_err();
    assert_eq!(error.to_string(), "two checkpoints are called `one`; rename one's folder");
}

#[test]
fn a_checkpoint_of_another_task_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "maze", SudokuShape::FOUR);
    let manifest = directory.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"sudoku\"", "\"maze\"");
    std::fs::write(&manifest, text).unwrap();
    let error = model::load(&directory, &session_options(1, None)).unwrap_err().to_string();
    assert!(
        error.contains("expected a model for Sudoku") && error.contains("task `maze` with 16 tokens of 6"),
        "{error}"
    );
}
