//! What a server tells whoever sends an ARC task that its model does not know: commands that the other programs
//! understand, and after which the model knows the task.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::Parser;
use engine::model::ModelCard;
use exporter::Precision;
use integration_tests::{ArcWorld, arc_routes, arc_task, build_arc, train, write_task};
use models::{ArchitectureConfig, Manifest, ModelDims};
use serde_json::{Value, json};
use server::config::ServerArgs;
use server::http::arc::adapt::commands;
use tower::ServiceExt;
use trainer::config::PretrainConfig;

/// The words of a command as a shell takes it; the commands quote nothing but brackets.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(|word| word.replace('"', "")).collect()
}

/// A model of an architecture, of which nothing but its card exists.
fn card(arch: ArchitectureConfig) -> ModelCard {
    ModelCard {
        name: "step_7".into(),
        sha256: String::new(),
        task: "arc".into(),
        dims: ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: 10, sizes: None },
        parameters: 0,
        step: 7,
        weights: Manifest::new(
            arch.clone(),
            ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: 10, sizes: None },
            "arc",
        )
        .weights,
        dataset: String::new(),
        git_commit: None,
        metrics: BTreeMap::new(),
        arch,
        precision: Precision::default(),
        inference: None,
    }
}

/// What `trainer` makes of the second command.
fn resolved(card: &ModelCard) -> PretrainConfig {
    let command = words(&commands(card)[1]);
    assert_eq!(command[..2], ["trainer", "pretrain"]);
    let overrides: Vec<_> = command[2..].iter().map(|word| word.parse().unwrap()).collect();
    PretrainConfig::resolve(&[], &overrides).unwrap()
}

#[test]
fn the_trainer_takes_the_settings_and_gets_the_model_s_architecture() {
    for name in ArchitectureConfig::NAMES {
        let default = ArchitectureConfig::default_of(name).unwrap();
        let mut changed = serde_json::to_value(&default).unwrap();
        // Whatever is a number or a switch in this architecture, but for the one that must divide another.
        for (field, value) in changed.as_object_mut().unwrap() {
            match value {
                Value::Number(number) if field.ends_with("_cycles") || field.ends_with("_layers") => {
                    *value = json!(number.as_u64().unwrap() + 1);
                }
                _ if field == "hidden_size" => *value = json!(64),
                _ if field == "puzzle_emb_ndim" => *value = json!(96),
                _ if field == "halt_max_steps" => *value = json!(3),
                _ if field == "rms_norm_eps" => *value = json!(1e-6),
                _ => {}
            }
        }
        let changed: ArchitectureConfig = serde_json::from_value(changed).unwrap();
        assert_ne!(changed, default, "{name}");
        for arch in [default, changed] {
            let config = resolved(&card(arch.clone()));
            assert_eq!(config.arch, arch, "{name}");
            assert_eq!(config.load_checkpoint, Some(PathBuf::from("step_7")));
            assert_eq!(config.data_paths, [PathBuf::from("data/my-task")]);
            assert_eq!(config.checkpoint_path, Some(PathBuf::from("checkpoints/my-task")));
        }
    }
}

async fn solve(routes: &Router, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/solve/arc").body(Body::from(body.to_string())).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 24).await.unwrap()).unwrap())
}

/// The value of a flag.
fn flag<'w>(words: &'w [String], name: &str) -> &'w str {
    let at = words.iter().position(|word| word == &format!("--{name}")).unwrap();
    &words[at + 1]
}

#[tokio::test]
async fn a_task_is_unknown_its_commands_are_run_and_it_is_known() {
    let world = ArcWorld::new();
    let known = arc_routes(&world.checkpoint, &world.data);
    let task = arc_task("shift");
    let (status, answer) = solve(&known, &json!({ "task": task })).await;
    assert_eq!((status.as_u16(), &answer["type"]), (422, &json!("urn:trm:problem:unknown-task")));
    let told: Vec<Vec<String>> =
        answer["commands"].as_array().unwrap().iter().map(|command| words(command.as_str().unwrap())).collect();
    let [build, pretrain, serve] = told.as_slice() else { panic!("{told:?}") };
    let here = |path: &str| world.folder.path().join("adapted").join(path);

    assert_eq!(build[..3], ["datasets", "build", "arc"]);
    let flags: Vec<&String> = build.iter().filter(|word| word.starts_with("--")).collect();
    assert_eq!(flags, ["--source-dir", "--subsets", "--num-aug", "--output-dir"]);
    assert_eq!(flag(build, "subsets"), "evaluation");
    let source = here(flag(build, "source-dir"));
    write_task(&source, "shift", &task);
    let data = build_arc(source, here(flag(build, "output-dir")), flag(build, "num-aug").parse().unwrap());

    // As it is told, but in the folder of this test, and no longer than it takes to see that it works.
    let name = world.checkpoint.canonicalize().unwrap();
    let name = name.file_name().unwrap().to_str().unwrap();
    let settings = pretrain[2..].iter().filter(|word| !word.starts_with("checkpoint_path="));
    let settings = settings.map(|word| match word.split_once('=') {
        Some(("data_paths", "[data/my-task]")) => format!("data_paths=[{}]", data.display()),
        Some(("load_checkpoint", path)) if path == name => format!("load_checkpoint={}", world.checkpoint.display()),
        Some(("load_checkpoint" | "data_paths", _)) => panic!("{word} is neither the model nor the data"),
        _ => word.clone(),
    });
    let settings = settings.collect::<Vec<_>>().join(" ");
    let adapted = train(&here(""), &format!("{settings} max_steps=2 global_batch_size=4 eval_count=2 threads=1"));

    assert_eq!(serve[0], "server");
    let served = ServerArgs::try_parse_from(serve).unwrap().resolve().unwrap();
    assert_eq!(served.checkpoints.folders().unwrap(), [Path::new("checkpoints/my-task/last")]);
    assert!(adapted.ends_with("last"));
    assert_eq!(served.arc_data, [Path::new("data/my-task")]);
    let adapted = arc_routes(&adapted, &data);
    let (status, answer) = solve(&adapted, &json!({ "task": task, "augmentations": 4 })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["task_id"], &answer["augmentations"]), (&json!("shift"), &json!(4)));
    assert_eq!((&answer["solved"], answer["tests"].as_array().unwrap().len()), (&Value::Null, 1), "{answer}");
    assert!(!answer["tests"][0]["attempts"].as_array().unwrap().is_empty(), "{answer}");
    // What it knew before, it has forgotten with its table.
    let (status, _) = solve(&adapted, &json!({ "task": arc_task("mirror") })).await;
    assert_eq!(status.as_u16(), 422);
}
