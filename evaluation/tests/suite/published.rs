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
