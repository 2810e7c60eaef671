//! `exporter import` and `exporter registry` as a user types them, with files on disk and on a hub of this machine.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::torch_save::StateDict;
use models::checkpoint::{Dtype, WeightsKind};
use models::{ArchitectureConfig, Checkpoint, Initializer, ModelDims};
use serde_json::{Value, json};
use tempfile::TempDir;

const DIMS: ModelDims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };

/// Weights drawn at random, as `torch.save` writes them.
fn published(arch: &Value, file: &str) -> (ArchitectureConfig, Vec<u8>) {
    let arch: ArchitectureConfig = serde_json::from_value(arch.clone()).unwrap();
    let mut dict = StateDict::default();
    for spec in arch.parameter_specs(&DIMS).unwrap() {
        let bytes = Initializer::new(5).draw(&spec).iter().flat_map(|value| value.to_le_bytes()).collect();
        dict.add(&format!("_orig_mod.model.{}", spec.name), Dtype::F32, &spec.shape, bytes);
    }
    (arch, dict.file(file))
}

fn attention() -> Value {
    json!({"name": "trm", "hidden_size": 32, "num_heads": 4, "H_cycles": 2, "L_cycles": 4, "L_layers": 1,
           "puzzle_emb_ndim": 32, "puzzle_emb_len": 16, "forward_dtype": "float32", "pos_encodings": "rope"})
}

const CONFIG: &str = "arch:\n  H_cycles: 2\n  L_cycles: 4\n  num_heads: 4\n  puzzle_emb_len: 16\n  pos_encodings: rope\n  \
    name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1\ndata_paths: [data/some-puzzles]\nema: true\n";

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_exporter"))
            .args(arguments)
            .current_dir(self.path())
            .env("HF_HOME", self.path().join("home"))
            .env("NO_PROXY", "127.0.0.1")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_TOKEN")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn succeed(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Whether a line of the table has this setting, value and origin.
fn row(table: &str, field: &str, value: &str, origin: &str) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(field)
            && words.next() == Some(value)
            && words.collect::<Vec<_>>().join(" ").starts_with(origin)
    })
}

fn assert_imported(folder: &Path, arch: &ArchitectureConfig) -> Checkpoint {
    let checkpoint = Checkpoint::open(folder).unwrap();
    assert_eq!(&checkpoint.manifest.arch, arch);
    for spec in arch.parameter_specs(&DIMS).unwrap() {
        assert_eq!(checkpoint.values(&spec).unwrap(), Initializer::new(5).draw(&spec), "{}", spec.name);
    }
    checkpoint
}

#[test]
fn a_file_of_any_repository_is_imported_with_its_config_and_again_without_a_network() {
    let place = Place::new();
    let (arch, file) = published(&attention(), "step_518071");
    let endpoint = crate::hub_server::serve(HashMap::from([
        ("someone/weights/run/step_518071".to_owned(), file),
        ("someone/weights/run/all_config.yaml".to_owned(), CONFIG.into()),
    ]));
    let import = ["import", "--weights", "someone/weights/run/step_518071", "--out", "out"];
    let table = place.succeed(&import, &[("HF_ENDPOINT", &endpoint)]);
    assert!(table.contains("source  someone/weights/run/step_518071@main"), "{table}");
    for (field, value, origin) in [
        ("arch", "trm", "tensors"),
        ("hidden_size", "32", "tensors"),
        ("L_cycles", "4", "all_config.yaml"),
        ("num_heads", "4", "all_config.yaml"),
        ("halt_max_steps", "16", "assumed: the reference's default"),
        ("task", "sudoku", "follows from vocab_size and seq_len"),
    ] {
        assert!(row(&table, field, value, origin), "{field} is not so in: {table}");
    }
    assert!(table.contains("warning: nothing says"), "{table}");
    let manifest = assert_imported(&place.path().join("out"), &arch).manifest;
    assert_eq!((manifest.step, manifest.weights), (518_071, WeightsKind::Ema));
    assert_eq!(manifest.dataset, "data/some-puzzles");
    assert_eq!(manifest.import.unwrap().source, "someone/weights/run/step_518071@main");

    let offline = ["import", "--weights", "someone/weights/run/step_518071", "--out", "again"];
    let again = place.succeed(&offline, &[("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(row(&again, "L_cycles", "4", "all_config.yaml"), "{again}");
    assert_imported(&place.path().join("again"), &arch);
}

/// Weights & Biases writes a table of `desc` and `value` for each setting; a config that was named has to say something.
#[test]
fn configs_of_other_programs_are_read_and_empty_ones_are_refused() {
    let field = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field/import").join(name);
    let place = Place::new();
    let (_, file) = published(&attention(), "step_3");
    fs::write(place.path().join("step_3"), &file).unwrap();
    let import = |config: &Path| {
        ["import", "--weights", "step_3", "--set", "num_heads=4", "--config"]
            .map(str::to_owned)
            .into_iter()
            .chain([config.display().to_string()])
            .collect::<Vec<_>>()
    };
    let arguments = import(&field("wandb_config.yaml"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let table = place.succeed(&arguments, &[]);
    for (field, value) in [("H_cycles", "2"), ("L_cycles", "3"), ("halt_max_steps", "8")] {
        assert!(row(&table, field, value, "wandb_config.yaml"), "{field} is not so in: {table}");
    }
    let manifest = Checkpoint::open(place.path().join("checkpoints/step_3")).unwrap().manifest;
    assert_eq!((manifest.weights, manifest.dataset.as_str()), (WeightsKind::Ema, "data/sudoku-extreme-1k-aug-1000"));

    let arguments = import(&field("typo.yaml"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let message = place.fail(&arguments, &[]);
    assert!(
        message.contains("`H_cycle` (did you mean `H_cycles`?), `l_cycles` (did you mean `L_cycles`?)"),
        "{message}"
    );
}

/// Objects beside the weights are named in a warning and not executed.
#[test]
fn a_training_checkpoint_with_an_object_beside_the_weights_is_imported() {
    let place = Place::new();
    let arch: ArchitectureConfig = serde_json::from_value(attention()).unwrap();
    let mut dict = StateDict::default();
    for spec in arch.parameter_specs(&DIMS).unwrap() {
        let bytes = Initializer::new(5).draw(&spec).iter().flat_map(|value| value.to_le_bytes()).collect();
        dict.add(&format!("model.{}", spec.name), Dtype::F32, &spec.shape, bytes);
    }
    let pickle = dict.pickle_under(&["model"]);
    let begin = pickle.iter().position(|&byte| byte == b'}').unwrap() + 1;
    let beside = b"X\x06\0\0\0configcmy.module\nConfig\n)\x81}bs";
    let whole = [&pickle[..begin], beside, &pickle[begin..]].concat();
    fs::write(place.path().join("seed_0.pt"), crate::torch_save::archive("seed_0", &whole, &dict.storages)).unwrap();
    fs::write(place.path().join("all_config.yaml"), CONFIG).unwrap();
    let output = place.run(&["import", "--weights", "seed_0.pt"], &[]);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && warning.contains("my.module.Config in Python"), "{warning}");
    assert_imported(&place.path().join("checkpoints/seed_0"), &arch);
}

#[test]
fn a_short_name_brings_the_settings_of_the_registry_and_the_tensors_say_the_variant() {
    let place = Place::new();
    // Its file is called attn_type; what it holds mixes tokens with an MLP.
    let mixer = json!({"name": "trm", "hidden_size": 32, "num_heads": 8, "mlp_t": true, "pos_encodings": "none", "L_layers": 1,
                       "puzzle_emb_ndim": 32, "puzzle_emb_len": 16, "forward_dtype": "float32"});
    let file = "step_39060_sudoku_60k_epoch_attn_type";
    let (arch, bytes) = published(&mixer, file);
    let endpoint = crate::hub_server::serve(HashMap::from([(format!("alphaXiv/trm-model-sudoku/{file}"), bytes)]));
    let table = place.succeed(&["import", "--weights", "trm-sudoku-mlp"], &[("HF_ENDPOINT", &endpoint)]);
    assert!(row(&table, "mlp_t", "true", "tensors"), "{table}");
    assert!(row(&table, "L_cycles", "6", "registry entry trm-sudoku-mlp"), "{table}");
    assert!(row(&table, "pos_encodings", "none", "tensors (registry entry trm-sudoku-mlp says rope)"), "{table}");
    assert_imported(&place.path().join("checkpoints/trm-sudoku-mlp"), &arch);
}

#[test]
fn local_files_take_flags_and_refuse_what_does_not_fit() {
    let place = Place::new();
    let (arch, file) = published(&attention(), "step_3");
    fs::write(place.path().join("step_3"), &file).unwrap();
    let set = ["--set", "L_cycles=4", "--set", "H_cycles=2", "--set", "num_heads=4", "--set", "puzzle_emb_len=16"];
    let import = [&["import", "--weights", "step_3", "--arch", "trm"], &set[..]].concat();
    let table = place.succeed(&import, &[]);
    assert!(row(&table, "num_heads", "4", "flag"), "{table}");
    assert_imported(&place.path().join("checkpoints/step_3"), &arch);

    assert!(place.fail(&import, &[]).contains("there is a checkpoint already"));
    place.succeed(&[&import[..], &["--overwrite"]].concat(), &[]);
    fs::create_dir(place.path().join("taken")).unwrap();
    fs::write(place.path().join("taken/thesis.txt"), "x").unwrap();
    let taken = ["import", "--weights", "step_3", "--out", "taken", "--overwrite"];
    assert!(place.fail(&taken, &[]).contains("is there already and no checkpoint"));
    assert!(place.path().join("taken/thesis.txt").exists());

    let fail =
        |arguments: &[&str]| place.fail(&[&["import", "--weights", "step_3", "--out", "x"], arguments].concat(), &[]);
    assert!(fail(&["--set", "hidden_size=64"]).contains("--set says 64, but the tensors say 32"));
    assert!(fail(&["--set", "L_cycles"]).contains("expected KEY=VALUE"));
    assert!(fail(&["--arch", "hrm"]).contains("names and shapes are those of `trm`"));
    assert!(fail(&["--config", "nowhere.yaml"]).contains("nowhere.yaml"));
    fs::write(place.path().join("half"), &file[..file.len() / 2]).unwrap();
    let half = ["import", "--weights", "half", "--out", "x"];
    assert!(place.fail(&half, &[]).contains("is not an intact torch.save file"));
    assert!(!place.path().join("x").exists());
}

#[test]
fn names_that_lead_nowhere_are_refused_in_one_sentence() {
    let place = Place::new();
    let fail =
        |name: &str, variables: &[(&str, &str)]| place.fail(&["import", "--weights", name, "--out", "x"], variables);
    let message = fail("trm-sudoko", &[]);
    assert!(message.contains("no such short name (trm-sudoku-mlp, trm-sudoku-att"), "{message}");
    let message = fail("trm-maze", &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(message.contains("cannot fetch model file maze_hard_step_32550 of alphaXiv/trm-model-maze"), "{message}");
    assert!(message.contains("there is no connection"), "{message}");
    let message = fail("trm-maze", &[("HF_HUB_OFFLINE", "1")]);
    assert!(message.contains("HF_HUB_OFFLINE is set"), "{message}");
    let endpoint = crate::hub_server::serve(HashMap::new());
    let message = fail("someone/weights/step_1@v2", &[("HF_ENDPOINT", &endpoint)]);
    assert!(message.contains("it answers 404, there is no such file at revision v2"), "{message}");
}

#[test]
fn the_registry_is_listed() {
    let list = Place::new().succeed(&["registry"], &[]);
    for says in
        ["trm-sudoku-mlp", "alphaXiv/trm-model-maze/maze_hard_step_32550@main", "43.00 % ± 0.16 pass@2", "maze-hard"]
    {
        assert!(list.contains(says), "{says} is not in: {list}");
    }
}
