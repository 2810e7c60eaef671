//! ARC tasks that a model learns on the spot: from nothing, on top of a model, and as jobs of a server whose trainer is a
//! process of its own.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use engine::Quantize;
use engine::registry::{Registry, ServedModel, attach_arc_data};
use integration_tests::{ArcWorld, adapting_routes, arc_routes, arc_task, engine_limits, one_thread};
use serde_json::{Value, json};
use server::jobs::{Cores, JobOptions, Jobs};
use tower::ServiceExt;
use trainer::adapt::{AdaptOutcome, AdaptRequest, TaskChoice, adapt};

/// A model of local mixing that learns a trivial task in seconds.
const SMALL: &str = "arch.hidden_size=32 arch.puzzle_emb_ndim=32 arch.L_cycles=1 arch.halt_max_steps=2 global_batch_size=16 \
                     carried_batches=1 lr=5e-3 threads=1";

/// A model that knows other tasks.
const BASE: &str = "max_steps=4 arch.mixer=local arch.hidden_size=32 arch.expansion=3 arch.L_layers=2 arch.H_cycles=1 \
                    arch.L_cycles=1 arch.halt_max_steps=2 arch.puzzle_emb_ndim=32 arch.forward_dtype=float32 \
                    optimizer=adamw lr_warmup_steps=1 eval_count=2 global_batch_size=4 threads=1";

/// Colour `from` becomes `to`; everything else stays.
fn recolour(from: u8, to: u8) -> Value {
    let pair = |rows: &[&[u8]]| {
        let input: Vec<Vec<u8>> = rows.iter().map(|row| row.to_vec()).collect();
        let paint = |row: &Vec<u8>| row.iter().map(|&cell| if cell == from { to } else { cell }).collect::<Vec<u8>>();
        let output: Vec<Vec<u8>> = input.iter().map(paint).collect();
        json!({ "input": input, "output": output })
    };
    json!({
        "name": "official files have such keys",
        "train": [
            pair(&[&[from, 0, from], &[0, from, 0]]),
            pair(&[&[from, from], &[0, 0], &[0, from]]),
            pair(&[&[0, from, 0, 0], &[from, 0, 0, from]]),
        ],
        "test": [pair(&[&[0, from, from], &[from, 0, 0], &[0, 0, from]])],
    })
}

async fn send(app: &Router, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 24).await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_model_learns_a_trivial_task_from_nothing_and_answers_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paint-it.json");
    std::fs::write(&file, recolour(3, 7).to_string()).unwrap();
    let request = AdaptRequest {
        checkpoint: None,
        tasks: TaskChoice { path: file, ..TaskChoice::default() },
        output: folder.path().join("out"),
        time: None,
        num_aug: 4,
        steps: Some(150),
        seed: 0,
        overrides: SMALL.split_whitespace().map(|word| word.parse().unwrap()).collect(),
    };
    let mut lines = Vec::new();
    let outcome = tokio::task::block_in_place(|| {
        adapt(&request, &Arc::new(AtomicBool::new(false)), &mut |line| lines.push(line.to_owned()))
    });
    let AdaptOutcome::Finished { checkpoint, data, steps: 150 } = outcome.unwrap() else { panic!("{lines:?}") };
    let app = arc_routes(&checkpoint, &data);
    let (status, answer) = send(&app, "POST", "/solve/arc", &recolour(3, 7)).await;
    assert_eq!((status, &answer["solved"]), (StatusCode::OK, &json!(true)), "{answer}\n{lines:#?}");
    assert_eq!((&answer["task_id"], &answer["augmentations"]), (&json!("paint-it"), &json!(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_learns_a_task_on_top_of_its_model() {
    let world = tokio::task::block_in_place(|| ArcWorld::trained(BASE));
    let folder = world.folder.path().join("jobs");
    let options = JobOptions {
        folder: folder.clone(),
        jobs: 1,
        queue: 2,
        minutes: 5.0,
        trainer: PathBuf::from(env!("CARGO_BIN_EXE_trainer_alone")),
        // Neither behind other tests nor on a processor that they keep busy.
        cores: Cores { processors: Vec::new(), nice: 0 },
        // Which win over the time: a test learns no longer than it takes to see that it works.
        settings: ["--steps=6", "--num-aug=3", "global_batch_size=4"].map(str::to_owned).to_vec(),
    };
    let load = |checkpoint: &Path, data: &Path| {
        let mut models = ServedModel::load_warm(checkpoint, Quantize::Float32, &one_thread(), engine_limits())?;
        attach_arc_data(&mut models, &[data.to_owned()])?;
        Registry::new(models)
    };
    let serve = || {
        let jobs = Jobs::open(options.clone(), Box::new(load)).unwrap();
        adapting_routes(&world.checkpoint, &world.data, jobs)
    };
    let app = serve();
    let task = arc_task("shift");
    let (status, job) = send(&app, "POST", "/solve/arc", &task).await;
    assert_eq!((status, &job["answer"]), (StatusCode::ACCEPTED, &Value::Null), "{job}");
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    let mut view = job;
    while view["state"] == "queued" || view["state"] == "running" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        view = send(&app, "GET", &path, &Value::Null).await.1;
    }
    let log = || std::fs::read_to_string(folder.join(view["id"].as_str().unwrap()).join("log.txt")).unwrap();
    assert_eq!(
        (&view["state"], &view["step"], &view["steps"]),
        (&json!("done"), &json!(6), &json!(6)),
        "{view} {}",
        log()
    );
    let attempts = view["answer"]["tests"][0]["attempts"].as_array().unwrap();
    assert!((1..=2).contains(&attempts.len()), "{view}");
    // What it knew before, it knows; what it has learned, too, also after a restart.
    assert_eq!(send(&app, "POST", "/solve/arc", &arc_task("mirror")).await.0, StatusCode::OK);
    drop(app);
    let app = serve();
    let (status, answer) = send(&app, "POST", "/solve/arc", &task).await;
    assert_eq!((status, &answer["tests"]), (StatusCode::OK, &view["answer"]["tests"]), "{answer}");
    assert_eq!(send(&app, "DELETE", &path, &Value::Null).await.1["state"], "cancelled");
    assert!(!folder.join(path.strip_prefix("/jobs/").unwrap()).exists());
}
