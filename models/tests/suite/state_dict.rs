//! Weights on their way out: the reference's names, types and shapes, the puzzle table for other data, and streaming.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use models::checkpoint::{
    HostTensor, PlannedTensor, PuzzleEmbeddings, REFERENCE_PREFIX, WEIGHTS_FILE, publish, stream_tensors, write,
    write_folder, write_state_dict, write_tensors,
};
use models::{
    ArchitectureConfig, Checkpoint, ForwardDtype, Initializer, Manifest, ModelDims, ParameterKind, TrmConfig,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

const DIMS: ModelDims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 3, sizes: None };

/// Rows of the table in units of 1/8, which both float types hold exactly: `[3, 40]`.
fn table() -> Vec<f32> {
    (0..3 * 40).map(|index| f32::from(index as u8) / 8.0).collect()
}

/// A small model whose puzzle embedding fills one position and a quarter of the second.
fn checkpoint(folder: &Path) -> Arc<Checkpoint> {
    let config =
        TrmConfig { hidden_size: 32, num_heads: 4, puzzle_emb_ndim: 40, puzzle_emb_len: 2, ..TrmConfig::default() };
    let arch = ArchitectureConfig::Trm(config);
    let tensors: BTreeMap<String, HostTensor> = arch
        .parameter_specs(&DIMS)
        .unwrap()
        .into_iter()
        .map(|spec| {
            let values =
                if spec.name.ends_with("puzzle_emb.weights") { table() } else { Initializer::new(1).draw(&spec) };
            (spec.name.clone(), HostTensor::float32(&spec.shape, &values))
        })
        .collect();
    let folder = folder.join("checkpoint");
    write(&folder, &Manifest::new(arch, DIMS, "arc"), &tensors, |_| Ok(())).unwrap();
    Arc::new(Checkpoint::open(folder).unwrap())
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    tensors.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn rows_of_the_table_become_whole_positions() {
    let temporary = tempfile::tempdir().unwrap();
    let embeddings = PuzzleEmbeddings::of(checkpoint(temporary.path())).unwrap();
    assert_eq!(embeddings.num_puzzle_identifiers(), 3);
    let rows = embeddings.rows(&[2, 0, 2]).unwrap();
    assert_eq!(rows.len(), 3 * 64);
    let padded = |row: usize| [&table()[row * 40..][..40], &[0.0; 24]].concat();
    assert_eq!(rows, [padded(2), padded(0), padded(2)].concat());
    let message = embeddings.rows(&[0, 3]).unwrap_err().to_string();
    assert!(message.contains("rows 0 to 2, row 3 was asked for"), "{message}");
}

#[test]
fn the_reference_finds_its_names_types_and_shapes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models/param_counts.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for row in document["rows"].as_array().unwrap() {
        let fields = row["config"].as_object().unwrap();
        let size = |name: &str| fields[name].as_u64().unwrap() as usize;
        let dims = ModelDims {
            vocab_size: size("vocab_size"),
            seq_len: size("seq_len"),
            num_puzzle_identifiers: size("num_puzzle_identifiers"),
            sizes: None,
        };
        let arch = ArchitectureConfig::from_reference(row["arch"].as_str().unwrap(), fields).unwrap();
        let specs = arch.parameter_specs(&dims).unwrap();
        let elements = |counts: fn(&ParameterKind) -> bool| -> usize {
            specs.iter().filter(|spec| counts(&spec.kind)).map(models::ParameterSpec::element_count).sum()
        };
        assert_eq!(row["num_params"], elements(|kind| *kind == ParameterKind::Weight), "{}", row["name"]);
        assert_eq!(row["state_dict_numel"], elements(|_| true), "{}", row["name"]);
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("checkpoint");
        zeros(&folder, &Manifest::new(arch, dims, "sudoku"));

        let out = temporary.path().join("state_dict.safetensors");
        assert_eq!(write_state_dict(&Checkpoint::open(&folder).unwrap(), &out, REFERENCE_PREFIX, None).unwrap(), None);
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let found: BTreeMap<String, (String, Vec<usize>)> = tensors
            .iter()
            .map(|(name, view)| (name.to_owned(), (format!("{:?}", view.dtype()), view.shape().to_vec())))
            .collect();
        let expected: BTreeMap<String, (String, Vec<usize>)> = row["state_dict"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, entry)| {
                let dtype = match entry[0].as_str().unwrap() {
                    "torch.float32" => "F32",
                    "torch.bfloat16" => "BF16",
                    other => panic!("{other}"),
                };
                (name.clone(), (dtype.to_owned(), serde_json::from_value(entry[1].clone()).unwrap()))
            })
            .collect();
        assert_eq!(found, expected, "{}", row["name"]);
        seen += 1;
    }
    assert_eq!(seen, 6, "configurations of the reference");
}

/// A checkpoint of zeros.
fn zeros(folder: &Path, manifest: &Manifest) {
    let plan = |spec: models::ParameterSpec| PlannedTensor {
        name: spec.name,
        dtype: ForwardDtype::Float32,
        shape: spec.shape,
    };
    let plans = manifest.arch.parameter_specs(&manifest.dims).unwrap().into_iter().map(plan).collect();
    write_folder(folder, manifest, |staging| {
        stream_tensors(&staging.join(WEIGHTS_FILE), plans, |tensor, sink| {
            sink.put(&vec![0.0; tensor.shape.iter().product()])
        })
    })
    .unwrap();
}

#[test]
fn values_and_prefixes_are_as_asked() {
    let temporary = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(temporary.path());
    for prefix in [REFERENCE_PREFIX, "model.", ""] {
        let out = temporary.path().join("out.safetensors");
        write_state_dict(&checkpoint, &out, prefix, None).unwrap();
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for spec in checkpoint.manifest.arch.parameter_specs(&DIMS).unwrap() {
            let name = format!("{prefix}{}", spec.name);
            if tensors.tensor(&name).unwrap().dtype() == Dtype::F32 {
                assert_eq!(floats(&tensors, &name), checkpoint.values(&spec).unwrap(), "{name}");
            }
        }
    }
}

#[test]
fn a_table_for_other_data_holds_the_mean_of_the_old_one() {
    let temporary = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(temporary.path());
    // The middle of three equidistant rows.
    let mean = table()[40..80].to_vec();
    for expected in [1, 5] {
        let out = temporary.path().join("out.safetensors");
        let resize = write_state_dict(&checkpoint, &out, "", Some(expected)).unwrap().unwrap();
        assert!(resize.to_string().contains(&format!("has 3 rows, {expected} are needed")), "{resize}");
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("inner.puzzle_emb.weights").unwrap().shape(), [expected, 40]);
        assert_eq!(floats(&tensors, "inner.puzzle_emb.weights"), mean.repeat(expected));
        assert_eq!(resize.table(), mean.repeat(expected));
    }
    assert_eq!(checkpoint.resize_puzzle_table(3).unwrap(), None);
    assert!(checkpoint.resize_puzzle_table(0).unwrap_err().to_string().contains("at least one row"));
}

#[test]
fn streamed_files_are_those_of_the_format_s_own_crate() {
    let temporary = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(temporary.path());
    let (streamed, whole) = (temporary.path().join("streamed"), temporary.path().join("whole.safetensors"));
    publish(&checkpoint, &streamed, ForwardDtype::BFloat16).unwrap();
    let specs = checkpoint.manifest.arch.parameter_specs(&DIMS).unwrap();
    let tensors: BTreeMap<String, HostTensor> = specs
        .iter()
        .map(|spec| (spec.name.clone(), HostTensor::bfloat16(&spec.shape, &checkpoint.values(spec).unwrap())))
        .collect();
    write_tensors(&whole, &tensors).unwrap();
    assert!(fs::read(streamed.join(WEIGHTS_FILE)).unwrap() == fs::read(whole).unwrap(), "the bytes differ");
}

#[test]
fn a_tensor_with_too_few_values_is_refused_and_nothing_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("checkpoint");
    let manifest = checkpoint(&temporary.path().join("sound")).manifest.clone();
    let plans = vec![PlannedTensor { name: "w".into(), dtype: ForwardDtype::Float32, shape: vec![2, 3] }];
    let message = write_folder(&folder, &manifest, |staging| {
        stream_tensors(&staging.join(WEIGHTS_FILE), plans, |_, sink| sink.put(&[1.0; 5]))
    })
    .unwrap_err()
    .to_string();
    assert!(message.contains("`w` of shape [2, 3] needs 6 values, 5 were given"), "{message}");
    assert!(!folder.exists());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "the sound one alone");
}
