//! Weights in published form become checkpoints: what the tensors say, what others say, and what does not fit.

#[allow(dead_code, reason = "shared with tests that use other parts")]
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::torch_save::StateDict;
use models::checkpoint::{Dtype, WeightFile, WeightsKind};
use models::import::{Hints, ImportError, Inference, ReferenceConfig, SettingOrigin, infer, write_imported};
use models::{ArchitectureConfig, Checkpoint, Initializer, ModelDims};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!, which makes one")]
fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn flags(value: Value) -> Hints {
    Hints { flags: fields(value), ..Hints::default() }
}

/// A config as the reference writes it, from its `arch` table.
fn config(arch: &str, table: &Map<String, Value>) -> ReferenceConfig {
    let mut table = table.clone();
    table.insert("name".into(), json!(format!("recursive_reasoning.{arch}@Model_ACTV1")));
    ReferenceConfig::parse("all_config.yaml", &json!({ "arch": table }).to_string()).unwrap()
}

/// The weights of a model with these settings, drawn at random, as `torch.save` writes them.
struct Published {
    _folder: TempDir,
    path: PathBuf,
    arch: ArchitectureConfig,
    dims: ModelDims,
}

fn published(arch: Value, dims: ModelDims, change: impl FnOnce(&mut StateDict)) -> Published {
    let arch: ArchitectureConfig = serde_json::from_value(arch).unwrap();
    let mut dict = StateDict::default();
    for spec in arch.parameter_specs(&dims).unwrap() {
        let values = Initializer::new(3).draw(&spec);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("_orig_mod.model.{}", spec.name);
        if let [rows, columns] = spec.shape[..] {
            // Stored transposed, as tied or converted weights are: the import must not take memory order for row order.
            let transposed = (0..rows * columns).flat_map(|i| values[i % rows * columns + i / rows].to_le_bytes());
            dict.add(&name, Dtype::F32, &[columns, rows], transposed.collect());
            dict.views.pop();
            dict.view(&name, 0, &[rows, columns], &[1, rows]);
        } else {
            dict.add(&name, Dtype::F32, &spec.shape, bytes);
        }
    }
    change(&mut dict);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step_7_attn_type");
    fs::write(&path, dict.file("step_7_attn_type")).unwrap();
    Published { _folder: folder, path, arch, dims }
}

fn origin<'a>(inference: &'a Inference, field: &str) -> &'a SettingOrigin {
    &inference.settings.iter().find(|setting| setting.field == field).unwrap_or_else(|| panic!("{field}")).origin
}

#[test]
fn every_golden_file_gives_the_config_that_it_was_made_with() {
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(fixtures().join("models")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read(folder.join("config.json")) else { continue };
        let case: Value = serde_json::from_slice(&text).unwrap();
        let (arch, table) = (case["arch"].as_str().unwrap(), fields(case["config"].clone()));
        let file = WeightFile::open(&folder.join("step_1")).unwrap();
        let size = |field: &str| table[field].as_u64().unwrap() as usize;

        let hints = Hints {
            flags: fields(json!({ "seq_len": size("seq_len") })),
            config: Some(config(arch, &table)),
            registry: None,
        };
        let found = infer(&file, &hints).unwrap();
        let mut expected = ArchitectureConfig::from_reference(arch, &table).unwrap();
        if let ArchitectureConfig::Trm(config) = &mut expected
            && config.mlp_t
            && config.pos_encodings == models::PosEncodings::Rope
        {
            // Without attention nothing is rotated: the tensors cannot tell, and it makes no difference.
            config.pos_encodings = models::PosEncodings::None;
        }
        let mut found_fields = serde_json::to_value(&found.arch).unwrap();
        let mut expected_fields = serde_json::to_value(&expected).unwrap();
        for fields in [&mut found_fields, &mut expected_fields] {
            let fields = fields.as_object_mut().unwrap();
            // TRM has no H module; the reference's files say 0 or nothing.
            fields.retain(|field, _| field != "H_layers" || arch == "hrm" || arch == "transformers_baseline");
        }
        assert_eq!(found_fields, expected_fields, "{}", folder.display());
        let dims = ModelDims {
            vocab_size: size("vocab_size"),
            seq_len: size("seq_len"),
            num_puzzle_identifiers: if table["puzzle_emb_ndim"] == 0 { 1 } else { size("num_puzzle_identifiers") },
            sizes: None,
        };
        assert_eq!(found.dims, dims, "{}", folder.display());

        let out = tempfile::tempdir().unwrap();
        let target = out.path().join("checkpoint");
        let description = (WeightsKind::Raw, "", 1);
        write_imported(&file, &found, "golden", description, false, &target).unwrap();
        let checkpoint = Checkpoint::open(&target).unwrap();
        for spec in found.arch.parameter_specs(&found.dims).unwrap() {
            assert_eq!(checkpoint.values(&spec).unwrap(), file.values(&spec.name).unwrap(), "{}", spec.name);
        }
        *seen.entry(arch.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!(seen.values().sum::<i32>(), 23, "{seen:?}");
}

#[test]
fn full_size_models_are_recognised_by_names_and_shapes_alone() {
    let mut text = String::new();
    let file = fs::File::open(fixtures().join("models/param_counts.json.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    for row in document["rows"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let mut dict = StateDict::default();
        // One storage of zeros for all tensors: what counts is names and shapes.
        let entries: Vec<(&String, Vec<usize>, &str)> = row["state_dict"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, entry)| (key, serde_json::from_value(entry[1].clone()).unwrap(), entry[0].as_str().unwrap()))
            .collect();
        dict.add("scratch", Dtype::F32, &[1], vec![0; 4 << 22]);
        dict.views.clear();
        for (offset, (key, shape, _)) in entries.iter().filter(|(.., dtype)| *dtype == "torch.float32").enumerate() {
            let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
            dict.view(key, offset, shape, &strides);
        }
        dict.add("scratch", Dtype::BF16, &[1], vec![0; 2 << 10]);
        dict.views.pop();
        for (key, shape, _) in entries.iter().filter(|(.., dtype)| *dtype == "torch.bfloat16") {
            dict.view(key, 0, shape, &[1]);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step_1");
        fs::write(&path, dict.file("step_1")).unwrap();
        let found = infer(&WeightFile::open(&path).unwrap(), &Hints::default()).unwrap();
        let expected = &row["config"];
        assert_eq!(found.arch.name(), row["arch"], "{name}");
        let config = serde_json::to_value(&found.arch).unwrap();
        for field in
            ["hidden_size", "L_layers", "H_layers", "mlp_t", "puzzle_emb_ndim", "pos_encodings", "forward_dtype"]
        {
            let asked = expected.get(field).filter(|_| config.get(field).is_some());
            assert!(asked.is_none_or(|value| config[field] == *value), "{name}: {field} is {}", config[field]);
        }
        assert_eq!(found.dims.seq_len, expected["seq_len"].as_u64().unwrap() as usize, "{name}");
        let task = match expected["vocab_size"].as_u64().unwrap() {
            11 => "sudoku",
            6 => "maze",
            _ => "arc",
        };
        assert_eq!(found.task, task, "{name}");
    }
}

#[test]
fn other_dimensions_in_published_form_are_imported_value_by_value() {
    let dims = ModelDims { vocab_size: 9, seq_len: 25, num_puzzle_identifiers: 7, sizes: None };
    let cases = [
        json!({"name": "trm", "hidden_size": 48, "num_heads": 6, "L_layers": 3, "H_cycles": 2, "L_cycles": 5,
               "puzzle_emb_ndim": 20, "puzzle_emb_len": 3, "expansion": 2.5, "forward_dtype": "float32"}),
        json!({"name": "trm", "hidden_size": 40, "mlp_t": true, "pos_encodings": "none", "L_layers": 1,
               "puzzle_emb_ndim": 80, "puzzle_emb_len": 5, "forward_dtype": "float32"}),
        json!({"name": "trm_singlez", "hidden_size": 32, "num_heads": 2, "puzzle_emb_ndim": 0, "puzzle_emb_len": 0,
               "forward_dtype": "float32", "pos_encodings": "learned"}),
        json!({"name": "trm_hier6", "hidden_size": 32, "num_heads": 2, "L_cycles": 4, "puzzle_emb_ndim": 32,
               "puzzle_emb_len": 16, "forward_dtype": "float32"}),
        json!({"name": "hrm", "hidden_size": 24, "num_heads": 2, "H_layers": 3, "L_layers": 1, "puzzle_emb_ndim": 30,
               "forward_dtype": "float32"}),
        json!({"name": "transformers_baseline", "hidden_size": 24, "num_heads": 4, "H_layers": 2,
               "puzzle_emb_ndim": 24, "forward_dtype": "float32"}),
    ];
    for case in cases {
        let model = published(case.clone(), dims, |_| ());
        let file = WeightFile::open(&model.path).unwrap();
        let mut table = fields(case);
        let arch = table.remove("name").unwrap();
        let hints = Hints {
            flags: fields(json!({"seq_len": 25, "task": "letters"})),
            config: Some(config(arch.as_str().unwrap(), &table)),
            registry: None,
        };
        let found = infer(&file, &hints).unwrap();
        let mut expected = serde_json::to_value(&model.arch).unwrap();
        let mut config = serde_json::to_value(&found.arch).unwrap();
        if config["mlp_t"] == false || config["mlp_t"] == true {
            // Said by no tensor where there is no H module.
            for value in [&mut expected, &mut config] {
                value.as_object_mut().unwrap().retain(|field, _| field != "H_layers" || arch == "hrm");
            }
        }
        assert_eq!(config, expected);
        assert_eq!((found.dims.seq_len, found.dims.vocab_size, found.task.as_str()), (25, 9, "letters"));

        let out = model.path.with_file_name("out");
        let manifest =
            write_imported(&file, &found, "owner/name", (WeightsKind::Ema, "puzzles", 7), false, &out).unwrap();
        let record = manifest.import.clone().unwrap();
        assert_eq!((record.source.as_str(), record.sha256), ("owner/name", file.sha256().unwrap()));
        assert_eq!(record.settings["hidden_size"], "tensors");
        let checkpoint = Checkpoint::open(&out).unwrap();
        assert_eq!(checkpoint.manifest, manifest);
        for spec in model.arch.parameter_specs(&model.dims).unwrap() {
            assert_eq!(checkpoint.values(&spec).unwrap(), Initializer::new(3).draw(&spec), "{}", spec.name);
        }
    }
}

/// A small attention model whose sequence length no tensor has.
fn small() -> Published {
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 2, sizes: None };
    published(
        json!({"name": "trm", "hidden_size": 32, "num_heads": 4, "forward_dtype": "float32",
                     "puzzle_emb_ndim": 32, "puzzle_emb_len": 16}),
        dims,
        |_| (),
    )
}

#[test]
fn settings_say_where_they_come_from() {
    let model = small();
    let file = WeightFile::open(&model.path).unwrap();
    let hints = Hints {
        flags: fields(json!({"halt_max_steps": 4})),
        config: Some(config("hrm", &fields(json!({"L_cycles": 5, "num_heads": 2, "L_layers": 7})))),
        registry: Some(("trm-x".into(), fields(json!({"H_cycles": 2, "L_cycles": 1})))),
    };
    let found = infer(&file, &hints).unwrap();
    let said: BTreeMap<String, String> = found
        .settings
        .iter()
        .map(|setting| (setting.field.clone(), format!("{} {}", setting.value, setting.origin)))
        .collect();
    assert_eq!(said["arch"], r#""trm" tensors (all_config.yaml says hrm)"#);
    assert_eq!(said["L_layers"], "2 tensors (all_config.yaml says 7)");
    assert_eq!(said["halt_max_steps"], "4 flag");
    assert_eq!(said["L_cycles"], "5 all_config.yaml");
    assert_eq!(said["H_cycles"], "2 registry entry trm-x");
    assert_eq!(said["num_heads"], "2 all_config.yaml");
    assert!(origin(&found, "pos_encodings").is_assumed() && origin(&found, "puzzle_emb_len").is_assumed());
    assert!(said["seq_len"].starts_with("81 assumed: published models of this vocab_size"));
    assert_eq!(said["task"], r#""sudoku" follows from vocab_size and seq_len"#);
    assert_eq!(found.arch.halt_max_steps(), 4);
}

#[test]
fn flags_that_cannot_be_are_refused() {
    let model = small();
    let file = WeightFile::open(&model.path).unwrap();
    let refusal = |value: Value| infer(&file, &flags(value)).unwrap_err().to_string();
    assert!(refusal(json!({"hidden_size": 64})).contains("hidden_size: --set says 64, but the tensors say 32"));
    assert!(refusal(json!({"name": "hrm"})).contains("--arch says \"hrm\", but names and shapes are those of `trm`"));
    assert!(
        refusal(json!({"hidden_sizes": 32})).contains("hidden_sizes: is not a setting of `trm`; there are seq_len")
    );
    assert!(refusal(json!({"num_heads": 5})).contains("num_heads: flag says 5, which does not go with the widths"));
    assert!(refusal(json!({"expansion": 40})).contains("gives other widths"));
    assert!(refusal(json!({"seq_len": "many"})).contains("expected a whole number"));
    assert!(refusal(json!({"H_cycles": "x"})).contains("correct it with --set"));
    let dims = ModelDims { vocab_size: 40, ..model.dims };
    let other = published(serde_json::to_value(&model.arch).unwrap(), dims, |_| ());
    let message = infer(&WeightFile::open(&other.path).unwrap(), &Hints::default()).unwrap_err().to_string();
    assert!(message.contains("seq_len: nothing says how many tokens an example has"), "{message}");
}

#[test]
fn missing_wrong_and_left_over_tensors_are_all_named() {
    let model = small();
    let broken = published(serde_json::to_value(&model.arch).unwrap(), model.dims, |dict| {
        dict.views.retain(|view| !view.name.ends_with("q_head.bias") && !view.name.ends_with("L_init"));
        dict.views.iter_mut().find(|view| view.name.ends_with("lm_head.weight")).unwrap().shape = vec![10, 32];
        dict.add("_orig_mod.model.inner.extra.weight", Dtype::F32, &[2, 2], vec![0; 16]);
        dict.add("_orig_mod.model.inner.puzzle_emb.local_ids", Dtype::I32, &[4], vec![0; 16]);
        dict.add("_orig_mod.model.inner.q_head.bias", Dtype::I64, &[2], vec![0; 16]);
    });
    let file = WeightFile::open(&broken.path).unwrap();
    let found = infer(&file, &Hints::default()).unwrap();
    let out = broken.path.with_file_name("out");
    let write = |drop| write_imported(&file, &found, "x", (WeightsKind::Raw, "", 0), drop, &out);
    let error = write(true).unwrap_err();
    assert!(matches!(&error, ImportError::Tensors { missing, wrong, left_over, .. }
        if (missing.len(), wrong.len(), left_over.len()) == (1, 2, 1)));
    let text = error.to_string();
    for line in [
        "missing   inner.L_init [32]",
        "wrong     inner.lm_head.weight is F32 [10, 32], expected [11, 32]",
        "wrong     inner.q_head.bias is I64 [2], expected [2]",
        "left over inner.extra.weight [2, 2]",
    ] {
        assert!(text.contains(line), "{line} is not in: {text}");
    }
    assert!(!out.exists());

    let extra = published(serde_json::to_value(&model.arch).unwrap(), model.dims, |dict| {
        dict.add("_orig_mod.model.inner.extra.weight", Dtype::F32, &[2, 2], vec![0; 16]);
    });
    let file = WeightFile::open(&extra.path).unwrap();
    let found = infer(&file, &Hints::default()).unwrap();
    let out = extra.path.with_file_name("out");
    write_imported(&file, &found, "x", (WeightsKind::Raw, "", 0), false, &out).unwrap_err();
    write_imported(&file, &found, "x", (WeightsKind::Raw, "", 0), true, &out).unwrap();
    assert!(Checkpoint::open(&out).is_ok());
}

#[test]
fn files_of_other_models_are_told_apart() {
    let mut dict = StateDict::default();
    dict.add("bert.embeddings.weight", Dtype::F32, &[4, 2], vec![0; 32]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    fs::write(&path, dict.file("model")).unwrap();
    let message = infer(&WeightFile::open(&path).unwrap(), &Hints::default()).unwrap_err().to_string();
    assert!(message.contains("not the weights of a recursive reasoner"), "{message}");
    assert!(message.contains("found 1 tensors: bert.embeddings.weight"), "{message}");
}
