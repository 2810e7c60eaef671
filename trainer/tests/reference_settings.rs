//! Settings of the reference: its defaults key by key, its published runs as files, when and how a run evaluates, what it
//! saves, what it begins with, and data of no known task.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::Path;

use datasets::arc::TaskSource;
use datasets::builder::arc::{ArcBuild, TaskFilter, build};
use datasets::scoring::predictions::{PredictionFile, prediction_passes};
use datasets::scoring::{ReportOptions, Scorer};
use datasets::store::{DType, DatasetMetadata, DatasetWriter, Split};
use datasets::sudoku::SudokuShape;
use process::{message_of, metrics, succeed, tiny, tiny_model, trainer, words, write_data};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Steps of a run's evaluations.
fn evaluations(run: &Path) -> Vec<u64> {
    metrics(run).into_iter().filter(|row| row.1 == "eval" && row.2 == "lm_loss").map(|row| row.0).collect()
}

fn value(run: &Path, step: u64, metric: &str) -> f64 {
    metrics(run).into_iter().find(|row| row.0 == step && row.1 == "eval" && row.2 == metric).unwrap().3
}

/// The reference counts intervals: with 2, the third is the first with an evaluation. The last step always has one.
#[test]
fn the_first_evaluation_comes_after_as_many_intervals_as_asked_for() {
    let folder = TempDir::new().unwrap();
    let settings = words("checkpoint_path=run eval_interval_steps=3 min_eval_interval=2 +log_interval=2");
    succeed(folder.path(), &[words("pretrain"), tiny(13), settings].concat());
    assert_eq!(evaluations(&folder.path().join("run")), [9, 12, 13]);
    // Every evaluation's checkpoint is kept, as the reference's configs say.
    for (step, kept) in [(3, false), (9, true), (12, true), (13, true)] {
        assert_eq!(folder.path().join(format!("run/step_{step}")).is_dir(), kept, "step {step}");
    }
}

#[test]
fn saved_outputs_are_scored_as_the_run_scored_them() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    write_data(&data, 32, 20, SudokuShape::FOUR);
    let settings = words(
        "data_paths=[data] epochs=30 eval_interval=30 lr=1e-3 lr_warmup_steps=5 arch.puzzle_emb_ndim=0 checkpoint_path=run \
         eval_save_outputs=[inputs,labels,preds,q_halt_logits,puzzle_identifiers]",
    );
    succeed(folder.path(), &[words("pretrain"), tiny_model(), settings].concat());
    let run = folder.path().join("run");
    let step = *evaluations(&run).last().unwrap();
    let path = run.join(format!("predictions/step_{step}_all_preds.safetensors"));
    let mut scorer = Scorer::open(&data).unwrap();
    assert_eq!(PredictionFile::open(&path, scorer.metadata()).unwrap().rows(), 20);
    scorer.add_pass(&prediction_passes(std::slice::from_ref(&path)).unwrap()[0], |_| ()).unwrap();
    let report = scorer.report(&["run".into()], &ReportOptions::default()).unwrap();
    for (name, metric) in
        [("exact_accuracy", "exact_accuracy"), ("accuracy", "accuracy"), ("q_halt_accuracy", "q_halt_accuracy")]
    {
        let found = report.accuracy(name).unwrap().share.accuracy;
        assert!((found - value(&run, step, metric)).abs() < 1e-9, "{name}: {found}");
    }
    let tensors = tch::Tensor::read_safetensors(&path).unwrap();
    let labels = &tensors.iter().find(|(name, _)| name == "labels").unwrap().1;
    assert_eq!((labels.size(), labels.min().int64_value(&[]) >= 2), (vec![20, 16], true));

    let settings = words("checkpoint_path=other eval_save_outputs=[preds,logits]");
    let message = message_of(&process::run(folder.path(), &[words("pretrain"), tiny(2), settings].concat()));
    assert!(message.contains("eval_save_outputs") && message.contains("logits"), "{message}");
}

#[test]
fn an_evaluator_votes_on_arc_while_a_run_trains() {
    let folder = TempDir::new().unwrap();
    // Two tasks whose output is the input with its colours one further.
    for (subset, colour) in [("training", 1), ("evaluation", 4)] {
        let pair =
            |colour: u8| json!({"input": [[colour, 0], [0, colour]], "output": [[colour + 1, 0], [0, colour + 1]]});
        let challenge =
            json!({subset: {"train": [pair(colour), pair(colour + 1)], "test": [{"input": [[colour, colour]]}]}});
        let solution = json!({subset: [[[colour + 1, colour + 1]]]});
        fs::write(folder.path().join(format!("tiny_{subset}_challenges.json")), challenge.to_string()).unwrap();
        fs::write(folder.path().join(format!("tiny_{subset}_solutions.json")), solution.to_string()).unwrap();
    }
    let config = ArcBuild {
        source: TaskSource::Combined(folder.path().join("tiny")),
        output_dir: folder.path().join("arc"),
        subsets: ["training", "evaluation"].map(str::to_owned).to_vec(),
        test_set_name: "evaluation".to_owned(),
        test_set_name2: "evaluation2".to_owned(),
        seed: 42,
        num_aug: 2,
        puzzle_identifiers_start: 1,
        names_only: false,
        tasks: TaskFilter::default(),
        overwrite: false,
    };
    build(&config, |_| ()).unwrap();
    let settings = words(
        "data_paths=[arc] max_steps=1 arch.halt_max_steps=1 arch.H_cycles=1 arch.L_cycles=1 arch.puzzle_emb_ndim=0 \
         eval_interval_steps=1 checkpoint_path=run log_interval=1",
    );
    let evaluator = "evaluators=[{name: arc@ARC, pass_Ks: [1, 2], submission_K: 3}]".to_owned();
    succeed(folder.path(), &[words("pretrain"), tiny_model(), settings, vec![evaluator]].concat());
    let run = folder.path().join("run");
    // One step teaches nothing, and the share is that of no right answer.
    assert_eq!((value(&run, 1, "ARC/pass@1"), value(&run, 1, "ARC/pass@2")), (0.0, 0.0));
    let submission = fs::read_to_string(run.join("evaluator_ARC_step_1/submission.json")).unwrap();
    let submission: Value = serde_json::from_str(&submission).unwrap();
    let tasks = submission.as_object().unwrap();
    assert_eq!(tasks.keys().collect::<Vec<_>>(), ["evaluation"]);
    for pairs in tasks.values() {
        let attempts: Vec<_> = pairs[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(attempts, ["attempt_1", "attempt_2", "attempt_3"]);
    }
}

/// Rows of 24 tokens of a vocabulary of 20, whose label is the next token.
fn write_unknown_task(folder: &Path) {
    let metadata = |examples: usize| DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: 20,
        seq_len: 24,
        num_puzzle_identifiers: 1,
        total_groups: examples,
        mean_puzzle_examples: 1.0,
        total_puzzles: examples,
        sets: vec!["all".into()],
    };
    let dataset = DatasetWriter::create(folder, false).unwrap();
    dataset.identifiers(["<blank>"]).unwrap();
    for (split, examples) in [(Split::Train, 48), (Split::Test, 16)] {
        let mut writer = dataset.split(split, 24, DType::UInt8).unwrap();
        for example in 0..examples {
            let token = |cell: usize| 1 + ((example * 5 + cell * 3) % 19) as u8;
            let inputs: Vec<u8> = (0..24).map(token).collect();
            let labels: Vec<u8> = inputs.iter().map(|token| 1 + token % 19).collect();
            writer.example(&inputs, &labels).unwrap();
            writer.end_puzzle(0);
            writer.end_group();
        }
        writer.finish(&metadata(examples)).unwrap();
    }
    dataset.publish().unwrap();
}

#[test]
fn data_of_no_known_task_is_trained_on_and_evaluated() {
    let folder = TempDir::new().unwrap();
    write_unknown_task(&folder.path().join("unknown"));
    let settings = words(
        "data_paths=[unknown] max_steps=120 eval_interval_steps=60 lr=2e-3 lr_warmup_steps=5 arch.puzzle_emb_ndim=0 ema=True \
         ema_rate=0.9 checkpoint_path=run",
    );
    succeed(folder.path(), &[words("pretrain"), tiny_model(), settings].concat());
    let run = folder.path().join("run");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(run.join("last/manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["task"], &manifest["vocab_size"]), (&json!("unknown"), &json!(20)));
    let accuracy = value(&run, 120, "accuracy");
    assert!(accuracy > 0.5, "a mapping of tokens is learned in no time, found {accuracy}");

    let eval = |more: &str| -> Value {
        let line = format!("eval --checkpoint run/last --data unknown --threads 1 --batch-size 16 --json {more}");
        serde_json::from_str(&succeed(folder.path(), &words(&line))).unwrap()
    };
    let shipped = eval("");
    assert!((shipped["accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-9, "{shipped}");
    assert_eq!(eval("--weights ema"), shipped);
    let raw = eval("--weights raw");
    assert!(raw["lm_loss"] != shipped["lm_loss"], "{raw}");
    let (wide, narrow) = (eval("--precision float64"), eval("--precision float32"));
    let loss = |found: &Value| found["lm_loss"].as_f64().unwrap();
    assert!((loss(&wide) - loss(&narrow)).abs() < 1e-4 * loss(&wide), "{wide} {narrow}");
    assert!((loss(&wide) - loss(&shipped)).abs() > 1e-9, "bfloat16 rounds");
    let interval = &shipped["accuracy_interval"];
    assert!(interval[0].as_f64().unwrap() < accuracy && accuracy <= interval[1].as_f64().unwrap(), "{shipped}");
    // Two updates are a supervision step, and the run's evaluation makes four of them.
    let depths = eval("--t-eval 1,2,8");
    let depth = |place: usize, name: &str| depths[place][name].as_f64().unwrap();
    assert_eq!((depth(0, "depth"), depth(2, "depth"), depth(2, "count")), (1.0, 8.0, 16.0));
    assert!((depth(2, "accuracy") - accuracy).abs() < 1e-9, "{depths}");
    assert!((depth(2, "exact_accuracy") - shipped["exact_accuracy"].as_f64().unwrap()).abs() < 1e-9, "{depths}");
    let line = "eval --checkpoint run/last --data unknown --augmentations 2";
    let message = message_of(&process::run(folder.path(), &words(line)));
    assert!(message.contains("no known task has vocab_size 20 and seq_len 24"), "{message}");
}

/// A file of weights, by itself, is as good as the checkpoint folder that it came from.
#[test]
fn a_run_begins_with_the_weights_of_a_file() {
    let folder = TempDir::new().unwrap();
    let train = |more: &str| {
        let settings = words(&format!("eval_interval_steps=4 checkpoint_interval=1 {more}"));
        process::run(folder.path(), &[words("pretrain"), tiny(4), settings].concat())
    };
    assert!(train("checkpoint_path=first").status.success());
    fs::copy(folder.path().join("first/last/model.safetensors"), folder.path().join("weights.st")).unwrap();
    for (run, weights) in [("from-folder", "first/last"), ("from-file", "weights.st")] {
        let output = train(&format!("checkpoint_path={run} load_checkpoint={weights} seed=9"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let weights = |run: &str| fs::read(folder.path().join(run).join("step_4/model.safetensors")).unwrap();
    assert!(weights("from-folder") == weights("from-file") && weights("from-file") != weights("first"));

    let message = message_of(&train("checkpoint_path=bad load_checkpoint=nothing-here"));
    assert!(message.contains("nothing-here is neither a checkpoint folder nor a file of weights"), "{message}");
    let message = message_of(&train("checkpoint_path=bad load_checkpoint=weights.st arch.hidden_size=64"));
    assert!(message.contains("weights.st") && message.contains("expects"), "{message}");
}

#[test]
fn several_processes_without_a_launcher_are_refused() {
    let folder = TempDir::new().unwrap();
    let arguments = [words("pretrain"), tiny(2), words("checkpoint_path=run")].concat();
    let output = trainer().current_dir(folder.path()).env("WORLD_SIZE", "2").args(&arguments).output().unwrap();
    let message = message_of(&output);
    assert!(message.contains("RANK: is not set, but WORLD_SIZE is above 1"), "{message}");
    assert!(!folder.path().join("run").exists());
    let output = trainer().current_dir(folder.path()).env("WORLD_SIZE", "1").args(&arguments).output().unwrap();
    assert!(output.status.success());
}

/// A second run without a name does not meet the first one's folder; both say what they were.
#[test]
fn runs_without_names_lie_beside_each_other_and_say_what_they_were() {
    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        succeed(
            folder.path(),
            &[words("pretrain"), tiny(4), words("eval_interval_steps=2 log_interval=2 seed=42")].concat(),
        );
    }
    let runs: Vec<_> = fs::read_dir(folder.path().join("checkpoints/Sudoku-4x4-ACT-torch")).unwrap().collect();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let run = run.unwrap().path();
        assert!(run.file_name().unwrap().to_string_lossy().starts_with("trm-"), "{run:?}");
        let experiment: Value =
            serde_json::from_str(&fs::read_to_string(run.join("experiment.json")).unwrap()).unwrap();
        assert_eq!((&experiment["model_type"], &experiment["model_dim"]), (&json!("trm"), &json!(32)));
        assert_eq!((&experiment["recursion_depth_train"], &experiment["n_sup"]), (&json!(2), &json!(4)));
        assert_eq!((&experiment["cuda_version"], &experiment["device"]), (&json!("N/A"), &json!("cpu")));
        assert_eq!((&experiment["dataset_size"], &experiment["test_size"]), (&Value::Null, &json!(24)));
        assert_eq!(
            experiment["experiment_id"],
            json!("trm_n0_s42_".to_owned() + &experiment["experiment_id"].as_str().unwrap()[11..])
        );
        assert!(
            experiment["torch_version"].as_str().unwrap().starts_with(|digit: char| digit.is_ascii_digit()),
            "{experiment}"
        );
        assert_eq!(experiment["git_commit"], json!("unknown"), "the folder is not a working tree");
        let wide = folder.path().join("wide.csv");
        succeed(folder.path(), &["export-metrics", "--run", run.to_str().unwrap(), "--out", wide.to_str().unwrap()]);
        let rows = csv::Reader::from_path(&wide).unwrap().deserialize().map(Result::unwrap).collect::<Vec<[f64; 10]>>();
        assert_eq!(rows.iter().map(|row| (row[0], row[9])).collect::<Vec<_>>(), [(1.0, 2.0), (2.0, 4.0)]);
        // Losses, norms, rate and time; no row may have halted yet in training.
        for row in rows {
            assert!([1, 2, 5, 6, 7, 8].iter().all(|&column| row[column] > 0.0), "{row:?}");
        }
    }
}

/// `config/cfg_pretrain.yaml` of the reference, but `data_paths` and `evaluators`: a run names its own data here.
const REFERENCE_ROOT: &str = r#"{
    "data_paths_test": [], "global_batch_size": 768, "epochs": 100000, "eval_interval": 10000, "checkpoint_every_eval": true,
    "lr": 1e-4, "lr_min_ratio": 1.0, "lr_warmup_steps": 2000, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1,
    "puzzle_emb_weight_decay": 0.1, "puzzle_emb_lr": 1e-2, "seed": 0, "min_eval_interval": 0, "ema": false, "ema_rate": 0.999,
    "freeze_weights": false, "loss_type": "stablemax_cross_entropy", "project_name": null, "run_name": null,
    "load_checkpoint": null, "checkpoint_path": null, "eval_save_outputs": []
}"#;

/// Keys of a run that the reference lacks.
const OUR_ROOT: [&str; 30] = [
    "arch",
    "data_paths",
    "evaluators", // The reference's, with other values.
    "q_loss_weight",
    "move_loss_weight",
    "generator",
    "generator_sizes",
    "generator_weights",
    "data_weights",
    "micro_batch_size",
    "carried_batches",
    "max_steps",
    "eval_interval_steps",
    "eval_count",
    "freeze_weights_steps",
    "mean_puzzle_emb",
    "log_recursion",
    "log_latent_stats",
    "probe_depth",
    "probe_rows",
    "checkpoint_interval",
    "log_interval",
    "optimizer",
    "grad_clip",
    "device",
    "cuda_graphs",
    "threads",
    "collective_timeout",
    "use_wandb",
    "log_principal_components",
];

/// `config/arch/*.yaml` of the reference, with what a file leaves to the model's own defaults.
const REFERENCE_ARCHITECTURES: [(&str, &str); 5] = [
    ("trm", TRM),
    ("trm_singlez", TRM),
    ("trm_hier6", TRM),
    (
        "hrm",
        r#"{"halt_exploration_prob": 0.1, "halt_max_steps": 16, "H_cycles": 2, "L_cycles": 2, "H_layers": 4, "L_layers": 4,
            "hidden_size": 512, "num_heads": 8, "expansion": 4.0, "puzzle_emb_ndim": 512, "pos_encodings": "rope",
            "forward_dtype": "bfloat16", "mlp_t": false, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}"#,
    ),
    (
        "transformers_baseline",
        r#"{"halt_exploration_prob": 0.1, "halt_max_steps": 16, "H_cycles": 1, "H_layers": 8, "hidden_size": 512,
            "num_heads": 12, "expansion": 4.0, "puzzle_emb_ndim": 512, "pos_encodings": "rope", "forward_dtype": "bfloat16",
            "act_enabled": true, "act_inference": false, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}"#,
    ),
];

const TRM: &str = r#"{"halt_exploration_prob": 0.1, "halt_max_steps": 16, "H_cycles": 3, "L_cycles": 6, "H_layers": 0,
    "L_layers": 2, "hidden_size": 512, "num_heads": 8, "expansion": 4.0, "puzzle_emb_ndim": 512, "puzzle_emb_len": 16,
    "pos_encodings": "rope", "forward_dtype": "bfloat16", "mlp_t": false, "no_ACT_continue": true, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0}"#;

/// Keys of an architecture that the reference's files lack; of HRM it has no choice about `q_continue`.
const OUR_ARCHITECTURE: [&str; 7] =
    ["name", "mixer", "pool_size", "blocked_tokens", "move_head", "q_head_input", "no_ACT_continue"];

fn shown(more: &str) -> Value {
    let folder = TempDir::new().unwrap();
    let text = succeed(folder.path(), &words(&format!("pretrain data_paths=[data] {more} --show-config")));
    serde_json::from_str(&text).unwrap()
}

/// Each key of `expected` has its value in `found`, and every further key is one of `ours`.
fn assert_same_keys(found: &Value, expected: &Value, ours: &[&str], what: &str) {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    for (key, value) in expected {
        assert_eq!(found.get(key), Some(value), "{what}: {key}");
    }
    for key in found.keys().filter(|key| !expected.contains_key(*key)) {
        assert!(ours.contains(&key.as_str()), "{what}: {key} is neither the reference's nor listed as ours");
    }
}

#[test]
fn shown_settings_are_the_references_defaults_key_by_key() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_same_keys(&shown(""), &read(REFERENCE_ROOT), &OUR_ROOT, "cfg_pretrain");
    for (name, settings) in REFERENCE_ARCHITECTURES {
        let arch = shown(&format!("arch={name}"))["arch"].clone();
        assert_eq!(arch["name"], json!(name));
        assert_same_keys(&arch, &read(settings), &OUR_ARCHITECTURE, name);
    }
}

/// What differs from the defaults in a published run's file is what its command sets.
#[test]
fn files_of_published_runs_say_what_the_published_commands_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies");
    let thousand =
        "epochs=50000 eval_interval=5000 lr=1e-4 puzzle_emb_lr=1e-4 weight_decay=1.0 puzzle_emb_weight_decay=1.0";
    let (six, four) =
        ("arch.L_layers=2 arch.H_cycles=3 arch.L_cycles=6", "arch.L_layers=2 arch.H_cycles=3 arch.L_cycles=4");
    let sudoku = format!("data_paths=[data/sudoku-extreme-1k-aug-1000] evaluators=[] {thousand} {six}");
    let maze = format!("data_paths=[data/maze-30x30-hard-1k] evaluators=[] {thousand} {four}");
    let mlp = "arch.mlp_t=True arch.pos_encodings=none";
    let arc = |number: u8| {
        format!("data_paths=[data/arc{number}concept-aug-1000] {four} +run_name=pretrain_att_arc{number}concept_4")
    };
    for (file, command) in [
        ("sudoku-mlp", format!("{sudoku} {mlp} +run_name=pretrain_mlp_t_sudoku")),
        ("sudoku-attention", format!("{sudoku} +run_name=pretrain_att_sudoku")),
        ("sudoku-1gpu", format!("{sudoku} {mlp} global_batch_size=128 +run_name=pretrain_mlp_t_sudoku_1gpu")),
        ("maze", format!("{maze} +run_name=pretrain_att_maze30x30")),
        ("maze-1gpu", format!("{maze} global_batch_size=128 +run_name=pretrain_att_maze30x30_1gpu")),
        ("arc1", arc(1)),
        ("arc2", arc(2)),
    ] {
        let path = folder.join(format!("{file}.toml"));
        let dir = TempDir::new().unwrap();
        let of_file = ["pretrain", "--config", path.to_str().unwrap(), "--show-config"];
        let mut of_command = words(&format!("pretrain arch=trm {command} ema=True --show-config"));
        if file.starts_with("arc") {
            // The reference's default, which a run without ARC unsets.
            of_command.push("evaluators=[{name: arc@ARC}]".into());
        }
        assert_eq!(succeed(dir.path(), &of_file), succeed(dir.path(), &of_command), "{file}");
        let listed = succeed(dir.path(), &["study", path.to_str().unwrap(), "--list"]);
        assert_eq!(listed.lines().count(), 1, "{listed}");
    }
}
