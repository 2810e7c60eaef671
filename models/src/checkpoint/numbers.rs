//! Floats as bytes: the types that weights are stored in, little-endian, to float32 and back.

use half::{bf16, f16};
use safetensors::Dtype;

use crate::ForwardDtype;

/// Values of type `dtype` as float32; `None` where that is not a float.
pub(super) fn decode(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        _ => return None,
    })
}

/// The bytes of `values`, rounded to `dtype`.
pub(super) fn encode(dtype: ForwardDtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        ForwardDtype::Float32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ForwardDtype::BFloat16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
    }
}

/// The name that safetensors has for `dtype`.
pub(super) fn stored(dtype: ForwardDtype) -> Dtype {
    match dtype {
        ForwardDtype::Float32 => Dtype::F32,
        ForwardDtype::BFloat16 => Dtype::BF16,
    }
}
