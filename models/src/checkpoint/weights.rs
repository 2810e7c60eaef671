//! Safetensors files: mapped for reading, with the reference's name prefixes removed, and host tensors to write.
//! Untrusted: the crate `safetensors` checks every offset against the file's length before a byte is touched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use crate::{ModelError, ParameterSpec};

/// What `torch.compile`, the loss head and data parallelism put before the reference's parameter names.
const WRAPPER_PREFIXES: [&str; 3] = ["_orig_mod.", "module.", "model."];

/// A mapped safetensors file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    bytes: Mmap,
    index: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl WeightFile {
    /// Maps `path` and reads its header.
    ///
    /// # Errors
    /// When the file is missing or malformed.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path, "cannot open"))?;
        #[expect(
            unsafe_code,
            reason = "mapping is unsafe because another process may truncate the file; checkpoints are written beside their place and renamed, never changed"
        )]
        let bytes = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path, "cannot map"))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| {
            ModelError::format(path, format!("is no intact safetensors file ({e}); copy or download it again"))
        })?;
        let start = bytes.as_ptr() as usize;
        let mut index = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let offset = view.data().as_ptr() as usize - start;
            let entry =
                Entry { dtype: view.dtype(), shape: view.shape().to_vec(), range: offset..offset + view.data().len() };
            if index.insert(canonical_name(name).to_owned(), entry).is_some() {
                return Err(ModelError::format(path, format!("holds two tensors for `{}`", canonical_name(name))));
            }
        }
        Ok(Self { path: path.to_owned(), bytes, index })
    }

    /// Names, without wrapper prefixes, and shapes, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.index.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Checks that the tensor of `spec` is there in the right shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn check(&self, spec: &ParameterSpec) -> Result<(), ModelError> {
        let entry = self.index.get(&spec.name).ok_or_else(|| ModelError::MissingTensor {
            origin: self.path.display().to_string(),
            name: spec.name.clone(),
            shape: spec.shape.clone(),
        })?;
        if entry.shape != spec.shape {
            return Err(ModelError::TensorShape {
                origin: self.path.display().to_string(),
                name: spec.name.clone(),
                expected: spec.shape.clone(),
                found: entry.shape.clone(),
            });
        }
        Ok(())
    }

    /// Row-major values of tensor `name` as float32.
    ///
    /// # Errors
    /// When it is missing or its type is no float.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let entry = self.entry(name)?;
        let bytes = &self.bytes[entry.range.clone()];
        Ok(match entry.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            other => {
                return Err(ModelError::TensorDtype {
                    origin: self.path.display().to_string(),
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        })
    }

    /// Type, shape and bytes of tensor `name`, as stored.
    ///
    /// # Errors
    /// When it is missing.
    pub fn raw(&self, name: &str) -> Result<(Dtype, &[usize], &[u8]), ModelError> {
        let entry = self.entry(name)?;
        Ok((entry.dtype, &entry.shape, &self.bytes[entry.range.clone()]))
    }

    /// Hex sha256 of the whole file.
    ///
    /// # Panics
    /// Never: writing to a string cannot fail.
    pub fn sha256(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(&self.bytes) {
            write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        }
        hex
    }
}

impl WeightFile {
    fn entry(&self, name: &str) -> Result<&Entry, ModelError> {
        self.index.get(name).ok_or_else(|| ModelError::MissingTensor {
            origin: self.path.display().to_string(),
            name: name.to_owned(),
            shape: Vec::new(),
        })
    }
}

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
        Self {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// Row-major values rounded to bfloat16.
    pub fn bfloat16(shape: &[usize], values: &[f32]) -> Self {
        Self {
            dtype: Dtype::BF16,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }

    /// Row-major int32 values.
    pub fn int32(shape: &[usize], values: &[i32]) -> Self {
        Self {
            dtype: Dtype::I32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

impl HostTensor {
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

/// A state-dict name without the wrappers' prefixes.
fn canonical_name(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = WRAPPER_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}
