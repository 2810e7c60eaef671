//! What `exporter --triton` promises: a repository that Triton's own schema reads, whose names, types and dimensions are
//! those of the graph beside it, and that appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::Case;
use exporter::runtime::{self, SessionOptions};
use exporter::triton::{Device, TritonError, TritonOptions, write_repository};
use exporter::{Flavor, GraphKind, metadata};
use models::Checkpoint;
use ort::session::SessionInputValue;
use ort::value::{Outlet, Tensor, TensorElementType};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use serde_json::Value as Json;

/// `config.pbtxt` as Triton's schema understands it; unknown fields and wrong types are errors of the reader.
fn read_config(folder: &Path) -> DynamicMessage {
    let pool = DescriptorPool::decode(include_bytes!("../triton/model_config.binpb").as_slice()).unwrap();
    let schema = pool.get_message_by_name("inference.ModelConfig").unwrap();
    let text = fs::read_to_string(folder.join("config.pbtxt")).unwrap();
    DynamicMessage::parse_text_format(schema, &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

fn field(message: &DynamicMessage, name: &str) -> Value {
    message.get_field_by_name(name).unwrap_or_else(|| panic!("no field {name}")).into_owned()
}

fn string(message: &DynamicMessage, name: &str) -> String {
    field(message, name).as_str().unwrap().to_owned()
}

fn messages(message: &DynamicMessage, name: &str) -> Vec<DynamicMessage> {
    field(message, name).as_list().unwrap().iter().map(|value| value.as_message().unwrap().clone()).collect()
}

fn numbers(message: &DynamicMessage, name: &str) -> Vec<i64> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_i32().map(i64::from)).unwrap();
    field(message, name).as_list().unwrap().iter().map(number).collect()
}

/// The name of an enum field's value.
fn chosen(message: &DynamicMessage, name: &str) -> String {
    let number = field(message, name).as_enum_number().unwrap();
    let kind = message.descriptor().get_field_by_name(name).unwrap().kind();
    kind.as_enum().unwrap().get_value(number).unwrap().name().to_owned()
}

/// Name, type in Triton's words, and dimensions without the batch, of the graph's real inputs or outputs.
fn interface(outlets: &[Outlet]) -> Vec<(String, String, Vec<i64>)> {
    let describe = |outlet: &Outlet| {
        let kind = match outlet.dtype().tensor_type().unwrap() {
            TensorElementType::Int64 => "TYPE_INT64",
            TensorElementType::Float32 => "TYPE_FP32",
            other => panic!("{other:?}"),
        };
        let shape = outlet.dtype().tensor_shape().unwrap();
        assert_eq!(shape[0], -1, "the batch must be dynamic");
        (outlet.name().to_owned(), kind.to_owned(), shape[1..].to_vec())
    };
    outlets.iter().map(describe).collect()
}

fn promised(config: &DynamicMessage, name: &str) -> Vec<(String, String, Vec<i64>)> {
    let describe = |entry: &DynamicMessage| (string(entry, "name"), chosen(entry, "data_type"), numbers(entry, "dims"));
    messages(config, name).iter().map(describe).collect()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped").join(name)
}

/// Everything below a folder.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_repository_of_the_shipped_model_is_what_triton_expects() {
    let root = tempfile::tempdir().unwrap();
    let options = TritonOptions { max_batch_size: 12, instances: 2, device: Device::Gpu, ..TritonOptions::default() };
    let written = write_repository(Checkpoint::open(shipped("sudoku-4x4")).unwrap(), root.path(), &options).unwrap();
    assert_eq!((written.name.as_str(), &written.folder), ("sudoku-4x4", &root.path().join("sudoku-4x4")));
    assert_eq!(listing(&written.folder), ["1", "1/model.onnx", "README.md", "config.pbtxt", "request.json"]);
    assert_eq!(listing(root.path()).len(), 6, "something besides the model is left: {:?}", listing(root.path()));

    let graph = written.folder.join("1/model.onnx");
    let session = runtime::open(&graph, &SessionOptions::default()).unwrap();
    assert_eq!(metadata::read(&session).unwrap().graph, GraphKind::Unrolled { halt_steps: 16 });

    let config = read_config(&written.folder);
    assert_eq!(string(&config, "name"), "sudoku-4x4");
    assert_eq!(string(&config, "platform"), "onnxruntime_onnx");
    assert_eq!(string(&config, "backend"), "onnxruntime");
    assert_eq!(field(&config, "max_batch_size").as_i32(), Some(12));
    assert_eq!(promised(&config, "input"), interface(session.inputs()));
    assert_eq!(promised(&config, "output"), interface(session.outputs()));
    assert_eq!(
        promised(&config, "output"),
        [
            ("preds".to_owned(), "TYPE_INT64".to_owned(), vec![16, 16]),
            ("q_halt_logits".to_owned(), "TYPE_FP32".to_owned(), vec![16])
        ]
    );
    let groups = messages(&config, "instance_group");
    assert_eq!(groups.len(), 1);
    assert_eq!((field(&groups[0], "count").as_i32(), chosen(&groups[0], "kind").as_str()), (Some(2), "KIND_GPU"));
    let batching = field(&config, "dynamic_batching").as_message().unwrap().clone();
    assert_eq!(numbers(&batching, "preferred_batch_size"), [2, 4, 8, 12]);
    assert_eq!(field(&batching, "max_queue_delay_microseconds").as_u64(), Some(1000));
    let latest = field(&config, "version_policy").as_message().unwrap().clone();
    assert_eq!(field(field(&latest, "latest").as_message().unwrap(), "num_versions").as_u32(), Some(1));

    // Every batch size is warmed up, with every input in its own shape.
    let warmups = messages(&config, "model_warmup");
    let sizes: Vec<_> = warmups.iter().map(|warmup| field(warmup, "batch_size").as_u32().unwrap()).collect();
    assert_eq!(sizes, [1, 2, 4, 8, 12]);
    for warmup in &warmups {
        let inputs = field(warmup, "inputs").as_map().unwrap().clone();
        assert_eq!(inputs.len(), session.inputs().len());
        for (key, value) in inputs {
            let value = value.as_message().unwrap();
            let entry = (key.as_str().unwrap().to_owned(), chosen(value, "data_type"), numbers(value, "dims"));
            assert!(promised(&config, "input").contains(&entry), "{entry:?}");
            assert_eq!(field(value, "zero_data").as_bool(), Some(true));
        }
    }
}

/// The request beside the graph is one that the graph answers, as Triton would hand it on: shapes and types fit, and a
/// model with puzzle embeddings gets the row of identifier 0.
#[test]
fn the_example_request_fits_the_graph() {
    let root = tempfile::tempdir().unwrap();
    for (name, has_embedding) in [("trm_mlpt_none_pel16", true), ("trm_att_rope_noemb", false)] {
        let case = Case::load(name);
        let row = case.puzzle_embeddings.clone();
        let options = TritonOptions { name: Some(name.to_owned()), halt_steps: Some(2), ..TritonOptions::default() };
        let written = write_repository(case.checkpoint, root.path(), &options).unwrap();
        let mut session = runtime::open(&written.folder.join("1/model.onnx"), &SessionOptions::default()).unwrap();
        let config = read_config(&written.folder);
        assert_eq!(promised(&config, "input"), interface(session.inputs()));

        let request = fs::read_to_string(written.folder.join("request.json")).unwrap();
        let request: Json = serde_json::from_str(&request).unwrap();
        let mut inputs: Vec<(String, SessionInputValue)> = Vec::new();
        for input in request["inputs"].as_array().unwrap() {
            let shape: Vec<i64> =
                input["shape"].as_array().unwrap().iter().map(|size| size.as_i64().unwrap()).collect();
            let data = input["data"].as_array().unwrap();
            let value: SessionInputValue = if input["datatype"] == "INT64" {
                let data: Vec<i64> = data.iter().map(|value| value.as_i64().unwrap()).collect();
                Tensor::from_array((shape, data)).unwrap().into()
            } else {
                assert_eq!(input["datatype"], "FP32");
                let data: Vec<f32> = data.iter().map(|value| value.as_f64().unwrap() as f32).collect();
                assert!(data.iter().any(|&value| value != 0.0), "the embedding of identifier 0 is all zeros");
                Tensor::from_array((shape, data)).unwrap().into()
            };
            inputs.push((input["name"].as_str().unwrap().to_owned(), value));
        }
        assert_eq!(inputs.iter().any(|(name, _)| name == "puzzle_embeddings"), has_embedding);
        assert_eq!(row.is_empty(), !has_embedding);
        let outputs = session.run(inputs).unwrap();
        assert_eq!(outputs["preds"].try_extract_tensor::<i64>().unwrap().0.as_ref(), [1, 2, 16]);

        let guide = fs::read_to_string(written.folder.join("README.md")).unwrap();
        assert!(guide.contains(&format!("localhost:8000/v2/models/{name}/infer")), "{guide}");
        assert_eq!(guide.contains("`exporter safetensors` writes the table"), has_embedding, "{guide}");
    }
}

#[test]
fn a_batch_of_one_has_no_batching_and_the_logits_come_on_request() {
    let root = tempfile::tempdir().unwrap();
    let options = TritonOptions {
        name: Some("one".to_owned()),
        halt_steps: Some(1),
        max_batch_size: 1,
        logits: true,
        flavor: Flavor::Portable,
        device: Device::Cpu,
        ..TritonOptions::default()
    };
    let written = write_repository(Case::load("trm_att_rope_noemb").checkpoint, root.path(), &options).unwrap();
    let config = read_config(&written.folder);
    assert!(!config.has_field_by_name("dynamic_batching"));
    assert_eq!(chosen(&messages(&config, "instance_group")[0], "kind"), "KIND_CPU");
    let logits = ("logits".to_owned(), "TYPE_FP32".to_owned(), vec![1, 16, 11]);
    assert!(promised(&config, "output").contains(&logits), "{:?}", promised(&config, "output"));
}

#[test]
fn what_is_there_is_kept_whole_and_replaced_whole() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, halt_steps: usize, overwrite: bool| {
        let options = TritonOptions {
            name: Some(name.to_owned()),
            halt_steps: Some(halt_steps),
            overwrite,
            ..TritonOptions::default()
        };
        write_repository(Case::load("trm_att_rope_noemb").checkpoint, root.path(), &options)
    };
    let folder = write("model", 1, false).unwrap().folder;
    let first = fs::read(folder.join("1/model.onnx")).unwrap();

    // Refused: nothing changes, and nothing is left beside it.
    let error = write("model", 2, false).unwrap_err();
    assert!(matches!(error, TritonError::Target { .. }) && error.to_string().contains("--overwrite"), "{error}");
    assert!(write("model", 0, true).unwrap_err().to_string().contains("halt_steps is 0"));
    assert_eq!(fs::read(folder.join("1/model.onnx")).unwrap(), first);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);

    // A folder of something else is never replaced.
    fs::create_dir(root.path().join("notes")).unwrap();
    fs::write(root.path().join("notes/mine.txt"), "mine").unwrap();
    let error = write("notes", 1, true).unwrap_err().to_string();
    assert!(error.contains("no model of Triton's"), "{error}");
    assert_eq!(listing(&root.path().join("notes")), ["mine.txt"]);

    let folder = write("model", 2, true).unwrap().folder;
    assert_ne!(fs::read(folder.join("1/model.onnx")).unwrap(), first);
    assert_eq!(promised(&read_config(&folder), "output")[0].2, [2, 16]);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

#[test]
fn unfit_options_are_named() {
    let root = tempfile::tempdir().unwrap();
    let refuse = |options: TritonOptions| {
        write_repository(Case::load("trm_att_rope_noemb").checkpoint, root.path(), &options).unwrap_err().to_string()
    };
    let with = TritonOptions::default;
    for name in ["", "a/b", "..", ".hidden", "a b", "-x", "ends.", "naïve", &"n".repeat(129)] {
        let said = refuse(TritonOptions { name: Some(name.to_owned()), ..with() });
        assert!(said.contains("cannot be a model's name") && said.contains("--name"), "{name:?}: {said}");
    }
    for batch in [0, 1025] {
        let said = refuse(TritonOptions { max_batch_size: batch, ..with() });
        assert_eq!(said, format!("max_batch_size is {batch}, must lie in 1..=1024"));
    }
    assert_eq!(refuse(TritonOptions { instances: 0, ..with() }), "instances is 0, must lie in 1..=64");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn the_command_writes_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let library = runtime::load().unwrap().library;
    let checkpoint = shipped("sudoku-4x4").canonicalize().unwrap();
    let run = |arguments: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_exporter"))
            .args(arguments)
            .args(["--checkpoint", checkpoint.to_str().unwrap()])
            .current_dir(folder.path())
            .env("ORT_DYLIB_PATH", &library)
            .output()
            .unwrap()
    };
    for subcommand in [&[][..], &["export"]] {
        let name = format!("model-{}", subcommand.len());
        let output = run(&[subcommand, &["--triton", "repository", "--halt-steps", "2", "--name", &name]].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("wrote repository/{name}")), "{said}");
        assert!(said.contains(&format!("POST /v2/models/{name}/infer")), "{said}");
        assert_eq!(promised(&read_config(&folder.path().join("repository").join(&name)), "output")[0].2, [2, 16]);
    }
    for (arguments, says) in [
        (&["--triton", "other", "--step"][..], "cannot be used with"),
        (&["--triton", "other", "--out", "file.onnx"], "cannot be used with"),
        (&["--step", "--out", "file.onnx", "--overwrite"], "cannot be used with"),
        (&["--halt-steps", "2"], "--out"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("other").exists() && !folder.path().join("file.onnx").exists());
}
