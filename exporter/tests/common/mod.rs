//! Golden cases under `tests/fixtures/models` as checkpoints, and graphs of them as plain function calls.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "helpers of tests: a panic is a failed test"
)]
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its part of the helpers")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use exporter::runtime::{self, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, Precision, export, names};
use models::checkpoint::WeightFile;
use models::{ArchitectureConfig, Checkpoint, Manifest, ModelDims};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One golden case.
pub struct Case {
    pub name: String,
    pub checkpoint: Checkpoint,
    pub batch: usize,
    pub tokens: Vec<i64>,
    pub puzzle_embeddings: Vec<f32>,
    /// The reference's own float32 error against float64, per step: logits, `q_halt`. Empty for bfloat16.
    pub error_floor: Vec<[f64; 2]>,
    golden: BTreeMap<String, Vec<f32>>,
}

/// What a graph gave; `[batch, …]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    pub preds: Vec<i64>,
    pub q_halt: Vec<f32>,
    /// Empty where the architecture does not use it.
    pub q_continue: Vec<f32>,
    pub logits: Vec<f32>,
    pub state: Vec<Vec<f32>>,
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models")
}

pub fn case_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() == 23, "golden cases are missing: {names:?}");
    names
}

impl Case {
    pub fn load(name: &str) -> Self {
        let directory = fixtures().join(name);
        let document: Value = serde_json::from_slice(&fs::read(directory.join("config.json")).unwrap()).unwrap();
        let manifest = manifest(&document);
        let weights = WeightFile::open(&directory.join("step_1")).unwrap();
        let checkpoint = Checkpoint::from_parts(manifest, weights, &directory).unwrap();

        let packed = fs::File::open(directory.join("io.safetensors.gz")).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        let io = SafeTensors::deserialize(&bytes).unwrap();
        let golden: BTreeMap<_, _> = io.iter().map(|(name, view)| (name.to_owned(), values(&view))).collect();
        let whole = |name: &str| golden[name].iter().map(|&value| value as i64).collect::<Vec<_>>();
        let identifiers = whole("puzzle_identifiers");
        Self {
            name: name.to_owned(),
            batch: identifiers.len(),
            tokens: whole("inputs"),
            puzzle_embeddings: puzzle_embeddings(&checkpoint, &identifiers),
            error_floor: error_floor(&document["max_abs_diff_vs_forward_dtype_float64_per_step"]),
            checkpoint,
            golden,
        }
    }

    pub fn is_float32(&self) -> bool {
        !self.error_floor.is_empty()
    }

    /// Golden tensor `step{step}.{what}` or `final.{what}`.
    pub fn golden(&self, name: &str) -> Option<&[f32]> {
        self.golden.get(name).map(Vec::as_slice)
    }

    pub fn seq_len(&self) -> usize {
        self.checkpoint.manifest.dims.seq_len
    }

    /// Elements of one row of a state.
    pub fn state_width(&self) -> usize {
        let arch = &self.checkpoint.manifest.arch;
        (self.seq_len() + arch.puzzle_emb_len()) * arch.hidden_size()
    }

    /// As a user opens it.
    pub fn graph(&self, graph: GraphKind, flavor: Flavor) -> Graph {
        let exported =
            export(&self.checkpoint, &ExportOptions { graph, flavor, precision: Precision::Float32, logits: true })
                .unwrap();
        Graph::open(&exported.bytes, &self.checkpoint.manifest.arch)
    }
}

/// A loaded graph.
pub struct Graph {
    session: Session,
    state_names: &'static [&'static str],
    uses_q_continue: bool,
    hidden_size: usize,
    puzzle_emb_len: usize,
}

impl Graph {
    pub fn open(bytes: &[u8], arch: &ArchitectureConfig) -> Self {
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        Self {
            session: runtime::open_bytes(bytes, &options).unwrap(),
            state_names: arch.state_names(),
            uses_q_continue: arch.uses_q_continue(),
            hidden_size: arch.hidden_size(),
            puzzle_emb_len: arch.puzzle_emb_len(),
        }
    }

    /// Runs rows `rows` of the case: one step from `state` with `reset`, or all steps of an unrolled graph (without).
    pub fn run(&mut self, case: &Case, rows: std::ops::Range<usize>, state: Option<(&[bool], &[Vec<f32>])>) -> Outputs {
        let batch = rows.len();
        let seq_len = case.seq_len();
        let mut inputs: Vec<(String, SessionInputValue)> = vec![(
            names::INPUTS.to_owned(),
            tensor([batch, seq_len], &case.tokens[rows.start * seq_len..rows.end * seq_len]),
        )];
        if self.puzzle_emb_len > 0 {
            let width = self.puzzle_emb_len * self.hidden_size;
            let embeddings = &case.puzzle_embeddings[rows.start * width..rows.end * width];
            let shape = [batch, self.puzzle_emb_len, self.hidden_size];
            inputs.push((names::PUZZLE_EMBEDDINGS.to_owned(), tensor(shape, embeddings)));
        }
        if let Some((reset, state)) = state {
            inputs.push((names::RESET.to_owned(), tensor([batch], reset)));
            for (name, values) in self.state_names.iter().zip(state) {
                let shape = [batch, seq_len + self.puzzle_emb_len, self.hidden_size];
                inputs.push((names::state_input(name), tensor(shape, values)));
            }
        }
        let outputs = self.session.run(inputs).unwrap();
        let floats = |name: &str| outputs[name].try_extract_tensor::<f32>().unwrap().1.to_vec();
        Outputs {
            preds: outputs[names::PREDS].try_extract_tensor::<i64>().unwrap().1.to_vec(),
            q_halt: floats(names::Q_HALT_LOGITS),
            q_continue: if self.uses_q_continue { floats(names::Q_CONTINUE_LOGITS) } else { Vec::new() },
            logits: floats(names::LOGITS),
            state: match state {
                Some(_) => self.state_names.iter().map(|name| floats(&names::state_output(name))).collect(),
                None => Vec::new(),
            },
        }
    }

    /// `steps` supervision steps from fresh states; the states given at first are garbage that the reset must hide.
    pub fn run_steps(&mut self, case: &Case, rows: std::ops::Range<usize>, steps: usize) -> Vec<Outputs> {
        let batch = rows.len();
        let mut state = vec![vec![f32::NAN; batch * case.state_width()]; self.state_names.len()];
        let mut results = Vec::new();
        for step in 0..steps {
            let reset = vec![step == 0; batch];
            let outputs = self.run(case, rows.clone(), Some((&reset, &state)));
            state.clone_from(&outputs.state);
            results.push(outputs);
        }
        results
    }
}

/// Step `step` of an unrolled graph's outputs.
pub fn slice_step(outputs: &Outputs, batch: usize, steps: usize, step: usize) -> Outputs {
    fn take<T: Copy>(values: &[T], batch: usize, steps: usize, step: usize) -> Vec<T> {
        let width = values.len() / batch / steps;
        (0..batch).flat_map(|row| values[(row * steps + step) * width..][..width].to_vec()).collect()
    }
    Outputs {
        preds: take(&outputs.preds, batch, steps, step),
        q_halt: take(&outputs.q_halt, batch, steps, step),
        q_continue: take(&outputs.q_continue, batch, steps, step),
        logits: take(&outputs.logits, batch, steps, step),
        state: Vec::new(),
    }
}

fn tensor<T, const N: usize>(shape: [usize; N], values: &[T]) -> SessionInputValue<'static>
where
    T: ort::value::PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    Tensor::from_array((shape, values.to_vec())).unwrap().into()
}

fn manifest(document: &Value) -> Manifest {
    let fields = document["config"].as_object().unwrap();
    let size = |name: &str| usize::try_from(fields[name].as_u64().unwrap()).unwrap();
    let dims = ModelDims {
        vocab_size: size("vocab_size"),
        seq_len: size("seq_len"),
        num_puzzle_identifiers: size("num_puzzle_identifiers"),
        sizes: None,
    };
    let arch = ArchitectureConfig::from_reference(document["arch"].as_str().unwrap(), fields).unwrap();
    Manifest::new(arch, dims, "sudoku")
}

fn puzzle_embeddings(checkpoint: &Checkpoint, identifiers: &[i64]) -> Vec<f32> {
    let arch = &checkpoint.manifest.arch;
    let (ndim, width) = (arch.puzzle_emb_ndim(), arch.puzzle_emb_len() * arch.hidden_size());
    if ndim == 0 {
        return Vec::new();
    }
    let specs = arch.parameter_specs(&checkpoint.manifest.dims).unwrap();
    let spec = specs.iter().find(|spec| spec.name == "inner.puzzle_emb.weights").unwrap();
    let table = checkpoint.values(spec).unwrap();
    let padding = vec![0.0; width - ndim];
    identifiers.iter().flat_map(|&row| [&table[row as usize * ndim..][..ndim], &padding].concat()).collect()
}

fn error_floor(document: &Value) -> Vec<[f64; 2]> {
    let steps = document.as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().map(|step| [step["logits"].as_f64().unwrap(), step["q_halt"].as_f64().unwrap()]).collect()
}

fn values(view: &safetensors::tensor::TensorView<'_>) -> Vec<f32> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::I32 => data.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes) as f32).collect(),
        Dtype::BF16 => {
            data.as_chunks().0.iter().map(|&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)).collect()
        }
        other => panic!("unexpected dtype {other:?}"),
    }
}
