//! ARC with `arch.mixer=local`: a task's embedding on every cell, trained, the same in libtorch and in every graph, and
//! served.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use exporter::{Flavor, GraphKind};
use integration_tests::{ArcWorld, Graph, arc_routes, libtorch_steps};
use models::Checkpoint;
use serde_json::{Value, json};
use tower::ServiceExt;
use trainer::data::EvaluationData;

const HALT_STEPS: usize = 4;
/// A task and three augmentations of it; row 0 is the blank puzzle's.
const ROWS_OF_A_TASK: usize = 4;
/// Of the largest logit of a live cell: rounding of float32, which grows over the steps. Measured: 1e-6 at most.
const TOLERANCE: f32 = 2e-5;
const SETTINGS: &str = "max_steps=80 arch.mixer=local arch.hidden_size=32 arch.expansion=3 arch.L_layers=2 arch.H_cycles=1 \
                        arch.L_cycles=2 arch.halt_max_steps=4 arch.puzzle_emb_ndim=32 arch.forward_dtype=float32 \
                        optimizer=adamw lr=3e-3 lr_warmup_steps=5 puzzle_emb_lr=1e-2 eval_count=2 global_batch_size=8 \
                        threads=1";

#[tokio::test]
async fn cells_know_their_task() {
    let world = tokio::task::spawn_blocking(|| ArcWorld::trained(SETTINGS)).await.unwrap();
    let checkpoint = Checkpoint::open(world.checkpoint.clone()).unwrap();
    let data = EvaluationData::folders(vec![world.data.clone()], 4, Some(4));
    let batch = data.batches().unwrap().next().unwrap().unwrap();
    let tokens: Vec<i64> = batch.inputs.iter().map(|&token| i64::from(token)).collect();
    let identifiers: Vec<usize> = batch.puzzle_identifiers.iter().map(|&row| row as usize).collect();
    let expected = libtorch_steps(&checkpoint, &batch, HALT_STEPS);
    for kind in [GraphKind::Step, GraphKind::Unrolled { halt_steps: HALT_STEPS }] {
        for flavor in [Flavor::Kernels, Flavor::Fused, Flavor::Portable] {
            let mut graph = Graph::of(&checkpoint, kind, flavor);
            let found = graph.run_puzzles(&tokens, &identifiers, HALT_STEPS);
            for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
                // A cell outside of the grid has the logit of what the question says there.
                let live = |logit: f32| logit.abs() < models::CERTAIN as f32;
                let pairs = || expected.logits.iter().zip(&found.logits).filter(|&(&logit, _)| live(logit));
                let largest = pairs().map(|(logit, _)| logit.abs()).fold(1.0, f32::max);
                let error = pairs().map(|(left, right)| (left - right).abs() / largest).fold(0.0, f32::max);
                let what = format!("{kind:?}, {flavor:?}, step {}: {error:.1e}", step + 1);
                println!("{what}");
                assert!(error <= TOLERANCE && pairs().count() > 0, "{what}");
                assert_eq!(expected.preds, found.preds, "{what}");
            }
            // With the row of the other task, the answer is another one.
            let others: Vec<usize> =
                identifiers.iter().map(|&row| if row > ROWS_OF_A_TASK { 1 } else { ROWS_OF_A_TASK + 1 }).collect();
            let strange = graph.run_puzzles(&tokens, &others, HALT_STEPS);
            assert_ne!(strange[HALT_STEPS - 1].logits, found[HALT_STEPS - 1].logits, "{kind:?}, {flavor:?}");
        }
    }

    let body = json!({ "task_id": "paint", "augmentations": 4 }).to_string();
    let request =
        Request::post("/solve/arc").header("content-type", "application/json").body(Body::from(body)).unwrap();
    let response = arc_routes(&world.checkpoint, &world.data).oneshot(request).await.unwrap();
    let status = response.status();
    let answer: Value = serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap();
    assert_eq!(status, StatusCode::OK, "{answer}");
    let attempt = &answer["tests"][0]["attempts"][0]["grid"];
    let size = attempt.as_array().map(|rows| (rows.len(), rows[0].as_array().unwrap().len()));
    assert_eq!(size, Some((2, 2)), "the answer has the size of the question: {answer}");
}
