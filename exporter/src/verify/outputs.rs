//! Safetensors files that come from elsewhere: puzzles from a user, outputs from `trainer forward`. Checked by the crate
//! `safetensors` before a tensor is believed.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::VerifyError;

/// A file that is as long as it says.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// When it is missing or no intact safetensors file.
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let bytes = std::fs::read(path).map_err(|e| VerifyError::file(path, format!("cannot read: {e}")))?;
        SafeTensors::deserialize(&bytes)
            .map_err(|e| VerifyError::file(path, format!("is not an intact safetensors file: {e}")))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).is_ok_and(|tensors| tensors.tensor(name).is_ok())
    }

    /// Values of a float32 or float64 tensor.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, VerifyError> {
        self.read(name, "floats", |dtype, data| match dtype {
            Dtype::F32 => Some(data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()),
            Dtype::F64 => Some(data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()),
            _ => None,
        })
    }

    /// Values of an int32 or int64 tensor.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, VerifyError> {
        self.read(name, "int32 or int64", |dtype, data| match dtype {
            Dtype::I32 => Some(data.as_chunks().0.iter().map(|&bytes| i64::from(i32::from_le_bytes(bytes))).collect()),
            Dtype::I64 => Some(data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()),
            _ => None,
        })
    }

    pub(super) fn problem(&self, problem: impl Into<String>) -> VerifyError {
        VerifyError::file(&self.path, problem)
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        take: impl FnOnce(Dtype, &[u8]) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, VerifyError> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|e| self.problem(e.to_string()))?;
        let view = tensors.tensor(name).map_err(|_| self.problem(format!("holds no tensor `{name}`")))?;
        let found = view.dtype();
        take(found, view.data())
            .ok_or_else(|| self.problem(format!("tensor `{name}` is of type {found:?}, expected {expected}")))
    }
}
