//! A checkpoint without its training state, in the smallest type that serves: what is shipped and uploaded.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Checkpoint, HostTensor, write};
use crate::{ForwardDtype, ModelError};

/// Writes the weights of `checkpoint` as `dtype`, with its manifest, into the folder `directory`.
///
/// # Errors
/// When a tensor cannot be read or the disk refuses.
pub fn publish(checkpoint: &Checkpoint, directory: &Path, dtype: ForwardDtype) -> Result<(), ModelError> {
    let manifest = &checkpoint.manifest;
    let mut tensors = BTreeMap::new();
    for spec in manifest.arch.parameter_specs(&manifest.dims)? {
        let values = checkpoint.values(&spec)?;
        let tensor = match dtype {
            ForwardDtype::BFloat16 => HostTensor::bfloat16(&spec.shape, &values),
            ForwardDtype::Float32 => HostTensor::float32(&spec.shape, &values),
        };
        tensors.insert(spec.name, tensor);
    }
    write(directory, manifest, &tensors, |_| Ok(()))
}
