//! Tensors in memory on their way into a safetensors file.

use std::borrow::Cow;

use safetensors::{Dtype, View};

use super::numbers::encode;
use crate::ForwardDtype;

/// A tensor on its way into a safetensors file.
#[derive(Debug, Clone)]
pub struct HostTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl HostTensor {
    /// Row-major float32 values.
    pub fn float32(shape: &[usize], values: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes: encode(ForwardDtype::Float32, values) }
    }

    /// Row-major values rounded to bfloat16.
    pub fn bfloat16(shape: &[usize], values: &[f32]) -> Self {
        Self { dtype: Dtype::BF16, shape: shape.to_vec(), bytes: encode(ForwardDtype::BFloat16, values) }
    }

    /// Row-major int32 values.
    pub fn int32(shape: &[usize], values: &[i32]) -> Self {
        Self {
            dtype: Dtype::I32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// Bytes already in safetensors' row-major little-endian layout.
    pub fn raw(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { dtype, shape: shape.to_vec(), bytes }
    }
}

impl View for &HostTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
