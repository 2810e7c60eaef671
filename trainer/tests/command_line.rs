//! The command line's promises: the reference's commands are understood, mistakes are named, and foreign files
//! or a loss that runs away harm nothing.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::{Path, PathBuf};

use datasets::scoring::wilson_interval;
use datasets::sudoku::SudokuShape;
use models::Checkpoint;
use process::{content, refuse, refuse_within_bounds, succeed, tiny, words, write_data};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The README of the reference, with only the program's name changed; the last words differ between the commands.
const PUBLISHED: [&str; 3] = [
    "pretrain arch=trm data_paths=[data/sudoku-extreme-1k-aug-1000] evaluators=[] epochs=50000 eval_interval=5000 \
     lr=1e-4 puzzle_emb_lr=1e-4 weight_decay=1.0 puzzle_emb_weight_decay=1.0 arch.mlp_t=True arch.pos_encodings=none \
     arch.L_layers=2 arch.H_cycles=3 arch.L_cycles=6 +run_name=pretrain_mlp_t_sudoku ema=True",
    "pretrain arch=trm data_paths=[data/sudoku-extreme-1k-aug-1000] evaluators=[] epochs=50000 eval_interval=5000 \
     lr=1e-4 puzzle_emb_lr=1e-4 weight_decay=1.0 puzzle_emb_weight_decay=1.0 arch.L_layers=2 arch.H_cycles=3 \
     arch.L_cycles=6 +run_name=pretrain_att_sudoku ema=True",
    "pretrain arch=trm data_paths=[data/maze-30x30-hard-1k] evaluators=[] epochs=50000 eval_interval=5000 lr=1e-4 \
     puzzle_emb_lr=1e-4 weight_decay=1.0 puzzle_emb_weight_decay=1.0 arch.L_layers=2 arch.H_cycles=3 arch.L_cycles=4 \
     +run_name=pretrain_att_maze30x30 ema=True",
];

fn trained(folder: &Path, steps: u64) -> PathBuf {
    let arguments = [words("pretrain"), tiny(steps), words("checkpoint_path=run eval_interval_steps=1000")].concat();
    succeed(folder, &arguments);
    folder.join("run/last")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn published_commands_are_understood_and_miss_only_their_data() {
    let folder = TempDir::new().unwrap();
    for (command, cycles, mlp_t) in [(PUBLISHED[0], 6, true), (PUBLISHED[1], 6, false), (PUBLISHED[2], 4, false)] {
        let arguments = words(command);
        let shown: Value =
            serde_json::from_str(&succeed(folder.path(), &[&arguments[..], &words("--show-config")].concat())).unwrap();
        assert_eq!((&shown["arch"]["L_cycles"], &shown["arch"]["mlp_t"]), (&json!(cycles), &json!(mlp_t)));
        assert_eq!(shown["arch"]["puzzle_emb_ndim"], 512);
        assert_eq!(
            (&shown["loss_type"], &shown["optimizer"], &shown["global_batch_size"]),
            (&json!("stablemax_cross_entropy"), &json!("adam_atan2"), &json!(768))
        );
        let data = shown["data_paths"][0].as_str().unwrap();
        let message = refuse(folder.path(), &arguments);
        assert!(message.contains(&format!("{data}/train")), "{message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a run that cannot begin leaves nothing");
}

#[test]
fn settings_come_from_files_and_then_from_the_line() {
    let folder = TempDir::new().unwrap();
    let file = "max_steps = 7\nlr = 3e-4\nema = true\n[arch]\nhidden_size = 64\nmlp_t = true\npos_encodings = \"none\"\n\
                [generator]\nsize = 4\nextra_clues = [0, 5]\n";
    fs::write(folder.path().join("small.toml"), file).unwrap();
    let shown = |more: &str| -> Value {
        let arguments = words(&format!("pretrain --config small.toml --show-config {more}"));
        serde_json::from_str(&succeed(folder.path(), &arguments)).unwrap()
    };
    let from_file = shown("");
    assert_eq!((&from_file["lr"], &from_file["ema"]), (&json!(3e-4), &json!(true)));
    assert_eq!((&from_file["generator"]["size"], &from_file["generator"]["extra_clues"]), (&json!(4), &json!([0, 5])));
    assert_eq!((&from_file["arch"]["hidden_size"], &from_file["arch"]["puzzle_emb_ndim"]), (&json!(64), &json!(64)));
    let changed = shown("lr=1e-2 +arch.hidden_size=32");
    assert_eq!((&changed["lr"], &changed["arch"]["hidden_size"]), (&json!(1e-2), &json!(32)));
    assert_eq!(changed["max_steps"], 7);

    fs::write(folder.path().join("small.toml"), "[arch]\nhidden_sizes = 64\n").unwrap();
    let message = refuse(folder.path(), &words("pretrain --config small.toml"));
    assert!(
        message.contains("small.toml: arch.hidden_sizes: unknown key; did you mean `arch.hidden_size`?"),
        "{message}"
    );
    let message = refuse(folder.path(), &words("pretrain --config gone.toml"));
    assert!(message.contains("gone.toml"), "{message}");
}

#[test]
fn mistakes_on_the_line_are_named() {
    let folder = TempDir::new().unwrap();
    for (line, says) in [
        ("pretrain generator.size=4 max_steps=1 arch.H_cycle=3", "did you mean `arch.H_cycles`?"),
        ("pretrain generator.size=4 max_steps=1 learning_rat", "write key=value"),
        ("pretrain generator.size=5 max_steps=1", "5"),
        ("pretrain generator.size=4", "max_steps: is unset"),
        ("pretrain", "data_paths: is empty"),
        (
            "pretrain generator.size=4 max_steps=1 arch.num_heads=7",
            "arch.num_heads: is 7, which gives heads of odd width 73 at hidden_size 512",
        ),
        ("pretrain generator.size=4 max_steps=1 device=cuda", "device: is cuda, but libtorch sees no CUDA device"),
        (
            "pretrain generator.size=4 max_steps=1 load_checkpoint=gone",
            "load_checkpoint: gone is neither a checkpoint folder",
        ),
        ("eval --checkpoint gone", "gone/manifest.json"),
    ] {
        let message = refuse(folder.path(), &words(line));
        assert!(message.contains(says), "{line}: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a run that cannot begin leaves nothing");
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    trained(folder.path(), 2);
    let before = content(&folder.path().join("run"));
    let message = refuse(folder.path(), &[words("pretrain"), tiny(9), words("checkpoint_path=run")].concat());
    assert!(message.contains("run: already holds a run; continue it with resume=run"), "{message}");
    assert!(content(&folder.path().join("run")) == before);
}

#[test]
fn a_loss_that_runs_away_is_an_error_and_the_last_checkpoint_stays_good() {
    let folder = TempDir::new().unwrap();
    let settings = words(
        "checkpoint_path=run arch.forward_dtype=float32 lr=1e30 lr_warmup_steps=0 checkpoint_interval=1 \
         eval_interval_steps=1000",
    );
    let message = refuse(folder.path(), &[words("pretrain"), tiny(50), settings].concat());
    assert!(message.contains("The last checkpoint is intact") && message.contains("lower lr"), "{message}");
    let last = Checkpoint::open(folder.path().join("run/last")).unwrap();
    for spec in last.manifest.arch.parameter_specs(&last.manifest.dims).unwrap() {
        assert!(last.values(&spec).unwrap().iter().all(|value| value.is_finite()), "{} is not finite", spec.name);
    }
    // Good enough to go on from, with a sensible rate.
    let resumed = "pretrain resume=run lr=1e-3 max_steps=51";
    let status = process::run(folder.path(), &words(resumed)).status;
    assert!(status.code().is_some(), "{status}");
}

#[test]
fn eval_reports_exact_accuracy_with_its_interval() {
    let folder = TempDir::new().unwrap();
    let checkpoint = trained(folder.path(), 2);
    write_data(&folder.path().join("data"), 16, 40, SudokuShape::FOUR);
    for (source, rows) in [("--count 70", 70), ("--data data", 40), ("--data data --count 33", 33)] {
        let line = format!("eval --checkpoint {} --json --threads 1 {source} --batch-size 16", text(&checkpoint));
        let found: Value = serde_json::from_str(&succeed(folder.path(), &words(&line))).unwrap();
        assert_eq!((found["count"].as_u64(), found["steps"].as_f64()), (Some(rows), Some(4.0)), "{source}");
        let share = found["exact_accuracy"].as_f64().unwrap();
        let (low, high) = wilson_interval((share * rows as f64).round() as u64, rows);
        assert_eq!(found["exact_accuracy_interval"], json!([low, high]));
        let accuracy = found["accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy) && accuracy >= share, "{found}");
    }
    let line = format!("eval --checkpoint {} --threads 1 --count 20", text(&checkpoint));
    assert!(succeed(folder.path(), &words(&line)).starts_with("exact_accuracy 0."));
}

#[test]
fn eval_refuses_data_of_another_task() {
    let folder = TempDir::new().unwrap();
    let checkpoint = trained(folder.path(), 2);
    write_data(&folder.path().join("six"), 4, 4, SudokuShape::SIX);
    let message = refuse(folder.path(), &["eval", "--checkpoint", text(&checkpoint), "--data", "six"]);
    assert!(message.contains("the data has seq_len 36 and vocab_size 8, the checkpoint expects 16 and 6"), "{message}");
    let message = refuse(folder.path(), &["eval", "--checkpoint", text(&checkpoint), "--data", "gone"]);
    assert!(message.contains("gone"), "{message}");
}

/// A change to a good checkpoint, and what the message must say.
type Damage<'a> = (&'a dyn Fn(&Path), &'a str);

#[test]
fn damaged_and_lying_checkpoints_are_refused_within_bounds() {
    let folder = TempDir::new().unwrap();
    let good = trained(folder.path(), 2);
    let damages: [Damage; 16] = [
        (&cut(0), "model.safetensors"),
        (&cut(5), "is neither a safetensors file nor one that torch.save wrote"),
        (&cut(4_000), "not an intact safetensors file"),
        (&|checkpoint| header(checkpoint, u64::MAX, b""), "is neither a safetensors file nor"),
        (
            &|checkpoint| {
                header(checkpoint, 60, br#"{"x":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,0]}}"#);
            },
            "not an intact safetensors file",
        ),
        (
            &|checkpoint| fs::write(checkpoint.join("manifest.json"), " ".repeat(10 << 20)).unwrap(),
            "this is not a manifest",
        ),
        (&|checkpoint| fs::write(checkpoint.join("manifest.json"), "[".repeat(1 << 19)).unwrap(), "manifest.json"),
        (&|checkpoint| fs::write(checkpoint.join("manifest.json"), [0xff, 0xfe]).unwrap(), "manifest.json"),
        (&edit(|manifest| manifest["format_version"] = json!(99)), "format_version is 99, this program reads 1"),
        (&edit(|manifest| manifest["arch"]["hidden_size"] = json!(64)), "the architecture expects"),
        (&edit(|manifest| manifest["arch"]["hidden_size"] = json!(u64::MAX)), "hidden_size"),
        (&edit(|manifest| manifest["vocab_size"] = json!(1 << 24)), "the architecture expects"),
        (
            &edit(|manifest| manifest["arch"]["L_layers"] = json!(1 << 24)),
            "L_layers: is 16777216, must be at most 1024",
        ),
        (
            &edit(|manifest| manifest["arch"]["H_cycles"] = json!(1 << 24)),
            "H_cycles: is 16777216, must be at most 1024",
        ),
        (&edit(|manifest| manifest["arch"]["puzzle_emb_len"] = json!(1_u64 << 62)), "puzzle_emb_len"),
        (&edit(with_huge_rotary_tables), "pos_encodings: is rope, whose table would hold"),
    ];
    for (damage, says) in damages {
        let checkpoint = folder.path().join("damaged");
        let _ = fs::remove_dir_all(&checkpoint);
        fs::create_dir(&checkpoint).unwrap();
        for name in ["model.safetensors", "manifest.json"] {
            fs::copy(good.join(name), checkpoint.join(name)).unwrap();
        }
        damage(&checkpoint);
        let message = refuse_within_bounds(folder.path(), &["eval", "--checkpoint", "damaged", "--count", "4"]);
        assert!(message.contains("damaged/") && message.contains(says), "expected {says:?}: {message}");
    }
}

/// Attention over more positions than any puzzle has.
fn with_huge_rotary_tables(manifest: &mut Value) {
    manifest["seq_len"] = json!(1 << 24);
    manifest["arch"]["mlp_t"] = json!(false);
    manifest["arch"]["pos_encodings"] = json!("rope");
}

/// Changes the manifest.
fn edit(change: impl Fn(&mut Value)) -> impl Fn(&Path) {
    move |checkpoint| {
        let path = checkpoint.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(&path, manifest.to_string()).unwrap();
    }
}

/// Cuts the weights short.
fn cut(length: u64) -> impl Fn(&Path) {
    move |checkpoint| {
        let weights = fs::OpenOptions::new().write(true).open(checkpoint.join("model.safetensors")).unwrap();
        weights.set_len(length).unwrap();
    }
}

/// A safetensors file that claims a header of `length` bytes and has these.
fn header(checkpoint: &Path, length: u64, bytes: &[u8]) {
    fs::write(checkpoint.join("model.safetensors"), [&length.to_le_bytes()[..], bytes].concat()).unwrap();
}
