//! The page without a server: a written site behind a plain file server, in a real browser. Its scripts are held to the
//! engine's steps, one by one, and to the server's reading of text.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use engine::arc::TaskIndex;
use engine::default_policy::PolicyOverrides;
use engine::model;
use engine::registry::{EngineLimits, ServedModel};
use engine::session_options;
use exporter::runtime::SessionOptions;
use fantoccini::Locator;
use serde_json::{Value, json};
use server::site::{SiteArgs, SiteError, write};

use crate::browser::{Browser, Screen};
use crate::served::Served;
use crate::site_visit::{FileServer, SHIPPED, Visit, arguments, needs, site};

/// The model needs two steps for it. In float32 their Q values are off by 1.6e-4 and 8.8e-5 from float64: where a puzzle takes
/// longer to settle, rounding in another order may change tokens on the way (0.39 was seen).
const HARD: &str = ".8.4..9........26..3..5...7..657......9.....58.........97.48..1...1.9.3.1........";
const SMALL_MAZE: [&str; 6] = ["#S...#", "#.##.#", "#.#...", "#...#.", "##.##.", "####G."];

/// The server's routes over the engine, with the models of the site and a server's own defaults.
fn engine() -> Served {
    let session = SessionOptions { spinning: false, ..session_options(1, None) };
    let limits = EngineLimits { overrides: PolicyOverrides::NONE, ..EngineLimits::plain(8, 64, 1024) };
    let models = ["sudoku", "maze", "arc"].into_iter().flat_map(|name| {
        let folder = Path::new(SHIPPED).join(name);
        let loaded = model::load(&folder, &session).unwrap();
        let arc_tasks = TaskIndex::folder_in(&folder).map(|data| Arc::new(TaskIndex::open(&data).unwrap()));
        loaded
            .for_every_task()
            .into_iter()
            .map(|loaded| ServedModel::start(loaded.card, loaded.task, loaded.step_model, limits).unwrap())
            .map(move |model| ServedModel { arc_tasks: arc_tasks.clone(), ..model })
    });
    Served::new(models.collect())
}

/// What the server makes of a puzzle, in the form of [`Visit::solve`].
async fn answered(server: &Served, task: &str, puzzle: &Value, options: &Value) -> Value {
    let mut body = options.clone();
    body["puzzle"] = puzzle.clone();
    let reply = server.post_accepting(&format!("/solve/{task}"), "text/event-stream", body.to_string()).await;
    if reply.status != StatusCode::OK {
        let (problem, (_, name)) = (reply.json(), reply.problem());
        return json!({ "events": [], "problem": { "name": name, "detail": problem["detail"], "conflict": problem["conflict"] } });
    }
    let text = String::from_utf8(reply.body).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    json!({ "events": data.map(|data| serde_json::from_str(data).unwrap()).collect::<Vec<Value>>() })
}

/// Largest difference of Q values. The browser computes all sites with standard operators, the engine the live ones with
/// kernels of its own: sums are rounded in another order. Over 128 steps of a 30x30 maze they differed by 5e-5, over two of
/// a 9x9 Sudoku by 3e-4; Q moves by 0.1 and more where a cell changes. Tokens, chains and verdicts must be equal.
const MOST_Q: f64 = 2e-3;

/// That both took the same steps to the same end; what an answer has besides (times, uniqueness) is not compared.
fn assert_same(found: &Value, expected: &Value, what: &str) {
    assert_same_with(found, expected, what, STEP_FIELDS, ANSWER_FIELDS);
}

fn assert_same_with(found: &Value, expected: &Value, what: &str, of_steps: &[&str], of_answer: &[&str]) {
    let (found_events, expected_events) = (found["events"].as_array().unwrap(), expected["events"].as_array().unwrap());
    assert_eq!(found["problem"], expected["problem"], "{what}");
    assert_eq!(found_events.len(), expected_events.len(), "{what}: events");
    for (at, (found, expected)) in found_events.iter().zip(expected_events).enumerate() {
        let fields = if at + 1 < expected_events.len() { of_steps } else { of_answer };
        for field in fields {
            assert_eq!(found[field], expected[field], "{what}: {field} of event {at}");
        }
        let q = |event: &Value| event["q"].as_f64().unwrap();
        assert!((q(found) - q(expected)).abs() < MOST_Q, "{what}: q of event {at}: {} and {}", q(found), q(expected));
    }
}

const STEP_FIELDS: &[&str] = &["puzzle", "chain", "step", "answer", "changed"];
const ARC_STEP_FIELDS: &[&str] = &["puzzle", "test", "augmentation", "step", "answer", "changed"];
const ARC_ANSWER_FIELDS: &[&str] =
    &["task_id", "solved", "verified", "steps", "total_steps", "augmentations", "cut_short", "model"];
const ANSWER_FIELDS: &[&str] = &[
    "solution",
    "attempt",
    "solved",
    "verified",
    "path_length",
    "steps",
    "stopped",
    "chain",
    "chains",
    "votes",
    "total_steps",
    "model",
];

/// Puzzles of every size with their options, and whether an answer is verified.
async fn cases(server: &Served) -> Vec<(&'static str, Value, Value, bool)> {
    let sample = async |path: &str| server.get(&format!("/samples/{path}")).await.ok()["puzzle"].clone();
    let plain = |maze: Value| {
        let lines = maze.as_array().unwrap().iter().map(|line| line.as_str().unwrap().replace(' ', "."));
        json!(lines.collect::<Vec<_>>())
    };
    let [four, six] = [sample("sudoku?size=4&seed=3").await, sample("sudoku?size=6&seed=3").await];
    let sixteen = sample("sudoku?size=16&extra_clues=20&seed=1").await;
    let maze = plain(sample(&format!("maze?size=30&seed={LARGE_MAZE_SEED}")).await);
    let small_maze = json!(SMALL_MAZE);
    vec![
        ("sudoku", four.clone(), json!({}), true),
        ("sudoku", six, json!({}), true),
        ("sudoku", json!(HARD), json!({}), true),
        ("sudoku", sixteen, json!({}), true),
        ("maze", maze, json!({}), true),
        ("maze", small_maze.clone(), json!({}), true),
        // Guesses pinned one at a time until one is right, then all of them, then two at a time.
        ("sudoku", json!(HARD), json!({ "max_steps": 1, "augmentations": 4, "seed": 5 }), true),
        ("sudoku", four.clone(), json!({ "halting": "fixed", "max_steps": 2, "augmentations": 30, "seed": 3 }), true),
        // Noise on both states, and votes.
        (
            "sudoku",
            four.clone(),
            json!({ "halting": "fixed", "max_steps": 3, "rollouts": 10, "sigma": 0.5, "noise": "all", "seed": 7 }),
            true,
        ),
        (
            "sudoku",
            four,
            json!({ "halting": "stable", "augmentations": 2, "sigma": 0.25, "seed": 4_294_967_301_u64 }),
            true,
        ),
        // All symmetric copies of a maze, and one of them again.
        (
            "maze",
            small_maze.clone(),
            json!({ "halting": "fixed", "max_steps": 2, "augmentations": 8, "seed": 9 }),
            true,
        ),
        (
            "maze",
            small_maze,
            json!({ "halting": "q", "augmentations": 1, "rollouts": 1, "sigma": 1.0, "noise": "answer" }),
            true,
        ),
    ]
}

const LARGE_MAZE_SEED: u64 = 2;

#[tokio::test]
async fn the_scripts_of_the_site_do_what_engine_and_server_do() {
    let Some(programs) = needs() else { return };
    let (visit, server) = (Visit::begin(&programs, Screen::Desktop(1200, 900)).await, engine());
    check_steps(&visit, &server).await;
    check_arc(&visit, &server).await;
    check_reading(&visit, &server).await;
}

/// The worker takes the engine's steps, and refuses what the server refuses.
async fn check_steps(visit: &Visit, server: &Served) {
    for (task, puzzle, options, is_verified) in cases(server).await {
        let what = format!("{task} {puzzle} {options}");
        let expected = answered(server, task, &puzzle, &options).await;
        assert_same(&visit.solve(task, &puzzle, &options).await, &expected, &what);
        let answer = expected["events"].as_array().unwrap().last().unwrap();
        assert_eq!(answer["verified"], is_verified, "{what}: {answer}");
    }
    let refused = [
        ("sudoku", json!(format!("55{}", ".".repeat(79))), json!({})),
        ("sudoku", json!(format!("{}5..5{}", ".".repeat(27), ".".repeat(50))), json!({})),
        ("maze", json!(["S#G"]), json!({})),
        ("maze", json!(["S..", "..."]), json!({})),
        ("maze", json!(["S.G", "..G"]), json!({})),
        ("sudoku", json!(HARD), json!({ "rollouts": 1 })),
        ("sudoku", json!(HARD), json!({ "max_steps": 5000 })),
        ("sudoku", json!(HARD), json!({ "augmentations": 100, "rollouts": 100, "sigma": 1 })),
    ];
    for (task, puzzle, options) in refused {
        let expected = answered(server, task, &puzzle, &options).await;
        let found = visit.solve(task, &puzzle, &options).await;
        assert!(expected["problem"]["name"].is_string(), "{expected}");
        assert_same(&found, &expected, &format!("{task} {puzzle} {options}"));
    }
}

/// Every step of every copy of a task, and the votes, are the engine's.
async fn check_arc(visit: &Visit, server: &Served) {
    let names = server.get("/samples/arc").await.ok()["task_ids"].as_array().unwrap().clone();
    let (first, last) = (names[0].as_str().unwrap(), names[names.len() - 1].as_str().unwrap());
    let sent = server.get(&format!("/samples/arc/{last}")).await.ok();
    let augmented = format!("{first}|||t3|||0198765432");
    let cases = [
        (json!({ "task_id": first }), json!({})),
        (json!({ "task": sent["task"] }), json!({ "augmentations": 3, "max_steps": 6 })),
        (json!({ "task_id": augmented }), json!({ "augmentations": 2, "halting": "fixed" })),
        (json!({ "task_id": last, "task": sent["task"] }), json!({ "augmentations": 1, "max_steps": 1 })),
    ];
    for (puzzle, options) in cases {
        let what = format!("{puzzle} {options}");
        let (mut found, mut expected) =
            (visit.solve("arc", &puzzle, &options).await, answered(server, "arc", &puzzle, &options).await);
        assert_eq!((&found["problem"], &expected["problem"]), (&Value::Null, &Value::Null), "{what}");
        for side in [&mut found, &mut expected] {
            // Copies run side by side in the engine, one after the other in the browser.
            let place = |event: &Value| ["augmentation", "test", "step"].map(|field| event[field].as_u64());
            let events = side["events"].as_array_mut().unwrap();
            let end = events.len() - 1;
            events[..end].sort_by_key(place);
        }
        assert_same_with(&found, &expected, &what, ARC_STEP_FIELDS, ARC_ANSWER_FIELDS);
        let tests =
            |side: &Value| side["events"].as_array().unwrap().last().unwrap()["tests"].as_array().unwrap().clone();
        for (found, expected) in tests(&found).iter().zip(&tests(&expected)) {
            assert_eq!(found["correct"], expected["correct"], "{what}");
            let attempts = |test: &Value| -> Vec<(Value, Value)> {
                let attempts = test["attempts"].as_array().unwrap().iter();
                attempts.map(|attempt| (attempt["grid"].clone(), attempt["votes"].clone())).collect()
            };
            assert_eq!(attempts(found), attempts(expected), "{what}");
        }
    }
    let refused = [
        (json!({ "task_id": "nothing" }), json!({}), "unknown-task"),
        (
            json!({ "task": { "train": [{ "input": [[1]], "output": [[2]] }], "test": [{ "input": [[1]] }] } }),
            json!({}),
            "unknown-task",
        ),
        (json!({ "task_id": first, "task": sent["task"] }), json!({}), "malformed-request"),
        (json!({ "task_id": format!("{first}|||t9|||0123456789") }), json!({}), "malformed-request"),
        (json!({ "task_id": first }), json!({ "augmentations": 0 }), "invalid-option"),
        (json!({ "task_id": first }), json!({ "max_steps": 5000 }), "invalid-option"),
    ];
    for (puzzle, options, name) in refused {
        for side in [visit.solve("arc", &puzzle, &options).await, answered(server, "arc", &puzzle, &options).await] {
            assert_eq!(side["problem"]["name"], name, "{puzzle} {options}: {side}");
        }
    }
}

/// What the site reads in a text, the server reads as the same board.
async fn check_reading(visit: &Visit, server: &Served) {
    let rows = |separator: &str| {
        let cells: Vec<char> = HARD.chars().collect();
        cells.chunks(9).map(|row| row.iter().collect::<String>()).collect::<Vec<_>>().join(separator)
    };
    let spread = HARD.replace('.', "0").chars().map(String::from).collect::<Vec<_>>();
    let sixteen =
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n".to_owned() + &"0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n".repeat(15);
    let common = [
        ("sudoku", HARD.to_owned()),
        ("sudoku", HARD.replace('.', "0")),
        ("sudoku", rows("\n")),
        ("sudoku", rows("\r\n") + "\r\n"),
        ("sudoku", rows("\n").replace('.', "_")),
        ("sudoku", spread.chunks(9).map(|row| row.join(" ")).collect::<Vec<_>>().join("\n")),
        ("sudoku", spread.chunks(9).map(|row| format!("[{}]", row.join(", "))).collect::<Vec<_>>().join(",\n")),
        ("sudoku", "12|34\n..|..\n--+--\n..|..\n..|..".to_owned()),
        ("sudoku", sixteen),
        ("maze", SMALL_MAZE.join("\n")),
        ("maze", format!("\n{}\n\n", SMALL_MAZE.join("\n"))),
        ("maze", "#####\n#S G#\n#####".to_owned()),
        ("maze", SMALL_MAZE.concat()),
    ];
    let strange = [
        ("sudoku", format!("{HARD}\n{HARD}")),
        ("sudoku", rows("\n").replacen('.', "0", 1)),
        ("sudoku", "1234\n3412\n21 3\n4321".to_owned()),
        ("sudoku", "12 3 4 5 6 7 8 9 1\n".repeat(9)),
        ("sudoku", ["0123456789ABCDEF"; 16].join("\n")),
        ("sudoku", ["12...........432"; 16].join("\n")),
        ("sudoku", String::new()),
        ("maze", "S . G\n# . #".to_owned()),
        ("maze", " S G \n#####".to_owned()),
        ("maze", "#S#\n   \n#G#".to_owned()),
        ("maze", "S # G\n. . .".to_owned()),
        ("maze", "1 1 1\n2 0 3".to_owned()),
        ("maze", "S.\n.G#".to_owned()),
    ];
    for task in ["sudoku", "maze"] {
        let of_task = |list: &[(&str, String)]| -> Vec<String> {
            list.iter().filter(|(kind, _)| *kind == task).map(|(_, text)| text.clone()).collect()
        };
        let (must, mut may) = (of_task(&common), of_task(&strange));
        let seeds = format!("{}/../fuzz/seeds/{task}_text", env!("CARGO_MANIFEST_DIR"));
        may.extend(
            std::fs::read_dir(seeds).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()),
        );
        let texts = [must.clone(), may].concat();
        for (text, found) in texts.iter().zip(visit.read(task, &texts).await) {
            assert!(!found.is_null() || !must.contains(text), "{task}: a common form is not read: {text:?}");
            let Some(found) = found.as_str() else { continue };
            let expected =
                server.post(&format!("/read/{task}"), json!({ "puzzle": text }).to_string()).await.ok()["puzzle"]
                    .clone();
            let expected = expected.as_array().map_or_else(
                || expected.as_str().unwrap_or_default().to_owned(),
                |lines| lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n"),
            );
            assert_eq!(found, expected, "{task}: {text:?}");
        }
    }
}

#[tokio::test]
async fn a_visitor_solves_puzzles_without_a_server() {
    let Some(programs) = needs() else { return };
    let Visit { browser, files } = Visit::begin(&programs, Screen::Phone(390, 844, 2.0)).await;
    browser.window.find(Locator::Css("#speed option[value='0']")).await.unwrap().click().await.unwrap();
    browser.click("#solve").await;
    browser.wait_until("document.getElementById('mind').dataset.state === 'verified'").await;
    // All that a visitor's browser has loaded until the first answer.
    let sent = files.sent();
    assert!(sent < 6_000_000, "{sent} bytes were sent for a Sudoku");
    // What is about servers is not there.
    assert_eq!(
        browser
            .evaluate("[...document.querySelectorAll('.of-server')].every((one) => one.offsetParent === null)")
            .await,
        true
    );
    browser.click("#tab-arc").await;
    browser.wait_until("document.querySelectorAll('#arc-task canvas').length >= 4").await;
    browser.click("#solve").await;
    browser.wait_until("document.querySelectorAll('#arc-boards figure').length >= 2").await;
    browser.wait_until("['verified', 'unverified'].includes(document.getElementById('mind').dataset.state)").await;
    let width = browser.evaluate("document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= 390, "the page is {width} pixels wide");

    browser.click("#tab-maze").await;
    browser.wait_until("document.getElementById('maze-text').value.includes('G')").await;
    assert_eq!(browser.evaluate("document.getElementById('maze-text').value.split('\\n').length").await, 30);
    browser.window.goto(&format!("{}#maze={}", files.address, SMALL_MAZE.join("/"))).await.unwrap();
    browser.wait_until("document.getElementById('maze-text').value.startsWith('#S')").await;
    browser.click("#solve").await;
    browser.wait_until("document.getElementById('mind').dataset.state === 'verified'").await;
    let asked = browser.requested().await;
    // What the browser draws its own controls with lies in the address itself.
    let asked: Vec<_> = asked.into_iter().filter(|address| !address.starts_with("data:")).collect();
    let others = asked.iter().filter(|address| !address.starts_with(&files.address)).collect::<Vec<_>>();
    assert!(others.is_empty(), "other addresses were asked: {others:?}");
    let missing = asked.iter().filter(|address| !exists(address, &files.address)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "files are missing: {missing:?}");
}

/// Whether the site has the file of an address.
fn exists(address: &str, root: &str) -> bool {
    let path = address.strip_prefix(root).unwrap().split(['#', '?']).next().unwrap();
    site().join("site").join(if path.is_empty() { "index.html" } else { path }).is_file()
}

#[test]
fn only_a_site_is_replaced_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mine");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("letter.txt"), "dear").unwrap();
    assert!(matches!(write(&arguments(out.clone())), Err(SiteError::Occupied { .. })));
    assert_eq!(std::fs::read_to_string(out.join("letter.txt")).unwrap(), "dear");

    let without = SiteArgs { onnxruntime_web: folder.path().join("nothing"), ..arguments(folder.path().join("new")) };
    let message = write(&without).unwrap_err().to_string();
    assert!(message.contains("ort.wasm.bundle.min.mjs") && message.contains("cargo xtask site"), "{message}");
    assert!(!without.out.exists());
}

/// Prints what a visitor waits for and what is sent: `cargo test -p server --test suite site_measured -- --ignored
/// --nocapture`. Speed is never asserted.
#[tokio::test]
#[ignore = "a measurement"]
async fn site_measured() {
    let programs = needs().unwrap();
    let server = engine();
    for round in 1..=3 {
        let files = FileServer::start(site()).await;
        let browser = Browser::open(&programs, Screen::Desktop(1200, 900), &[]).await;
        let started = Instant::now();
        browser.window.goto(&files.address).await.unwrap();
        browser.wait_until("document.getElementById('sudoku-text').value.length === 81").await;
        let ready = started.elapsed();
        let visit = Visit { browser, files };
        let opening = visit.browser.evaluate("document.getElementById('sudoku-text').value").await;
        let events = visit.solve("sudoku", &opening, &json!({})).await;
        let (first, steps) = (started.elapsed(), events["events"].as_array().unwrap().len() - 1);
        println!(
            "round {round}: page after {ready:?}, answer ({steps} steps) after {first:?}, {} bytes",
            visit.files.sent()
        );
        if round < 3 {
            continue;
        }
        let names = server.get("/samples/arc").await.ok()["task_ids"].clone();
        let began = (Instant::now(), visit.files.sent());
        for name in names.as_array().unwrap().iter().take(5) {
            let events = visit.solve("arc", &json!({ "task_id": name }), &json!({})).await;
            let answer = events["events"].as_array().unwrap().last().unwrap().clone();
            let (tests, ms) = (answer["tests"].as_array().unwrap().len(), &answer["timings"]["compute_ms"]);
            let (steps, copies) = (&answer["total_steps"], &answer["augmentations"]);
            println!("ARC {name}: {tests} tests, {copies} copies, {steps} steps in {ms} ms");
        }
        println!("ARC: 5 tasks after {:?}, {} bytes more", began.0.elapsed(), visit.files.sent() - began.1);
        for (task, puzzle, options, _) in cases(&server).await.into_iter().take(5) {
            let mut fixed = options;
            fixed["halting"] = json!("fixed");
            fixed["max_steps"] = json!(8);
            let answer = visit.solve(task, &puzzle, &fixed).await["events"].as_array().unwrap().last().unwrap().clone();
            let ms = answer["timings"]["compute_ms"].as_f64().unwrap();
            let cells = puzzle.as_str().map_or_else(|| 900, str::len);
            println!("{task} of {cells} cells: {:.1} steps per second", 8000.0 / ms);
        }
        println!("{} bytes with the maze", visit.files.sent());
    }
}
