//! Checkpoint folders: round trips, publishing, and what hostile or broken ones are answered with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use models::checkpoint::{
    HostTensor, InferenceDefaults, MANIFEST_FILE, Measured, MeasuredInt8, NoiseTarget, WEIGHTS_FILE, WeightFile,
    publish, publish_with, write,
};
use models::{ArchitectureConfig, Checkpoint, ForwardDtype, Initializer, Manifest, ModelDims, PosEncodings, TrmConfig};

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 3, sizes: None };

fn arch() -> ArchitectureConfig {
    ArchitectureConfig::Trm(TrmConfig {
        hidden_size: 32,
        num_heads: 4,
        puzzle_emb_ndim: 32,
        pos_encodings: PosEncodings::Learned,
        ..TrmConfig::default()
    })
}

fn tensors(prefix: &str) -> BTreeMap<String, HostTensor> {
    let initializer = Initializer::new(1);
    let specs = arch().parameter_specs(&DIMS).unwrap();
    specs
        .iter()
        .map(|spec| (format!("{prefix}{}", spec.name), HostTensor::float32(&spec.shape, &initializer.draw(spec))))
        .collect()
}

fn written(folder: &Path) {
    write(folder, &Manifest::new(arch(), DIMS, "sudoku"), &tensors(""), |_| Ok(())).unwrap();
}

fn message(folder: &Path) -> String {
    Checkpoint::open(folder).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("checkpoint");
    written(&folder);
    // Writing again replaces the folder and leaves nothing beside it.
    written(&folder);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.manifest, Manifest::new(arch(), DIMS, "sudoku"));
    for spec in arch().parameter_specs(&DIMS).unwrap() {
        assert_eq!(checkpoint.values(&spec).unwrap(), Initializer::new(1).draw(&spec), "{}", spec.name);
    }
}

#[test]
fn wrapper_prefixes_of_python_are_no_obstacle() {
    let temporary = tempfile::tempdir().unwrap();
    write(
        temporary.path().join("c").as_path(),
        &Manifest::new(arch(), DIMS, "sudoku"),
        &tensors("_orig_mod.model."),
        |_| Ok(()),
    )
    .unwrap();
    Checkpoint::open(temporary.path().join("c")).unwrap();
}

#[test]
fn published_weights_are_rounded_to_bfloat16() {
    let temporary = tempfile::tempdir().unwrap();
    let (full, small) = (temporary.path().join("full"), temporary.path().join("small"));
    written(&full);
    fs::write(full.join("training_state.json"), "{}").unwrap();
    publish(&Checkpoint::open(&full).unwrap(), &small, ForwardDtype::BFloat16).unwrap();
    let names: Vec<_> = fs::read_dir(&small).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let further = [(full.join("training_state.json"), Path::new("beside").join("state.json"))];
    publish_with(&Checkpoint::open(&full).unwrap(), &small, ForwardDtype::BFloat16, &further).unwrap();
    assert_eq!(fs::read_to_string(small.join("beside/state.json")).unwrap(), "{}");
    fs::remove_file(&further[0].0).unwrap();
    publish_with(&Checkpoint::open(&full).unwrap(), &small, ForwardDtype::BFloat16, &further).unwrap_err();
    let small = Checkpoint::open(&small).unwrap();
    for spec in arch().parameter_specs(&DIMS).unwrap() {
        for (rounded, drawn) in small.values(&spec).unwrap().into_iter().zip(Initializer::new(1).draw(&spec)) {
            // bfloat16 keeps 8 significant bits: half a unit in the last place is at most 2^-8 of the value.
            assert!((rounded - drawn).abs() <= drawn.abs() / 256.0);
        }
    }
}

#[test]
fn broken_folders_are_named_with_their_fault() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("checkpoint");
    assert!(message(&folder).contains("manifest.json: cannot open"));
    written(&folder);

    let manifest = fs::read_to_string(folder.join(MANIFEST_FILE)).unwrap();
    let with = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}");
        fs::write(folder.join(MANIFEST_FILE), manifest.replacen(from, to, 1)).unwrap();
        message(&folder)
    };
    assert!(with("\"format_version\": 1", "\"format_version\": 2").contains("format_version is 2"));
    assert!(with("\"name\": \"trm\"", "\"name\": \"gpt\"").contains("gpt"));
    assert!(with("\"hidden_size\": 32", "\"hidden_size\": 64").contains("has shape"));
    assert!(with("\"hidden_size\": 32", "\"hidden_size\": 99999999999").contains("arch.hidden_size"));
    assert!(with("\"seq_len\": 16", "\"seq_len\": 0").contains("seq_len"));
    assert!(with("\"L_layers\": 2", "\"L_layers\": 3").contains("L_level.layers.2"));
    fs::write(folder.join(MANIFEST_FILE), vec![b' '; 3 << 20]).unwrap();
    assert!(message(&folder).contains("larger than"));
    fs::write(folder.join(MANIFEST_FILE), &manifest).unwrap();

    let weights = fs::read(folder.join(WEIGHTS_FILE)).unwrap();
    fs::write(folder.join(WEIGHTS_FILE), &weights[..weights.len() / 2]).unwrap();
    assert!(message(&folder).contains("not an intact safetensors"));
    let mut lying = weights.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(folder.join(WEIGHTS_FILE), lying).unwrap();
    assert!(message(&folder).contains("not an intact safetensors"));
    fs::write(folder.join(WEIGHTS_FILE), b"").unwrap();
    message(&folder);
}

/// Header lengths whose bytes are the marks of a pickle (0x80 0x02) and of a web page (`<`).
#[test]
fn no_header_length_is_taken_for_another_format() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("x.safetensors");
    for length in [60, 640, 1152] {
        let header = format!("{:<length$}", r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
        let bytes = [&(length as u64).to_le_bytes()[..], header.as_bytes(), &1.5_f32.to_le_bytes()].concat();
        fs::write(&path, bytes).unwrap();
        assert_eq!(WeightFile::open(&path).unwrap().values("x").unwrap(), [1.5]);
    }
}

#[test]
fn two_names_for_one_tensor_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("twice.safetensors");
    let mut twice = tensors("");
    twice.extend(tensors("model."));
    models::checkpoint::write_tensors(&path, &twice).unwrap();
    assert!(WeightFile::open(&path).unwrap_err().to_string().contains("two tensors"));
}

#[test]
fn a_failing_extra_file_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("checkpoint");
    let manifest = Manifest::new(arch(), DIMS, "sudoku");
    let failed = write(&folder, &manifest, &tensors(""), |path| {
        files::write(&path.join("missing/deeper"), b"x")?;
        Err(Checkpoint::open(path.join("nowhere")).unwrap_err())
    });
    assert!(failed.is_err());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn manifests_keep_what_was_measured_and_need_not_have_it() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("checkpoint");
    written(&folder);
    let path = folder.join(MANIFEST_FILE);
    assert!(!fs::read_to_string(&path).unwrap().contains("inference"));
    let inference = InferenceDefaults {
        max_steps: 16,
        augmentations: 8,
        rollouts: 0,
        sigma: 0.25,
        noise: NoiseTarget::Answer,
        depth: 64,
        safe_max_steps: Some(128),
        measured: Some(Measured {
            data: "generated minimal 4x4 puzzles".into(),
            puzzles: 1000,
            weights_sha256: "5eed".repeat(16),
            rule: "cheapest".into(),
            exact_accuracy: 0.875,
            verified_accuracy_plain: 0.876,
            verified_accuracy: 0.993,
            mean_steps: 17.25,
        }),
        int8: Some(MeasuredInt8 {
            data: "generated minimal 4x4 puzzles".into(),
            puzzles: 1000,
            weights_sha256: "5eed".repeat(16),
            verified_accuracy: 0.992,
        }),
    };
    let manifest = Manifest { inference: Some(inference), ..Manifest::new(arch(), DIMS, "sudoku") };
    fs::write(&path, manifest.to_json()).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), manifest);
    // Published along with the weights.
    let published = temporary.path().join("published");
    publish(&Checkpoint::open(&folder).unwrap(), &published, ForwardDtype::BFloat16).unwrap();
    assert_eq!(Checkpoint::open(&published).unwrap().manifest, manifest);
}
