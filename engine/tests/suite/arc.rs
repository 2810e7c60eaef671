//! ARC without HTTP: which task is meant, what the copies of a task are asked, and how they vote.

use std::sync::Arc;
use std::time::Duration;

use datasets::arc::{ArcPair, Augmentation, ColourMap, Placement, SEQ_LEN, SentTask, encode};
use datasets::loader::{LoaderOptions, TestBatches};
use datasets::scoring::predictions::{PredictionRows, PredictionSource};
use datasets::scoring::{ArcScorer, VoteRule};
use datasets::store::Split;
use datasets::{Batch, Dihedral};
use engine::arc::{ArcOptions, ArcPuzzle, LookupError, PendingTask, TaskIndex, held_out, submit};
use engine::registry::{ServedModel, attach_arc_data as attach};
use engine::task::Unchecked;
use engine::{Clock, Engine, EngineError, StepBatch, StepModel};

use crate::arc_world::{IDENTIFIERS, NUM_AUG, STEPS, Scripted, dataset, grid, index, opinionated, task, tasks};
use crate::manual_clock::ManualClock;

/// A task as somebody sends it, without outputs of test pairs.
fn sent(name: &str) -> SentTask {
    let task = task(name);
    let has_output = vec![false; task.test.len()];
    SentTask { task, has_output }
}

fn options(engine: &Engine, augmentations: usize) -> ArcOptions {
    ArcOptions { augmentations, policy: engine.options().default_policy, deadline: None, steps: false }
}

fn submit_one(engine: &Engine, index: &TaskIndex, puzzle: ArcPuzzle, options: &ArcOptions) -> PendingTask {
    submit(engine, index, vec![puzzle], options).unwrap().pop().unwrap()
}

fn augmentation() -> Augmentation {
    let colours = ColourMap::new([0, 2, 3, 4, 5, 6, 7, 8, 9, 1]).unwrap();
    Augmentation { transform: Dihedral::ALL[1], colours }
}

fn augmented(name: &str) -> SentTask {
    let mut sent = sent(name);
    let apply = |pair: &mut ArcPair| {
        *pair = ArcPair::new(augmentation().apply(&pair.input), augmentation().apply(&pair.output));
    };
    sent.task.train.iter_mut().chain(&mut sent.task.test).for_each(apply);
    sent
}

#[test]
fn every_task_is_known_with_the_rows_of_its_augmentations() {
    let index = index();
    assert_eq!(index.num_puzzle_identifiers(), IDENTIFIERS);
    let names: Vec<&str> = index.tasks().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names.len(), 3);
    let mut rows: Vec<u32> = Vec::new();
    for name in ["turn", "swap", "fill"] {
        let (task, known) = index.named(name).unwrap();
        assert_eq!((known.held_out, known.task.is_some()), (name != "turn", name != "turn"));
        let puzzles = index.puzzles_of(task);
        assert_eq!((puzzles.len(), puzzles[0].augmentation), (1 + NUM_AUG, Augmentation::IDENTITY));
        rows.extend(puzzles.iter().map(|puzzle| puzzle.identifier));
    }
    rows.sort_unstable();
    assert_eq!(rows, (1..IDENTIFIERS as u32).collect::<Vec<_>>(), "row 0 is the blank puzzle's");
}

#[test]
fn a_task_is_found_by_its_demonstrations_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    // The pairs of "turn" lie moved on their canvases in one data set, and as JSON in the other.
    let whole = TaskIndex::open(&dataset(folder.path(), false)).unwrap();
    let names = TaskIndex::open(&dataset(other.path(), true)).unwrap();
    for index in [&whole, &names] {
        for known in tasks() {
            let mut sent = sent(&known.id);
            sent.task.train.reverse();
            sent.task.id = "whatever".into();
            let puzzle = index.recognise(None, Some(&sent)).unwrap();
            assert_eq!((puzzle.name.as_str(), puzzle.frame), (known.id.as_str(), Augmentation::IDENTITY));
            let inputs: Vec<_> = puzzle.tests.iter().map(|test| test.input.clone()).collect();
            assert_eq!(inputs, known.test.iter().map(|pair| pair.input.clone()).collect::<Vec<_>>());
            assert!(puzzle.tests.iter().all(|test| test.output.is_none()));
            // One that is left out does not matter, one that is another does.
            sent.task.train.pop();
            assert_eq!(index.recognise(Some("misnamed"), Some(&sent)).unwrap().name, known.id);
            sent.task.train.push(ArcPair::new(grid("1"), grid("2")));
            assert!(index.recognise(None, Some(&sent)).unwrap_err().is_unknown_task());
        }
    }
    // The data set does not tell demonstrations from tests where all pairs are trained on.
    let mut all = sent("turn");
    all.task.train = all.task.pairs().cloned().collect();
    assert_eq!(whole.recognise(None, Some(&all)).unwrap().name, "turn");
    let mut held_out = sent("fill");
    held_out.task.train = held_out.task.pairs().cloned().collect();
    assert!(whole.recognise(None, Some(&held_out)).is_err(), "no model has been shown the test pair");
}

#[test]
fn an_augmented_task_is_found_by_its_name_only() {
    let index = index();
    let error = index.recognise(None, Some(&augmented("swap"))).unwrap_err();
    assert!(error.is_unknown_task() && error.to_string().contains("found by its name only"), "{error}");
    let name = augmentation().name("swap");
    let puzzle = index.recognise(Some(&name), Some(&augmented("swap"))).unwrap();
    assert_eq!((puzzle.name, puzzle.frame), (name.clone(), augmentation()));
    // By name alone the data set's own test inputs are turned, and their answers known.
    let puzzle = index.recognise(Some(&name), None).unwrap();
    let expected = task("swap").test;
    assert_eq!(puzzle.tests[0].input, augmentation().apply(&expected[0].input));
    assert_eq!(puzzle.tests[0].output, Some(augmentation().apply(&expected[0].output)));
    let wrong = index.recognise(Some(&name), Some(&sent("swap"))).unwrap_err();
    assert_eq!(wrong, LookupError::OtherDemonstrations { name: "swap".into() });
}

#[test]
fn what_is_not_known_is_told_apart() {
    let index = index();
    let says = |name: Option<&str>, sent: Option<&SentTask>| {
        let error = index.recognise(name, sent).unwrap_err();
        (error.is_unknown_task(), error.to_string())
    };
    let (unknown, message) = says(Some("0a1b2c3d"), None);
    assert!(unknown);
    assert_eq!(message, "none of the 3 tasks that this model was trained on is called \"0a1b2c3d\"");
    let (unknown, message) = says(Some("turn"), None);
    assert!(!unknown && message.contains("the test inputs of task \"turn\" are not known here"), "{message}");
    let (unknown, message) = says(Some("turn|||t9|||0123456789"), None);
    assert!(!unknown && message.contains("expected an augmentation"), "{message}");
    let (unknown, message) = says(Some("swap"), Some(&sent("fill")));
    assert!(!unknown && message.contains("was trained on other demonstrations"), "{message}");
    let (unknown, message) = says(None, None);
    assert!(!unknown && message.contains("found neither"), "{message}");
    let (unknown, message) = says(Some(&"x".repeat(5000)), Some(&augmented("fill")));
    assert!(unknown && message.len() < 500 && message.contains("nor is one called"), "{message}");
}

/// Each copy is asked with its own row and its own canvas, and votes for its own grid of the task itself.
#[tokio::test]
async fn copies_see_their_augmentation_and_answers_are_carried_back() {
    // A model that answers every canvas with itself: all copies agree on the input.
    let model = Scripted::new(|_, tokens, _| (tokens.to_vec(), 0.0)).served();
    let index = index();
    for (name, frame) in [("swap".to_owned(), Augmentation::IDENTITY), (augmentation().name("swap"), augmentation())] {
        let puzzle = index.recognise(Some(&name), None).unwrap();
        let answer = submit_one(&model.engine, &index, puzzle, &options(&model.engine, 99)).answer().await.unwrap();
        assert_eq!((answer.augmentations, answer.steps), (1 + NUM_AUG, STEPS));
        assert_eq!(answer.total_steps, 2 * (1 + NUM_AUG) * STEPS);
        for (test, pair) in answer.tests.iter().zip(task("swap").test) {
            let [attempt] = &test.attempts[..] else { panic!("all agree: {:?}", test.attempts) };
            assert_eq!(attempt.grid, frame.apply(&pair.input));
            assert_eq!((attempt.votes as usize, attempt.mean_q, test.correct), (1 + NUM_AUG, 0.5, Some(false)));
        }
        assert_eq!(answer.solved(), Some(false));
    }
}

/// Every row of the table has its own opinion: only a copy that is asked with its own row and canvas can tell it.
#[tokio::test]
async fn votes_come_before_mean_q_and_ties_keep_the_order_of_the_copies() {
    let index = index();
    let (task, _) = index.named("fill").unwrap();
    let puzzles = index.puzzles_of(task).to_vec();
    // Votes by copy: a b c b a c d, with q such that a and b tie in votes and q, and d is surest.
    let opinions = [(3, 1.0_f32), (4, 0.0), (5, -1.0), (4, 1.0), (3, 0.0), (5, -1.0), (6, 9.0)];
    let said = puzzles.clone();
    let model = Scripted::new(move |identifier, tokens, _| {
        let rank = said.iter().position(|puzzle| puzzle.identifier as usize == identifier).unwrap();
        let (colour, q) = opinions[rank];
        // The copy's own picture of a single cell of that colour.
        let mut canvas = [0; SEQ_LEN];
        encode(&grid(&colour.to_string()), &said[rank].augmentation, Placement::CORNER, &mut canvas);
        assert_eq!(tokens.len(), SEQ_LEN);
        (canvas.into_iter().map(i64::from).collect(), q)
    })
    .served();
    let puzzle = index.recognise(Some("fill"), None).unwrap();
    let ranked = async |augmentations: usize| {
        let options = options(&model.engine, augmentations);
        let answer = submit_one(&model.engine, &index, puzzle.clone(), &options).answer().await.unwrap();
        let attempts = answer.tests[0].attempts.iter();
        attempts.map(|attempt| (attempt.grid.cells()[0], attempt.votes)).collect::<Vec<_>>()
    };
    assert_eq!(ranked(7).await, [(3, 2), (4, 2)], "a was first, c is less sure, d has one vote");
    assert_eq!(ranked(1).await, [(3, 1)], "one copy has one opinion");
    assert_eq!(ranked(2).await, [(3, 1), (4, 1)], "a is surer than b");
    assert_eq!(ranked(4).await, [(4, 2), (3, 1)]);
    assert_eq!(ranked(0).await, [(3, 1)], "the task itself is always asked");
}

/// The same votes as an evaluation row by row in the order of the data set, without an engine.
#[tokio::test]
async fn answers_equal_those_of_an_evaluation_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), false);
    let index = TaskIndex::open(&data).unwrap();
    let mut alone = Scripted::new(opinionated);
    let mut scorer = ArcScorer::open(&data).unwrap();
    let source = PredictionSource { path: "memory".into(), augmentations: 1 };
    for batch in TestBatches::open(std::slice::from_ref(&data), Split::Test, LoaderOptions::new(1)).unwrap() {
        let (preds, q) = one_by_one(&mut alone, &batch.as_ref().unwrap().batch);
        scorer.add(&PredictionRows::of_batch(&batch.unwrap().batch, &preds, &[q]), &source).unwrap();
    }
    let model = Scripted::new(opinionated).served();
    let mut candidates = 0;
    for name in ["swap", "fill"] {
        let puzzle = index.recognise(Some(name), None).unwrap();
        let answer = submit_one(&model.engine, &index, puzzle, &options(&model.engine, 99)).answer().await.unwrap();
        for (pair, test) in answer.tests.iter().enumerate() {
            let ranking = scorer.ranking(name, pair, VoteRule::CountThenMeanQ).unwrap();
            assert_eq!(test.attempts, ranking[..2], "{name}#{pair}");
            candidates += ranking.len();
        }
    }
    assert!(candidates > 6, "opinions must differ for this to be a test");

    // The same through the evaluation, copy by copy.
    let mut evaluated = ArcScorer::open(&data).unwrap();
    let mut rows = Vec::new();
    let policy = model.engine.options().default_policy;
    let keep = |prediction| {
        rows.push(prediction);
        Ok::<_, EngineError>(())
    };
    // The evaluation blocks, which the thread of this test must not.
    std::thread::scope(|scope| {
        let evaluation =
            || held_out::predict(&model.engine, &index, index.test_rows(usize::MAX), policy, 5, keep).unwrap();
        scope.spawn(evaluation).join().unwrap();
    });
    assert_eq!(rows.len(), index.test_row_count(usize::MAX));
    assert!(rows.is_sorted_by_key(|prediction| prediction.row.rank), "copy by copy");
    evaluated.add(&held_out::rows_of(&rows, 0), &source).unwrap();
    assert_eq!(evaluated.submission(2), scorer.submission(2));
    let figures = |scorer: &ArcScorer| scorer.report(&["memory".into()], &[1, 2, 5]).unwrap();
    assert_eq!(figures(&evaluated), figures(&scorer));
    assert_eq!(index.test_row_count(2), 6);
    assert_eq!(index.test_rows(2).map(|row| row.rank).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
}

/// `[900]` predictions and q after all steps on the one row of a batch.
fn one_by_one(model: &mut impl StepModel, batch: &Batch) -> (Vec<i32>, f32) {
    let tokens: Vec<i64> = batch.inputs.iter().map(|&token| i64::from(token)).collect();
    let identifiers = [batch.puzzle_identifiers[0] as usize];
    let mut outcome = None;
    for step in 0..STEPS {
        let carried = [(step > 0).then_some(0)];
        let batch = StepBatch { tokens: &tokens, carried: &carried, puzzle_identifiers: &identifiers, noise: &[] };
        outcome = Some(model.step(&batch).unwrap());
    }
    let outcome = outcome.unwrap();
    (outcome.answers.iter().map(|&token| token as i32).collect(), outcome.q_halt[0])
}

#[tokio::test]
async fn every_step_of_every_copy_is_reported_in_the_frame_of_the_task() {
    // Blank at first, then the input, then the input again.
    let model = Scripted::new(|_, tokens, step| match step {
        1 => (vec![0; SEQ_LEN], -1.0),
        step => (tokens.to_vec(), step as f32),
    })
    .served();
    let index = index();
    let puzzle = index.recognise(Some(&augmentation().name("swap")), None).unwrap();
    let options = ArcOptions { steps: true, ..options(&model.engine, 3) };
    let mut pending = submit_one(&model.engine, &index, puzzle.clone(), &options);
    let mut steps = pending.steps().unwrap();
    assert!(pending.steps().is_none());
    let mut reported = Vec::new();
    while let Some(step) = steps.next().await {
        reported.push(step);
    }
    pending.answer().await.unwrap();
    reported.sort_by_key(|step| (step.test, step.augmentation, step.step));
    assert_eq!(reported.len(), 2 * 3 * STEPS);
    for (index, step) in reported.iter().enumerate() {
        let (copy, at) = (index / STEPS, index % STEPS + 1);
        assert_eq!((step.test, step.augmentation, step.step), (copy / 3, copy % 3, at));
        let input = &puzzle.tests[step.test].input;
        match at {
            1 => assert!(step.answer.cells().is_empty() && step.changed.is_empty()),
            2 => assert_eq!((&step.answer, step.changed.len()), (input, input.cells().len())),
            _ => assert_eq!((&step.answer, step.changed.len(), step.q), (input, 0, at as f32)),
        }
    }
}

#[test]
fn who_goes_away_frees_the_rows_of_all_copies() {
    let (model, gate) = Scripted::new(opinionated).gated();
    let model = model.served();
    let index = index();
    let puzzle = index.recognise(Some("swap"), None).unwrap();
    let pending = submit_one(&model.engine, &index, puzzle, &options(&model.engine, 7));
    gate.send(()).unwrap();
    drop(pending);
    drop(gate);
    // Dropping the engine waits for its thread, so that afterwards everything has happened.
    let engine = model.engine;
    while engine.metrics().cancelled < 14 {
        std::thread::yield_now();
    }
    let metrics = engine.metrics();
    assert_eq!((metrics.accepted, metrics.cancelled, metrics.answered), (14, 14, 0));
    assert!(metrics.rows <= 8, "four rows of at most two steps, found {}", metrics.rows);
}

#[tokio::test]
async fn at_the_deadline_those_who_have_an_answer_vote() {
    let index = index();
    let puzzle = index.recognise(Some("fill"), None).unwrap();
    let clock = Arc::new(ManualClock::new());
    let time = Duration::from_millis(200);
    // The deadline passes while the first rows take their first step.
    let model = Scripted::new({
        let clock = clock.clone();
        move |_, tokens, _| {
            clock.advance(time);
            (tokens.to_vec(), 0.0)
        }
    });
    let limits = *Scripted::new(opinionated).served().engine.options();
    let engine = Engine::start_with_clock(model, Arc::new(Unchecked), limits, clock.clone()).unwrap();
    let options = ArcOptions { deadline: Some(clock.now() + time), ..options(&engine, 7) };
    let pending = submit_one(&engine, &index, puzzle.clone(), &options);
    let answer = pending.answer().await.unwrap();
    assert!(answer.cut_short);
    assert_eq!((answer.steps, answer.tests[0].attempts[0].votes), (1, 4), "four rows had begun");

    let options = ArcOptions { deadline: Some(clock.now()), ..options };
    let error = submit_one(&engine, &index, puzzle, &options).answer().await.unwrap_err();
    assert!(matches!(error, EngineError::DeadlineExceeded { .. }), "{error}");
}

#[test]
fn all_puzzles_are_queued_or_none() {
    let model = Scripted::new(opinionated).served();
    let index = index();
    let puzzle = index.recognise(Some("swap"), None).unwrap();
    // 5 · 2 · 7 copies for a queue of 64.
    let error = submit(&model.engine, &index, vec![puzzle; 5], &options(&model.engine, 99)).unwrap_err();
    assert!(error.to_string().contains("puzzles in one request: expected 1 to 64, found 70"), "{error}");
    assert_eq!(model.engine.metrics().accepted, 0);
}

#[test]
fn a_data_set_goes_to_the_models_that_its_names_fit() {
    let folder = tempfile::tempdir().unwrap();
    let data = [dataset(folder.path(), true)];
    let mut models = [Scripted::new(opinionated).served(), Scripted::new(opinionated).with_rows(5).served()];
    attach(&mut models, &data).unwrap();
    assert!(models[0].arc_tasks.is_some() && models[1].arc_tasks.is_none());
    let error = attach(&mut models[1..], &data).unwrap_err().to_string();
    assert!(error.contains("found 22 (arc has 5)"), "{error}");
    let error = attach(&mut [], &data).unwrap_err().to_string();
    assert!(error.contains("no ARC model is loaded"), "{error}");
    attach(&mut models[1..], &[]).unwrap();
    let error = attach(&mut models, &[folder.path().join("nowhere")]).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn a_checkpoint_brings_its_own_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), true);
    let checkpoint = folder.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).unwrap();
    std::fs::rename(data, checkpoint.join("arc-data")).unwrap();
    let in_folder = |model: ServedModel| ServedModel { directory: Some(checkpoint.clone()), ..model };
    let mut models = [in_folder(Scripted::new(opinionated).served())];
    attach(&mut models, &[]).unwrap();
    assert_eq!(models[0].arc_tasks.as_ref().unwrap().num_puzzle_identifiers(), IDENTIFIERS);
    let mut models = [in_folder(Scripted::new(opinionated).with_rows(5).served())];
    let error = attach(&mut models, &[]).unwrap_err().to_string();
    assert!(error.contains("arc-data: expected") && error.contains("found 22 (arc has 5)"), "{error}");
}

#[test]
fn damaged_names_are_reported_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), true);
    let path = data.join("identifiers.json");
    let names = std::fs::read_to_string(&path).unwrap();
    for (damaged, says) in [
        (names.replace("|||t", "|||x"), "expected an augmentation"),
        (names.replacen("\"<blank>\", ", "", 1), "num_puzzle_identifiers 22 names"),
        (names.replacen("\"<blank>\"", "7", 1), "a puzzle's name"),
        (names[..names.len() - 3].to_owned(), "EOF"),
        (format!("[\"{}\"]", "x".repeat(1 << 16)), "JSON of at most"),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = TaskIndex::open(&data).unwrap_err().to_string();
        assert!(error.contains("identifiers.json") && error.contains(says), "{error} does not say {says}");
    }
}

#[test]
fn bounds_of_a_task_are_checked_where_it_is_read() {
    let side = |rows: usize, columns: usize| vec![vec![1; columns]; rows];
    let json = |rows: usize, columns: usize| {
        let grid = side(rows, columns);
        serde_json::to_vec(&serde_json::json!({
            "train": [{ "input": grid, "output": grid }], "test": [{ "input": grid }]
        }))
        .unwrap()
    };
    let largest = serde_json::from_slice::<SentTask>(&json(30, 30)).unwrap();
    assert_eq!((largest.task.test[0].input.rows(), largest.has_output), (30, vec![false]));
    for (body, says) in [
        (json(31, 30), "train pair 1: input: expected 1 to 30 rows, found more"),
        (json(30, 31), "expected 1 to 30 columns, found more in row 1"),
        (json(0, 0), "expected 1 to 30 rows, found 0"),
        (
            br#"{"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}"#.to_vec(),
            "train pair 1: expected the key \"output\"",
        ),
        (br#"{"train": [{"input": [[10]], "output": [[1]]}], "test": []}"#.to_vec(), "a colour from 0 to 9"),
        (br#"{"train": [{"input": [[1],[1,2]], "output": [[1]]}], "test": []}"#.to_vec(), "expected 1 cells in row 2"),
        (br#"{"train": [{"input": [[1]], "output": [[1]]}], "test": []}"#.to_vec(), "at least one test pair"),
        (b"[]".to_vec(), "an object with the keys"),
    ] {
        let error = serde_json::from_slice::<SentTask>(&body).unwrap_err().to_string();
        assert!(error.contains(says), "{error} does not say {says}");
    }
}
