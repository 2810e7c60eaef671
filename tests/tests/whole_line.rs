//! The whole line: a model trained here gives the same answers in libtorch, in every exported graph, in the server's
//! engine and over HTTP.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::Path;

use datasets::batch::Batch;
use datasets::sudoku::{Board, GeneratorOptions, HeldOutPuzzle, SudokuShape};
use engine::task::{self, tokens_of};
use evaluation::score::RawScore;
use exporter::verify::{Trainer, VerifyOptions, verify};
use exporter::{Flavor, GraphKind};
use integration_tests::raw::{self, run_raw, score_raw};
use integration_tests::{Graph, StepOutputs, libtorch_steps, one_thread, post_puzzles, routes, train};
use models::checkpoint::MANIFEST_FILE;
use models::{Checkpoint, ForwardDtype};
use serde_json::Value;
use tch::Device;
use tempfile::TempDir;
use trainer::act::Reasoner;
use trainer::data::EvaluationData;
use trainer::evaluate::{Evaluation, evaluate};
use trainer::generator::Generator;
use trainer::losses::LossType;
use trainer::parameters::Parameters;

/// Enough to solve most boards with a few blanks, and few others: accuracies are neither 0 nor 1.
const SETTINGS: &str = "generator.size=4 generator.extra_clues=[4,12] max_steps=110 arch.hidden_size=64 arch.num_heads=2 \
     arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.halt_max_steps=4 arch.mlp_t=True arch.pos_encodings=none \
     arch.puzzle_emb_ndim=0 arch.forward_dtype=float32 arch.q_head_input=mean optimizer=adamw lr=3e-3 lr_warmup_steps=10 lr_min_ratio=0.1 ema=True \
     ema_rate=0.9 eval_count=16 global_batch_size=32 threads=1";
const HALT_STEPS: usize = 4;
const HELD_OUT: usize = 96;
/// Of the largest logit: rounding of float32, which grows over the steps. Measured: 1e-6 at most.
const TOLERANCE: f32 = 2e-5;

/// Held-out puzzles, as the server draws them, minimal but for the extra clues.
fn held_out(extra_clues: usize) -> Vec<HeldOutPuzzle> {
    raw::held_out(SudokuShape::FOUR, 0, extra_clues, HELD_OUT)
}

fn tokens(set: &[HeldOutPuzzle]) -> Vec<Vec<i64>> {
    set.iter().map(|puzzle| tokens_of(&puzzle.puzzle)).collect()
}

fn batch(set: &[HeldOutPuzzle]) -> Batch {
    let of = |board: fn(&HeldOutPuzzle) -> &Board| set.iter().flat_map(|puzzle| board(puzzle).to_tokens()).collect();
    Batch {
        seq_len: 16,
        inputs: of(|puzzle| &puzzle.puzzle),
        labels: of(|puzzle| &puzzle.solution),
        puzzle_identifiers: vec![0; set.len()],
        real_rows: set.len(),
    }
}

/// What `trainer eval --extra-clues` finds.
fn evaluated_by_trainer(checkpoint: &Checkpoint, extra_clues: usize) -> Evaluation {
    let options = GeneratorOptions { size: 4, extra_clues: (extra_clues, extra_clues), ..GeneratorOptions::default() };
    let data = EvaluationData::held_out(&Generator::Sudoku(options), HELD_OUT, 40).unwrap();
    let manifest = &checkpoint.manifest;
    let parameters = Parameters::from_checkpoint(checkpoint, Device::Cpu).unwrap();
    let reasoner = Reasoner::new(&manifest.arch, &manifest.dims, &parameters, LossType::default()).unwrap();
    evaluate(&reasoner, &manifest.arch, &parameters, data.batches().unwrap(), |_| {}).unwrap()
}

/// What `speedrun-inference --extra-clues` calls raw.
fn evaluated_by_server(checkpoint: &Checkpoint, extra_clues: usize) -> RawScore {
    let set = held_out(extra_clues);
    let mut loaded = engine::model::load(checkpoint.directory(), &one_thread()).unwrap();
    let rules = task::rules(loaded.task, &loaded.card.arch);
    let outcomes = run_raw(&mut loaded.step_model, &*rules, &tokens(&set), HALT_STEPS, 16);
    score_raw(&set, &outcomes, HALT_STEPS)
}

/// Outputs of the step graph and the unrolled one, in both flavours.
fn exported_steps(checkpoint: &Checkpoint, set: &[HeldOutPuzzle]) -> Vec<(String, Vec<StepOutputs>)> {
    let tokens = tokens(set).concat();
    let mut found = Vec::new();
    for kind in [GraphKind::Step, GraphKind::Unrolled { halt_steps: HALT_STEPS }] {
        for flavor in [Flavor::Fused, Flavor::Portable] {
            let outputs = Graph::of(checkpoint, kind, flavor).run(&tokens, HALT_STEPS);
            found.push((format!("{kind:?}, {flavor:?}"), outputs));
        }
    }
    found
}

fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    // Not `f32::max` alone, which skips what is not a number.
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, |most, x| if x <= most { most } else { x })
}

fn share_of_equal<T: PartialEq>(left: &[T], right: &[T]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).filter(|(a, b)| a == b).count() as f64 / left.len() as f64
}

#[test]
fn a_float32_model_is_the_same_function_everywhere() {
    let folder = TempDir::new().unwrap();
    let checkpoint = Checkpoint::open(train(folder.path(), SETTINGS)).unwrap();
    let set = held_out(6);

    let expected = libtorch_steps(&checkpoint, &batch(&set), HALT_STEPS);
    for (graph, found) in exported_steps(&checkpoint, &set) {
        assert_eq!(found.len(), HALT_STEPS);
        for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
            let scale = largest_difference(&expected.logits, &vec![0.0; expected.logits.len()]);
            assert!(scale > 1.0, "an untrained model proves little");
            let logits = largest_difference(&expected.logits, &found.logits) / scale;
            let q_halt = largest_difference(&expected.q_halt, &found.q_halt) / scale;
            println!("{graph}, step {}: logits {logits:.1e}, q_halt {q_halt:.1e} of {scale:.1}", step + 1);
            assert!(logits <= TOLERANCE && q_halt <= TOLERANCE, "{graph}, step {}: {logits} {q_halt}", step + 1);
            assert_eq!(expected.preds, found.preds, "{graph}, step {}", step + 1);
        }
    }

    for extra_clues in [0, 6] {
        let (trainer, server) =
            (evaluated_by_trainer(&checkpoint, extra_clues), evaluated_by_server(&checkpoint, extra_clues));
        println!("{extra_clues} extra clues: {trainer:?}");
        assert_eq!((trainer.count, server.overall.puzzles), (HELD_OUT as u64, HELD_OUT));
        let close = |left: f64, right: f64| (left - right).abs() < 1e-9;
        assert!(close(trainer.exact_accuracy, server.overall.raw.accuracy), "{trainer:?} {server:?}");
        assert!(close(trainer.accuracy, server.token_accuracy), "{trainer:?} {server:?}");
        assert!(close(trainer.q_halt_accuracy, server.q_halt_accuracy), "{trainer:?} {server:?}");
        assert_eq!(trainer.exact_accuracy_interval, server.overall.raw.interval);
        assert!(trainer.exact_accuracy > 0.1, "too little was learned for the comparison to mean something");
    }
    solves_over_http(&checkpoint, &set);
    is_verified_with_libtorch(checkpoint);
}

/// What `exporter verify` finds with the real `trainer forward`, whose part a script plays in the exporter's own tests.
fn is_verified_with_libtorch(checkpoint: Checkpoint) {
    let program = Path::new(env!("CARGO_BIN_EXE_trainer_alone"));
    let options = VerifyOptions {
        rows: 8,
        steps: HALT_STEPS,
        inputs: None,
        data: None,
        trainer: Trainer::find(Some(program)).unwrap(),
        threads: 1,
        seed: 0,
    };
    let report = verify(checkpoint, &options, |_| {}).unwrap();
    assert_eq!((report.reference.as_str(), report.notes.as_slice()), ("libtorch float64", &[][..]));
    assert!(report.is_kept(), "{report:?}");
    let sets: Vec<_> = report.sets.iter().map(|set| (set.rows, set.columns.len() > 4)).collect();
    assert_eq!(sets, [(8, true), (8, true)], "random tokens, and puzzles that the trainer generates");
}

/// What the model solves comes back solved, verified and in the documented form; what it does not is said, too.
fn solves_over_http(checkpoint: &Checkpoint, set: &[HeldOutPuzzle]) {
    let lines: Vec<String> = set.iter().map(|puzzle| puzzle.puzzle.to_string()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let routes = routes(checkpoint.directory());
    let results = runtime.block_on(post_puzzles(&routes, "/solve/sudoku", &lines));
    assert_eq!(results.len(), HELD_OUT);
    let mut solved = 0;
    for (puzzle, result) in set.iter().zip(&results) {
        assert_eq!(result["solved"], result["verified"], "{result}");
        let steps = result["steps"].as_u64().unwrap();
        assert!((1..=HALT_STEPS as u64).contains(&steps), "{result}");
        assert!(result["q"].is_number() && result["timings"]["total_ms"].is_number(), "{result}");
        assert_eq!(result["model"]["sha256"], checkpoint.sha256().unwrap());
        if result["solved"] == true {
            // The generator's puzzles have one solution.
            assert_eq!(result["solution"], puzzle.solution.to_string());
            solved += 1;
        } else {
            assert_eq!((&result["solution"], &result["stopped"]), (&Value::Null, &Value::from("steps")));
        }
    }
    let raw = evaluated_by_server(checkpoint, 6).overall;
    assert_eq!(solved, (raw.verified.accuracy * HELD_OUT as f64).round() as usize);
    assert!(solved > 0, "the model solved nothing");
}

#[test]
fn a_bfloat16_model_agrees_with_its_float32_graphs_but_for_rounding() {
    let folder = TempDir::new().unwrap();
    let trained = train(folder.path(), SETTINGS);
    // Trained in float32, which is quick everywhere, and run in bfloat16.
    let path = trained.join(MANIFEST_FILE);
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace(r#""forward_dtype": "float32""#, r#""forward_dtype": "bfloat16""#)).unwrap();
    let checkpoint = Checkpoint::open(trained).unwrap();
    assert_eq!(checkpoint.manifest.arch.forward_dtype(), ForwardDtype::BFloat16);
    let set = held_out(6);
    let expected = libtorch_steps(&checkpoint, &batch(&set), HALT_STEPS);
    for (graph, found) in exported_steps(&checkpoint, &set) {
        for (expected, found) in expected.iter().zip(&found) {
            let equal = share_of_equal(&expected.preds, &found.preds);
            println!("{graph}: {equal}");
            assert!(equal > 0.97, "{graph}: {equal} of the predictions are equal");
        }
    }
    let (trainer, server) = (evaluated_by_trainer(&checkpoint, 6), evaluated_by_server(&checkpoint, 6));
    assert!((trainer.exact_accuracy - server.overall.raw.accuracy).abs() <= 0.08, "{trainer:?} {server:?}");
    assert!(trainer.exact_accuracy > 0.1, "too little was learned for the comparison to mean something");
}
