//! What a server answers to an ARC task that its model does not know: commands that the other programs
//! understand, and after which the model knows the task.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::Parser;
use integration_tests::{ArcWorld, arc_routes, arc_task, routes};
use serde_json::{Value, json};
use server::config::ServerArgs;
use tower::ServiceExt;

/// The words of a command as a shell takes it; the commands quote nothing.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

async fn solve(routes: &Router, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/solve/arc").body(Body::from(body.to_string())).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 24).await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_task_is_unknown_its_commands_are_run_and_it_is_known() {
    let world = tokio::task::spawn_blocking(ArcWorld::new).await.unwrap();
    let known = arc_routes(&world.checkpoint, &world.data);
    let task = arc_task("shift");
    let (status, answer) = solve(&known, &json!({ "task": task })).await;
    assert_eq!((status.as_u16(), &answer["type"]), (422, &json!("urn:trm:problem:unknown-task")));
    let printed: Vec<Vec<String>> =
        answer["commands"].as_array().unwrap().iter().map(|command| words(command.as_str().unwrap())).collect();
    let [adapt, serve] = printed.as_slice() else { panic!("{printed:?}") };

    // The command of the answer, in a folder with the task and the checkpoint, for two steps.
    let here = world.folder.path().join("here");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join("my-task.json"), task.to_string()).unwrap();
    let directory = world.checkpoint.canonicalize().unwrap();
    std::os::unix::fs::symlink(&directory, here.join(directory.file_name().unwrap())).unwrap();
    assert_eq!(adapt[..2], ["trainer", "adapt"]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_trainer_alone"));
    program.args(&adapt[1..]).args(["--steps", "2", "--num-aug", "5", "global_batch_size=4", "threads=1"]);
    let output = program.current_dir(&here).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(serve[0], "server");
    let served = ServerArgs::try_parse_from(serve).unwrap().resolve().unwrap();
    assert_eq!(served.checkpoints.folders().unwrap(), [Path::new("checkpoints/my-task")]);
    // The checkpoint brings its tasks along.
    assert!(served.arc_data.is_empty(), "{:?}", served.arc_data);
    let adapted = routes(&here.join("checkpoints/my-task"));
    let (status, answer) = solve(&adapted, &json!({ "task": task, "augmentations": 4 })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["task_id"], &answer["augmentations"]), (&json!("my-task"), &json!(4)));
    assert_eq!((&answer["solved"], answer["tests"].as_array().unwrap().len()), (&Value::Null, 1), "{answer}");
    assert!(!answer["tests"][0]["attempts"].as_array().unwrap().is_empty(), "{answer}");
    // What the old model knew, the new one does not.
    let (status, _) = solve(&adapted, &json!({ "task": arc_task("mirror") })).await;
    assert_eq!(status.as_u16(), 422);
}
