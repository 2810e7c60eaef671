//! Reading the golden fixtures of the Python reference, and the settings of small learners.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]
#![allow(dead_code, reason = "every test binary uses its part of the helpers")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use datasets::batch::Batch;
use models::checkpoint::WeightFile;
use models::{ArchitectureConfig, ModelDims};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainer::learner::LearnerConfig;
use trainer::losses::{LossType, LossWeights};
use trainer::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use trainer::parameters::Parameters;

/// `tests/fixtures/{name}` of the workspace.
pub(crate) fn fixture(name: &str) -> PathBuf {
    // Set by cargo, or by a script that runs a test built elsewhere.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).join("../tests/fixtures").join(name)
}

/// Where golden data is computed: the GPU under `TRAINER_TEST_DEVICE=cuda`, as `tests/gpu/check.sh` sets it.
pub(crate) fn device() -> Device {
    match std::env::var("TRAINER_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => Device::Cpu,
        Ok("cuda") => Device::Cuda(0),
        Ok(other) => panic!("TRAINER_TEST_DEVICE is `{other}`; expected cpu or cuda"),
    }
}

/// All tensors of the safetensors file `path`, which may be stored as `{path}.gz`, without the wrappers' name prefixes.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap_or_else(|_| {
        let packed = path.with_extension("safetensors.gz");
        let file = std::fs::File::open(&packed).unwrap_or_else(|error| panic!("{}: {error}", packed.display()));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    });
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.iter()
        .map(|(name, view)| {
            let size: Vec<i64> = view.shape().iter().map(|&extent| extent as i64).collect();
            let tensor = Tensor::from_data_size(view.data(), &size, kind_of(view.dtype()));
            (name.replace("_orig_mod.", "").trim_start_matches("model.").to_owned(), tensor)
        })
        .collect()
}

fn kind_of(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        other => panic!("the fixtures hold no {other:?}"),
    }
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The architecture `name` with the config that the reference builds from `fields`.
pub(crate) fn architecture(name: &str, fields: &Value) -> ArchitectureConfig {
    ArchitectureConfig::from_reference(name, fields.as_object().unwrap()).unwrap()
}

/// The model whose weights `torch.save` wrote to `path`.
pub(crate) fn published(path: &Path, arch: &ArchitectureConfig, dims: &ModelDims) -> Parameters {
    let weights = WeightFile::open(path).unwrap();
    Parameters::new(arch, dims, device(), |spec| {
        weights.check(spec)?;
        weights.values(&spec.name)
    })
    .unwrap()
}

/// Row-major float32 values, whatever the tensor's type.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    values
}

/// Row-major int32 values.
pub(crate) fn integers(tensor: &Tensor) -> Vec<i32> {
    values(tensor).into_iter().map(|value| value as i32).collect()
}

/// The batch `{prefix}inputs`, `{prefix}labels`, `{prefix}puzzle_identifiers`.
pub(crate) fn batch(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> Batch {
    let get = |name: &str| integers(&tensors[&format!("{prefix}{name}")]);
    let puzzle_identifiers = get("puzzle_identifiers");
    Batch {
        seq_len: tensors[&format!("{prefix}inputs")].size()[1] as usize,
        inputs: get("inputs"),
        labels: get("labels"),
        real_rows: puzzle_identifiers.len(),
        puzzle_identifiers,
    }
}

/// Dimensions among the reference's fields.
pub(crate) fn dims(fields: &Value) -> ModelDims {
    let get = |name: &str| fields[name].as_u64().unwrap() as usize;
    ModelDims {
        vocab_size: get("vocab_size"),
        seq_len: get("seq_len"),
        num_puzzle_identifiers: get("num_puzzle_identifiers"),
        sizes: None,
    }
}

/// Largest absolute difference.
pub(crate) fn max_abs_diff(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.size(), right.size());
    let wide = |tensor: &Tensor| tensor.to_device(Device::Cpu).to_kind(Kind::Double);
    (wide(left) - wide(right)).abs().max().double_value(&[])
}

/// A learner of `rows` rows a step, with AdamW, decay and a moving average; tests change what they are about.
pub(crate) fn learner_config(arch: ArchitectureConfig, dims: ModelDims, rows: usize) -> LearnerConfig {
    LearnerConfig {
        arch,
        dims,
        loss_type: LossType::default(),
        loss_weights: LossWeights::default(),
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 },
        lr: 1e-3,
        puzzle_emb_lr: 1e-2,
        puzzle_emb_weight_decay: 0.1,
        schedule: LearningRateSchedule { warmup_steps: 1, total_steps: 10, min_ratio: 1.0 },
        ema_rate: Some(0.99),
        freeze_weights: false,
        grad_clip: None,
        micro_batch_size: None,
        global_batch_size: rows,
        local_batch_size: rows,
        carried_batches: 1,
        rank: 0,
        seed: 3,
    }
}
