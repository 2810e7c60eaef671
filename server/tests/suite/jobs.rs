//! Tasks that no model knows become jobs. The trainer is a script here, and the model that it makes a scripted one; with
//! the real ones, the line is tested in `tests/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use engine::RuntimeFacts;
use engine::arc::TaskIndex;
use engine::registry::{Models, Registry, ServedModel};
use serde_json::{Value, json};
use server::http::{HttpLimits, ServerParts, routes};
use server::jobs::{Cores, JobOptions, Jobs};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::arc_world::{Scripted, dataset, index};

const LIMITS: HttpLimits =
    HttpLimits { max_body_bytes: 1 << 20, max_puzzles: 3, request_timeout: Duration::from_secs(30) };
/// Says how far it is, and is done.
const LEARNS: &str = "mkdir -p \"$out\"; echo '{\"phase\":\"training\",\"step\":7,\"steps\":9,\"elapsed_seconds\":2.5,\
                      \"eta_seconds\":0.5}' > \"$out/progress.json\"";
/// Never ends by itself, unless its standard input does.
const WAITS: &str = "cat > /dev/null; exit 130";

/// A folder for jobs and the program that they run.
struct World {
    folder: TempDir,
    trainer: PathBuf,
}

impl World {
    /// With a trainer that does what `script` says; `$out` is its output folder, `$folder` this world's.
    fn new(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let trainer = folder.path().join("trainer");
        fs::create_dir(folder.path().join("base")).unwrap();
        let world = Self { folder, trainer };
        world.teach(script);
        world
    }

    fn teach(&self, script: &str) {
        let folder = self.folder.path().display();
        let parse = "while [ $# -gt 0 ]; do case \"$1\" in --output) out=\"$2\";; esac; shift; done";
        let text = format!("#!/bin/sh\nfolder='{folder}'\necho \"$@\" >> \"$folder/calls\"\n{parse}\n{script}\n");
        // Beside and renamed: a program that is written cannot be run.
        let fresh = self.trainer.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&fresh, &self.trainer).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn options(&self) -> JobOptions {
        JobOptions {
            folder: self.folder.path().join("jobs"),
            jobs: 1,
            queue: 1,
            minutes: 3.0,
            trainer: self.trainer.clone(),
            cores: Cores { processors: Vec::new(), nice: 0 },
            settings: vec!["lr=1e-3".into()],
        }
    }

    /// A server whose ARC model lies in a folder; each result is a model that knows the task of its job.
    fn serve(&self) -> Router {
        let jobs = Jobs::open(self.options(), Box::new(|checkpoint, _| Ok(learned(checkpoint)))).unwrap();
        let base = ServedModel {
            arc_tasks: Some(Arc::new(index())),
            directory: Some(self.folder.path().join("base")),
            ..echo()
        };
        serve(vec![base], jobs)
    }
}

fn serve(models: Vec<ServedModel>, jobs: Jobs) -> Router {
    let facts = RuntimeFacts {
        library: "none".into(),
        build: String::new(),
        execution_provider: "CPUExecutionProvider",
        threads: 1,
    };
    let models = Arc::new(Models::new(Registry::new(models).unwrap()));
    routes(ServerParts { jobs: Some(Arc::new(jobs)), ..ServerParts::open(models, LIMITS, facts) })
}

/// Every copy answers with what it is asked.
fn echo() -> ServedModel {
    Scripted::new(|_, tokens, _| (tokens.to_vec(), 0.0)).served()
}

/// A model that knows the task whose file lies beside `checkpoint`.
fn learned(checkpoint: &Path) -> Registry {
    let job = checkpoint.parent().unwrap();
    let id = job.file_name().unwrap().to_str().unwrap();
    let task: Value = serde_json::from_slice(&fs::read(job.join(format!("{id}.json"))).unwrap()).unwrap();
    let folder = TempDir::new().unwrap();
    let data = dataset(folder.path(), true);
    let file = data.join("test_puzzles.json");
    let mut tasks: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    tasks["fill"]["train"] = task["train"].clone();
    fs::write(&file, tasks.to_string()).unwrap();
    let tasks = TaskIndex::open(&data).unwrap();
    Registry::new(vec![ServedModel { arc_tasks: Some(Arc::new(tasks)), ..echo() }]).unwrap()
}

/// A task that is not known; `colour` tells it from others.
fn task(colour: u8) -> Value {
    json!({
        "train": [{ "input": [[colour, 0]], "output": [[0, colour]] }],
        "test": [{ "input": [[0, colour], [1, 2]] }],
    })
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, to_bytes(body, 1 << 24).await.unwrap().to_vec())
}

async fn solve(app: &Router, body: &Value) -> (StatusCode, HeaderMap, Value) {
    let request = Request::post("/solve/arc").body(Body::from(body.to_string())).unwrap();
    let (status, headers, bytes) = send(app, request).await;
    (status, headers, serde_json::from_slice(&bytes).unwrap())
}

async fn ask(app: &Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (status, _, bytes) = send(app, request).await;
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// The path of the job that learns `task`.
async fn job(app: &Router, task: &Value) -> String {
    let (status, headers, view) = solve(app, task).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{view}");
    let location = headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/jobs/{}", view["id"].as_str().unwrap()));
    location
}

async fn wait_for(app: &Router, path: &str, state: &str) -> Value {
    for _ in 0..1200 {
        let (_, view) = ask(app, "GET", path).await;
        if view["state"] == state {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} never became {state}: {:?}", ask(app, "GET", path).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_task_becomes_a_job_that_ends_in_attempts_and_is_known_from_then_on() {
    let world = World::new(LEARNS);
    let app = world.serve();
    let sent = task(5);
    let path = job(&app, &sent).await;
    let view = wait_for(&app, &path, "done").await;
    assert_eq!((&view["step"], &view["steps"], &view["problem"]), (&json!(7), &json!(9), &Value::Null));
    let asked = &sent["test"][0]["input"];
    assert_eq!(view["answer"]["tests"][0]["attempts"][0]["grid"], *asked, "{view}");

    let id = path.strip_prefix("/jobs/").unwrap();
    let calls = world.calls();
    let base = world.folder.path().join("base").canonicalize().unwrap();
    let here = world.folder.path().canonicalize().unwrap().join("jobs").join(id);
    let expected = format!(
        "adapt --checkpoint {} --tasks {}/{id}.json --output {}/adapted --minutes 3 threads=1 lr=1e-3",
        base.display(),
        here.display(),
        here.display()
    );
    assert_eq!(calls, [expected]);

    // As a stream, from its end; and as a task that is known, with other test inputs and options.
    let events = Request::get(format!("{path}/events")).body(Body::empty()).unwrap();
    let (status, _, bytes) = send(&app, events).await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(status == StatusCode::OK && text.starts_with("event: answer\n") && text.contains(id), "{text}");
    let mut again = json!({ "task": sent, "augmentations": 2, "model": "arc" });
    again["task"]["test"][0]["input"] = json!([[7, 8]]);
    let (status, _, answer) = solve(&app, &again).await;
    assert_eq!((status, &answer["augmentations"]), (StatusCode::OK, &json!(2)), "{answer}");
    assert_eq!(answer["tests"][0]["attempts"][0]["grid"], json!([[7, 8]]));
    // Another server knows it, too, and what is known to the model needs no job.
    drop(app);
    let app = world.serve();
    assert_eq!(ask(&app, "GET", &path).await.1["answer"]["tests"], view["answer"]["tests"]);
    assert_eq!(solve(&app, &sent).await.0, StatusCode::OK);
    assert_eq!(solve(&app, &json!("fill")).await.0, StatusCode::OK);
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_and_its_files_are_gone() {
    let world = World::new(WAITS);
    let app = world.serve();
    let path = job(&app, &task(5)).await;
    assert_eq!(job(&app, &task(5)).await, path, "the same task is the same job");
    wait_for(&app, &path, "running").await;
    let watched = Request::get(format!("{path}/events")).body(Body::empty()).unwrap();
    let watched = tokio::spawn({
        let app = app.clone();
        async move { send(&app, watched).await }
    });
    let (status, view) = ask(&app, "DELETE", &path).await;
    assert_eq!((status, &view["state"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(ask(&app, "GET", &path).await.1["state"], "cancelled");
    let text = String::from_utf8(watched.await.unwrap().2).unwrap();
    assert!(text.contains("event: problem\n") && text.contains("job-cancelled"), "{text}");
    let folder = world.folder.path().join("jobs").join(path.strip_prefix("/jobs/").unwrap());
    for _ in 0..1200 {
        if !folder.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(!folder.exists());
    // A second time changes nothing, and the task may be sent anew.
    assert_eq!(ask(&app, "DELETE", &path).await.0, StatusCode::OK);
    world.teach(LEARNS);
    loop {
        let (status, ..) = solve(&app, &task(5)).await;
        if status == StatusCode::ACCEPTED {
            break;
        }
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "its process may still be ending");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    wait_for(&app, &path, "done").await;
    // Done, and cancelled: forgotten.
    assert_eq!(ask(&app, "DELETE", &path).await.1["answer"], Value::Null);
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded() {
    let world = World::new(WAITS);
    let app = world.serve();
    let running = job(&app, &task(5)).await;
    wait_for(&app, &running, "running").await;
    let queued = job(&app, &task(6)).await;
    let (_, view) = ask(&app, "GET", &queued).await;
    assert_eq!((&view["state"], &view["ahead"]), (&json!("queued"), &json!(0)));
    let (status, headers, problem) = solve(&app, &task(7)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::TOO_MANY_REQUESTS, &json!("urn:trm:problem:queue-full")));
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    // A job that leaves the queue makes room.
    ask(&app, "DELETE", &queued).await;
    job(&app, &task(7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_survive_a_restart_of_the_server() {
    let world = World::new(WAITS);
    let app = world.serve();
    let first = job(&app, &task(5)).await;
    wait_for(&app, &first, "running").await;
    let second = job(&app, &task(6)).await;
    drop(app);
    world.teach(LEARNS);
    let app = world.serve();
    wait_for(&app, &first, "done").await;
    wait_for(&app, &second, "done").await;
    let folder = world.folder.path().join("jobs");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_fails_is_reported_and_tried_again_when_the_task_is_sent_again() {
    let world = World::new("echo 'error: no memory at /secret' >&2; exit 1");
    let app = world.serve();
    let path = job(&app, &task(5)).await;
    let view = wait_for(&app, &path, "failed").await;
    let problem = view["problem"].as_str().unwrap();
    assert!(problem.contains("exit status: 1") && !problem.contains("secret"), "{problem}");
    let events = Request::get(format!("{path}/events")).body(Body::empty()).unwrap();
    let text = String::from_utf8(send(&app, events).await.2).unwrap();
    assert!(text.starts_with("event: problem\n"), "{text}");
    drop(app);
    let app = world.serve();
    assert_eq!(ask(&app, "GET", &path).await.1["state"], "failed");
    world.teach(LEARNS);
    assert_eq!(job(&app, &task(5)).await, path);
    wait_for(&app, &path, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_learned_is_refused_as_before() {
    let world = World::new(LEARNS);
    let app = world.serve();
    let unknown = |answer: &Value| assert_eq!(answer["type"], "urn:trm:problem:unknown-task", "{answer}");
    // A name holds no demonstrations, and a request of several tasks starts no job.
    for body in [json!("nobody"), json!({ "puzzles": [task(5), "fill"] })] {
        let (status, _, answer) = solve(&app, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        unknown(&answer);
    }
    let (status, _, _) = solve(&app, &json!({ "task": task(5), "model": "other" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    // Without an ARC model a small one learns, but not to draw grids of another size.
    let jobs = Jobs::open(world.options(), Box::new(|checkpoint, _| Ok(learned(checkpoint)))).unwrap();
    let app = serve(crate::served_oracles::oracle(), jobs);
    let mut grows = task(5);
    grows["train"][0]["output"] = json!([[5, 0, 0]]);
    let (status, _, answer) = solve(&app, &grows).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    unknown(&answer);
    let path = job(&app, &task(5)).await;
    wait_for(&app, &path, "done").await;
    assert!(world.calls()[0].starts_with("adapt --scratch --tasks "), "{:?}", world.calls());
    for path in ["/jobs/..%2f..%2fetc", "/jobs/1", &format!("/jobs/{}", "0".repeat(32))] {
        for method in ["GET", "DELETE"] {
            let (status, answer) = ask(&app, method, path).await;
            assert_eq!(
                (status, &answer["type"]),
                (StatusCode::NOT_FOUND, &json!("urn:trm:problem:unknown-job")),
                "{path}"
            );
        }
    }
}
