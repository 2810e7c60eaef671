//! Searches: one that is killed draws the same values and finds the same best, its journal is Optuna's, and trials outside
//! of the budget do not train.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use process::{Running, message_of, run, succeed, words};
use serde_json::{Value, json};
use tempfile::TempDir;
use trainer::config::{Override, PretrainConfig};
use trainer::search::{JOURNAL_FILE, Range, Search};
use trainer::study::Study;

const SEARCH: &str = r#"
max_steps = 8
eval_interval_steps = 4
checkpoint_interval = 2
log_interval = 4
eval_count = 24
global_batch_size = 16
threads = 1
optimizer = "adamw"
lr_warmup_steps = 2
seed = 3

[generator]
size = 4
extra_clues = [0, 5]

[arch]
H_cycles = 1
L_cycles = 1
L_layers = 1
num_heads = 2
halt_max_steps = 2
puzzle_emb_ndim = 0

[hpo]
trials = 5
startup_trials = 2
# Nothing is pruned: whether a run ends before it is stopped is a matter of milliseconds.
warmup_evaluations = 10
parameter_budget = 30000

[space]
lr = { low = 1e-4, high = 1e-2, log = true }
q_loss_weight = { low = 0.0, high = 0.5 }
carried_batches = { low = 1, high = 3 }
arch.hidden_size = [16, 32, 64]
"#;

/// The journal's entries without the clock.
fn entries(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join(JOURNAL_FILE)).unwrap();
    let timeless = |line: &str| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        let table = entry.as_object_mut().unwrap();
        table.retain(|key, _| !key.starts_with("datetime"));
        entry
    };
    text.lines().map(timeless).collect()
}

fn begun(out: &Path) -> usize {
    let text = fs::read_to_string(out.join(JOURNAL_FILE)).unwrap_or_default();
    text.matches("\"op_code\":4").count()
}

#[test]
fn a_killed_search_ends_as_if_nothing_had_happened() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("small.toml"), SEARCH).unwrap();
    let said = succeed(folder.path(), &words("hpo small.toml --out undisturbed"));
    assert!(said.contains("trial 5/5: "), "{said}");

    let arguments = words("hpo small.toml --out killed");
    let killed = folder.path().join("killed");
    let mut running = Running::start(folder.path(), &arguments);
    while begun(&killed) < 3 && running.is_running() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running.kill(), "the search ended before it was killed");
    // A line that the kill cut short.
    let journal = killed.join(JOURNAL_FILE);
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{text}{{\"op_code\":7,\"trial")).unwrap();
    succeed(folder.path(), &arguments);
    let undisturbed = folder.path().join("undisturbed");
    assert_eq!(entries(&killed), entries(&undisturbed));
    for file in ["trials.csv", "best_trm.toml"] {
        let [one, other] = [&killed, &undisturbed].map(|out| fs::read_to_string(out.join(file)).unwrap());
        assert_eq!(one, other, "{file}");
    }

    let entries = entries(&undisturbed);
    assert_eq!(entries[0], json!({"study_name": "small", "directions": [2], "op_code": 0, "worker_id": "trainer-hpo"}));
    let of = |operation: u64| entries.iter().filter(move |entry| entry["op_code"] == operation);
    assert_eq!((of(4).count(), of(5).count(), of(6).count()), (5, 20, 5));
    let lr = of(5).find(|entry| entry["param_name"] == "lr").unwrap();
    let distribution: Value = serde_json::from_str(lr["distribution"].as_str().unwrap()).unwrap();
    let attributes = json!({"step": null, "low": 1e-4, "high": 1e-2, "log": true});
    assert_eq!(distribution, json!({"name": "FloatDistribution", "attributes": attributes}));
    // Of the three widths only the middle one is within a fifth of the budget, and only it trains.
    for ended in of(6) {
        let trial = ended["trial_id"].as_u64().unwrap();
        let width =
            of(5).find(|entry| entry["trial_id"] == trial && entry["param_name"] == "arch.hidden_size").unwrap();
        let trains = width["param_value_internal"] == json!(1.0);
        assert_eq!(ended["state"], json!(if trains { 1 } else { 2 }), "{ended}");
        assert_eq!(undisturbed.join(format!("trials/{trial:04}/metrics.csv")).exists(), trains);
        let reports = of(7).filter(|entry| entry["trial_id"] == trial).count();
        assert_eq!(reports, if trains { 2 } else { 0 });
    }
    let settings = succeed(folder.path(), &words("pretrain --config undisturbed/best_trm.toml --show-config"));
    assert!(settings.contains("\"hidden_size\": 32"), "{settings}");

    // What is done is done, and another search does not go on with it.
    fs::write(folder.path().join("other.toml"), SEARCH).unwrap();
    let message = message_of(&run(folder.path(), &words("hpo other.toml --out undisturbed")));
    assert!(message.contains("line 1 is not an entry of the search other; choose another --out"), "{message}");
}

#[test]
fn files_that_search_nothing_are_refused_by_key() {
    let folder = TempDir::new().unwrap();
    for (text, expected) in [
        ("lr = 1e-3\n", "has no table [space]"),
        ("[space]\nlr = 1e-3\n", "space.lr: 0.001 is not a range; write [1, 2, 4]"),
        ("[space]\nlr = { low = 1.0, high = 0.5 }\n", "space.lr: 1 to 0.5 is empty"),
        ("[space]\nlr = { low = 0.0, high = 0.5, log = true }\n", "not above 0 under log"),
        ("[space]\nlr = { low = 1, hi = 2 }\n", "space.lr: unknown key `hi`"),
        ("[space]\nlr = [1]\n[hpo]\ntrial = 3\n", "hpo.trial: unknown field `trial`"),
    ] {
        fs::write(folder.path().join("bad.toml"), text).unwrap();
        let message = message_of(&run(folder.path(), &words("hpo bad.toml")));
        assert!(message.contains(expected), "{text}: {message}");
    }
}

/// Every shipped file resolves to settings, whatever the values.
#[test]
fn shipped_studies_and_searches_are_such() {
    let data = [Override { key: "data_paths".into(), value: json!(["data/sudoku"]) }];
    let resolves = |settings: &[(String, Value)]| {
        let of_files = |(key, value): &(String, Value)| Override { key: key.clone(), value: value.clone() };
        let mut overrides: Vec<Override> = settings.iter().map(of_files).collect();
        if !settings.iter().any(|(key, _)| key.starts_with("generator.")) {
            overrides.extend(data.clone());
        }
        PretrainConfig::resolve(&[], &overrides).map(drop)
    };
    let mut found = (0, 0);
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies")).unwrap() {
        let path = entry.unwrap().path();
        let what = path.display();
        if fs::read_to_string(&path).unwrap().contains("[space]") {
            let search = Search::read(&path, &[]).unwrap();
            let ends = |last: bool| -> Vec<Value> {
                let end = |range: &Range| match range {
                    Range::Float { low, high, .. } => json!(if last { high } else { low }),
                    Range::Int { low, high, .. } => json!(if last { high } else { low }),
                    Range::Choice(choices) => choices[if last { choices.len() - 1 } else { 0 }].clone(),
                };
                search.space.iter().map(|dimension| end(&dimension.range)).collect()
            };
            for last in [false, true] {
                resolves(&search.settings(&ends(last))).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            found.1 += 1;
        } else {
            let study = Study::read(&path, &[]).unwrap();
            for experiment in &study.experiments {
                resolves(&experiment.settings).unwrap_or_else(|error| panic!("{what}, {}: {error}", experiment.name));
            }
            found.0 += 1;
        }
    }
    assert!(found >= (11, 4), "{found:?}");
}
