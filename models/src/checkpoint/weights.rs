//! Safetensors files: mapped for reading, with the reference's name prefixes removed, and host tensors to write.
//! Untrusted: the crate `safetensors` checks every offset against the file's length before a byte is touched.
//! Large tensors are read by rows or in pieces, never as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use super::numbers::{decode, encode};

use crate::{ForwardDtype, ModelError, ParameterSpec};

/// What `torch.compile`, the loss head and data parallelism put before the reference's parameter names.
const WRAPPER_PREFIXES: [&str; 3] = ["_orig_mod.", "module.", "model."];

/// A mapped safetensors file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    /// For what reads all of it: pages of the mapping would count as this process's memory.
    #[cfg(unix)]
    file: File,
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
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            file,
            bytes,
            index,
        })
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
        self.floats(name, entry.dtype, &self.bytes[entry.range.clone()])
    }

    /// Rows `indices` of the matrix `name` as float32, `[indices.len(), columns]` row-major: only their pages of the
    /// mapping are touched.
    ///
    /// # Errors
    /// When it is missing, its type is no float, or an index lies outside of it.
    pub fn rows(&self, name: &str, indices: &[usize]) -> Result<Vec<f32>, ModelError> {
        let entry = self.entry(name)?;
        let count = entry.shape.first().copied().unwrap_or_default();
        let width = entry.range.len().checked_div(count).unwrap_or_default();
        let mut values = Vec::with_capacity(indices.len() * width / 4);
        for &index in indices {
            if index >= count {
                return Err(ModelError::TensorRow {
                    origin: self.path.display().to_string(),
                    name: name.to_owned(),
                    found: index,
                    rows: count,
                });
            }
            let start = entry.range.start + index * width;
            values.extend(self.floats(name, entry.dtype, &self.bytes[start..start + width])?);
        }
        Ok(values)
    }

    /// Hands the values of tensor `name`, as float32 in order, to `take` in pieces of whole rows, about a megabyte
    /// each: what is read is never in memory as a whole.
    ///
    /// # Errors
    /// When it is missing, its type is no float, the disk fails, or `take` does.
    pub fn for_each_piece(
        &self,
        name: &str,
        mut take: impl FnMut(&[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let entry = self.entry(name)?;
        let count = entry.shape.first().copied().unwrap_or(1).max(1);
        let width = (entry.range.len() / count).max(1);
        self.read(entry.range.clone(), (PIECE_BYTES / width).max(1) * width, |bytes| {
            take(&self.floats(name, entry.dtype, bytes)?)
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

    /// Hex sha256 of the whole file, which is read in pieces.
    ///
    /// # Errors
    /// When the disk fails.
    ///
    /// # Panics
    /// Never: writing to a string cannot fail.
    pub fn sha256(&self) -> Result<String, ModelError> {
        let mut digest = Sha256::new();
        self.read(0..self.bytes.len(), PIECE_BYTES, |bytes| {
            digest.update(bytes);
            Ok(())
        })?;
        let mut hex = String::with_capacity(64);
        for byte in digest.finalize() {
            write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Ok(hex)
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

    fn floats(&self, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        decode(dtype, bytes).ok_or_else(|| ModelError::TensorDtype {
            origin: self.path.display().to_string(),
            name: name.to_owned(),
            found: format!("{dtype:?}"),
        })
    }

    /// Hands the bytes `range` of the file to `take`, `piece` at a time.
    #[cfg(unix)]
    fn read(
        &self,
        range: Range<usize>,
        piece: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        use std::os::unix::fs::FileExt;
        let mut buffer = vec![0; piece.min(range.len())];
        for start in range.clone().step_by(piece) {
            let bytes = &mut buffer[..piece.min(range.end - start)];
            self.file.read_exact_at(bytes, start as u64).map_err(ModelError::io(&self.path, "cannot read"))?;
            take(bytes)?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn read(
        &self,
        range: Range<usize>,
        piece: usize,
        take: impl FnMut(&[u8]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        self.bytes[range].chunks(piece).try_for_each(take)
    }
}

/// What is read at a time.
const PIECE_BYTES: usize = 1 << 20;

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
