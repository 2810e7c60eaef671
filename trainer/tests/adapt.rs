//! The promises of `trainer adapt`: new rows begin with the mean of the old ones, the trunk stands still for the first
//! quarter, nothing is lost by a kill, and the time bounds all processes together.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use models::checkpoint::WeightFile;
use models::{Checkpoint, ParameterKind};
use process::{Running, assert_same_content, metrics, refuse, succeed, words};
use serde_json::{Value, json};
use tempfile::TempDir;
use trainer::adapt::{AdaptOutcome, AdaptRequest, PROGRESS_FILE, TaskChoice, adapt};

/// A model of local mixing small enough for a test.
const MODEL: &str = "arch.hidden_size=16 arch.puzzle_emb_ndim=16 arch.L_cycles=1 arch.L_layers=1 arch.halt_max_steps=2 \
                     global_batch_size=8 carried_batches=2 threads=1 log_interval=1 checkpoint_interval=3";
/// Settings for a model that is there.
const SETTINGS: &str =
    "global_batch_size=8 carried_batches=2 threads=1 log_interval=1 checkpoint_interval=3 lr_warmup_steps=1";

fn task(from: u8, to: u8) -> Value {
    json!({
        "uuid": "official files have such keys",
        "train": [
            { "input": [[from, 0], [0, from]], "output": [[to, 0], [0, to]] },
            { "input": [[0, from, from]], "output": [[0, to, to]] },
        ],
        "test": [{ "input": [[from], [0], [from]] }],
    })
}

/// A trained checkpoint, and three tasks that it does not know.
fn world() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (known, new) = (folder.path().join("known"), folder.path().join("new"));
    for (path, tasks) in [(&known, vec![("a", 1, 2), ("b", 3, 4)]), (&new, vec![("c", 5, 6), ("d", 7, 8), ("e", 9, 1)])]
    {
        fs::create_dir(path).unwrap();
        for (name, from, to) in tasks {
            fs::write(path.join(format!("{name}.json")), task(from, to).to_string()).unwrap();
        }
    }
    let scratch = words("adapt --scratch --tasks known --output base --steps 4 --num-aug 3 --seed 7");
    succeed(folder.path(), &[scratch, words(MODEL)].concat());
    let base = folder.path().join("base").canonicalize().unwrap();
    (folder, base, new)
}

fn request(base: &Path, tasks: &Path, output: &Path) -> AdaptRequest {
    AdaptRequest {
        checkpoint: Some(base.to_owned()),
        tasks: TaskChoice { path: tasks.to_owned(), ..TaskChoice::default() },
        output: output.to_owned(),
        time: None,
        num_aug: 3,
        steps: Some(8),
        seed: 1,
        overrides: words(SETTINGS).iter().map(|word| word.parse().unwrap()).collect(),
    }
}

/// The weights of a checkpoint by kind: the trunk by names, and the rows of the puzzle table.
fn weights(checkpoint: &Path) -> (BTreeMap<String, Vec<u32>>, Vec<Vec<f32>>) {
    let checkpoint = Checkpoint::open(checkpoint).unwrap();
    let specs = checkpoint.manifest.arch.parameter_specs(&checkpoint.manifest.dims).unwrap();
    let (mut trunk, mut rows) = (BTreeMap::new(), Vec::new());
    for spec in specs {
        let values = checkpoint.values(&spec).unwrap();
        if spec.kind == ParameterKind::PuzzleTable {
            rows = values.chunks(spec.shape[1]).map(<[f32]>::to_vec).collect();
        } else {
            trunk.insert(spec.name, values.into_iter().map(f32::to_bits).collect());
        }
    }
    (trunk, rows)
}

#[test]
fn rows_begin_with_the_mean_and_the_trunk_waits_for_them() {
    let (folder, base, new) = world();
    let output = folder.path().join("adapted");
    let request = request(&base, &new, &output);
    let files =
        || ["model.safetensors", "manifest.json", "progress.json"].map(|name| fs::read(base.join(name)).unwrap());
    let before = files();
    let (trunk, old_rows) = weights(&base);

    // Stopped before the first step.
    let stop = Arc::new(AtomicBool::new(true));
    let run = output.join("run/last");
    assert_eq!(adapt(&request, &stop, &mut |_| ()).unwrap(), AdaptOutcome::Interrupted { step: 0 });
    let (found, rows) = weights(&run);
    assert_eq!(found, trunk);
    let sums = (0..16).map(|column| old_rows.iter().map(|row| f64::from(row[column])).sum::<f64>());
    let mean: Vec<f32> = sums.map(|sum| (sum / old_rows.len() as f64) as f32).collect();
    assert_eq!(rows.len(), 1 + 3 * 4, "the blank puzzle, and three tasks with three augmentations each");
    assert!(rows.iter().all(|row| *row == mean));

    // Stopped at the end of the first quarter of eight steps.
    stop.store(false, Ordering::Relaxed);
    let mut lines = Vec::new();
    let outcome = adapt(&request, &stop, &mut |line| {
        lines.push(line.to_owned());
        if line.starts_with("step 1/8") {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(outcome.unwrap(), AdaptOutcome::Interrupted { step: 2 }, "{lines:?}");
    let (found, rows) = weights(&run);
    assert_eq!(found, trunk, "the trunk has moved");
    assert!(rows.iter().any(|row| *row != mean), "no embedding has moved");
    let raw = WeightFile::open(&run.join("training_state.safetensors")).unwrap();
    assert_eq!(raw.raw("weights").unwrap().2, raw.raw("ema").unwrap().2);

    stop.store(false, Ordering::Relaxed);
    let outcome = adapt(&request, &stop, &mut |_| ()).unwrap();
    let AdaptOutcome::Finished { checkpoint, data, steps: 8 } = outcome else { panic!("{outcome:?}") };
    assert_eq!((&checkpoint, &data), (&output, &output.join("arc-data")));
    let (found, _) = weights(&checkpoint);
    assert_ne!(found, trunk, "the trunk has not moved");
    assert_eq!(files(), before, "the checkpoint was touched");

    // The same again changes nothing; another request does not fit.
    let finished = fs::read(output.join("model.safetensors")).unwrap();
    adapt(&request, &stop, &mut |_| ()).unwrap();
    assert_eq!(fs::read(output.join("model.safetensors")).unwrap(), finished);
    let other = AdaptRequest { seed: 2, ..request };
    let message = adapt(&other, &stop, &mut |_| ()).unwrap_err().to_string();
    assert!(message.contains("--seed"), "{message}");
}

#[test]
fn as_many_rows_as_before_are_new_all_the_same() {
    let (folder, base, _) = world();
    let known = folder.path().join("known");
    let output = folder.path().join("again");
    let stop = Arc::new(AtomicBool::new(true));
    adapt(&request(&base, &known, &output), &stop, &mut |_| ()).unwrap();
    let (_, rows) = weights(&output.join("run/last"));
    assert!(rows.iter().all(|row| *row == rows[0]));
}

#[test]
fn kills_leave_no_trace() {
    let (folder, base, new) = world();
    let arguments = [
        words("adapt --output out --steps 24 --num-aug 3 --checkpoint"),
        vec![base.display().to_string(), "--tasks".to_owned(), new.display().to_string()],
        words(SETTINGS),
    ]
    .concat();
    let (undisturbed, killed) = (folder.path().join("undisturbed"), folder.path().join("killed"));
    for path in [&undisturbed, &killed] {
        fs::create_dir(path).unwrap();
    }
    succeed(&undisturbed, &arguments);
    for lines in [1, 6, 9] {
        let mut running = Running::start(&killed, &arguments);
        running.read_lines(lines);
        running.kill();
    }
    succeed(&killed, &arguments);
    assert_same_content(&undisturbed.join("out/run"), &killed.join("out/run"));
    for file in ["model.safetensors", "manifest.json", "arc-data/identifiers.json", "plan.json"] {
        let [left, right] = [&undisturbed, &killed].map(|path| fs::read(path.join("out").join(file)).unwrap());
        assert_eq!(left, right, "{file}");
    }
}

#[test]
fn the_time_decides_how_many_steps_and_the_rate_falls_to_its_end() {
    let (folder, base, new) = world();
    let arguments = |output: &str| {
        let named = ["--checkpoint", base.to_str().unwrap(), "--tasks", new.to_str().unwrap(), "--output", output];
        let named = named.map(str::to_owned).to_vec();
        [words("adapt --minutes 0.08 --num-aug 3"), named, words(SETTINGS), words("lr=1e-3 lr_min_ratio=0.5")].concat()
    };
    let printed = succeed(folder.path(), &arguments("timed"));
    let timed = folder.path().join("timed");
    let plan: Value = serde_json::from_slice(&fs::read(timed.join("plan.json")).unwrap()).unwrap();
    let steps = plan["steps"].as_u64().unwrap();
    assert!(steps >= 1 && steps < plan["most"].as_u64().unwrap(), "{printed}");
    assert_eq!(Checkpoint::open(&timed).unwrap().manifest.step, steps);
    let rows = metrics(&timed.join("run"));
    let (last, .., rate) = rows.iter().rfind(|(_, _, name, _)| name == "lr").unwrap();
    assert!(*last == steps && (5e-4..=1e-3).contains(rate), "{last} of {steps}: {rate}");

    // What earlier processes took counts: nothing is left here, and the run ends where it is.
    let stop = Arc::new(AtomicBool::new(false));
    let output = folder.path().join("spent");
    let request = AdaptRequest { time: Some(std::time::Duration::from_hours(1)), ..request(&base, &new, &output) };
    let outcome = adapt(&request, &stop, &mut |line| {
        if line.starts_with("step 2/") {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(outcome.unwrap(), AdaptOutcome::Interrupted { step: 3 });
    let progress = output.join(PROGRESS_FILE);
    let mut spent: Value = serde_json::from_slice(&fs::read(&progress).unwrap()).unwrap();
    spent["elapsed_seconds"] = json!(3600.0);
    fs::write(&progress, spent.to_string()).unwrap();
    stop.store(false, Ordering::Relaxed);
    let outcome = adapt(&request, &stop, &mut |_| ()).unwrap();
    assert!(matches!(outcome, AdaptOutcome::Finished { steps: 3, .. }), "{outcome:?}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let (folder, base, new) = world();
    let base = base.to_str().unwrap();
    let grows = json!({ "train": [{ "input": [[1]], "output": [[1, 1]] }], "test": [{ "input": [[2]] }] });
    fs::create_dir(folder.path().join("grows")).unwrap();
    fs::write(folder.path().join("grows/f.json"), grows.to_string()).unwrap();
    fs::write(folder.path().join("broken.json"), "{\"train\": 3}").unwrap();
    let new = new.to_str().unwrap();
    for (arguments, says) in [
        (vec!["--scratch", "--tasks", "grows"], "(f)"),
        (vec!["--checkpoint", base, "--tasks", "grows"], "--same-size"),
        (vec!["--checkpoint", base, "--tasks", "grows", "--same-size"], "--same-size"),
        (vec!["--checkpoint", base, "--tasks", "broken.json"], "broken.json"),
        (vec!["--checkpoint", base, "--tasks", "nothing"], "nothing"),
        (vec!["--checkpoint", base, "--tasks", new, "--only", "c,z"], "z"),
        (vec!["--checkpoint", "known", "--tasks", new], "manifest.json"),
        (vec!["--checkpoint", base, "--tasks", new, "--minutes", "0"], "--minutes"),
        (vec!["--checkpoint", base, "--tasks", new, "arch.hidden_size=32"], "arch"),
        (vec!["--checkpoint", base, "--tasks", new, "max_steps=3"], "--steps"),
        (vec!["--checkpoint", base, "--tasks", new, "lrr=3"], "lr"),
        (vec!["--scratch", "--checkpoint", base, "--tasks", new], "cannot be used with"),
        (vec!["--tasks", new], "--scratch"),
    ] {
        let message = refuse(folder.path(), &[vec!["adapt", "--output", "out"], arguments.clone()].concat());
        assert!(message.contains(says), "{arguments:?}: {message}");
        assert!(!folder.path().join("out").exists(), "{arguments:?}");
    }
    let message = refuse(folder.path(), &["adapt", "--output", "known", "--checkpoint", base, "--tasks", new]);
    assert!(message.contains("known") && message.contains("--output"), "{message}");
}
