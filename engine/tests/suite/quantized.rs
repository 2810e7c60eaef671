//! Models whose products are computed in integers: the same answers from another graph, and the two are kept apart.

use datasets::sudoku::{GeneratorOptions, held_out};
use engine::model::{load_as, shipped_directory};
use engine::registry::{EngineLimits, ServedModel};
use engine::task::tokens_of;
use engine::{Answer, Quantize, Request, session_options};
use exporter::runtime::{Provider, SessionOptions};
use exporter::{Flavor, Precision};
use models::Mixer;

#[test]
fn the_shipped_model_gives_the_same_answers() {
    let directory = shipped_directory(None).unwrap().join("sudoku-4x4");
    let session = SessionOptions { spinning: false, ..session_options(1, None) };
    let options = GeneratorOptions { size: 4, ..GeneratorOptions::default() };
    let puzzles: Vec<Vec<i64>> =
        held_out(&options, 40).unwrap().iter().map(|held_out| tokens_of(&held_out.puzzle)).collect();
    let [float, quantised] = [Precision::Float32, Precision::Int8].map(|precision| -> Vec<Answer> {
        let limits = EngineLimits::plain(1, 64, 16);
        let model = ServedModel::load_warm(&directory, precision.into(), &session, limits).unwrap().swap_remove(0);
        assert_eq!(model.card.precision, precision);
        let requests = puzzles.iter().map(|tokens| Request::new(tokens.clone())).collect();
        model.engine.submit_all(requests).unwrap().into_iter().map(|pending| pending.wait().unwrap()).collect()
    });
    let verified = |answers: &[Answer]| answers.iter().filter(|answer| answer.verified).count();
    assert!(verified(&float) >= 39 && verified(&quantised) >= 39, "{} {}", verified(&float), verified(&quantised));
    let differing = float.iter().zip(&quantised).filter(|(float, quantised)| float.tokens != quantised.tokens).count();
    assert!(differing <= 1, "{differing} answers differ");
    // Equal to the last bit they would be those of the same graph.
    assert!(float.iter().zip(&quantised).any(|(float, quantised)| float.q.to_bits() != quantised.q.to_bits()));
}

#[test]
fn neighbours_in_a_batch_and_threads_change_nothing() {
    if Flavor::fastest(Mixer::Mlp, Precision::Int8) != Flavor::Kernels {
        eprintln!("THIS TEST DID NOT RUN: without AVX-512 and VNNI a batch shares one scale of its activations");
        return;
    }
    let directory = shipped_directory(None).unwrap().join("sudoku-9x9");
    let options = GeneratorOptions::default();
    let puzzles: Vec<Vec<i64>> =
        held_out(&options, 9).unwrap().iter().map(|held_out| tokens_of(&held_out.puzzle)).collect();
    let answers = |slots: usize, threads: usize| -> Vec<Answer> {
        let session = SessionOptions { spinning: false, ..session_options(threads, None) };
        let limits = EngineLimits::plain(slots, 64, 16);
        let model = ServedModel::load_warm(&directory, Quantize::Int8, &session, limits).unwrap().swap_remove(0);
        let requests = puzzles.iter().map(|tokens| Request::new(tokens.clone())).collect();
        model.engine.submit_all(requests).unwrap().into_iter().map(|pending| pending.wait().unwrap()).collect()
    };
    let alone = answers(1, 1);
    for (slots, threads) in [(4, 1), (1, 2), (8, 2)] {
        for (index, (alone, other)) in alone.iter().zip(answers(slots, threads)).enumerate() {
            assert_eq!((&alone.tokens, alone.steps), (&other.tokens, other.steps), "{index}, {slots} slots");
        }
    }
}

#[test]
fn gpus_are_refused_before_anything_is_loaded() {
    let session = SessionOptions { provider: Provider::Cuda { device: 0 }, ..SessionOptions::default() };
    let error = load_as(std::path::Path::new("/nowhere"), Quantize::Int8, &session).unwrap_err().to_string();
    assert!(error.contains("int8") && error.contains("--cuda-device"), "{error}");
}
