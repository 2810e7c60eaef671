//! Writes imported weights as a checkpoint folder, tensor by tensor, after every one of them was found to fit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{ImportError, Inference, NamedTensor, WrongTensor};
use crate::checkpoint::{
    Dtype, ImportRecord, PlannedTensor, WEIGHTS_FILE, WeightFile, WeightsKind, stream_tensors, write_folder,
};
use crate::{ForwardDtype, Manifest};

/// Tensors that forks of the reference keep although they say nothing: scratch space of the sparse optimizer, and
/// rotary tables.
const KNOWN_EXTRAS: [&str; 4] =
    ["puzzle_emb.local_weights", "puzzle_emb.local_ids", "rotary_emb.cos_cached", "rotary_emb.sin_cached"];

/// Writes the folder `directory` with the weights of `file` as the model of `inference`; `source` says in the manifest
/// where they come from. Types narrower than float32 stay (bfloat16) or become float32 (float16), float64 is rounded
/// to float32.
///
/// `weights`, `dataset` and `step` go into the manifest. `drop_left_over` lets tensors be left out that the model has no
/// use for.
///
/// # Errors
/// [`ImportError::Tensors`] listing whatever is missing, wrong or left over; when the file is damaged, or the disk
/// refuses. Nothing is written then.
pub fn write_imported(
    file: &WeightFile,
    inference: &Inference,
    source: &str,
    description: (WeightsKind, &str, u64),
    drop_left_over: bool,
    directory: &Path,
) -> Result<Manifest, ImportError> {
    check(file, inference, drop_left_over)?;
    file.verify_checksums()?;
    let settings: BTreeMap<String, String> =
        inference.settings.iter().map(|setting| (setting.field.clone(), setting.origin.to_string())).collect();
    let mut manifest = Manifest::new(inference.arch.clone(), inference.dims, inference.task.clone());
    (manifest.weights, manifest.dataset, manifest.step) = (description.0, description.1.to_owned(), description.2);
    manifest.import = Some(ImportRecord { source: source.to_owned(), sha256: file.sha256()?, settings });

    let mut plans = Vec::new();
    for spec in inference.arch.parameter_specs(&inference.dims)? {
        let dtype = match file.layout(&spec.name)?.dtype {
            Dtype::BF16 => ForwardDtype::BFloat16,
            _ => ForwardDtype::Float32,
        };
        plans.push(PlannedTensor { name: spec.name, dtype, shape: spec.shape });
    }
    write_folder(directory, &manifest, |staging| {
        stream_tensors(&staging.join(WEIGHTS_FILE), plans, |tensor, sink| {
            file.for_each_piece(&tensor.name, |values| sink.put(values))
        })
    })?;
    Ok(manifest)
}

fn check(file: &WeightFile, inference: &Inference, drop_left_over: bool) -> Result<(), ImportError> {
    let specs = inference.arch.parameter_specs(&inference.dims)?;
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for spec in &specs {
        match file.layout(&spec.name) {
            Err(_) => missing.push(NamedTensor { name: spec.name.clone(), shape: spec.shape.clone() }),
            Ok(layout) => {
                let float = matches!(layout.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16 | Dtype::F64);
                if layout.shape != spec.shape || !float {
                    let found = format!("{:?} {:?}", layout.dtype, layout.shape);
                    wrong.push(WrongTensor { name: spec.name.clone(), found, expected: spec.shape.clone() });
                }
            }
        }
    }
    let needed: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let left_over: Vec<NamedTensor> = file
        .tensors()
        .filter(|(name, _)| !needed.contains(name) && !KNOWN_EXTRAS.iter().any(|extra| name.ends_with(extra)))
        .map(|(name, shape)| NamedTensor { name: name.to_owned(), shape: shape.to_vec() })
        .collect();
    if missing.is_empty() && wrong.is_empty() && (left_over.is_empty() || drop_left_over) {
        return Ok(());
    }
    let (origin, arch) = (file.path().display().to_string(), inference.arch.name());
    Err(ImportError::Tensors { origin, arch, missing, wrong, left_over })
}
