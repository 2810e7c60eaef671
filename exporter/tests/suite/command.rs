//! The command `exporter` as a user types it: what it writes, what it says, and how it fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::Case;
use exporter::runtime::{self, SessionOptions};
use exporter::{Flavor, GraphKind, metadata};
use models::checkpoint::{self, HostTensor};

/// The golden case `name` as the folder that the trainer would have written.
fn write_checkpoint(name: &str, folder: &Path) {
    let checkpoint = Case::load(name).checkpoint;
    let manifest = &checkpoint.manifest;
    let tensors: BTreeMap<String, HostTensor> = manifest
        .arch
        .parameter_specs(&manifest.dims)
        .unwrap()
        .iter()
        .map(|spec| (spec.name.clone(), HostTensor::float32(&spec.shape, &checkpoint.values(spec).unwrap())))
        .collect();
    checkpoint::write(folder, manifest, &tensors, |_| Ok(())).unwrap();
}

fn exporter(folder: &Path, arguments: &[&str]) -> Output {
    // The program starts elsewhere, so the library is handed over by its path.
    let library = runtime::load().unwrap().library;
    Command::new(env!("CARGO_BIN_EXE_exporter"))
        .args(arguments)
        .current_dir(folder)
        .env("ORT_DYLIB_PATH", library)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn both_graphs_are_written_and_described() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint("trm_mlpt_none_pel16", &folder.path().join("run"));
    let open = |name: &str| runtime::open(&folder.path().join(name), &SessionOptions::default()).unwrap();

    let output = exporter(folder.path(), &["--checkpoint", "run", "--step", "--out", "out/step.onnx"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for part in [
        "sha256",
        "opset 17",
        "inputs int64 [batch, 16]",
        "state.z_H float32 [batch, 32, 64]",
        "next_state.z_L float32",
    ] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    assert!(!said.contains(" logits "), "{said}");
    let found = metadata::read(&open("out/step.onnx")).unwrap();
    assert_eq!((found.graph, found.flavor), (GraphKind::Step, Flavor::Fused));

    let arguments =
        ["--checkpoint", "run", "--halt-steps", "3", "--flavor", "portable", "--logits", "--out", "all.onnx"];
    let output = exporter(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("logits float32 [batch, 3, 16, 11]"), "{}", text(&output.stdout));
    let found = metadata::read(&open("all.onnx")).unwrap();
    assert_eq!((found.graph, found.flavor), (GraphKind::Unrolled { halt_steps: 3 }, Flavor::Portable));
}

#[test]
fn failures_name_the_cause_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint("trm_att_rope_noemb", &folder.path().join("run"));
    for (arguments, expected) in [
        (&["--checkpoint", "absent", "--step"][..], "absent/manifest.json"),
        (&["--checkpoint", "run", "--halt-steps", "0"], "halt_steps is 0"),
        (&["--checkpoint", "run"], "--step"),
        (&["--checkpoint", "run", "--step", "--halt-steps", "2"], "cannot be used with"),
    ] {
        let output = exporter(folder.path(), &[arguments, &["--out", "never.onnx"]].concat());
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_exporter"))
        .args(["--checkpoint", "run", "--step", "--out", "never.onnx"])
        .current_dir(folder.path())
        .env("ORT_DYLIB_PATH", "nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("cargo xtask setup --onnxruntime"), "{said}");
    assert!(!folder.path().join("never.onnx").exists());
}
