//! A real graph with a puzzle-embedding table behind ARC's copies.

use std::path::{Path, PathBuf};

use datasets::arc::{SEQ_LEN, VOCAB_SIZE};
use datasets::scoring::{GridBallot, VoteRule};
use exporter::runtime::SessionOptions;
use models::checkpoint::{HostTensor, write};
use models::{ArchitectureConfig, Initializer, Manifest, ModelDims, ParameterKind, TrmConfig};
use server::arc::{ArcOptions, TaskIndex, submit};
use server::config::session_options;
use server::engine::{StepBatch, StepModel};
use server::model;
use server::registry::{EngineLimits, ServedModel};

use crate::arc_world::{IDENTIFIERS, STEPS, dataset};

/// Writes an untrained ARC model whose rows differ much, one for each of so many identifiers.
pub(crate) fn checkpoint(parent: &Path, num_puzzle_identifiers: usize) -> PathBuf {
    let config = TrmConfig {
        hidden_size: 16,
        num_heads: 2,
        H_cycles: 1,
        L_cycles: 1,
        L_layers: 1,
        puzzle_emb_ndim: 16,
        puzzle_emb_len: 1,
        ..TrmConfig::default()
    };
    let arch = ArchitectureConfig::Trm(config);
    let dims = ModelDims { vocab_size: VOCAB_SIZE, seq_len: SEQ_LEN, num_puzzle_identifiers, sizes: None };
    let initializer = Initializer::new(3);
    let tensors = arch.parameter_specs(&dims).unwrap().into_iter().map(|spec| {
        let mut values = initializer.draw(&spec);
        if spec.kind == ParameterKind::PuzzleTable {
            let far = |index: usize| ((index * 37 % 101) as f32 - 50.0) * 0.4;
            values.iter_mut().enumerate().for_each(|(index, value)| *value = far(index));
        } else if spec.name.contains("q_head") {
            values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 7) as f32 * 0.3 - 1.0);
        }
        (spec.name.clone(), HostTensor::float32(&spec.shape, &values))
    });
    let directory = parent.join("tiny-arc");
    write(&directory, &Manifest::new(arch, dims, "arc"), &tensors.collect(), |_| Ok(())).unwrap();
    directory
}

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
    let thinking = submit(&served.engine, &index, vec![puzzle], &options).unwrap().pop().unwrap();
    let answer = thinking.answer().await.unwrap();
    assert_eq!((answer.steps, answer.augmentations), (STEPS, 4));
    for (test, ballot) in answer.tests.iter().zip(&ballots) {
        assert_eq!(test.attempts, ballot.ranked(VoteRule::CountThenMeanQ, 2));
    }
}
