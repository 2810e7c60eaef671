//! The engine on a real step graph: the same answers whatever happens in the other rows.

use datasets::sudoku::{GeneratorOptions, SudokuShape, held_out};
use server::config::session_options;
use server::engine::{Answer, Halting, Request, StepBatch, StepModel};
use server::model::{self, LoadedModel};
use server::registry::{EngineLimits, Registry, SudokuModel};
use server::sudoku::tokens_of;

use crate::random_checkpoint::{write_random, write_with};

const LIMITS: EngineLimits = EngineLimits { slots: 8, queue_capacity: 64, max_steps_limit: 64 };

fn puzzles(size: usize, count: usize) -> Vec<Vec<i64>> {
    let options = GeneratorOptions { size, ..GeneratorOptions::default() };
    held_out(&options, count).unwrap().iter().map(|held_out| tokens_of(&held_out.puzzle)).collect()
}

fn fixed(tokens: &[i64], max_steps: usize) -> Request {
    Request { halting: Halting::Fixed, max_steps: Some(max_steps), trace: true, ..Request::new(tokens.to_vec()) }
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
    let puzzles = puzzles(4, 20);
    let options = session_options(1, None);

    let alone = SudokuModel::load(&directory, &options, EngineLimits { slots: 1, ..LIMITS }).unwrap();
    let together = SudokuModel::load(&directory, &options, LIMITS).unwrap();
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

    let mut run = |tokens: &[i64], carried: &[Option<usize>]| step_model.step(&StepBatch { tokens, carried }).unwrap();
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
    assert!(step_model.step(&StepBatch { tokens, carried: &[Some(0)] }).is_err());
    step_model.step(&StepBatch { tokens, carried: &[None] }).unwrap();
    let error = step_model.step(&StepBatch { tokens, carried: &[Some(3)] }).unwrap_err();
    assert_eq!(error.to_string(), "a row continues row 3 of a batch of 1");
}

#[test]
fn the_puzzle_embedding_of_the_checkpoint_reaches_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let step_q = |name: &str, scale: f32| {
        let directory = write_with(folder.path(), name, SudokuShape::FOUR, |config| {
            config.puzzle_emb_ndim = 40;
            config.puzzle_emb_len = 2;
            config.rms_norm_eps = 1e-5 * f64::from(scale);
        });
        let LoadedModel { mut step_model, card, .. } = model::load(&directory, &session_options(1, None)).unwrap();
        assert_eq!(card.arch.puzzle_emb_len(), 2);
        let tokens = puzzles(4, 3).concat();
        step_model.step(&StepBatch { tokens: &tokens, carried: &[None; 3] }).unwrap().q_halt
    };
    let with_table = step_q("with-table", 1.0);
    let loaded = model::load(&folder.path().join("with-table"), &session_options(1, None)).unwrap();
    let checkpoint = models::Checkpoint::open(folder.path().join("with-table")).unwrap();
    let graph = exporter::export(
        &checkpoint,
        &exporter::ExportOptions { graph: exporter::GraphKind::Step, flavor: exporter::Flavor::Fused, logits: false },
    )
    .unwrap();
    let session = exporter::runtime::open_bytes(&graph.bytes, &session_options(1, None)).unwrap();
    let metadata = exporter::metadata::read(&session).unwrap();
    let mut without = server::onnx::OnnxStepModel::new(session, &metadata, &[]);
    let tokens = puzzles(4, 3).concat();
    let zeros = without.step(&StepBatch { tokens: &tokens, carried: &[None; 3] }).unwrap().q_halt;
    assert_ne!(with_table, zeros);
    assert_eq!(loaded.shape, SudokuShape::FOUR);
}

#[test]
fn two_models_of_one_size_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name| {
        let directory = write_random(folder.path(), name, SudokuShape::FOUR);
        SudokuModel::load(&directory, &session_options(1, None), LIMITS).unwrap()
    };
    let error = Registry::new(vec![load("one"), load("two")]).unwrap_err();
    assert_eq!(error.to_string(), "models `one` and `two` both solve 4x4 boards; load one of them");
}

#[test]
fn a_checkpoint_of_another_task_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write_random(folder.path(), "maze", SudokuShape::FOUR);
    let manifest = directory.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"sudoku\"", "\"maze\"");
    std::fs::write(&manifest, text).unwrap();
    let error = model::load(&directory, &session_options(1, None)).unwrap_err().to_string();
    assert!(error.contains("expected a sudoku model") && error.contains("task `maze` with 16 tokens of 6"), "{error}");
}
