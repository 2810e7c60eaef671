//! The whole line for every architecture: trained here, the same function in libtorch, in every exported graph, and in
//! the server's engine over HTTP.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use datasets::batch::Batch;
use datasets::sudoku::{HeldOutPuzzle, SudokuShape};
use engine::task::{self, tokens_of};
use exporter::{Flavor, GraphKind};
use integration_tests::raw::{held_out, run_raw};
use integration_tests::{Graph, libtorch_steps, one_thread, post_puzzles, routes, train};
use models::Checkpoint;
use tempfile::TempDir;

const HALT_STEPS: usize = 4;
const PUZZLES: usize = 24;
/// Few steps: enough to leave the initial Q head and logits behind.
const SETTINGS: &str = "generator.size=4 generator.extra_clues=[4,12] max_steps=40 arch.hidden_size=32 \
     arch.halt_max_steps=4 arch.puzzle_emb_ndim=0 arch.q_head_input=mean arch.forward_dtype=float32 optimizer=adamw \
     lr=3e-3 lr_warmup_steps=5 eval_count=8 global_batch_size=16 threads=1";
/// Of the largest logit: rounding of float32, which grows over the steps. Measured: 2e-6 at most.
const TOLERANCE: f32 = 2e-5;

fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    // Not `f32::max` alone, which skips what is not a number.
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, |most, x| if x <= most { most } else { x })
}

fn check(settings: &str) {
    let folder = TempDir::new().unwrap();
    let checkpoint = Checkpoint::open(train(folder.path(), &format!("{settings} {SETTINGS}"))).unwrap();
    let set = held_out(SudokuShape::FOUR, 0, 6, PUZZLES);
    let tokens: Vec<Vec<i64>> = set.iter().map(|puzzle| tokens_of(&puzzle.puzzle)).collect();

    let expected = libtorch_steps(&checkpoint, &batch(&set), HALT_STEPS);
    for kind in [GraphKind::Step, GraphKind::Unrolled { halt_steps: HALT_STEPS }] {
        for flavor in [Flavor::Fused, Flavor::Portable] {
            let found = Graph::of(&checkpoint, kind, flavor).run(&tokens.concat(), HALT_STEPS);
            assert_eq!(found.len(), HALT_STEPS);
            for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
                let scale = largest_difference(&expected.logits, &vec![0.0; expected.logits.len()]).max(1.0);
                let logits = largest_difference(&expected.logits, &found.logits) / scale;
                let q_halt = largest_difference(&expected.q_halt, &found.q_halt) / scale;
                let what = format!("{settings}: {kind:?}, {flavor:?}, step {}: {logits:.1e} {q_halt:.1e}", step + 1);
                println!("{what}");
                assert!(logits <= TOLERANCE && q_halt <= TOLERANCE, "{what}");
                assert_eq!(expected.preds, found.preds, "{what}");
            }
        }
    }

    let mut loaded = engine::model::load(checkpoint.directory(), &one_thread()).unwrap();
    let rules = task::rules(loaded.task, &loaded.card.arch);
    let raw = run_raw(&mut loaded.step_model, &*rules, &tokens, HALT_STEPS, 16);
    // `[puzzles, seq_len]` tokens that libtorch predicts at a step.
    let predicted = |step: usize| expected[step - 1].preds.chunks_exact(16);
    assert_eq!(raw.len(), PUZZLES);
    for (outcome, answer) in raw.iter().zip(predicted(HALT_STEPS)) {
        assert_eq!(outcome.answer, answer, "{settings}: in the engine's step model");
    }
    let lines: Vec<String> = set.iter().map(|puzzle| puzzle.puzzle.to_string()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results = runtime.block_on(post_puzzles(&routes(checkpoint.directory()), "/solve/sudoku", &lines));
    assert_eq!(results.len(), PUZZLES);
    for (puzzle, result) in results.iter().enumerate() {
        let answer = predicted(result["steps"].as_u64().unwrap() as usize).nth(puzzle).unwrap();
        let board = task::board_from_tokens(SudokuShape::FOUR, answer);
        let part = if result["verified"] == true { "solution" } else { "attempt" };
        assert_eq!(result[part], board.to_string(), "{settings}: {result}");
        assert_eq!(result["verified"], board.is_solution_of(&set[puzzle].puzzle), "{result}");
        assert_eq!(result["model"]["sha256"], checkpoint.sha256().unwrap(), "{result}");
    }
}

fn batch(set: &[HeldOutPuzzle]) -> Batch {
    Batch {
        seq_len: 16,
        inputs: set.iter().flat_map(|puzzle| puzzle.puzzle.to_tokens()).collect(),
        labels: set.iter().flat_map(|puzzle| puzzle.solution.to_tokens()).collect(),
        puzzle_identifiers: vec![0; set.len()],
        real_rows: set.len(),
    }
}

#[test]
fn trm_singlez() {
    check("arch=trm_singlez arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.num_heads=2");
}

#[test]
fn trm_hier6() {
    check("arch=trm_hier6 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=3 arch.mlp_t=True arch.pos_encodings=none");
}

#[test]
fn hrm() {
    check("arch=hrm arch.H_layers=1 arch.L_layers=1 arch.num_heads=2");
}

#[test]
fn transformers_baseline() {
    check("arch=transformers_baseline arch.H_layers=2 arch.num_heads=5");
}

#[test]
fn lstm() {
    check("arch=lstm arch.num_layers=2 arch.num_passes=2");
}

#[test]
fn lstm_residual_in_one_direction() {
    check("arch=lstm arch.residual=True arch.bidirectional=False arch.num_layers=2 arch.num_passes=1");
}

#[test]
fn transformer() {
    check("arch=transformer arch.num_layers=2 arch.num_heads=2 arch.intermediate_size=64");
}
