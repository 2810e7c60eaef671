//! Files of weights, mapped for reading: safetensors, or what `torch.save` makes of a state dict.
//! Owns telling the two apart, names without the reference's prefixes, and values; leaves the formats to
//! `safetensors_file` and `torch_file`. Untrusted: every offset is checked against the file's length before a byte is
//! touched. Large tensors are read by rows or in pieces, never as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use memmap2::Mmap;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use super::layout::TensorLayout;
use super::numbers::decode;
use super::safetensors_file;
use crate::{ModelError, ParameterSpec, torch_file};

/// What `torch.compile`, the loss head and data parallelism put before the reference's parameter names.
const WRAPPER_PREFIXES: [&str; 3] = ["_orig_mod.", "module.", "model."];
/// What is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A mapped file of named tensors.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    /// For what reads all of it: pages of the mapping would count as this process's memory.
    #[cfg(unix)]
    file: File,
    bytes: Mmap,
    format: WeightFormat,
    index: BTreeMap<String, TensorLayout>,
    opaque: Vec<String>,
    /// Once it was asked for: to hash gigabytes takes a while.
    sha256: OnceLock<String>,
}

/// Type, shape and row-major bytes of a tensor.
pub type RawTensor<'a> = (Dtype, &'a [usize], Cow<'a, [u8]>);

/// How a file of weights is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// A header in JSON, then the tensors.
    Safetensors,
    /// The zip archive with a pickle that `torch.save` writes.
    Torch,
}

impl WeightFile {
    /// Maps `path` and reads its names and shapes, whatever the file's name or extension says.
    ///
    /// # Errors
    /// When the file is missing or malformed, of neither format, or holds several state dicts.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::open_state_dict(path, None)
    }

    /// The same for a `torch.save` file with several state dicts, of which `key` names one.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when there is no state dict of that name.
    pub fn open_state_dict(path: &Path, key: Option<&str>) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path, "cannot open"))?;
        if !file.metadata().map_err(ModelError::io(path, "cannot look at"))?.is_file() {
            return Err(ModelError::format(path, "is not a file; give the file that holds the weights"));
        }
        #[expect(
            unsafe_code,
            reason = "mapping is unsafe because another process may truncate the file; checkpoints are written beside their place and renamed, never changed"
        )]
        let bytes = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path, "cannot map"))?;
        let (format, tensors, opaque) = if bytes.starts_with(torch_file::MAGIC) {
            let read = torch_file::read(&bytes, key).map_err(|e| ModelError::format(path, e.to_string()))?;
            (WeightFormat::Torch, read.tensors, read.opaque)
        } else {
            if let Some(key) = key {
                let problem = format!("is not a torch.save file, so that it holds no state dict {key:?}");
                return Err(ModelError::format(path, problem));
            }
            (WeightFormat::Safetensors, safetensors_file::read(path, &bytes)?, Vec::new())
        };
        let mut index = BTreeMap::new();
        for (name, layout) in tensors {
            let name = canonical_name(&name).to_owned();
            if index.contains_key(&name) {
                return Err(ModelError::format(path, format!("holds two tensors for `{name}`")));
            }
            index.insert(name, layout);
        }
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            file,
            bytes,
            format,
            index,
            opaque,
            sha256: OnceLock::new(),
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is laid out.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Classes of others whose objects lie beside the tensors; nothing of them was executed or read.
    pub fn opaque(&self) -> &[String] {
        &self.opaque
    }

    /// Names, without wrapper prefixes, and shapes, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.index.iter().map(|(name, layout)| (name.as_str(), layout.shape.as_slice()))
    }

    /// Checks that the tensor of `spec` is there in the right shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn check(&self, spec: &ParameterSpec) -> Result<(), ModelError> {
        let layout = self.index.get(&spec.name).ok_or_else(|| ModelError::MissingTensor {
            origin: self.path.display().to_string(),
            name: spec.name.clone(),
            shape: spec.shape.clone(),
        })?;
        if layout.shape != spec.shape {
            return Err(ModelError::TensorShape {
                origin: self.path.display().to_string(),
                name: spec.name.clone(),
                expected: spec.shape.clone(),
                found: layout.shape.clone(),
            });
        }
        Ok(())
    }

    /// Type, shape and place of tensor `name`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn layout(&self, name: &str) -> Result<&TensorLayout, ModelError> {
        self.index.get(name).ok_or_else(|| ModelError::MissingTensor {
            origin: self.path.display().to_string(),
            name: name.to_owned(),
            shape: Vec::new(),
        })
    }

    /// Row-major values of tensor `name` as float32.
    ///
    /// # Errors
    /// When it is missing or its type is not a float.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.floats(name, self.layout(name)?)
    }

    /// Rows `indices` of the matrix `name` as float32, `[indices.len(), columns]` row-major: only their pages of the
    /// mapping are touched.
    ///
    /// # Errors
    /// When it is missing, its type is not a float, or an index lies outside of it.
    pub fn rows(&self, name: &str, indices: &[usize]) -> Result<Vec<f32>, ModelError> {
        let layout = self.layout(name)?;
        let rows = layout.shape.first().copied().unwrap_or_default();
        let mut values = Vec::with_capacity(indices.len() * layout.element_count().checked_div(rows).unwrap_or(0));
        for &found in indices {
            if found >= rows {
                let (origin, name) = (self.path.display().to_string(), name.to_owned());
                return Err(ModelError::TensorRow { origin, name, found, rows });
            }
            values.extend(self.floats(name, &layout.rows(found..found + 1))?);
        }
        Ok(values)
    }

    /// Hands the values of tensor `name`, as float32 in order, to `take` in pieces of whole rows, about a megabyte
    /// each: what is read is never in memory as a whole.
    ///
    /// # Errors
    /// When it is missing, its type is not a float, the disk fails, or `take` does.
    pub fn for_each_piece(
        &self,
        name: &str,
        mut take: impl FnMut(&[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let layout = self.layout(name)?;
        let rows = layout.shape.first().copied().unwrap_or(1);
        let row_bytes = layout.byte_count().checked_div(rows).unwrap_or(0).max(1);
        let piece_rows = (PIECE_BYTES / row_bytes).max(1);
        if let Some(range) = layout.packed_range() {
            return self.read(range, piece_rows * row_bytes, |bytes| take(&self.decoded(name, layout.dtype, bytes)?));
        }
        for start in (0..rows).step_by(piece_rows) {
            take(&self.floats(name, &layout.rows(start..rows.min(start + piece_rows)))?)?;
        }
        Ok(())
    }

    /// Type, shape and row-major bytes of tensor `name`: borrowed from the file where they lie there so.
    ///
    /// # Errors
    /// When it is missing.
    pub fn raw(&self, name: &str) -> Result<RawTensor<'_>, ModelError> {
        let layout = self.layout(name)?;
        Ok((layout.dtype, &layout.shape, self.packed(layout)))
    }

    /// Hex sha256 of the whole file, which is read in pieces.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sha256(&self) -> Result<String, ModelError> {
        if let Some(known) = self.sha256.get() {
            return Ok(known.clone());
        }
        let mut digest = Sha256::new();
        self.read(0..self.bytes.len(), PIECE_BYTES, |bytes| {
            digest.update(bytes);
            Ok(())
        })?;
        Ok(self.sha256.get_or_init(|| hex::encode(digest.finalize())).clone())
    }

    /// Compares the file with the checksums that it holds; safetensors has none. It is read in pieces.
    ///
    /// # Errors
    /// When the file was damaged after it was written, or the disk fails.
    pub fn verify_checksums(&self) -> Result<(), ModelError> {
        if self.format == WeightFormat::Safetensors {
            return Ok(());
        }
        let checksums = torch_file::checksums(&self.bytes);
        for checksum in checksums.map_err(|e| ModelError::format(&self.path, e.to_string()))? {
            let mut found = rawzip::Crc32::new();
            self.read(checksum.range, PIECE_BYTES, |bytes| {
                found.update(bytes);
                Ok(())
            })?;
            if found.checksum() != checksum.crc32 {
                let problem = format!(
                    "the checksum of {:?} does not hold, so the file changed after it was written; copy or download it again",
                    checksum.entry
                );
                return Err(ModelError::format(&self.path, problem));
            }
        }
        Ok(())
    }
}

impl WeightFile {
    fn floats(&self, name: &str, layout: &TensorLayout) -> Result<Vec<f32>, ModelError> {
        self.decoded(name, layout.dtype, &self.packed(layout))
    }

    fn decoded(&self, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        decode(dtype, bytes).ok_or_else(|| ModelError::TensorDtype {
            origin: self.path.display().to_string(),
            name: name.to_owned(),
            found: format!("{dtype:?}"),
        })
    }

    fn packed(&self, layout: &TensorLayout) -> Cow<'_, [u8]> {
        match layout.packed_range() {
            Some(range) => Cow::Borrowed(&self.bytes[range]),
            None => Cow::Owned(layout.gather(&self.bytes)),
        }
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

/// A state-dict name without the wrappers' prefixes.
fn canonical_name(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = WRAPPER_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}
