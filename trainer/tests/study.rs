//! Studies: six runs that are killed twice end as if nothing had happened, a failure stays alone, and the recursion
//! study's YAML runs as it is.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use models::ModelDims;
use process::{Running, assert_same_content, message_of, run, succeed, words};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use trainer::config::{Override, PretrainConfig};
use trainer::study::Study;

/// Two experiments, three seeds.
const SIX_RUNS: &str = r#"
seeds = [0, 1, 2]
max_steps = 12
eval_interval_steps = 6
checkpoint_interval = 2
log_interval = 2
eval_count = 24
global_batch_size = 16
threads = 1
optimizer = "adamw"
lr = 1e-3
lr_warmup_steps = 5

[generator]
size = 4
extra_clues = [0, 5]

[arch]
hidden_size = 32
forward_dtype = "float32"
num_heads = 2
H_cycles = 2
L_cycles = 2
halt_max_steps = 4
puzzle_emb_ndim = 0

[grid.arch]
L_layers = [1, 2]
"#;

const NAMES: [&str; 2] = ["L_layers-1", "L_layers-2"];

fn records(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Every number of the results that the clock has no part in.
fn timeless(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut records = records(path);
    for record in &mut records {
        record.remove("seconds");
    }
    records
}

/// Checkpoints of a study's runs that are on the disk.
fn checkpoints(out: &Path) -> usize {
    let seeds = NAMES.iter().flat_map(|name| (0..3).map(move |seed| format!("runs/{name}/seed-{seed}/last")));
    seeds.filter(|last| out.join(last).exists()).count()
}

#[test]
fn six_runs_killed_twice_end_in_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("six.toml"), SIX_RUNS).unwrap();
    let said = succeed(folder.path(), &words("study six.toml --out undisturbed --jobs 2"));
    assert!(said.contains("6/6") && said.contains("6 runs: 6 finished."), "{said}");

    let killed = folder.path().join("killed");
    let arguments = words("study six.toml --out killed --jobs 2");
    for wanted in [1, 4] {
        let mut running = Running::start(folder.path(), &arguments);
        while checkpoints(&killed) < wanted && running.is_running() {
            thread::sleep(Duration::from_millis(10));
        }
        if wanted == 1 {
            assert!(running.kill(), "the study ended before it was killed");
        } else {
            // A signal ends it in good order, with the results of what there is.
            let (status, output) = running.signal(Signal::TERM);
            assert_eq!(status, Some(130), "{output}");
            assert!(output.ends_with("stopped; go on with the same command\n"), "{output}");
        }
    }
    let said = succeed(folder.path(), &arguments);
    assert!(said.contains("6 runs: 6 finished."), "{said}");
    for name in NAMES {
        for seed in 0..3 {
            let run = format!("runs/{name}/seed-{seed}");
            assert_same_content(&folder.path().join("undisturbed").join(&run), &killed.join(&run));
        }
    }
    let undisturbed = folder.path().join("undisturbed");
    assert_eq!(timeless(&killed.join("results.csv")), timeless(&undisturbed.join("results.csv")));

    // What is finished is not run again, and results do not change.
    let said = succeed(folder.path(), &arguments);
    assert!(said.contains("6 runs, 6 of them finished before"), "{said}");

    let results = records(&undisturbed.join("results.csv"));
    let [one, two] = &results[..] else { panic!("{results:?}") };
    assert_eq!((one["name"].as_str(), two["name"].as_str()), (NAMES[0], NAMES[1]));
    // T (n + 1) L.
    assert_eq!((one["effective_depth"].as_str(), two["effective_depth"].as_str()), ("6", "12"));
    assert_eq!((two["T_cycles"].as_str(), two["n_recursions"].as_str(), two["seeds"].as_str()), ("2", "2", "3"));
    let share = |record: &BTreeMap<String, String>, name: &str| record[name].parse::<f64>().unwrap();
    assert!(share(two, "params_M") > share(one, "params_M"));
    let gap = share(one, "final_train_acc") - share(one, "best_test_acc");
    assert!((share(one, "gen_gap") - gap).abs() < 1e-12);
    let json: Value = serde_json::from_str(&fs::read_to_string(undisturbed.join("results.json")).unwrap()).unwrap();
    let history = json[0]["history"].as_array().unwrap();
    assert_eq!(history.len(), 3);
    let steps: Vec<u64> =
        history[2]["evaluations"].as_array().unwrap().iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!((&history[2]["seed"], &steps[..]), (&json!(2), &[6, 12][..]));
    for figure in ["layer_comparison", "learning_curves", "parameter_efficiency"] {
        assert!(fs::read_to_string(undisturbed.join(format!("{figure}.svg"))).unwrap().starts_with("<svg"), "{figure}");
        assert!(fs::read(undisturbed.join(format!("{figure}.png"))).unwrap().starts_with(b"\x89PNG"), "{figure}");
    }
    assert!(!undisturbed.join("recursion_comparison.svg").exists(), "recursions do not vary");
    assert!(fs::read_to_string(undisturbed.join("report.md")).unwrap().contains("| L_layers-2 | 2 | 2 | 2 |"));

    // Other settings are another study.
    let message = message_of(&run(folder.path(), &words("study six.toml --out undisturbed lr=1e-2")));
    assert!(
        message.contains("was made with other settings (lr was 0.001 and is 0.01); choose another --out"),
        "{message}"
    );
}

#[test]
fn a_failed_experiment_is_reported_and_the_others_go_on() {
    let folder = TempDir::new().unwrap();
    let experiments =
        "\n[[experiments]]\nname = \"odd\"\n[experiments.arch]\nnum_heads = 6\n\n[[experiments]]\nname = \"good\"\n";
    let file = SIX_RUNS.replace("[grid.arch]\nL_layers = [1, 2]\n", experiments).replace("[0, 1, 2]", "[7]");
    fs::write(folder.path().join("two.toml"), file).unwrap();
    let output = run(folder.path(), &words("study two.toml --out out max_steps=2"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1/2  odd seed 7: failed: error: arch.num_heads: is 6"), "{said}");
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert!(report.contains("2 runs: 1 failed, 1 finished.") && report.contains("**Failed**: odd seed 7"), "{report}");
    let results = records(&folder.path().join("out/results.csv"));
    assert_eq!((results[0]["seeds"].as_str(), results[1]["seeds"].as_str()), ("0", "1"));
}

/// The recursion study's file, as its users have it.
#[test]
fn the_recursion_studys_yaml_runs_unchanged() {
    let folder = TempDir::new().unwrap();
    let file = "model:\n  hidden_size: 32\n  num_heads: 2\n  num_layers: 2\n  n_recursions: 2\n  T_cycles: 2\n  use_attention: false\n\
                training:\n  batch_size: 8\n  learning_rate: 0.001\n  weight_decay: 0.1\n  n_supervision: 2\n  num_epochs: 2\n  \
                grad_clip: 1.0\n  ema_decay: 0.9\nexperiments:\n  - name: TRM-1L\n    num_layers: 1\n    n_recursions: 3\n  \
                - name: TRM-2L\n    num_layers: 2\n";
    fs::write(folder.path().join("config.yaml"), file).unwrap();
    let listed = succeed(folder.path(), &words("study config.yaml --list --out out"));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    for says in [
        "out/runs/TRM-1L/seed-0",
        "arch.L_layers=1",
        "arch.L_cycles=3",
        "arch.H_cycles=2",
        "arch.mlp_t=true",
        "grad_clip=1.0",
        "ema_rate=0.9",
    ] {
        assert!(lines[0].contains(says), "{says}: {listed}");
    }
    // Two epochs of a hundred steps on generated boards; fewer here.
    succeed(
        folder.path(),
        &words("study config.yaml --out out max_steps=4 eval_interval_steps=2 eval_count=8 threads=1"),
    );
    let results = records(&folder.path().join("out/results.csv"));
    let depths: Vec<&str> = results.iter().map(|record| record["effective_depth"].as_str()).collect();
    assert_eq!(depths, ["8", "12"], "T (n + 1) L");

    for (text, says) in [
        ("lr: 1\nexperiments: []\n", "experiments is not a list of tables"),
        ("lr: 1\nexperiments:\n  - lr: 2\n", "has no name"),
        ("experiments:\n  - name: a/b\n", "is not a name for a folder"),
        ("experiments:\n  - name: a\n  - name: a\n", "two experiments are called \"a\""),
        ("grid:\n  lr: 1\n", "grid.lr is not a list of values"),
        ("grid:\n  lr: [1]\nexperiments:\n  - name: a\n", "has both experiments and a grid"),
        ("seeds: 3\n", "seeds: 3 is not a list of numbers"),
    ] {
        fs::write(folder.path().join("wrong.yaml"), text).unwrap();
        let message = message_of(&run(folder.path(), &words("study wrong.yaml --list")));
        assert!(message.contains(says), "{text}: {message}");
    }
}

/// Architectures are compared at equal numbers of weights, as the shipped file's own settings give them.
#[test]
fn the_comparisons_models_have_equally_many_weights() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/comparison.toml");
    let study = Study::read(&path, &[]).unwrap();
    let mut weights: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for experiment in &study.experiments {
        let of_file = |(key, value): &(String, Value)| Override { key: key.clone(), value: value.clone() };
        let settings: Vec<Override> = experiment.settings.iter().map(of_file).collect();
        let config = PretrainConfig::resolve(&[], &settings).unwrap();
        let metadata = config.generators()[0].0.source(0, 1).unwrap().metadata().clone();
        let seq_len = metadata.seq_len;
        let dims = ModelDims { vocab_size: metadata.vocab_size, seq_len, num_puzzle_identifiers: 1, sizes: None };
        let specs = config.arch.parameter_specs(&dims).unwrap();
        let count = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        weights.entry(seq_len).or_default().push(count);
    }
    assert_eq!(weights.keys().collect::<Vec<_>>(), [&16, &81], "4x4 and 9x9");
    for (seq_len, counts) in weights {
        assert_eq!(counts.len(), 3, "TRM, transformer and LSTM");
        let (least, most) = (*counts.iter().min().unwrap() as f64, *counts.iter().max().unwrap() as f64);
        assert!(most < 1.02 * least, "{seq_len} cells: {counts:?}");
    }
}
