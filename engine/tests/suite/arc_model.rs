//! A real graph with a puzzle-embedding table behind ARC's copies.

use datasets::arc::SEQ_LEN;
use datasets::scoring::{GridBallot, VoteRule};
use engine::arc::{ArcOptions, TaskIndex, submit};
use engine::registry::{EngineLimits, ServedModel};
use engine::{StepBatch, StepModel, model, session_options};
use exporter::runtime::SessionOptions;

use crate::arc_checkpoint::checkpoint;
use crate::arc_world::{IDENTIFIERS, STEPS, dataset};

fn session() -> SessionOptions {
    SessionOptions { spinning: false, ..session_options(1, None) }
}

#[tokio::test]
async fn a_graph_s_answers_are_those_of_its_copies_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path(), IDENTIFIERS);
    let index = TaskIndex::open(&dataset(folder.path(), false)).unwrap();
    let puzzle = index.recognise(Some("swap"), None).unwrap();
    let copies = index.puzzles_of(puzzle.task);

    let mut alone = model::load(&checkpoint, &session()).unwrap().step_model;
    let mut ballots = vec![GridBallot::default(); puzzle.tests.len()];
    let mut answers = Vec::new();
    for copy in &copies[..4] {
        for (test, ballot) in puzzle.tests.iter().zip(&mut ballots) {
            let mut tokens = [0; SEQ_LEN];
            datasets::arc::encode(&test.input, &copy.augmentation, datasets::arc::Placement::CORNER, &mut tokens);
            let tokens: Vec<i64> = tokens.into_iter().map(i64::from).collect();
            let identifiers = [copy.identifier as usize];
            let outcome = (0..STEPS).map(|step| {
                let carried = [(step > 0).then_some(0)];
                let noise = &[];
                alone.step(&StepBatch { tokens: &tokens, carried: &carried, puzzle_identifiers: &identifiers, noise })
            });
            let outcome = outcome.last().unwrap().unwrap();
            ballot.vote(copy.augmentation, &outcome.answers, f64::from(outcome.q_halt[0]));
            answers.push(outcome.answers);
        }
    }
    assert!(answers[2..].iter().any(|answer| *answer != answers[0]), "the embedding must matter");

    // One slot: the same batches of one row, so that all numbers are the same bits.
    let served = ServedModel::load(&checkpoint, &session(), EngineLimits::plain(1, 64, 64)).unwrap();
    let options =
        ArcOptions { augmentations: 4, policy: served.engine.options().default_policy, deadline: None, steps: false };
    let pending = submit(&served.engine, &index, vec![puzzle], &options).unwrap().pop().unwrap();
    let answer = pending.answer().await.unwrap();
    assert_eq!((answer.steps, answer.augmentations), (STEPS, 4));
    for (test, ballot) in answer.tests.iter().zip(&ballots) {
        assert_eq!(test.attempts, ballot.ranked(VoteRule::CountThenMeanQ, 2));
    }
}
